import type { ReportBody } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Dialog } from '../../ui/Dialog.tsx';
import { safeLines } from '../fields/FieldFacts.tsx';
import type { DraftHandle } from './use-draft.ts';

/** Two screens wrote on one draft. Both texts are shown; nothing is lost until the reader has chosen. */
export function ConflictDialog({ draft }: { draft: DraftHandle }) {
  const strings = useStrings();
  const { findings } = strings;
  const { theirs, body } = draft.state;
  if (!theirs) return null;
  const side = (title: string, text: ReportBody, choose: string, pick: () => void) => (
    <section className="flex flex-col gap-3 rounded-md border border-line bg-void p-3">
      <h3 className="text-sm font-semibold">{title}</h3>
      {[
        [findings.findingsText, text.findings_text],
        [findings.impressionText, text.impression_text],
        [findings.recommendationText, text.recommendation_text],
      ].map(([label, value]) => (
        <div key={label}>
          <div className="text-xs text-muted">{label}</div>
          <p className="text-sm whitespace-pre-wrap">{value ? safeLines(value) : strings.common.notEntered}</p>
        </div>
      ))}
      <div className="text-xs text-muted">
        {text.finding_blocks.map(({ template }) => template).join(', ')} / {findings.keyImages} {text.key_images.length} /{' '}
        {text.criticality ? strings.code(text.criticality) : strings.common.notEntered}
      </div>
      <Button kind="primary" className="mt-auto" onClick={pick}>
        {choose}
      </Button>
    </section>
  );
  return (
    <Dialog wide title={findings.conflictTitle} closeLabel={strings.common.cancel} onClose={() => undefined}>
      <p className="mb-3 text-sm text-soft">{findings.conflictWhy}</p>
      <div className="grid gap-3 md:grid-cols-2">
        {side(findings.conflictMine, body, findings.useMine, () => draft.saver.useMine())}
        {side(findings.conflictTheirs, theirs.body, findings.useTheirs, () => draft.saver.useTheirs())}
      </div>
    </Dialog>
  );
}
