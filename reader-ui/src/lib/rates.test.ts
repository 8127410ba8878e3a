import { describe, expect, it } from 'vitest';
import { rateText, roughTime } from './rates.ts';

describe('rates and times', () => {
  it('are in the unit people think in', () => {
    expect([10, 40_000, 175_000, 1_250_000, 12_500_000].map(rateText)).toEqual(['1 kbit/s', '320 kbit/s', '1.4 Mbit/s', '10 Mbit/s', '100 Mbit/s']);
  });

  it('are rounded up, so that nothing is promised too early', () => {
    expect(roughTime(0)).toEqual({ n: 0, unit: 'second' });
    expect(roughTime(1)).toEqual({ n: 1, unit: 'second' });
    expect(roughTime(89_001)).toEqual({ n: 2, unit: 'minute' });
    expect(roughTime(61 * 60_000)).toEqual({ n: 61, unit: 'minute' });
    expect(roughTime(91 * 60_000)).toEqual({ n: 2, unit: 'hour' });
  });
});
