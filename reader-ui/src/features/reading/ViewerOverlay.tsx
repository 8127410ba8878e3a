import type { Arrival, StudySeries } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { HeaderText } from '../../ui/HeaderText.tsx';
import type { ViewerFailureCode } from '../../viewer/failure.ts';
import { positionMm } from '../../viewer/geometry.ts';
import type { DisplayImage } from '../../viewer/images.ts';
import type { StackViewer, ViewerState } from '../../viewer/stack-viewer.ts';
import { ArrivalFacts, Withheld } from '../worklist/ArrivalBadge.tsx';
import { isArriving, isComplete, withheldText } from '../worklist/arrival-facts.ts';
import { announcedText } from '../worklist/order.ts';
import { Orientation } from './Orientation.tsx';

interface Props {
  state: ViewerState;
  viewer: StackViewer | null;
  series: StudySeries | null;
  /** Whether there are frames that are just being asked for. */
  opening: boolean;
  arrival: Arrival;
  /** Why the series as a whole cannot be shown. */
  failure: ViewerFailureCode | null;
}

/** What is said on the picture. It describes the image that is drawn, and covers it when it is not the wanted one. */
export function ViewerOverlay({ state, viewer, series, opening, arrival, failure }: Props) {
  const strings = useStrings();
  const { viewer: words } = strings;
  const { shown } = state;
  const refused = failure ?? state.failure;
  if (refused === 'not_arrived') return <NotArrived index={state.index} count={state.count} arrival={arrival} />;
  if (refused) return <Refusal failure={refused} index={state.index} count={state.count} />;
  return (
    <div className="overlay-text pointer-events-none absolute inset-0 text-xs leading-5 text-soft">
      {shown && (
        <>
          <div className="absolute top-2 left-3">
            <div className="text-sm font-semibold text-text">{words.image(state.index + 1, state.count)}</div>
            <div>
              {series?.number ?? '–'} {shown.modality} <HeaderText text={series?.description ?? null} uncertain={series?.description_uncertain ?? false} />
            </div>
            {state.preview && (
              <div role="status" className="my-1 text-sm font-bold">
                <Badge tone="yellow">▦ {words.preview}</Badge>
              </div>
            )}
            {shown.frames.claimed !== shown.frames.there && <Badge tone="orange">! {words.framesClaimed(shown.frames.claimed, shown.frames.there)}</Badge>}
            {shown.frames.shown < shown.frames.there && <Badge tone="orange">! {words.framesCut(shown.frames.shown, shown.frames.there)}</Badge>}
            {shown.lossy && <Badge tone="orange">! {words.lossy(shown.lossy.ratio === null ? null : shown.lossy.ratio.toFixed(1))}</Badge>}
          </div>
          <div className="absolute top-2 right-9 text-right">
            {state.window && <div className="text-sm font-semibold whitespace-pre text-text">{words.window(number(state.window.width), number(state.window.center))}</div>}
            {state.zoomPercent !== null && <div>{words.zoom(state.zoomPercent)}</div>}
            {state.inverted && <Badge tone="orange">{words.inverted}</Badge>}
          </div>
          <div className="absolute bottom-2 left-3">
            <PositionLines image={shown} />
            {state.preview && <Badge tone="yellow">! {words.previewWhy}</Badge>}
            {!state.preview && !state.measurable && <Badge tone="orange">! {words.notMeasurable}</Badge>}
          </div>
          {shown.plane && <Orientation plane={shown.plane} rail />}
        </>
      )}
      <div className="absolute right-9 bottom-2 flex flex-col items-end gap-1">
        {state.annotationCount > 0 && <span>{words.annotations(state.annotationCount)}</span>}
        {state.count > 0 && state.loadedCount < state.count && <span>{words.loaded(state.loadedCount, state.count)}</span>}
        <VerifiedBadge arrival={arrival} />
      </div>
      {state.loading && shown && (
        <div role="status" className="absolute inset-x-0 top-1/2 mx-auto w-fit -translate-y-1/2 rounded bg-black/75 px-3 py-1.5 text-sm text-text">
          {words.loading}
        </div>
      )}
      {!shown && (
        <div role="status" className="absolute inset-0 flex items-center justify-center text-sm text-muted">
          {state.loading || opening ? words.loading : isArriving(arrival) ? words.waiting : words.noImages}
        </div>
      )}
      {viewer && state.count > 1 && (
        <input
          type="range"
          aria-label={words.image(state.index + 1, state.count)}
          tabIndex={-1}
          min={0}
          max={state.count - 1}
          value={state.index}
          onChange={(event) => void viewer.goTo(Number(event.target.value))}
          className="stack-rail pointer-events-auto absolute top-2 right-1.5 bottom-2 w-5"
        />
      )}
    </div>
  );
}

function VerifiedBadge({ arrival }: { arrival: Arrival }) {
  const strings = useStrings();
  const { viewer: words } = strings;
  const complete = isComplete(arrival);
  const arriving = isArriving(arrival);
  const withheld = withheldText(arrival, strings);
  return (
    <>
      {arriving && <ArrivalFacts arrival={arrival} />}
      {withheld && <Withheld text={withheld} />}
      <Badge tone={complete ? 'green' : 'orange'}>
        {words.imagesVerified(arrival.verified, announcedText(arrival.announced))} {complete ? words.closed : arriving ? words.arriving : words.incomplete}
      </Badge>
    </>
  );
}

function PositionLines({ image }: { image: DisplayImage }) {
  const { viewer: words } = useStrings();
  const { plane, sliceThicknessMm, gantryTiltDegrees } = image;
  return (
    <>
      {plane && <div>{words.position(positionMm(plane).toFixed(1))}</div>}
      {sliceThicknessMm !== null && <div>{words.thickness(number(sliceThicknessMm))}</div>}
      {gantryTiltDegrees !== null && Math.abs(gantryTiltDegrees) > 0.05 && <div>{words.tilt(number(gantryTiltDegrees))}</div>}
    </>
  );
}

/** Opaque too; nothing is wrong, it has its place in the stack and its picture comes. */
function NotArrived({ index, count, arrival }: { index: number; count: number; arrival: Arrival }) {
  const { viewer: words } = useStrings();
  return (
    <div role="status" className="pointer-events-none absolute inset-0 flex flex-col items-center justify-center gap-2 bg-void px-8 text-center">
      <p className="text-base font-semibold">{words.notArrivedTitle}</p>
      <p className="max-w-md text-sm text-soft">{words.notArrived}</p>
      {count > 0 && <p className="text-xs text-muted">{words.image(index + 1, count)}</p>}
      <div className="absolute right-9 bottom-2 flex flex-col items-end gap-1 text-xs text-soft">
        <VerifiedBadge arrival={arrival} />
      </div>
    </div>
  );
}

/** Opaque on purpose: the picture of another image must not stand where a refused one is asked for. */
function Refusal({ failure, index, count }: { failure: ViewerFailureCode; index: number; count: number }) {
  const { viewer: words } = useStrings();
  return (
    <div role="alert" className="pointer-events-none absolute inset-0 flex flex-col items-center justify-center gap-2 bg-void px-8 text-center">
      <span aria-hidden className="flex size-9 items-center justify-center rounded-full border-2 border-orange text-lg font-bold text-orange">
        !
      </span>
      <p className="text-base font-semibold">{words.failureTitle}</p>
      <p className="max-w-md text-sm text-soft">{words.failure[failure]}</p>
      {count > 0 && <p className="text-xs text-muted">{words.image(index + 1, count)}</p>}
    </div>
  );
}

function number(value: number): string {
  return String(Math.round(value * 10) / 10);
}
