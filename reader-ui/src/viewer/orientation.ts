import type { Plane, Point3 } from './geometry.ts';

export type Side = 'right' | 'left' | 'anterior' | 'posterior' | 'head' | 'foot';

export interface Edges {
  left: Side;
  right: Side;
  top: Side;
  bottom: Side;
}

/** Which side of the patient is at which edge of an upright image (LPS: x to the left, y to the back, z to the head). */
export function edgesOf({ row, column }: Plane): Edges {
  return { left: sideOf(negative(row)), right: sideOf(row), top: sideOf(negative(column)), bottom: sideOf(column) };
}

function negative([x, y, z]: Point3): Point3 {
  return [-x, -y, -z];
}

function sideOf([x, y, z]: Point3): Side {
  const most = Math.max(Math.abs(x), Math.abs(y), Math.abs(z));
  if (Math.abs(x) === most) return x > 0 ? 'left' : 'right';
  if (Math.abs(y) === most) return y > 0 ? 'posterior' : 'anterior';
  return z > 0 ? 'head' : 'foot';
}
