/** Image plane arithmetic in the patient's coordinate system (PS3.3 C.7.6.2), in millimetres. */
export type Point2 = [number, number];
export type Point3 = [number, number, number];

export interface Plane {
  /** Centre of the first pixel. */
  origin: Point3;
  /** Direction of increasing column index. */
  row: Point3;
  /** Direction of increasing row index. */
  column: Point3;
}

export function toPlane(position: number[], orientation: number[]): Plane | null {
  if (position.length !== 3 || orientation.length !== 6) return null;
  const [x, y, z] = position as Point3;
  const [a, b, c, d, e, f] = orientation as [number, number, number, number, number, number];
  const plane: Plane = { origin: [x, y, z], row: [a, b, c], column: [d, e, f] };
  const unit = (v: Point3) => Math.abs(dot(v, v) - 1) < 0.01;
  return unit(plane.row) && unit(plane.column) && Math.abs(dot(plane.row, plane.column)) < 0.01 ? plane : null;
}

export function dot(a: Point3, b: Point3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

export function normal({ row, column }: Plane): Point3 {
  return [
    row[1] * column[2] - row[2] * column[1],
    row[2] * column[0] - row[0] * column[2],
    row[0] * column[1] - row[1] * column[0],
  ];
}

interface Sortable {
  plane: Plane | null;
  instanceNumber: number | null;
  frame: number;
  sopInstanceUid: string;
}

/** Planes this close in direction (cosine) belong to one stack. */
const parallelCosMin = 0.999;

/**
 * Order of a stack: by position along the common normal, feet first for an axial head.
 * Instance Number is believed only where there is no common geometry.
 */
export function sortStack<T extends Sortable>(images: readonly T[]): T[] {
  const first = images[0]?.plane ?? null;
  const axis = first ? normal(first) : null;
  const parallel = axis !== null && images.every(({ plane }) => plane && dot(normal(plane), axis) > parallelCosMin);
  const along = ({ plane }: T) => (parallel && plane ? dot(plane.origin, axis) : 0);
  return images.toSorted(
    (a, b) =>
      along(a) - along(b) ||
      (a.instanceNumber ?? 0) - (b.instanceNumber ?? 0) ||
      a.frame - b.frame ||
      (a.sopInstanceUid < b.sopInstanceUid ? -1 : 1),
  );
}

/** Distance in mm between two pixel positions (column, row); spacing is [between rows, between columns]. */
export function lengthMm(from: Point2, to: Point2, spacing: readonly [number, number]): number {
  return Math.hypot((to[0] - from[0]) * spacing[1], (to[1] - from[1]) * spacing[0]);
}

/** Pixel position (column, row) of a point of the patient's space, projected on the image plane. */
export function worldToPixel(point: Point3, plane: Plane, spacing: readonly [number, number]): Point2 {
  const offset: Point3 = [point[0] - plane.origin[0], point[1] - plane.origin[1], point[2] - plane.origin[2]];
  return [dot(offset, plane.row) / spacing[1], dot(offset, plane.column) / spacing[0]];
}

export function pixelToWorld([column, row]: Point2, plane: Plane, spacing: readonly [number, number]): Point3 {
  const at = (i: 0 | 1 | 2) => plane.origin[i] + plane.row[i] * column * spacing[1] + plane.column[i] * row * spacing[0];
  return [at(0), at(1), at(2)];
}

/** How far a plane lies from the origin of the Frame of Reference along its own normal. mm. */
export function positionMm(plane: Plane): number {
  return dot(plane.origin, normal(plane));
}
