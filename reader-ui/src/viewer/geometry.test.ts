import { describe, expect, it } from 'vitest';
import type { Plane, Point3 } from './geometry.ts';
import { lengthMm, pixelToWorld, sortStack, toPlane, worldToPixel } from './geometry.ts';

const axial = (z: number): Plane => ({ origin: [-125, -125, z], row: [1, 0, 0], column: [0, 1, 0] });
const image = (plane: Plane | null, instanceNumber: number, frame = 1) => ({ plane, instanceNumber, frame, sopInstanceUid: `1.2.${instanceNumber}` });

describe('order of a stack', () => {
  it('follows the position along the normal, whatever the Instance Number says', () => {
    const sorted = sortStack([image(axial(10), 1), image(axial(-5), 2), image(axial(2.5), 3)]);
    expect(sorted.map(({ instanceNumber }) => instanceNumber)).toEqual([2, 3, 1]);
  });

  it('holds for a tilted gantry with uneven steps', () => {
    const [cos, sin] = [Math.cos(0.323), Math.sin(0.323)];
    const tilted = (mm: number): Plane => ({ origin: [-125, -125 - mm * sin, mm * cos], row: [1, 0, 0], column: [0, cos, sin] });
    const sorted = sortStack([image(tilted(11.08), 3), image(tilted(0), 1), image(tilted(4), 2)]);
    expect(sorted.map(({ instanceNumber }) => instanceNumber)).toEqual([1, 2, 3]);
  });

  it('falls back to the Instance Number where planes differ or are missing', () => {
    const sagittal: Plane = { origin: [0, 0, 0], row: [0, 1, 0], column: [0, 0, -1] };
    expect(sortStack([image(axial(0), 2), image(sagittal, 1)]).map((one) => one.instanceNumber)).toEqual([1, 2]);
    expect(sortStack([image(null, 9), image(axial(0), 4)]).map((one) => one.instanceNumber)).toEqual([4, 9]);
  });

  it('keeps frames of one Instance in order when they have no place of their own', () => {
    expect(sortStack([image(null, 1, 3), image(null, 1, 1), image(null, 1, 2)]).map(({ frame }) => frame)).toEqual([1, 2, 3]);
  });
});

describe('measuring', () => {
  it('uses row and column spacing each for its own direction', () => {
    expect(lengthMm([0, 0], [3, 0], [2, 0.5])).toBeCloseTo(1.5, 9);
    expect(lengthMm([0, 0], [0, 3], [2, 0.5])).toBeCloseTo(6, 9);
    expect(lengthMm([10, 10], [13, 14], [1, 1])).toBeCloseTo(5, 9);
  });

  it('goes to patient space and back on an oblique plane', () => {
    const [cos, sin] = [Math.cos(0.4), Math.sin(0.4)];
    const plane: Plane = { origin: [12, -80, 33], row: [cos, 0, sin], column: [0, 1, 0] };
    const world: Point3 = pixelToWorld([100.25, 40.5], plane, [0.7, 0.4]);
    const [column, row] = worldToPixel(world, plane, [0.7, 0.4]);
    expect(column).toBeCloseTo(100.25, 9);
    expect(row).toBeCloseTo(40.5, 9);
  });
});

describe('planes', () => {
  it('refuses directions that are not two perpendicular unit vectors', () => {
    expect(toPlane([0, 0, 0], [1, 0, 0, 0, 1, 0])).not.toBeNull();
    expect(toPlane([0, 0, 0], [0, 0, 0, 0, 0, 0])).toBeNull();
    expect(toPlane([0, 0, 0], [1, 0, 0, 1, 0, 0])).toBeNull();
    expect(toPlane([0, 0], [1, 0, 0, 0, 1, 0])).toBeNull();
  });
});
