import { eventTarget } from '@cornerstonejs/core';
import { annotation as annotations, ArrowAnnotateTool, Enums, LengthTool } from '@cornerstonejs/tools';
import type { DisplayImage } from './images.ts';
import type { Point2, Point3 } from './geometry.ts';
import { lengthMm, pixelToWorld, worldToPixel } from './geometry.ts';

/** A mark on an image as the report stores it: points are (column, row) in pixels of the original. */
export type StoredAnnotation = { kind: 'length'; points: Point2[]; mm: number } | { kind: 'arrow'; points: Point2[] };

interface LibraryAnnotation {
  annotationUID?: string;
  highlighted?: boolean;
  isSelected?: boolean;
  metadata: { toolName: string; referencedImageId?: string };
  data: { label?: string; handles?: { points?: unknown } };
}

/**
 * An arrow needs no words: the caption of the key image has them. The library drops an arrow without a label,
 * so it gets one for the moment it is made.
 */
export const arrowConfiguration = {
  getTextCallback: (done: (text: string) => void) => {
    done(' ');
    for (const { data } of all()) if (data.label === ' ') data.label = '';
  },
  changeTextCallback: () => undefined,
};

/**
 * The number beside a length is computed from its ends as they are drawn. The library's own is up to 100 ms older, and
 * after a quick drag the number of a shorter line would stay.
 */
export const lengthConfiguration = {
  getTextLines: ({ handles }: { handles: { points: Point3[] } }): string[] => {
    const [from, to] = handles.points;
    return from && to ? [`${Math.hypot(to[0] - from[0], to[1] - from[1], to[2] - from[2]).toFixed(1)} mm`] : [];
  },
};

/** Calls back when a mark is made, changed or removed; returns the way to stop. */
export function watchAnnotations(changed: () => void): () => void {
  const { ANNOTATION_COMPLETED, ANNOTATION_MODIFIED, ANNOTATION_REMOVED } = Enums.Events;
  const names = [ANNOTATION_COMPLETED, ANNOTATION_MODIFIED, ANNOTATION_REMOVED];
  for (const name of names) eventTarget.addEventListener(name, changed);
  return () => {
    for (const name of names) eventTarget.removeEventListener(name, changed);
  };
}

/** The marks on one image, in its pixels. Lengths are computed here from the object's own spacing. */
export function annotationsOn(image: DisplayImage): StoredAnnotation[] {
  const { plane } = image;
  if (!plane) return [];
  // Without a spacing the plane is drawn with one millimetre per pixel; arrows still have a place.
  const spacing = image.spacing ?? [1, 1];
  return all().flatMap(({ metadata, data }): StoredAnnotation[] => {
    if (metadata.referencedImageId !== image.imageId || !Array.isArray(data.handles?.points)) return [];
    const points = (data.handles.points as Point3[]).map((point) => worldToPixel(point, plane, spacing));
    const [from, to] = points;
    if (!from || !to) return [];
    if (metadata.toolName === ArrowAnnotateTool.toolName) return [{ kind: 'arrow', points: [from, to] }];
    if (metadata.toolName !== LengthTool.toolName || !image.spacing) return [];
    return [{ kind: 'length', points: [from, to], mm: lengthMm(from, to, image.spacing) }];
  });
}

/** Puts stored marks of a key image back on the viewport's image. */
export function restoreAnnotations(image: DisplayImage, stored: readonly StoredAnnotation[], frameOfReferenceUid: string): void {
  const { plane } = image;
  if (!plane || annotationsOn(image).length > 0) return;
  const spacing = image.spacing ?? [1, 1];
  for (const { kind, points } of stored) {
    const world = points.map((point) => pixelToWorld(point, plane, spacing));
    if (kind === 'length') hydrate(LengthTool.toolName, image, world, frameOfReferenceUid);
    else hydrate(ArrowAnnotateTool.toolName, image, world, frameOfReferenceUid);
  }
}

function hydrate(toolName: string, image: DisplayImage, points: Point3[], frameOfReferenceUid: string): void {
  annotations.state.addAnnotation(
    {
      annotationUID: crypto.randomUUID(),
      highlighted: false,
      invalidated: true,
      isLocked: false,
      isVisible: true,
      metadata: { toolName, referencedImageId: image.imageId, FrameOfReferenceUID: frameOfReferenceUid },
      data: {
        label: '',
        handles: { points, activeHandleIndex: null, arrowFirst: true, textBox: { hasMoved: false, worldPosition: [0, 0, 0], worldBoundingBox: {} } },
        cachedStats: {},
      },
    } as unknown as Parameters<typeof annotations.state.addAnnotation>[0],
    frameOfReferenceUid,
  );
}

/** Removes the selected marks of the shown image, else its newest; says whether there was one. Nothing unseen is removed. */
export function removeSelectedAnnotation(shown: DisplayImage | null): boolean {
  const marks = all().filter(({ metadata }) => metadata.referencedImageId === shown?.imageId);
  const selected = marks.filter((mark) => mark.isSelected || (mark.annotationUID && annotations.selection.isAnnotationSelected(mark.annotationUID)));
  const doomed = selected.length ? selected : marks.slice(-1);
  for (const { annotationUID } of doomed) if (annotationUID) annotations.state.removeAnnotation(annotationUID);
  return doomed.length > 0;
}

export function removeAllAnnotations(): void {
  annotations.state.removeAllAnnotations();
}

function all(): LibraryAnnotation[] {
  return annotations.state.getAllAnnotations() as unknown as LibraryAnnotation[];
}
