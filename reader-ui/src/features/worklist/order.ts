import type { ReadingRequestSummary, Urgency } from '../../api/types.ts';
import { isoDate } from '../../lib/dates.ts';
import type { Strings } from '../../strings/ja.ts';

const rank: Record<Urgency, number> = { stroke_code: 0, critical: 1, urgent: 2, routine: 3, elective: 4 };

/** Most urgent first, then longest waiting; an unknown urgency is never hidden at the end. */
export function byUrgencyAndWait(a: ReadingRequestSummary, b: ReadingRequestSummary): number {
  return (rank[a.urgency] ?? 0) - (rank[b.urgency] ?? 0) || a.requested_at_ms - b.requested_at_ms;
}

const claimable = new Set(['requested', 'readable', 'returned', 'preliminary', 'reopened']);

/** Whether a case waits for a reader to take it: nobody has it, and something is left to read or to sign. */
export function isClaimable({ claim, state }: Pick<ReadingRequestSummary, 'claim' | 'state'>): boolean {
  return !claim && claimable.has(state);
}

export type DueKind = 'open_by' | 'verbal_by' | 'written_by';

export interface Due {
  kind: DueKind;
  atMs: number;
}

/**
 * The clock that runs now: to open while nobody has claimed it, then to answer by phone, then to write. A preliminary
 * report is written, but tells nobody by phone; a final one ends all clocks, and they rest while the site is asked for information.
 */
export function nextDue({ claim, due, state, report_status: status }: ReadingRequestSummary): Due | null {
  if (state === 'returned' || state === 'cancelled' || (status !== null && status !== 'preliminary')) return null;
  const written = status !== null;
  const candidates: [DueKind, number | null][] = [
    ['open_by', claim || written ? null : due.open_by_ms],
    ['verbal_by', due.verbal_answered_at_ms === null ? due.verbal_by_ms : null],
    ['written_by', written ? null : due.written_by_ms],
  ];
  const [kind, atMs] = candidates.find(([, at]) => at !== null) ?? [];
  return kind && atMs !== null && atMs !== undefined ? { kind, atMs } : null;
}

export function announcedText(announced: number | null): string {
  return announced === null ? '–' : String(announced);
}

/** Age, sex and birth date; for a Japanese reader with the era beside the western year. */
export function birthLine(patient: ReadingRequestSummary['patient'], strings: Strings): string {
  const sex = strings.patient.sex[patient.sex ?? ''] ?? '';
  const age = patient.age_years === null ? '' : strings.patient.age(patient.age_years);
  const iso = isoDate(patient.birth_date);
  const era = strings.language === 'ja' && patient.birth_date_era !== null ? `(${patient.birth_date_era})` : '';
  const born = iso ? `${iso}${era}` : strings.patient.unknownBirth;
  return [age, sex, born].filter(Boolean).join(' ');
}
