import { useState } from 'react';
import { startAttempt } from '../../api/client.ts';
import type { Call, Contact, ReadingRequestDetail } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { contactsOf, roleAt, telLink } from './call-facts.ts';
import { calleeRoles, channels } from './vocabulary.ts';

interface Props {
  call: Call;
  request: ReadingRequestDetail;
  disabled: boolean;
  onChanged(call: Call): unknown;
  onFailure(error: unknown): void;
}

/** Numbers of the site. The number opens the computer's phone, the button is for the phone on the desk; both start the attempt. */
export function ContactList({ call, request, disabled, onChanged, onFailure }: Props) {
  const strings = useStrings();
  const { call: words } = strings;
  const [channel, setChannel] = useState<string>('landline');
  const [other, setOther] = useState('');
  const [otherRole, setOtherRole] = useState('');
  const contacts = contactsOf(request);
  const dial = (contact: Contact, role: string) => {
    const { number, name, site } = contact;
    onFailure(null);
    // A site's own name is no person's, and whoever is asked for in another role is another person.
    const told = roleAt(contact, request);
    const person = name !== '' && name !== site && (told === null || told === role);
    startAttempt(call.id, { number_dialed: number, channel, callee_role: role, ...(person ? { callee_name: name } : {}) }).then(onChanged, onFailure);
  };
  return (
    <div className="flex flex-col gap-2">
      <div className="flex items-center justify-between">
        <h3 className="text-xs text-soft">{words.contacts}</h3>
        <select aria-label={words.channel} value={channel} onChange={(event) => setChannel(event.target.value)} className="field !min-h-7 !w-32 !py-0 text-xs">
          {channels.map((code) => (
            <option key={code} value={code}>
              {strings.code(code)}
            </option>
          ))}
        </select>
      </div>
      {contacts.length === 0 && <Banner tone="warning">{strings.reading.noNumber}</Banner>}
      {contacts.map((contact) => (
        <ContactRow key={contact.number} contact={contact} told={roleAt(contact, request)} disabled={disabled} onDial={(role) => dial(contact, role)} />
      ))}
      <div className="flex items-center gap-2">
        <input aria-label={words.contacts} inputMode="tel" autoComplete="off" value={other} placeholder="0153-00-0000" onChange={(event) => setOther(event.target.value)} className="field" />
        <RoleChoice label={words.calleeRole} value={otherRole} disabled={disabled} onChange={setOtherRole} />
        <Button disabled={disabled || other.trim() === '' || otherRole === ''} onClick={() => dial({ name: '', role: otherRole, number: other.trim(), site: '' }, otherRole)}>
          {words.dial}
        </Button>
      </div>
    </div>
  );
}

interface RowProps {
  contact: Contact;
  /** Who answers there, as far as the request tells; the reader can say otherwise. */
  told: string | null;
  disabled: boolean;
  onDial(role: string): void;
}

function ContactRow({ contact, told, disabled, onDial }: RowProps) {
  const strings = useStrings();
  const { call: words } = strings;
  const [role, setRole] = useState(told ?? '');
  const ready = !disabled && role !== '';
  const isCertain = told === contact.role;
  return (
    <div className="flex items-center gap-3 rounded-md border border-line-strong bg-void px-3 py-2">
      <div className="min-w-0 flex-1">
        <div className="truncate text-sm">
          <bdi>{contact.name}</bdi> <span className="text-xs text-muted">{strings.code(contact.role)}</span>
        </div>
        {ready ? (
          <a href={telLink(contact.number)} onClick={() => onDial(role)} title={words.dialHere} className="font-mono text-base text-accent underline decoration-dotted underline-offset-4 hover:decoration-solid">
            {contact.number}
          </a>
        ) : (
          <bdi className="font-mono text-base">{contact.number}</bdi>
        )}
      </div>
      {!isCertain && <RoleChoice label={`${words.calleeRole} ${contact.number}`} value={role} disabled={disabled} onChange={setRole} />}
      <Button kind="primary" disabled={!ready} title={disabled || ready ? undefined : words.roleFirst} onClick={() => onDial(role)} aria-label={`${words.dial} ${contact.number}`}>
        {words.dial}
      </Button>
    </div>
  );
}

/** Who is to be expected at a number; nothing is chosen until someone says it. */
function RoleChoice({ label, value, disabled, onChange }: { label: string; value: string; disabled: boolean; onChange(role: string): void }) {
  const strings = useStrings();
  return (
    <select aria-label={label} value={value} disabled={disabled} onChange={(event) => onChange(event.target.value)} className="field !w-36 text-xs">
      <option value="">{strings.call.chooseRole}</option>
      {calleeRoles.map((code) => (
        <option key={code} value={code}>
          {strings.code(code)}
        </option>
      ))}
    </select>
  );
}
