import { useState } from 'react';
import { startAttempt } from '../../api/client.ts';
import type { Call, Contact, ReadingRequestDetail } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { contactsOf, telLink } from './call-facts.ts';
import { calleeRoles, channels } from './vocabulary.ts';

const known = new Set<string>(calleeRoles);

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
  const [otherRole, setOtherRole] = useState<string>('on_call');
  const contacts = contactsOf(request);
  const dial = (contact: Contact) => {
    onFailure(null);
    startAttempt(call.id, { number_dialed: contact.number, channel, callee_role: known.has(contact.role) ? contact.role : 'other', ...(contact.name ? { callee_name: contact.name } : {}) }).then(onChanged, onFailure);
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
        <div key={contact.number} className="flex items-center gap-3 rounded-md border border-line-strong bg-void px-3 py-2">
          <div className="min-w-0 flex-1">
            <div className="truncate text-sm">
              <bdi>{contact.name}</bdi> <span className="text-xs text-muted">{strings.code(contact.role)}</span>
            </div>
            {disabled ? (
              <bdi className="font-mono text-base">{contact.number}</bdi>
            ) : (
              <a href={telLink(contact.number)} onClick={() => dial(contact)} title={words.dialHere} className="font-mono text-base text-accent underline decoration-dotted underline-offset-4 hover:decoration-solid">
                {contact.number}
              </a>
            )}
          </div>
          <Button kind="primary" disabled={disabled} onClick={() => dial(contact)} aria-label={`${words.dial} ${contact.number}`}>
            {words.dial}
          </Button>
        </div>
      ))}
      <div className="flex items-center gap-2">
        <input aria-label={words.contacts} inputMode="tel" autoComplete="off" value={other} placeholder="0153-00-0000" onChange={(event) => setOther(event.target.value)} className="field" />
        <select aria-label={words.calleeRole} value={otherRole} onChange={(event) => setOtherRole(event.target.value)} className="field !w-40">
          {calleeRoles.map((code) => (
            <option key={code} value={code}>
              {strings.code(code)}
            </option>
          ))}
        </select>
        <Button disabled={disabled || other.trim() === ''} onClick={() => dial({ name: '', role: otherRole, number: other.trim(), site: '' })}>
          {words.dial}
        </Button>
      </div>
    </div>
  );
}
