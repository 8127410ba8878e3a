/** What the relay's `/api/v1` speaks, in its own snake_case. Instants are milliseconds UTC. */
export type Role = 'technologist' | 'referrer' | 'reader' | 'liaison' | 'admin' | 'auditor';
export type Urgency = 'stroke_code' | 'critical' | 'urgent' | 'routine' | 'elective';
export type Criticality = 'crit_red' | 'crit_orange' | 'crit_yellow' | 'none';

export interface SiteRef {
  id: string;
  code: string;
  name: string;
}

export interface Site extends SiteRef {
  kind: 'requesting' | 'reading' | 'both';
}

export interface PersonRef {
  id: string;
  name: string;
}

export interface Session {
  user: PersonRef & { login: string; role: Role; site: Site };
  network: { id: string; name: string };
  expires_at_ms: number;
  permissions: string[];
  /** Viewers beside the page's own. */
  viewers: { ohif: boolean };
  server_time_ms: number;
}

export interface PersonName {
  alphabetic: string;
  ideographic: string;
  phonetic: string;
}

export interface Patient {
  name: PersonName;
  name_uncertain: boolean;
  patient_id: string;
  birth_date: string | null;
  /** The year by Japanese era, `昭和23年`; null for no date or one before 1873. */
  birth_date_era: string | null;
  sex: string | null;
  age_years: number | null;
}

export interface StudyRef {
  /** Null until the first image of the study has arrived. */
  id: string | null;
  study_instance_uid: string;
  study_date: string | null;
  study_time: string | null;
  description: string | null;
  description_uncertain: boolean;
  modalities: string[];
  accession_number: string | null;
}

/** Instances that the requesting site keeps back for one reason. */
export interface WithheldInstances {
  reason: string;
  n_instances: number;
}

/** How far the images of a study are, measured by the relay. */
export interface Progress {
  announced: number | null;
  /** Listed: the head is here. */
  received: number;
  verified: number;
  /** Not verified yet, and to be looked at in low resolution. */
  previews: number;
  closed: boolean;
  /** What came to the requesting site and stays there; while there is any, the study is not complete. */
  withheld: WithheldInstances[];
  /** Absent while nothing comes, or too early to tell. */
  bytes_per_s: number | null;
  remaining_ms: number | null;
  last_data_at_ms: number | null;
}

/** An Instance that the relay lists, and how far it is there. */
export interface StudyInstance {
  sop_instance_uid: string;
  instance_number: number | null;
  number_of_frames: number;
  state: 'listed' | 'preview' | 'complete';
  transfer_syntax: string;
  bytes: number;
  warnings: string[];
}

export interface StudySeries {
  series_instance_uid: string;
  modality: string;
  number: number | null;
  description: string | null;
  description_uncertain: boolean;
  instances: StudyInstance[];
}

export interface Arrival extends Progress {
  /** Images kept aside because they name another patient. */
  held: number;
  first_arrival_at_ms: number | null;
  last_arrival_at_ms: number | null;
  bytes: number;
}

export interface Claim {
  reader: PersonRef;
  claimed_at_ms: number;
  lease_until_ms: number;
}

/** Why a request waits for its own site. */
export interface Returned {
  reason: string;
  at_ms: number;
  /** The reader who sent it back. */
  by: PersonRef;
}

export interface ReadingRequestSummary {
  id: string;
  version: number;
  case_code: string;
  state: string;
  urgency: Urgency;
  transfer_class: string;
  requested_at_ms: number;
  due: { open_by_ms: number | null; verbal_by_ms: number | null; verbal_answered_at_ms: number | null; written_by_ms: number | null };
  requesting_site: SiteRef;
  reading_site: SiteRef;
  patient: Patient;
  study: StudyRef;
  arrival: Arrival;
  claim: Claim | null;
  clinical_context_complete: boolean;
  /** Ids of the fields that are missing, and `callback_number`. */
  missing_context: string[];
  callback_number: string | null;
  callback_person: string | null;
  responsible_physician: string | null;
  criticality: Criticality | null;
  report_status: string | null;
  /** When the newest version was signed. */
  signed_at_ms: number | null;
  acknowledged_at_ms: number | null;
  /** Only while the request is sent back for information. */
  returned: Returned | null;
  warnings: string[];
}

export type FieldValue = string | number | boolean | null | FieldValue[] | { [field: string]: FieldValue };
export type FieldValues = Record<string, FieldValue>;

export interface TimelineEvent {
  seq: number;
  kind: string;
  at_ms: number;
  actor: { name: string; role: string; site: string } | null;
  detail: unknown;
}

export interface Contact {
  name: string;
  role: string;
  number: string;
  site: string;
}

export interface ReadingRequestDetail extends ReadingRequestSummary {
  clinical_context: FieldValues;
  calls: Call[];
  draft: Draft | null;
  reports: ReportVersion[];
  events: TimelineEvent[];
  notices: Notice[];
  contacts: Contact[];
}

export type Annotation =
  | { kind: 'length'; points: [number, number][]; mm: number }
  | { kind: 'arrow'; points: [number, number][] };

export interface KeyImage {
  sop_instance_uid: string;
  series_instance_uid: string;
  frame: number;
  caption: string;
  window_center: number | null;
  window_width: number | null;
  annotations: Annotation[];
}

export interface FindingBlock {
  template: string;
  in: FieldValues;
}

export type Disposition = FieldValues & { code: string };

export interface ReportBody {
  image_quality: string | null;
  limits: string[];
  finding_blocks: FindingBlock[];
  findings_text: string;
  impression_text: string;
  recommendation_text: string;
  criticality: Criticality | null;
  disposition: Disposition[];
  key_images: KeyImage[];
  prior_study_uids: string[];
}

export interface Localized {
  ja: string;
  en: string;
}

export interface CalcValue {
  value: FieldValue;
  reason?: string | null;
  unit?: string | null;
  formula?: string | null;
  raw?: number | null;
  inputs?: unknown;
  text?: Localized | null;
}

export interface FieldProblem {
  field: string;
  code: string;
  /** `missing`, `invalid` or `warning`. */
  severity?: string;
  message_ja: string;
  message_en: string;
}

export interface Blocker {
  code: string;
  /** Of a disposition `disposition.0.interval_h`: its place in the list, then the field. */
  field?: string | null;
  message_ja: string;
  message_en: string;
}

export interface SignCheck {
  ok: boolean;
  blockers: Blocker[];
}

export interface Evaluation {
  blocks: { template: string; calc: Record<string, CalcValue>; problems: FieldProblem[] }[];
  problems: FieldProblem[];
  can_sign: { preliminary: SignCheck; final: SignCheck };
  narrative: Localized;
}

export interface Draft {
  version: number;
  saved_at_ms: number;
  body: ReportBody;
  evaluation: Evaluation;
}

export interface FieldOption {
  code: string;
  label: Localized;
}

export interface FieldDefinition {
  id: string;
  label: Localized;
  type: 'enum' | 'multi' | 'int' | 'dec' | 'bool' | 'text' | 'group' | 'calc' | 'dt' | 'list';
  unit?: string | null;
  min?: number | null;
  max?: number | null;
  decimals?: number | null;
  options?: FieldOption[] | null;
  required: 'always' | 'conditional' | 'optional';
  condition?: unknown;
  group_fields?: FieldDefinition[] | null;
}

export interface TemplateDefinition {
  id: string;
  version: string;
  kind?: string;
  /** An active statement that stands alone, as `normal` does. */
  excludes_others?: boolean;
  title: Localized;
  fields: FieldDefinition[];
}

export interface ReportVersion {
  id: string;
  report_id: string;
  reading_request_id: string;
  version: number;
  status: 'preliminary' | 'final' | 'addended' | 'corrected';
  signed_at_ms: number;
  reader: PersonRef;
  body: ReportBody;
  evaluation: Evaluation;
  images_at_signing: {
    received: number;
    announced: number | null;
    verified: number;
    closed: boolean;
    withheld: number;
    instance_sha256_digest: string;
  };
  calls: string[];
  text_of_addendum?: string | null;
}

export interface Acknowledgement {
  version: number;
  action_taken: string;
  comment?: string | null;
  acknowledged_at_ms: number;
  acknowledged_by: PersonRef;
}

export interface Report {
  versions: ReportVersion[];
  acknowledgements: Acknowledgement[];
}

export interface CallAttempt {
  attempt_no: number;
  number_dialed: string;
  callee_role: string;
  callee_name: string | null;
  channel: string;
  started_at_ms: number;
  ended_at_ms: number | null;
  outcome: string | null;
  failure_reason: string | null;
  next_action: string | null;
}

export interface ViewedImage {
  series_instance_uid: string;
  sop_instance_uid: string;
  frame: number;
  both_viewing: boolean;
}

export interface Party {
  name: string;
  facility: string;
  role: string;
  user_id?: string | null;
}

export interface AgreedPlan {
  text: string;
  /** Codes of dispositions; their sub-fields follow in the report. */
  dispositions: string[];
}

export interface Conversation {
  parties: Party[];
  /** How both made sure who the other is. */
  identity_confirmed: string | null;
  patient_identified_by: string[];
  state_told: FieldValues;
  state_assessed_at_ms: number | null;
  images_viewed: ViewedImage[];
  images_not_viewed_reason: string | null;
  findings_conveyed: string;
  questions_answers: { q: string; a: string }[];
  agreed_plan: AgreedPlan;
  readback_text: string;
  readback_ok: boolean | null;
  uncertainty: string | null;
  others_informed: { name: string; role?: string; facility?: string; method?: string }[];
  family_informed: { state: string; by?: string } | null;
  next_contact_at_ms: number | null;
  late_entry_reason: string | null;
}

export interface Call {
  id: string;
  /** Grows by one with every change. */
  version: number;
  reading_request_id: string;
  state: string;
  direction: string;
  attempts: CallAttempt[];
  /** As it was sent; read with `readConversation`. */
  conversation: { [field in keyof Conversation]?: unknown } | null;
  escalation: { who: string; role: string; why: string; at_ms?: number } | null;
  alternative_delivery: { kind: string; to: string; sent_at_ms: number; receipt_text: string; receipt_at_ms: number | null } | null;
  addenda: { text: string; corrects_fields: string[]; at_ms?: number; by?: PersonRef }[];
  recorded_by: PersonRef;
  recorded_at_ms: number;
  report_version_at_call: number | null;
  /** When the record was begun, before the first dial. */
  started_at_ms: number;
  dialed_at_ms: number | null;
  /** When the other side answered. */
  connected_at_ms: number | null;
  /** When the call was over and its record closed. */
  ended_at_ms: number | null;
  /** Fields that have to be there before the record can be closed. */
  missing: string[];
}

export interface Notice {
  id: string;
  kind: string;
  reading_request_id: string;
  report_id: string | null;
  version: number | null;
  case_code: string;
  criticality: Criticality | null;
  recipient: PersonRef & { role: string; site: string };
  created_at_ms: number;
  deliveries: { channel: string; state: string; attempts: { at_ms: number; ok: boolean; detail: string | null }[] }[];
  delivered_at_ms: number | null;
  read_at_ms: number | null;
  read_by: PersonRef | null;
  acknowledged_at_ms: number | null;
  acknowledged_by: PersonRef | null;
}

export interface CriticalResult {
  report_id: string;
  version: number;
  reading_request_id: string;
  case_code: string;
  criticality: Criticality;
  requesting_site: string;
  reading_site: string;
  reader: PersonRef;
  signed_at_ms: number;
  acknowledge_by_ms: number;
  told: { person: PersonRef; role: string; site: string; told_at_ms: number; delivered_at_ms: number | null; read_at_ms: number | null }[];
  acknowledged_at_ms: number | null;
  acknowledged_by: PersonRef | null;
}

export interface User extends PersonRef {
  login: string;
  role: Role;
  site_id: string;
  email: string | null;
  disabled_at_ms: number | null;
}

export interface Node {
  id: string;
  site_code: string;
  site_name: string;
  /** `pending`, `active` or `denied`. */
  state: string;
  connected: boolean;
  last_seen_at_ms: number | null;
  agent_version: string | null;
  certificate_not_after_ms: number | null;
}

/** A study of which its site keeps instances back. */
export interface WithholdingStudy {
  site_code: string;
  site_name: string;
  study_instance_uid: string;
  withheld: WithheldInstances[];
  /** Instances of it that came. */
  verified: number;
  updated_at_ms: number;
}

export interface AuditEntry {
  seq: number;
  at_ms: number;
  /** `user`, `node`, `relay` or `operator`. */
  actor_kind: string;
  actor_id: string | null;
  actor_role: string | null;
  action: string;
  subject_kind: string;
  subject_id: string | null;
  /** `done` or `refused`. */
  outcome: string;
}
