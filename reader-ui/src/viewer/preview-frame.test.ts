import { describe, expect, it } from 'vitest';
import type { ReducedFrame } from './preview-frame.ts';
import { enlarge } from './preview-frame.ts';

const grey = { columns: 2, rows: 2, components: 1, precision: 12, signed: false, halvings: 2 };

describe('a reduced frame at full size', () => {
  it('keeps its samples where they were, and interpolates between them', () => {
    const reduced: ReducedFrame = { ...grey, samples: new Uint16Array([0, 400, 800, 1200]) };
    const out = new Uint16Array(enlarge(reduced, { columns: 6, rows: 5, bitsAllocated: 16 }).buffer);
    expect(Array.from(out.slice(0, 6))).toEqual([0, 100, 200, 300, 400, 400]);
    expect(Array.from({ length: 5 }, (_, row) => out[row * 6])).toEqual([0, 200, 400, 600, 800]);
    expect(out[4 * 6 + 4]).toBe(1200);
  });

  it('is clipped to what the samples can store, so that overshoot is not taken for another value', () => {
    const signed: ReducedFrame = { ...grey, columns: 4, rows: 1, signed: true, halvings: 0, samples: new Int16Array([-3528, 3527, -2048, 2047]) };
    expect(Array.from(new Int16Array(enlarge(signed, { columns: 4, rows: 1, bitsAllocated: 16 }).buffer))).toEqual([-2048, 2047, -2048, 2047]);
    const unsigned: ReducedFrame = { ...grey, columns: 2, rows: 1, precision: 5, halvings: 0, samples: new Uint8Array([200, 31]) };
    expect(Array.from(enlarge(unsigned, { columns: 2, rows: 1, bitsAllocated: 8 }))).toEqual([31, 31]);
  });

  it('keeps all values of 16 bits without a sign', () => {
    const reduced: ReducedFrame = { ...grey, columns: 2, rows: 1, precision: 16, halvings: 0, samples: new Uint16Array([65_535, 32_768]) };
    expect(Array.from(new Uint16Array(enlarge(reduced, { columns: 2, rows: 1, bitsAllocated: 16 }).buffer))).toEqual([65_535, 32_768]);
  });

  it('keeps colours apart', () => {
    const samples = new Uint8Array([10, 20, 30, 50, 60, 70]);
    const reduced: ReducedFrame = { samples, columns: 2, rows: 1, components: 3, precision: 8, signed: false, halvings: 1 };
    const out = enlarge(reduced, { columns: 3, rows: 2, bitsAllocated: 8 });
    expect(Array.from(out.slice(0, 9))).toEqual([10, 20, 30, 30, 40, 50, 50, 60, 70]);
    expect(Array.from(out.slice(9))).toEqual(Array.from(out.slice(0, 9)));
  });
});
