import type { KeyImage } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';

interface Props {
  images: readonly KeyImage[];
  disabled: boolean;
  onChange(images: KeyImage[]): void;
  onShow(index: number): void;
}

export function KeyImageList({ images, disabled, onChange, onShow }: Props) {
  const { findings, common, viewer } = useStrings();
  return (
    <section aria-label={findings.keyImages} className="flex flex-col gap-2">
      <h3 className="text-xs text-soft">{findings.keyImages}</h3>
      {images.length === 0 && <p className="text-xs text-muted">{findings.noKeyImages}</p>}
      {images.map((image, index) => (
        <div key={`${image.sop_instance_uid}/${image.frame}`} className="flex items-center gap-2">
          <Button small onClick={() => onShow(index)} >
            {index + 1} {findings.showKeyImage}
          </Button>
          <input
            aria-label={`${findings.caption} ${index + 1}`}
            placeholder={findings.caption}
            value={image.caption}
            disabled={disabled}
            onChange={(event) => onChange(images.map((old, at) => (at === index ? { ...old, caption: event.target.value } : old)))}
            className="field"
          />
          {image.annotations.length > 0 && <span className="text-xs whitespace-nowrap text-muted">{viewer.annotations(image.annotations.length)}</span>}
          <Button small kind="quiet" disabled={disabled} onClick={() => onChange(images.filter((_, at) => at !== index))}>
            {common.remove}
          </Button>
        </div>
      ))}
    </section>
  );
}
