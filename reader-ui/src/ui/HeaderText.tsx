import { headerText } from '../lib/safe-text.ts';
import { useStrings } from '../strings/language.tsx';
import { Badge } from './Badge.tsx';

/** Text of a DICOM header, isolated in direction, with the mark when its characters could not be read for sure. */
export function HeaderText({ text, uncertain }: { text: string | null; uncertain: boolean }) {
  return (
    <>
      <bdi>{headerText(text ?? '')}</bdi>
      {uncertain && <UncertainText />}
    </>
  );
}

/** The declared character set does not explain the text beside it: it may be another. */
export function UncertainText({ title }: { title?: string }) {
  const { patient } = useStrings();
  return (
    <Badge tone="orange" title={title ?? patient.textUncertainWhy}>
      <span aria-hidden className="mr-1 font-bold">
        !
      </span>
      {patient.textUncertain}
    </Badge>
  );
}
