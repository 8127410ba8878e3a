import type { Arrival } from '../../api/types.ts';
import { rateText, roughTime } from '../../lib/rates.ts';
import type { Strings } from '../../strings/ja.ts';

/** Longer than this without a byte, and the line stands still as far as a reader is concerned. */
export const stalledMs = 10_000;

/** Whether everything the site announced is verified, it expects no more and keeps nothing back; never before. */
export function isComplete(arrival: Arrival): boolean {
  return !isArriving(arrival) && arrival.withheld.length === 0;
}

/** Whether more is still to come. */
export function isArriving({ closed, announced, verified }: Arrival): boolean {
  return !closed || announced === null || verified < announced;
}

/** What the requesting site keeps back, with the reasons; null when it keeps nothing. */
export function withheldText({ withheld }: Arrival, { withheld: words, list }: Strings): string | null {
  if (withheld.length === 0) return null;
  const count = withheld.reduce((sum, { n_instances: n }) => sum + n, 0);
  const reasons = withheld.map(({ reason, n_instances: n }) => words.reason(words.reasons[reason] ?? words.otherReason, n, withheld.length > 1));
  return words.text(count, list(reasons));
}

/** What is said of a study that still arrives: previews, rate, time left, age of the last byte; empty when all that will come is here. */
export function arrivalFacts(arrival: Arrival, nowMs: number, { progress: words }: Strings): string[] {
  if (!isArriving(arrival)) return [];
  const { received, verified, previews, bytes_per_s: rate, remaining_ms: remainingMs, last_data_at_ms: lastMs } = arrival;
  const facts: string[] = [];
  if (received > verified) facts.push(words.listed(received));
  if (previews > 0) facts.push(words.previews(previews));
  if (lastMs === null) return facts;
  const ageMs = Math.max(0, nowMs - lastMs);
  if (ageMs < stalledMs) {
    facts.push(rate === null ? words.measuring : rateText(rate));
    if (rate !== null && remainingMs !== null) facts.push(words.left(words.time(roughTime(remainingMs))));
  } else {
    facts.push(words.stalled);
  }
  facts.push(words.lastData(words.time(roughTime(ageMs))));
  return facts;
}
