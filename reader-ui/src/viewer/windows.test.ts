import { describe, expect, it } from 'vitest';
import { percentileWindow } from './percentile.ts';
import { greyLevel, toRange, toWindow, windowPresets } from './windows.ts';

describe('window presets', () => {
  it('are the neuro set, each on its own key', () => {
    expect(windowPresets.map(({ id, width, center }) => `${id} W${width} L${center}`)).toEqual([
      'brain W80 L40',
      'subdural W200 L75',
      'stroke W40 L40',
      'stroke_narrow W8 L32',
      'bone W2800 L600',
    ]);
    expect(new Set(windowPresets.map(({ key }) => key)).size).toBe(windowPresets.length);
  });

  it('mean what a reader says: W80 L40 is 0 to 80', () => {
    expect(toRange({ width: 80, center: 40 })).toEqual({ lower: 0, upper: 80 });
    expect(toWindow({ lower: 0, upper: 80 })).toEqual({ width: 80, center: 40 });
  });
});

describe('grey levels', () => {
  it('are black below, white above and linear between', () => {
    const range = { lower: 0, upper: 80 };
    expect([-1000, 0, 40, 80, 3000].map((value) => greyLevel(value, range))).toEqual([0, 0, 128, 255, 255]);
  });
});

describe('automatic window', () => {
  it('leaves out the padding and the extremes', () => {
    const values = [...Array.from({ length: 500 }, () => -2000), ...Array.from({ length: 1000 }, (_, n) => n)];
    const window = percentileWindow(values);
    expect(window?.center).toBeCloseTo(500, 0);
    expect(window?.width).toBeGreaterThan(950);
  });

  it('has nothing to say about an empty or flat image', () => {
    expect(percentileWindow([])).toBeNull();
    expect(percentileWindow([7, 7, 7, 7])).toBeNull();
  });
});
