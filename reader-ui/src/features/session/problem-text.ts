import { Problem } from '../../api/http.ts';
import type { Strings } from '../../strings/ja.ts';

const sameMeaning: Record<string, keyof Strings['problem']> = {
  session_expired: 'not_logged_in',
  unauthenticated: 'not_logged_in',
  login_required: 'not_logged_in',
  login_refused: 'login_failed',
  reading_request_not_found: 'not_found',
  stale: 'conflict',
  version_conflict: 'conflict',
  not_your_claim: 'not_claimed',
  not_allowed: 'forbidden',
  role_not_allowed: 'forbidden',
  cannot_sign: 'sign_blocked',
};

const byStatus: Record<number, keyof Strings['problem']> = {
  0: 'offline',
  401: 'not_logged_in',
  403: 'forbidden',
  404: 'not_found',
  422: 'invalid',
  429: 'rate_limited',
  500: 'server',
  502: 'offline',
  503: 'offline',
  504: 'offline',
};

/**
 * What happened, whether work was lost, what to do next: from the problem's stable code, else from its status. Most
 * conflicts are rules and no other person's work: one without a text of its own shows its code.
 */
export function problemText(error: unknown, strings: Strings): string {
  if (!(error instanceof Problem)) return strings.problem.unexpected('page');
  const texts: Record<string, unknown> = strings.problem;
  for (const key of [error.code, sameMeaning[error.code], byStatus[error.status]]) {
    const text = key ? texts[key] : undefined;
    if (typeof text === 'string') return error.requestId && error.status >= 500 ? `${text} ${strings.problem.requestId(error.requestId)}` : text;
  }
  return strings.problem.unexpected(error.code);
}
