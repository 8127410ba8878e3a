import type { CommandGroup } from '../../commands/command.ts';
import { commands } from '../../commands/registry.ts';
import { useStrings } from '../../strings/language.tsx';
import { Dialog } from '../../ui/Dialog.tsx';

const groups: readonly CommandGroup[] = ['worklist', 'viewer', 'window', 'reading', 'page'];
const symbols: Record<string, string> = { ArrowDown: '↓', ArrowUp: '↑', ArrowLeft: '←', ArrowRight: '→' };

/** Made from the commands themselves, so that it is never wrong. */
export function HelpDialog({ onClose }: { onClose(): void }) {
  const strings = useStrings();
  return (
    <Dialog wide title={strings.commands.title} closeLabel={strings.commands.close} onClose={onClose}>
      <div className="columns-2 gap-8">
        {groups.map((group) => (
          <section key={group} className="mb-5 break-inside-avoid">
            <h3 className="mb-1.5 text-xs font-semibold text-accent">{strings.commands.groups[group]}</h3>
            <dl className="grid grid-cols-[1fr_auto] gap-x-4 gap-y-1 text-sm">
              {commands
                .filter((command) => command.group === group)
                .map((command) => (
                  <div key={command.id} className="contents">
                    <dt className="text-soft">{command.label(strings)}</dt>
                    <dd className="flex gap-1">
                      {command.keys.map((key) => (
                        <kbd key={key} className="rounded border border-line-strong bg-void px-1.5 text-xs leading-5">
                          {symbols[key] ?? (key.length === 1 ? key.toUpperCase() : key)}
                        </kbd>
                      ))}
                    </dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
      </div>
      <p className="text-xs text-muted">{strings.commands.wheel}</p>
    </Dialog>
  );
}
