import { describe, expect, it } from 'vitest';
import { clock, dateTime, fromLocalInput, isoDate, studyTime, timeOfDay, toLocalInput } from './dates.ts';

describe('dates', () => {
  it('are read from DICOM only when they exist', () => {
    expect(isoDate('20240229')).toBe('2024-02-29');
    expect(isoDate('20230229')).toBeNull();
    expect(studyTime('20261122', '180312.000')).toBe('2026-11-22 18:03');
    expect(studyTime(null, '1803')).toBe('18:03');
  });

  it('are shown in JST wherever the reader sits', () => {
    expect(timeOfDay(Date.UTC(2026, 0, 22, 16, 10), 'ja')).toBe('01:10');
  });

  it('have their year when it is not the present one, by the clock of Japan', () => {
    const at = Date.UTC(2026, 0, 22, 16, 10);
    expect(dateTime(at, 'ja', Date.UTC(2026, 10, 1))).toBe('1/23 01:10');
    expect(dateTime(at, 'ja', Date.UTC(2027, 0, 1))).toBe('2026/1/23 01:10');
    expect(dateTime(at, 'en', Date.UTC(2027, 0, 1))).toContain('2026');
    const newYear = Date.UTC(2025, 11, 31, 15, 0);
    expect(dateTime(newYear, 'ja', newYear)).toBe('1/1 00:00');
    expect(dateTime(newYear - 1, 'ja', newYear)).toContain('2025');
  });

  it('go through a date field and back in JST', () => {
    const atMs = fromLocalInput('2026-01-23T01:10');
    expect(atMs).toBe(Date.UTC(2026, 0, 22, 16, 10));
    expect(toLocalInput(atMs)).toBe('2026-01-23T01:10');
    expect(fromLocalInput('')).toBeNull();
  });
});

describe('clocks', () => {
  it('count minutes, then hours, and below zero', () => {
    expect([clock(65_000), clock(3_725_000), clock(-30_000), clock(0)]).toEqual(['1:05', '1:02:05', '-0:30', '0:00']);
  });
});
