import { serverNow } from './server-clock.ts';

/** Dates as a Japanese hospital writes them. Instants are shown in JST wherever the reader sits. */
export type Language = 'ja' | 'en';

const zone = 'Asia/Tokyo';
const jstOffsetMs = 9 * 3600 * 1000;
const localeOf = { ja: 'ja-JP', en: 'en-GB' } as const;

const formatters = new Map<string, Intl.DateTimeFormat>();

function format(language: Language, name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${language}:${name}`;
  const made = formatters.get(key) ?? new Intl.DateTimeFormat(localeOf[language], { timeZone: zone, ...options });
  formatters.set(key, made);
  return made;
}

export function timeOfDay(atMs: number, language: Language): string {
  return format(language, 'time', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(atMs);
}

/** Day and time; with the year when it is not the present one. */
export function dateTime(atMs: number, language: Language, nowMs = serverNow()): string {
  const options = { month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
  const year = (ms: number) => new Date(ms + jstOffsetMs).getUTCFullYear();
  if (year(atMs) === year(nowMs)) return format(language, 'dateTime', options).format(atMs);
  return format(language, 'yearDateTime', { year: 'numeric', ...options }).format(atMs);
}

export function fullDateTime(atMs: number, language: Language): string {
  const options = { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' } as const;
  return format(language, 'full', options).format(atMs);
}

/** DICOM DA (YYYYMMDD) as `1948-03-12`; null when it is not a date. */
export function isoDate(da: string | null): string | null {
  const parts = /^(\d{4})(\d{2})(\d{2})$/.exec(da ?? '');
  if (!parts) return null;
  const [, year, month, day] = parts;
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  const real = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day);
  return real ? `${year}-${month}-${day}` : null;
}

/** Study Date and Time of a DICOM header, as the scanner wrote them: local time of the site, no zone. */
export function studyTime(da: string | null, tm: string | null): string {
  const time = /^(\d{2})(\d{2})/.exec(tm ?? '');
  return [isoDate(da), time ? `${time[1]}:${time[2]}` : null].filter(Boolean).join(' ');
}

/** `9:05`, `1:02:05`; negative as `-0:30`. For clocks that tick. */
export function clock(ms: number): string {
  const total = Math.floor(Math.abs(ms) / 1000);
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const two = (value: number) => String(value).padStart(2, '0');
  const text = hours > 0 ? `${hours}:${two(minutes)}:${two(total % 60)}` : `${minutes}:${two(total % 60)}`;
  return ms < 0 ? `-${text}` : text;
}

/** Value of a `datetime-local` field, in JST. */
export function toLocalInput(atMs: number | null): string {
  return atMs === null ? '' : new Date(atMs + jstOffsetMs).toISOString().slice(0, 16);
}

export function fromLocalInput(text: string): number | null {
  // Anything but the field's own form is no instant: engines guess a year from very little.
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$/.test(text)) return null;
  const atMs = Date.parse(`${text}:00Z`);
  return Number.isNaN(atMs) ? null : atMs - jstOffsetMs;
}
