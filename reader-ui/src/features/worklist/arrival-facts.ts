import type { Arrival } from '../../api/types.ts';
import { rateText, roughTime } from '../../lib/rates.ts';
import type { Strings } from '../../strings/ja.ts';

/** Longer than this without a byte, and the line stands still as far as a reader is concerned. */
export const stalledMs = 10_000;

/** Whether everything the site announced is verified and it expects no more; never before. */
export function isComplete({ closed, announced, verified }: Arrival): boolean {
  return closed && announced !== null && verified >= announced;
}

/** What is said of a study that still arrives: previews, rate, time left, age of the last byte; empty when it is complete. */
export function arrivalFacts(arrival: Arrival, nowMs: number, { progress: words }: Strings): string[] {
  if (isComplete(arrival)) return [];
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
