import { bodyOf, command, relay } from './http.ts';
import type {
  Acknowledgement,
  AuditEntry,
  Call,
  Conversation,
  CriticalResult,
  Evaluation,
  FieldValues,
  StudySeries,
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
  WithholdingStudy,
} from './types.ts';

/** One function per route of the relay, named as its operation. Writes that may be repeated take their command id. */
export const logIn = (login: string, password: string, network: string) =>
  bodyOf<Session>(relay.POST('/api/v1/session', { body: { login, password, network } }));
export const getSession = () => bodyOf<Session>(relay.GET('/api/v1/session'));
export const logOut = () => bodyOf<void>(relay.DELETE('/api/v1/session'));

export type RequestState = 'open' | 'reported' | 'closed' | 'all';
export const listReadingRequests = (state: RequestState) =>
  bodyOf<{ items: ReadingRequestSummary[]; server_time_ms: number }>(relay.GET('/api/v1/reading-requests', { params: { query: { state } } }));
/** What is searched for names a patient: it travels in the body, never in an address. */
export const searchReadingRequests = (state: RequestState, q: string) =>
  bodyOf<{ items: ReadingRequestSummary[]; server_time_ms: number }>(relay.POST('/api/v1/reading-requests/search', { body: { state, q } }));

const ofRequest = (id: string) => ({ path: { reading_request_id: id } });
export const getReadingRequest = (id: string) =>
  bodyOf<ReadingRequestDetail>(relay.GET('/api/v1/reading-requests/{reading_request_id}', { params: ofRequest(id) }));

export interface NewReadingRequest {
  study_instance_uid: string;
  urgency: string;
  clinical_context: FieldValues;
  callback_number: string;
  callback_person: string;
  responsible_physician: string;
}
export const createReadingRequest = (request: NewReadingRequest, commandId: string) =>
  bodyOf<ReadingRequestDetail>(
    relay.POST('/api/v1/reading-requests', {
      params: { header: command(commandId) },
      body: { ...request, clinical_context: request.clinical_context as Record<string, never> },
    }),
  );
export const completeClinicalContext = (id: string, context: FieldValues, commandId: string) =>
  bodyOf<ReadingRequestDetail>(
    relay.PATCH('/api/v1/reading-requests/{reading_request_id}/clinical-context', {
      params: { ...ofRequest(id), header: command(commandId) },
      body: context as Record<string, never>,
    }),
  );

export type RequestAct = 'claim' | 'heartbeat' | 'release';
export const actOnRequest = (id: string, act: RequestAct) =>
  bodyOf<ReadingRequestDetail>(
    relay.POST(`/api/v1/reading-requests/{reading_request_id}/${act}`, { params: { ...ofRequest(id), header: command() }, body: {} }),
  );
export const returnReadingRequest = (id: string, reason: string) =>
  bodyOf<ReadingRequestDetail>(
    relay.POST('/api/v1/reading-requests/{reading_request_id}/return', { params: { ...ofRequest(id), header: command() }, body: { reason } }),
  );

export const saveDraft = (id: string, baseVersion: number, body: ReportBody) =>
  bodyOf<{ version: number; saved_at_ms: number; evaluation: Evaluation }>(
    relay.PUT('/api/v1/reading-requests/{reading_request_id}/draft', {
      params: { ...ofRequest(id), header: command() },
      body: { base_version: baseVersion, body: body as never },
    }),
  );
export const listTemplates = () => bodyOf<{ items: TemplateDefinition[] }>(relay.GET('/api/v1/templates'));
export const signReport = (id: string, status: 'preliminary' | 'final', draftVersion: number, password: string, commandId: string) =>
  bodyOf<ReportVersion>(
    relay.POST('/api/v1/reading-requests/{reading_request_id}/sign', {
      params: { ...ofRequest(id), header: command(commandId) },
      body: { status, draft_version: draftVersion, password },
    }),
  );

const ofReport = (id: string) => ({ path: { report_id: id } });
export const getReport = (id: string) => bodyOf<Report>(relay.GET('/api/v1/reports/{report_id}', { params: ofReport(id) }));
export const addAddendum = (reportId: string, text: string, password: string, commandId: string) =>
  bodyOf<ReportVersion>(relay.POST('/api/v1/reports/{report_id}/addenda', { params: { ...ofReport(reportId), header: command(commandId) }, body: { text, password } }));

export interface NewAcknowledgement {
  version: number;
  action_taken: string;
  comment?: string;
}
export const acknowledgeReport = (reportId: string, acknowledgement: NewAcknowledgement, commandId: string) =>
  bodyOf<Acknowledgement>(
    relay.POST('/api/v1/reports/{report_id}/acknowledgements', { params: { ...ofReport(reportId), header: command(commandId) }, body: acknowledgement }),
  );

export const startCall = (requestId: string, direction: string, calleeRole: string, commandId: string) =>
  bodyOf<Call>(
    relay.POST('/api/v1/reading-requests/{reading_request_id}/calls', {
      params: { ...ofRequest(requestId), header: command(commandId) },
      body: { direction, callee_role: calleeRole },
    }),
  );

const writeCall = (id: string) => ({ path: { call_id: id }, header: command() });
export interface NewAttempt {
  number_dialed: string;
  channel: string;
  callee_role: string;
  callee_name?: string;
}
export const startAttempt = (callId: string, attempt: NewAttempt) =>
  bodyOf<Call>(relay.POST('/api/v1/calls/{call_id}/attempts', { params: writeCall(callId), body: attempt }));

export interface AttemptEnd {
  outcome: string;
  failure_reason?: string;
  next_action?: string;
}
export const endAttempt = (callId: string, attemptNo: number, end: AttemptEnd) =>
  bodyOf<Call>(
    relay.POST('/api/v1/calls/{call_id}/attempts/{attempt_no}/end', {
      params: { path: { call_id: callId, attempt_no: attemptNo }, header: command() },
      body: end,
    }),
  );
export const saveConversation = (callId: string, baseVersion: number, conversation: { [field in keyof Conversation]?: unknown }) =>
  bodyOf<Call>(
    relay.PUT('/api/v1/calls/{call_id}/conversation', {
      params: writeCall(callId),
      body: { base_version: baseVersion, conversation: conversation as Record<string, never> },
    }),
  );
export const closeCall = (callId: string, commandId: string) =>
  bodyOf<Call>(relay.POST('/api/v1/calls/{call_id}/close', { params: { path: { call_id: callId }, header: command(commandId) }, body: {} }));
export const addCallAddendum = (callId: string, text: string, correctsFields: string[]) =>
  bodyOf<Call>(relay.POST('/api/v1/calls/{call_id}/addenda', { params: writeCall(callId), body: { text, corrects_fields: correctsFields } }));
export const escalateCall = (callId: string, escalation: { who: string; role: string; why: string }) =>
  bodyOf<Call>(relay.POST('/api/v1/calls/{call_id}/escalation', { params: writeCall(callId), body: escalation }));

export interface OtherDelivery {
  kind: string;
  to: string;
  sent_at_ms: number;
  receipt_text: string;
  receipt_at_ms: number;
}
export const recordAlternativeDelivery = (callId: string, delivery: OtherDelivery) =>
  bodyOf<Call>(relay.POST('/api/v1/calls/{call_id}/alternative-delivery', { params: writeCall(callId), body: delivery }));

export const listCriticalResults = () => bodyOf<{ items: CriticalResult[] }>(relay.GET('/api/v1/critical-results'));
export const listNotifications = () => bodyOf<{ items: Notice[] }>(relay.GET('/api/v1/notifications'));
export const readNotification = (id: string) =>
  bodyOf<unknown>(relay.POST('/api/v1/notifications/{notification_id}/read', { params: { path: { notification_id: id }, header: command() }, body: {} }));

const ofStudy = (id: string) => ({ path: { study_id: id } });
/** Every Instance of a study that the relay lists, by series; which of them can be shown is told apart. */
export const listStudyInstances = (id: string) =>
  bodyOf<{ series: StudySeries[]; server_time_ms: number }>(relay.GET('/api/v1/studies/{study_id}/instances', { params: ofStudy(id) }));
/** Tells the sending site where its study is looked at: that part comes first. A hint, so it is not repeated. */
export const reportFocus = (id: string, seriesInstanceUid: string, sopInstanceUid: string) =>
  bodyOf<void>(
    relay.POST('/api/v1/studies/{study_id}/focus', {
      params: ofStudy(id),
      body: { series_instance_uid: seriesInstanceUid, sop_instance_uid: sopInstanceUid },
    }),
  );

export const listSites = () => bodyOf<{ items: Site[] }>(relay.GET('/api/v1/sites'));
export const addSite = (site: { code: string; name: string; kind: string; phone?: string }) =>
  bodyOf<Site>(relay.POST('/api/v1/sites', { params: { header: command() }, body: site }));
export const listUsers = () => bodyOf<{ items: User[] }>(relay.GET('/api/v1/users'));
export const addUser = (user: { login: string; name: string; role: string; site: string; password: string; email?: string }) =>
  bodyOf<User>(relay.POST('/api/v1/users', { params: { header: command() }, body: user }));
export const listNodes = () => bodyOf<{ items: Node[] }>(relay.GET('/api/v1/nodes'));
export const listWithholdingStudies = () => bodyOf<{ items: WithholdingStudy[] }>(relay.GET('/api/v1/nodes/withheld'));
export const inviteNode = (siteCode: string) =>
  bodyOf<{ code: string | null; expires_at_ms: number }>(relay.POST('/api/v1/nodes/invitations', { params: { header: command() }, body: { site: siteCode } }));
export const listAudit = (limit: number) => bodyOf<{ items: AuditEntry[] }>(relay.GET('/api/v1/audit', { params: { query: { limit } } }));
