import type { Conversation } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Dialog } from '../../ui/Dialog.tsx';
import { FieldFacts, safeLines } from '../fields/FieldFacts.tsx';
import { useTemplates } from '../fields/templates.ts';
import { conversationFacts } from './conversation-facts.ts';
import { both, same } from './merge-conversation.ts';
import type { Choice, Field } from './merge-conversation.ts';
import type { ConversationHandle } from './use-conversations.ts';

/** Two screens wrote the same fields of one conversation. Both are shown; nothing is saved or lost until each is settled. */
export function ConversationConflict({ handle }: { handle: ConversationHandle }) {
  const strings = useStrings();
  const { call: words } = strings;
  const { stateTold, dispositions } = useTemplates();
  const { conversation: mine, theirs } = handle.state;
  const fields = Object.keys(theirs) as Field[];
  const labelOf = (field: Field) => conversationFacts(mine, strings, dispositions).find((fact) => fact.field === field)?.label ?? words.stateTold;
  const side = (title: string, field: Field, said: Conversation) => (
    <div className="rounded-md border border-line bg-void p-3">
      <div className="text-xs text-muted">{title}</div>
      {field === 'state_told' ? (
        <FieldFacts answeredOnly fields={stateTold} values={said.state_told} />
      ) : (
        <p className="text-sm whitespace-pre-wrap">{safeLines(conversationFacts(said, strings, dispositions).find((fact) => fact.field === field)?.text || strings.common.notEntered)}</p>
      )}
    </div>
  );
  const choices: [Choice, string][] = [
    ['mine', words.useMine],
    ['theirs', words.useTheirs],
    ['both', words.useBoth],
  ];
  // Where there can be one answer only, both together are theirs.
  const choicesFor = (field: Field) => choices.filter(([choice]) => choice !== 'both' || !same(both(mine[field], theirs[field]), theirs[field]));
  return (
    <Dialog wide title={words.conflictTitle} closeLabel={strings.common.cancel} onClose={() => undefined}>
      <p className="mb-3 text-sm text-soft">{words.conflictWhy}</p>
      {fields.map((field) => (
        <section key={field} aria-label={labelOf(field)} className="mb-4 flex flex-col gap-2">
          <h3 className="text-sm font-semibold">{labelOf(field)}</h3>
          <div className="grid gap-3 md:grid-cols-2">
            {side(words.conflictMine, field, mine)}
            {side(words.conflictTheirs, field, { ...mine, ...theirs })}
          </div>
          <div className="flex flex-wrap gap-2">
            {choicesFor(field).map(([choice, label]) => (
              <Button key={choice} onClick={() => handle.saver.settle(field, choice)}>
                {label}
              </Button>
            ))}
          </div>
        </section>
      ))}
    </Dialog>
  );
}
