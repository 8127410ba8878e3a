import type { Call } from '../../api/types.ts';

/** What the relay asks for before a documented failure stands in for a read-back: its `FailurePolicy`. */
export const attemptsMin = 3;
export const distinctMin = 2;

/** How far the calls of one case are from a documented failure. */
export interface FailureFacts {
  attempts: number;
  /** Different numbers, or different roles, whichever is more. */
  distinct: number;
  escalated: boolean;
  delivered: boolean;
}

/** Counted over all calls of the case, closed or not, as the relay does. */
export function failureFacts(calls: readonly Call[]): FailureFacts {
  const own = calls.filter(({ direction }) => direction !== 'third_party');
  const failed = own.flatMap(({ attempts }) => attempts).filter(({ outcome }) => outcome !== null && outcome !== 'connected');
  const numbers = new Set(failed.map(({ number_dialed: number }) => number.normalize('NFKC').replaceAll(/[^0-9]/g, '')));
  const roles = new Set(failed.map(({ callee_role: role }) => role));
  return {
    attempts: failed.length,
    distinct: Math.max(numbers.size, roles.size),
    escalated: own.some(({ escalation }) => escalation !== null),
    delivered: own.some(({ alternative_delivery: delivery }) => delivery !== null),
  };
}

/** An escalation with its delivery that another record of the case has, newest first; a second record need not gather them again. */
export function deliveredBefore(calls: readonly Call[], call: Call): Call | null {
  return calls.toReversed().find(({ id, escalation, alternative_delivery: delivery }) => id !== call.id && escalation !== null && delivery !== null) ?? null;
}
