import type { AgreedPlan, Conversation } from '../../api/types.ts';
import { answered } from '../fields/field-text.ts';

/** A conversation nobody has written down yet: every answer is open. */
export const emptyConversation: Conversation = {
  parties: [],
  identity_confirmed: null,
  patient_identified_by: [],
  state_told: {},
  state_assessed_at_ms: null,
  images_viewed: [],
  images_not_viewed_reason: null,
  findings_conveyed: '',
  questions_answers: [],
  agreed_plan: { text: '', dispositions: [] },
  readback_text: '',
  readback_ok: null,
  uncertainty: null,
  others_informed: [],
  family_informed: null,
  next_contact_at_ms: null,
  late_entry_reason: null,
};

type Raw = { [field in keyof Conversation]?: unknown };

/** The relay keeps a conversation as it was sent, also in the short forms other clients use; this reads them all. */
export function readConversation(raw: Raw | null): Conversation {
  if (!raw) return emptyConversation;
  const given = Object.fromEntries(Object.entries(raw).filter(([, value]) => value !== null && value !== undefined)) as Partial<Conversation>;
  return {
    ...emptyConversation,
    ...given,
    identity_confirmed: readIdentity(raw.identity_confirmed),
    findings_conveyed: readText(raw.findings_conveyed),
    agreed_plan: readPlan(raw.agreed_plan),
    family_informed: typeof raw.family_informed === 'string' ? { state: raw.family_informed } : (given.family_informed ?? null),
  };
}

function readIdentity(raw: unknown): string | null {
  if (typeof raw === 'boolean') return raw ? 'confirmed' : 'not_confirmed';
  return typeof raw === 'string' ? raw : null;
}

function readText(raw: unknown): string {
  if (typeof raw === 'string') return raw;
  const text = (raw as { text?: unknown } | null | undefined)?.text;
  return typeof text === 'string' ? text : '';
}

function readPlan(raw: unknown): AgreedPlan {
  const listed = Array.isArray(raw) ? raw : (raw as { dispositions?: unknown } | null | undefined)?.dispositions;
  const codes = (Array.isArray(listed) ? listed : []).map((one: unknown) => (typeof one === 'string' ? one : String((one as { code?: unknown } | null)?.code ?? '')));
  return { text: readText(raw), dispositions: codes.filter(Boolean) };
}

/** What is sent: without anything half written, which the relay would rightly refuse while someone is still typing. */
export function toWire(conversation: Conversation): Raw {
  const { agreed_plan: plan, ...rest } = conversation;
  const filled: Raw = {
    ...rest,
    state_told: answered(conversation.state_told),
    parties: conversation.parties.filter(({ name }) => name.trim() !== ''),
    questions_answers: conversation.questions_answers.filter(({ q }) => q?.trim()).map(({ q, a }) => ({ q, a: a ?? '' })),
    others_informed: conversation.others_informed.filter(({ name }) => name?.trim()),
    ...(plan.text.trim() || plan.dispositions.length ? { agreed_plan: plan } : {}),
  };
  const kept = Object.entries(filled).filter(([, value]) => value !== null && value !== '' && !(Array.isArray(value) && value.length === 0));
  return Object.fromEntries(kept);
}
