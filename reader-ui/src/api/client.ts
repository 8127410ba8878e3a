import { get, send } from './http.ts';
import type {
  Acknowledgement,
  AuditEntry,
  Call,
  Conversation,
  Evaluation,
  FieldValues,
  Node,
  Notice,
  ReadingRequestDetail,
  ReadingRequestSummary,
  Report,
  ReportBody,
  ReportVersion,
  Session,
  Site,
  TemplateDefinition,
  User,
} from './types.ts';

/** One function per route of the relay, named as its operation. Every write may be given its command id for a retry. */
export const logIn = (login: string, password: string, network?: string) =>
  send<Session>('POST', '/session', { login, password, ...(network ? { network } : {}) });
export const getSession = () => get<Session>('/session');
export const logOut = () => send<void>('DELETE', '/session');

export type RequestState = 'open' | 'closed' | 'all';
export const listReadingRequests = (state: RequestState, q?: string) =>
  get<{ items: ReadingRequestSummary[]; server_time_ms: number }>('/reading-requests', { state, q });
export const getReadingRequest = (id: string) => get<ReadingRequestDetail>(`/reading-requests/${id}`);

export interface NewReadingRequest {
  study_id?: string;
  study_instance_uid?: string;
  urgency: string;
  clinical_context: FieldValues;
  callback_number: string;
  callback_person: string;
  responsible_physician: string;
}
export const createReadingRequest = (request: NewReadingRequest, commandId: string) =>
  send<ReadingRequestDetail>('POST', '/reading-requests', request, commandId);
export const completeClinicalContext = (id: string, context: FieldValues, commandId: string) =>
  send<ReadingRequestDetail>('PATCH', `/reading-requests/${id}/clinical-context`, context, commandId);

export type RequestAct = 'claim' | 'heartbeat' | 'release' | 'return' | 'cancel';
export const actOnRequest = (id: string, act: RequestAct, body: { reason?: string } = {}) =>
  send<ReadingRequestDetail>('POST', `/reading-requests/${id}/${act}`, body);

export const saveDraft = (id: string, baseVersion: number, body: ReportBody) =>
  send<{ version: number; saved_at_ms: number; evaluation: Evaluation }>('PUT', `/reading-requests/${id}/draft`, {
    base_version: baseVersion,
    body,
  });
export const listTemplates = () => get<{ items: TemplateDefinition[] }>('/templates');
export const signReport = (id: string, status: 'preliminary' | 'final', draftVersion: number, commandId: string) =>
  send<ReportVersion>('POST', `/reading-requests/${id}/sign`, { status, draft_version: draftVersion }, commandId);
export const addAddendum = (reportId: string, text: string, commandId: string) =>
  send<ReportVersion>('POST', `/reports/${reportId}/addenda`, { text }, commandId);
export const getReport = (reportId: string) => get<Report>(`/reports/${reportId}`);
export const acknowledgeReport = (reportId: string, version: number, actionTaken: string, comment: string, commandId: string) =>
  send<Acknowledgement>('POST', `/reports/${reportId}/acknowledgements`, { version, action_taken: actionTaken, ...(comment ? { comment } : {}) }, commandId);

export const startCall = (requestId: string, direction: string, calleeRole: string, commandId: string) =>
  send<Call>('POST', `/reading-requests/${requestId}/calls`, { direction, callee_role: calleeRole }, commandId);
export const startAttempt = (
  callId: string,
  attempt: { number_dialed: string; channel: string; callee_role: string; callee_name?: string },
) => send<Call>('POST', `/calls/${callId}/attempts`, attempt);
export const endAttempt = (
  callId: string,
  attemptNo: number,
  end: { outcome: string; failure_reason?: string; next_action?: string; ended_at_ms?: number },
) => send<Call>('POST', `/calls/${callId}/attempts/${attemptNo}/end`, end);
export const saveConversation = (callId: string, conversation: { [field in keyof Conversation]?: unknown }) =>
  send<Call>('PUT', `/calls/${callId}/conversation`, conversation);
export const closeCall = (callId: string, commandId: string) => send<Call>('POST', `/calls/${callId}/close`, {}, commandId);
export const addCallAddendum = (callId: string, text: string, correctsFields: string[]) =>
  send<Call>('POST', `/calls/${callId}/addenda`, { text, corrects_fields: correctsFields });
export const escalateCall = (callId: string, escalation: { who: string; role: string; why: string }) =>
  send<Call>('POST', `/calls/${callId}/escalation`, escalation);
export const recordAlternativeDelivery = (
  callId: string,
  delivery: { kind: string; to: string; sent_at_ms: number; receipt_text: string; receipt_at_ms: number },
) => send<Call>('POST', `/calls/${callId}/alternative-delivery`, delivery);

export const listNotifications = () => get<{ items: Notice[] }>('/notifications');
export const readNotification = (id: string) => send<unknown>('POST', `/notifications/${id}/read`);

export const listSites = () => get<{ items: Site[] }>('/sites');
export const addSite = (site: { code: string; name: string; kind: string; phone?: string }) => send<Site>('POST', '/sites', site);
export const listUsers = () => get<{ items: User[] }>('/users');
export const addUser = (user: { login: string; name: string; role: string; site: string; password: string; email?: string }) =>
  send<User>('POST', '/users', user);
export const listNodes = () => get<{ items: Node[] }>('/nodes');
export const inviteNode = (siteCode: string) =>
  send<{ code: string | null; expires_at_ms: number }>('POST', '/nodes/invitations', { site: siteCode });
export const listAudit = (query: Record<string, string | undefined>) => get<{ items: AuditEntry[] }>('/audit', query);
