import type { Arrival, ReadingRequestDetail, ReadingRequestSummary, Session } from '../api/types.ts';

/** A study that is here as a whole. */
export const wholeArrival: Arrival = {
  announced: 20,
  received: 20,
  verified: 20,
  previews: 0,
  held: 0,
  withheld: [],
  closed: true,
  bytes_per_s: null,
  remaining_ms: null,
  last_data_at_ms: null,
  first_arrival_at_ms: 1,
  last_arrival_at_ms: 2,
  bytes: 1,
};

/** A request that waits for a reader, with nothing special about it. */
export const exampleRequest: ReadingRequestDetail = {
  id: 'q',
  version: 1,
  case_code: '4723',
  state: 'readable',
  urgency: 'urgent',
  transfer_class: 'urgent',
  requested_at_ms: Date.UTC(2026, 0, 22, 16, 0),
  due: { open_by_ms: null, verbal_by_ms: null, verbal_answered_at_ms: null, written_by_ms: null },
  requesting_site: { id: 'nem', code: 'NEM', name: '根室診療所' },
  reading_site: { id: 'ksn', code: 'KSN', name: '読影センター' },
  patient: {
    name: { alphabetic: 'DOTO^HANAKO', ideographic: '道東^花子', phonetic: 'どうとう^はなこ' },
    name_uncertain: false,
    patient_id: 'TN-000417',
    birth_date: '19480305',
    birth_date_era: '昭和23年',
    sex: 'F',
    age_years: 77,
  },
  study: {
    id: 's',
    study_instance_uid: '1.2.3',
    study_date: '20260123',
    study_time: '0110',
    description: 'Head',
    description_uncertain: false,
    modalities: ['CT'],
    accession_number: null,
  },
  arrival: wholeArrival,
  claim: null,
  clinical_context_complete: true,
  missing_context: [],
  callback_number: '0153-00-1111',
  callback_person: '北 健二',
  responsible_physician: '北 健二',
  criticality: null,
  report_status: null,
  signed_at_ms: null,
  acknowledged_at_ms: null,
  returned: null,
  warnings: [],
  clinical_context: {},
  calls: [],
  draft: null,
  reports: [],
  events: [],
  notices: [],
  contacts: [],
};

export function requestWith(patch: Partial<ReadingRequestDetail>): ReadingRequestDetail {
  return { ...exampleRequest, ...patch };
}

/** As a list has it. */
export const listed = (...items: ReadingRequestSummary[]) => ({ items, server_time_ms: Date.now() });

export const referrerSession: Session = {
  user: { id: 'kita', name: '北 健二', login: 'kita', role: 'referrer', site: { id: 'nem', code: 'NEM', name: '根室診療所', kind: 'requesting' } },
  network: { id: 'n', name: 'default' },
  expires_at_ms: 0,
  permissions: [],
  viewers: { ohif: false },
  server_time_ms: 0,
};

export const readerSession: Session = {
  ...referrerSession,
  user: { id: 'saito', name: '齋藤 守', login: 'saito', role: 'reader', site: { id: 'ksn', code: 'KSN', name: '読影センター', kind: 'reading' } },
};
