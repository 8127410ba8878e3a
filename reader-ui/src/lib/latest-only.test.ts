import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { latestOnly } from './latest-only.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('a call that is made at most every 300 ms', () => {
  it('is made at once, and then with the newest arguments only', () => {
    const seen: number[] = [];
    const report = latestOnly(300, (n: number) => seen.push(n));
    for (let n = 0; n < 10; n += 1) {
      report.call(n);
      vi.advanceTimersByTime(50);
    }
    expect(seen).toEqual([0, 5]);
    vi.advanceTimersByTime(1000);
    expect(seen).toEqual([0, 5, 9]);
    report.call(10);
    expect(seen).toEqual([0, 5, 9, 10]);
  });

  it('is not made after it was cancelled, and can be made again', () => {
    const seen: number[] = [];
    const report = latestOnly(300, (n: number) => seen.push(n));
    report.call(1);
    report.call(2);
    report.cancel();
    vi.advanceTimersByTime(1000);
    expect(seen).toEqual([1]);
    report.call(3);
    expect(seen).toEqual([1, 3]);
  });
});
