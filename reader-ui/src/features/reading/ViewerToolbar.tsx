import type { Session, StudyRef } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import type { ViewerTool } from '../../viewer/stack-viewer.ts';
import { openingWindow } from '../../viewer/opening-window.ts';
import type { StackViewerHandle } from '../../viewer/use-stack-viewer.ts';
import { windowPresets } from '../../viewer/windows.ts';

const tools: readonly { name: ViewerTool; key: string }[] = [
  { name: 'window', key: 'W' },
  { name: 'pan', key: 'H' },
  { name: 'zoom', key: 'Z' },
  { name: 'length', key: 'L' },
  { name: 'arrow', key: 'A' },
];

const button =
  'flex items-center gap-1 rounded px-2 py-1 text-xs text-soft hover:bg-hover hover:text-text disabled:cursor-not-allowed disabled:opacity-40 aria-pressed:bg-accent-deep aria-pressed:text-text';

interface Props {
  handle: StackViewerHandle;
  onPick: (() => void) | null;
  /** Where OHIF shows the same study; null where it is not installed or nothing has arrived. */
  ohif: string | null;
}

/** The address of a study in OHIF, which the relay serves; one study and no list of others. */
export function ohifAddress({ viewers }: Pick<Session, 'viewers'>, study: StudyRef): string | null {
  return viewers.ohif && study.id !== null ? `/ohif/viewer?StudyInstanceUIDs=${encodeURIComponent(study.study_instance_uid)}` : null;
}

/** What the left button does, and the window presets; each with its key. */
export function ViewerToolbar({ handle, onPick, ohif }: Props) {
  const { viewer: words } = useStrings();
  const { viewer, state } = handle;
  const ct = state.shown?.modality === 'CT';
  const whyNot = (name: ViewerTool): string | undefined => {
    if (state.preview && (name === 'length' || name === 'arrow')) return words.previewWhy;
    return name === 'length' && !state.measurable ? words.notMeasurable : undefined;
  };
  return (
    <div className="flex flex-wrap items-center gap-x-1 gap-y-1 border-b border-line bg-panel px-2 py-1">
      {tools.map(({ name, key }) => (
        <button
          key={name}
          type="button"
          aria-pressed={state.tool === name}
          disabled={!state.shown || whyNot(name) !== undefined}
          title={state.shown ? whyNot(name) : undefined}
          onClick={() => viewer?.setTool(name)}
          className={button}
        >
          {words.tool[name]} <kbd className="text-[10px] text-muted">{key}</kbd>
        </button>
      ))}
      <span aria-hidden className="mx-1 h-4 w-px bg-line-strong" />
      {windowPresets.map((preset) => (
        <button
          key={preset.id}
          type="button"
          disabled={!ct}
          aria-pressed={state.window?.center === preset.center && state.window.width === preset.width}
          title={words.window(String(preset.width), String(preset.center))}
          onClick={() => viewer?.setWindow(preset)}
          className={button}
        >
          {words.preset[preset.id]} <kbd className="text-[10px] text-muted">{preset.key}</kbd>
        </button>
      ))}
      <button type="button" disabled={!state.shown?.headerWindow} onClick={() => state.shown?.headerWindow && viewer?.setWindow(state.shown.headerWindow)} className={button}>
        {words.header} <kbd className="text-[10px] text-muted">6</kbd>
      </button>
      <button type="button" disabled={!state.shown} onClick={() => viewer?.setAutoWindow()} className={button}>
        {words.auto} <kbd className="text-[10px] text-muted">0</kbd>
      </button>
      <span aria-hidden className="mx-1 h-4 w-px bg-line-strong" />
      <button type="button" disabled={!state.shown} onClick={() => viewer?.reset(openingWindow(viewer.images))} className={button}>
        {words.reset} <kbd className="text-[10px] text-muted">R</kbd>
      </button>
      {ohif !== null && (
        <a href={ohif} target="_blank" rel="noopener" className={button}>
          {words.openOhif} <span aria-hidden>↗</span>
        </a>
      )}
      {onPick && (
        <Button
          small
          kind="plain"
          disabled={!state.shown || state.preview || state.loading || state.failure !== null}
          title={state.preview ? words.previewNotPicked : undefined}
          onClick={onPick}
          className="ml-auto"
        >
          {words.pick} <kbd className="text-[10px] text-muted">K</kbd>
        </Button>
      )}
    </div>
  );
}
