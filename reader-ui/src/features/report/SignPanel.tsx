import { useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { signReport } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import { keys } from '../../api/queries.ts';
import type { Blocker, ReadingRequestDetail, SignCheck } from '../../api/types.ts';
import type { Strings } from '../../strings/ja.ts';
import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { ownOpenCalls, readBackDiffers } from '../critical-result/call-facts.ts';
import { useTemplates } from '../fields/templates.ts';
import { useLive } from '../live/live-context.ts';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { useSession } from '../session/session-context.ts';
import { withheldText } from '../worklist/arrival-facts.ts';
import { announcedText } from '../worklist/order.ts';
import { SignDialog } from './SignDialog.tsx';
import { VersionList } from './VersionList.tsx';
import type { DraftState } from './draft-saver.ts';
import type { DraftHandle } from './use-draft.ts';

type Status = 'preliminary' | 'final';

interface Props {
  request: ReadingRequestDetail;
  draft: DraftHandle;
  disabled: boolean;
}

/** Signing: what still blocks it in plain words, the patient once more, and nothing shown as signed before the relay says so. */
export function SignPanel({ request, draft, disabled }: Props) {
  const strings = useStrings();
  const { sign, reading, language } = strings;
  const { connected } = useLive();
  const { user } = useSession().session;
  const queries = useQueryClient();
  const [asking, setAsking] = useState<Status | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const [signedVersion, setSignedVersion] = useState<number | null>(null);
  // Kept until the relay has answered: pressing again after a lost answer gives the same signature.
  const command = useRef<{ id: string; status: Status } | null>(null);
  const { evaluation, status } = draft.state;
  const clean = status === 'saved' && draft.state.version > 0;

  const submit = async (kind: Status, password: string) => {
    setBusy(true);
    setProblem(null);
    try {
      if (!(await draft.saver.flush())) return;
      if (command.current?.status !== kind) command.current = { id: crypto.randomUUID(), status: kind };
      const version = await signReport(request.id, kind, draft.saver.getState().version, password, command.current.id);
      command.current = null;
      setSignedVersion(version.version);
      setAsking(null);
      await queries.invalidateQueries({ queryKey: keys.request(request.id) });
      void queries.invalidateQueries({ queryKey: keys.requests });
    } catch (error) {
      // A refusal is an answer; only silence may be asked again with the same id.
      if (error instanceof Problem && error.status >= 400 && error.status < 500) command.current = null;
      setProblem(error);
      if (error instanceof Problem && error.code === 'cannot_sign') setAsking(null);
      // What blocks signing may be other than what was shown.
      void queries.invalidateQueries({ queryKey: keys.request(request.id) });
    } finally {
      setBusy(false);
    }
  };

  const { arrival } = request;
  const kinds = kindsOf(request);
  const { dispositions } = useTemplates();
  const dispositionOf = ({ field }: Blocker): string | null => {
    const place = /^disposition\.(\d+)\./.exec(field ?? '')?.[1];
    const code = place === undefined ? undefined : draft.state.body.disposition[Number(place)]?.code;
    return dispositions.find(({ id }) => id === code)?.label[language] ?? code ?? null;
  };
  const withheld = withheldText(arrival, strings);
  return (
    <div className="flex flex-col gap-4">
      {signedVersion !== null && <Banner tone="good">{sign.done(signedVersion)}</Banner>}
      {connected === false && <Banner tone="warning">{sign.offline}</Banner>}
      {request.warnings.includes('patient_mismatch_held') && <Banner tone="danger">{reading.mismatchHeld(arrival.held)}</Banner>}
      {withheld && <Banner tone="danger">{withheld}</Banner>}
      {readBackDiffers(request) && <Banner tone="danger">{sign.readBackDiffers}</Banner>}
      {ownOpenCalls(request, user.id).length > 0 && <Banner tone="warning">{sign.openCall}</Banner>}
      <p className="text-sm text-soft">{sign.images(arrival.verified, announcedText(arrival.announced))}</p>
      {kinds.map((kind) => (
        <SignChoice
          key={kind}
          kind={kind}
          check={evaluation?.can_sign[kind] ?? null}
          disposition={dispositionOf}
          enabled={!disabled && clean && !busy && connected !== false}
          waiting={waitsFor(draft.state, sign)}
          onSign={() => setAsking(kind)}
        />
      ))}
      <ProblemBanner error={asking ? null : problem} />
      <VersionList request={request} canAdd={!disabled || request.reports.length > 0} />
      {asking && <SignDialog request={request} kind={asking} busy={busy} problem={problem} onSign={(password) => void submit(asking, password)} onClose={() => setAsking(null)} />}
    </div>
  );
}

/** Only the text that the relay has can be signed: nothing written yet, not saved yet, or not to be saved. */
function waitsFor({ status, version }: DraftState, sign: Strings['sign']): string | null {
  if (status === 'saved') return version > 0 ? null : sign.nothingWritten;
  return status === 'failed' || status === 'conflict' ? sign.draftNotSaved : sign.draftFirst;
}

/**
 * What may be signed next: after a preliminary version only the final; after a final one a correction, but only while the
 * case is open again (reopened, and then claimed by its reader). Otherwise there are addenda.
 */
function kindsOf({ reports, state }: ReadingRequestDetail): Status[] {
  if (reports.length === 0) return ['preliminary', 'final'];
  const isFinal = reports.some(({ status }) => status !== 'preliminary');
  return !isFinal || state === 'reopened' || state === 'claimed' ? ['final'] : [];
}

interface ChoiceProps {
  kind: Status;
  check: SignCheck | null;
  /** The name of the disposition that a blocker is about: several may lack the same field. */
  disposition(blocker: Blocker): string | null;
  enabled: boolean;
  /** What the draft lacks before anything can be signed; null when nothing. */
  waiting: string | null;
  onSign(): void;
}

function SignChoice({ kind, check, disposition, enabled, waiting, onSign }: ChoiceProps) {
  const { sign, language } = useStrings();
  const text = (blocker: Blocker) => [disposition(blocker), language === 'ja' ? blocker.message_ja : blocker.message_en].filter((part) => part !== null).join(': ');
  const blockers = unique(check?.blockers.map(text) ?? []);
  return (
    <section aria-label={sign[kind]} className="flex flex-col gap-2 rounded-md border border-line-strong p-3">
      <Button kind={kind === 'final' ? 'primary' : 'plain'} disabled={!enabled || !check?.ok} onClick={onSign} className="min-h-10">
        {sign[kind]}
      </Button>
      {check?.ok && waiting === null && <p className="text-xs text-green">✓ {sign.ready}</p>}
      {waiting !== null && <p className="text-xs text-muted">{waiting}</p>}
      {blockers.length > 0 && (
        <div>
          <p className="text-xs font-semibold text-orange">{sign.blockersTitle}</p>
          <ul className="mt-1 list-disc pl-5 text-sm text-soft">
            {blockers.map((text) => (
              <li key={text} className="whitespace-pre-line">
                {text}
              </li>
            ))}
          </ul>
        </div>
      )}
    </section>
  );
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
