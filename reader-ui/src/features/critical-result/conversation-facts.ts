import type { Conversation, FieldDefinition } from '../../api/types.ts';
import { dateTime } from '../../lib/dates.ts';
import type { Strings } from '../../strings/ja.ts';
import { attemptsMin, distinctMin } from './failure-facts.ts';
import type { Field } from './merge-conversation.ts';

export interface ConversationFact {
  field: Field;
  label: string;
  /** Empty when nothing was said. */
  text: string;
}

/** What was said, field by field in words; the state told has fields of its own. */
export function conversationFacts(said: Conversation, strings: Strings, dispositions: readonly FieldDefinition[]): ConversationFact[] {
  const { call: words, language } = strings;
  const instant = (atMs: number | null) => (atMs === null ? '' : dateTime(atMs, language));
  const plans = said.agreed_plan.dispositions.map((code) => dispositions.find(({ id }) => id === code)?.label[language] ?? code);
  const yesOrNo = (answer: boolean | null) => (answer === null ? '' : answer ? strings.common.yes : strings.common.no);
  const fact = (field: Field, label: string, text: string | null): ConversationFact => ({ field, label, text: text ?? '' });
  return [
    fact('parties', words.parties, said.parties.map(({ name, role, facility }) => joined([name, role && strings.code(role), facility])).join('\n')),
    fact('identity_confirmed', words.identityConfirmed, said.identity_confirmed && yesOrNo(said.identity_confirmed !== 'not_confirmed')),
    fact('patient_identified_by', words.patientBy, strings.list(said.patient_identified_by.map((code) => words.patientByOptions[code] ?? code))),
    fact('state_assessed_at_ms', words.assessedAt, instant(said.state_assessed_at_ms)),
    fact('images_viewed', words.imagesViewed, said.images_viewed.length ? words.imageCount(said.images_viewed.length) : ''),
    fact('images_not_viewed_reason', words.notViewed, said.images_not_viewed_reason),
    fact('findings_conveyed', words.findingsConveyed, said.findings_conveyed),
    fact('questions_answers', words.questions, said.questions_answers.map(({ q, a }) => `${q} → ${a}`).join('\n')),
    fact('agreed_plan', words.agreedPlan, [strings.list(plans), said.agreed_plan.text].filter(Boolean).join('\n')),
    fact('readback_text', words.readbackText, said.readback_text),
    fact('readback_ok', words.readbackOk, yesOrNo(said.readback_ok)),
    fact('uncertainty', words.uncertainty, said.uncertainty),
    fact('others_informed', words.othersInformed, said.others_informed.map(({ name, role, facility, method }) => joined([name, role, facility, method])).join('\n')),
    fact('family_informed', words.familyInformed, said.family_informed && joined([strings.code(said.family_informed.state), said.family_informed.by])),
    fact('next_contact_at_ms', words.nextContact, instant(said.next_contact_at_ms)),
    fact('late_entry_reason', words.lateReason, said.late_entry_reason),
  ];
}

function joined(parts: readonly (string | null | undefined)[]): string {
  return parts.filter(Boolean).join(' ');
}

/** How the form calls a field, or a condition of a record that reached nobody, that the relay says is missing. */
export function missingName(id: string, { call: words }: Strings): string | undefined {
  const names: Record<string, string> = {
    parties: `${words.calleeName} / ${words.calleeRole}`,
    identity_confirmed: words.identityConfirmed,
    patient_identified_by: words.patientBy,
    state_told: words.stateTold,
    state_assessed_at_ms: words.assessedAt,
    images_viewed: words.imagesViewed,
    findings_conveyed: words.findingsConveyed,
    agreed_plan: words.agreedPlan,
    readback_text: words.readbackText,
    readback_ok: words.readbackOk,
    uncertainty: words.uncertainty,
    family_informed: words.familyInformed,
    next_contact_at_ms: words.nextContact,
    late_entry_reason: words.lateReason,
    failed_attempts: words.failedAttempts(attemptsMin),
    numbers_or_roles: words.failedDistinct(distinctMin),
    escalation: words.failedEscalated,
    alternative_delivery: words.failedDelivered,
  };
  return names[id];
}
