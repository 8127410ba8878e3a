import type { Call, Contact, ReadingRequestDetail } from '../../api/types.ts';
import { calleeRoles } from './vocabulary.ts';

const closedStates = new Set(['closed', 'closed_with_exception']);

export function isClosed(call: Call): boolean {
  return closedStates.has(call.state);
}

/** The calls a person is writing down now. A call another reader left open is theirs, and no reason not to phone. */
export function ownOpenCalls(request: { calls: readonly Call[] }, userId: string): Call[] {
  return request.calls.filter((call) => !isClosed(call) && call.recorded_by.id === userId);
}

/** Whether the read-back of the last call that has one was not what had been told. */
export function readBackDiffers({ calls }: { calls: readonly Call[] }): boolean {
  const inTurn = calls.filter(isClosed).toSorted((a, b) => a.started_at_ms - b.started_at_ms);
  const answers = inTurn.map(({ conversation }) => conversation?.readback_ok);
  return answers.findLast((answer) => typeof answer === 'boolean') === false;
}

/** The attempt that has no outcome yet. */
export function runningAttempt(call: Call) {
  return call.attempts.find(({ outcome }) => outcome === null) ?? null;
}

export function hasConnected(call: Call): boolean {
  return call.attempts.some(({ outcome }) => outcome === 'connected');
}

/** The times of a call: from the answer to its end; while nobody has answered, from the first dial. */
export function callSpan(call: Call): { kind: 'talked' | 'dialed' | 'begun'; fromMs: number; toMs: number | null } {
  const { connected_at_ms: connected, dialed_at_ms: dialed, started_at_ms: begun, ended_at_ms: toMs } = call;
  if (connected !== null) return { kind: 'talked', fromMs: connected, toMs };
  return dialed === null ? { kind: 'begun', fromMs: begun, toMs } : { kind: 'dialed', fromMs: dialed, toMs };
}

/** Since when the clock of an open call runs: the dial that rings, then the conversation; none before and between dials. */
export function callClockSinceMs(call: Call): number | null {
  return call.connected_at_ms ?? runningAttempt(call)?.started_at_ms ?? null;
}

/** Whom to phone: the call-back of the request first, then the site's contacts, no number twice. */
export function contactsOf(request: ReadingRequestDetail): Contact[] {
  const { callback_number: number, callback_person: person, requesting_site: site } = request;
  const own: Contact[] = number ? [{ name: person || site.name, role: 'callback', number, site: site.name }] : [];
  const seen = new Set<string>();
  return [...own, ...request.contacts].filter((contact) => {
    const digits = contact.number.replaceAll(/\D/g, '');
    if (seen.has(digits)) return false;
    seen.add(digits);
    return true;
  });
}

/** What the person at a number is, where the request says it: the call-back of the responsible physician is theirs. Else it is to be asked. */
export function roleAt(contact: Contact, { responsible_physician: responsible }: Pick<ReadingRequestDetail, 'responsible_physician'>): string | null {
  if (calleeRoles.some((role) => role === contact.role)) return contact.role;
  const plain = (name: string) => name.normalize('NFKC').replaceAll(/\s/g, '');
  return responsible !== null && plain(responsible) !== '' && plain(contact.name) === plain(responsible) ? 'attending' : null;
}

/** A number as a `tel:` link wants it; a leading plus stays. */
export function telLink(number: string): string {
  const plain = number.normalize('NFKC').trim();
  return `tel:${plain.startsWith('+') ? '+' : ''}${plain.replaceAll(/\D/g, '')}`;
}
