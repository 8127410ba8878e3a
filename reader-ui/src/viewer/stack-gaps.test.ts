import { describe, expect, it } from 'vitest';
import type { Plane } from './geometry.ts';
import { stackGaps } from './stack-gaps.ts';

const axial = (z: number): Plane => ({ origin: [-125, -125, z], row: [1, 0, 0], column: [0, 1, 0] });
const slice = (number: number, z = number * 5) => ({ sopInstanceUid: `2.25.${number}`, instanceNumber: number, plane: axial(z) });
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
const without = (...left: number[]) => numbers(1, 28).filter((n) => !left.includes(n));
const none = { numbers: [], places: 0, uneven: null };

describe('images a stack seems to lack', () => {
  it('are none in a whole stack, in any order and with two images at one place', () => {
    expect(stackGaps(numbers(1, 28).map((n) => slice(n)))).toEqual(none);
    expect(stackGaps(numbers(1, 28).map((n) => slice(n)).toReversed())).toEqual(none);
    expect(stackGaps([...numbers(1, 28).map((n) => slice(n)), slice(29, 140)])).toEqual(none);
  });

  it('are told by number and by place', () => {
    expect(stackGaps(without(7, 12, 13).map((n) => slice(n)))).toEqual({ numbers: [[7, 7], [12, 13]], places: 3, uneven: null });
    // The scanner counted on, but a slice is not there.
    expect(stackGaps(numbers(1, 27).map((n) => slice(n, n < 10 ? n * 5 : n * 5 + 5)))).toEqual({ ...none, places: 1 });
  });

  it('are not made up where a scanner counts otherwise', () => {
    expect(stackGaps(numbers(1, 20).map((n) => slice(n * 2, n * 5)))).toEqual(none);
    expect(stackGaps(numbers(1, 20).map((n) => slice(n * 100, n * 5)))).toEqual(none);
    expect(stackGaps([1, 3, 9].map((n) => slice(n)))).toEqual(none);
    expect(stackGaps(without(7).map((n) => ({ ...slice(n), instanceNumber: n === 3 ? null : n })))).toEqual({ ...none, places: 1 });
    expect(stackGaps(without(7).map((n) => ({ ...slice(n), plane: n === 3 ? null : axial(n * 5) })))).toEqual({ ...none, numbers: [[7, 7]] });
    expect(stackGaps([])).toEqual(none);
  });

  it('do not count slices thinner at the base of the skull as lacking', () => {
    const base = numbers(1, 12).map((n) => slice(n, n * 2.5));
    const above = numbers(13, 28).map((n) => slice(n, 30 + (n - 12) * 7));
    expect(stackGaps([...base, ...above])).toEqual({ numbers: [], places: 0, uneven: { fromMm: 2.5, toMm: 7 } });
  });

  it('are those of instances, not of frames', () => {
    const frames = numbers(1, 20).map((n) => ({ sopInstanceUid: '2.25.1', instanceNumber: 1, plane: axial(n * 5) }));
    expect(stackGaps(frames)).toEqual(none);
  });
});
