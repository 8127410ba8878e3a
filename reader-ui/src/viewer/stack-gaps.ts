import { dot, normal } from './geometry.ts';
import type { DisplayImage } from './images.ts';

/** What a stack that has come to its end seems to lack. */
export interface StackGaps {
  /** Runs of Instance Numbers that are left out, first and last. */
  numbers: [number, number][];
  /** Slices that would fill the places left out between the others. */
  places: number;
  /** The smallest and the largest distance in millimetres when the slices do not lie at one. */
  uneven: { fromMm: number; toMm: number } | null;
}

/** Fewer images say nothing of how a scanner counts or where it lays its slices. */
const imagesMin = 4;
/** Share of neighbours that count by one in a series that is counted by one. */
const byOneMin = 0.9;
/** Slices closer than this lie at one place. Millimetres. */
const samePlaceMm = 0.01;
/** How far a distance may be off a multiple of the usual one. */
const offMax = 0.1;
const parallelCosMin = 0.999;

type Placed = Pick<DisplayImage, 'instanceNumber' | 'plane' | 'sopInstanceUid'>;

/**
 * Images a stack seems to lack, by its numbers and by its places. Scanners also count by two, or through the whole study:
 * numbers of which most neighbours are not next to each other say nothing, nor do images in several directions.
 */
export function stackGaps(images: readonly Placed[]): StackGaps {
  return { numbers: missingNumbers(images), ...placesOf(images) };
}

function missingNumbers(images: readonly Placed[]): [number, number][] {
  const ofInstance = new Map(images.map(({ sopInstanceUid, instanceNumber }) => [sopInstanceUid, instanceNumber]));
  const numbers = [...new Set(ofInstance.values())].filter((number) => number !== null).toSorted((a, b) => a - b);
  if (numbers.length < imagesMin || numbers.length < ofInstance.size) return [];
  const pairs = numbers.slice(1).map((to, at): [number, number] => [numbers[at] ?? to, to]);
  const byOne = pairs.filter(([from, to]) => to - from === 1).length;
  if (byOne < pairs.length * byOneMin) return [];
  return pairs.filter(([from, to]) => to - from > 1).map(([from, to]) => [from + 1, to - 1]);
}

function placesOf(images: readonly Placed[]): Pick<StackGaps, 'places' | 'uneven'> {
  const unknown = { places: 0, uneven: null };
  const first = images[0]?.plane;
  if (!first) return unknown;
  const axis = normal(first);
  const along: number[] = [];
  for (const { plane } of images) {
    if (!plane || dot(normal(plane), axis) < parallelCosMin) return unknown;
    along.push(dot(plane.origin, axis));
  }
  const places = along.toSorted((a, b) => a - b).filter((place, at, all) => at === 0 || place - (all[at - 1] ?? 0) >= samePlaceMm);
  if (places.length < imagesMin) return unknown;
  const steps = places.slice(1).map((place, at) => place - (places[at] ?? 0)).toSorted((a, b) => a - b);
  const usual = steps[Math.floor(steps.length / 2)] ?? 0;
  let missing = 0;
  for (const step of steps) {
    const times = Math.round(step / usual);
    if (times < 1 || Math.abs(step - times * usual) > usual * offMax) {
      return { places: 0, uneven: { fromMm: steps[0] ?? 0, toMm: steps.at(-1) ?? 0 } };
    }
    missing += times - 1;
  }
  return { places: missing, uneven: null };
}
