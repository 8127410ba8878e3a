/** A frame at reduced resolution, as the HTJ2K decoder gives it: samples interleaved by pixel, rows from the top. */
export interface ReducedFrame {
  samples: Uint8Array | Int16Array | Uint16Array;
  columns: number;
  rows: number;
  /** Samples per pixel. */
  components: number;
  /** Significant bits of a sample. */
  precision: number;
  signed: boolean;
  /** How often the sides were halved. */
  halvings: number;
}

export interface FullSize {
  columns: number;
  rows: number;
  /** 8 or 16. */
  bitsAllocated: number;
}

/**
 * A reduced frame at its full size, as native little endian Pixel Data.
 *
 * The wavelet's low band has its samples at every 2^halvings-th pixel, from the first on, so that is where they go; what
 * lies between is interpolated. Nothing moves when the original takes its place. The filters overshoot at edges: values
 * beyond what the samples can store would be taken for others, so they are clipped.
 */
export function enlarge(reduced: ReducedFrame, { columns, rows, bitsAllocated }: FullSize): Uint8Array<ArrayBuffer> {
  const { samples, components, precision, signed, halvings } = reduced;
  const lowest = signed ? -(2 ** (precision - 1)) : 0;
  const highest = lowest + 2 ** precision - 1;
  const clipped = new Float32Array(samples.length);
  for (let at = 0; at < samples.length; at += 1) clipped[at] = Math.min(highest, Math.max(lowest, samples[at] ?? 0));
  const across = places(columns, reduced.columns, halvings);
  const down = places(rows, reduced.rows, halvings);
  const out = new Uint8Array((columns * rows * components * bitsAllocated) / 8);
  const values = bitsAllocated === 16 ? new Int16Array(out.buffer) : out;
  const rowLength = reduced.columns * components;
  let at = 0;
  for (const y of down) {
    const upper = y.first * rowLength;
    const lower = y.second * rowLength;
    for (const x of across) {
      for (let component = 0; component < components; component += 1) {
        const left = x.first * components + component;
        const right = x.second * components + component;
        const top = mix(clipped[upper + left] ?? 0, clipped[upper + right] ?? 0, x.part);
        const bottom = mix(clipped[lower + left] ?? 0, clipped[lower + right] ?? 0, x.part);
        values[at] = Math.round(mix(top, bottom, y.part));
        at += 1;
      }
    }
  }
  return out;
}

interface Place {
  first: number;
  second: number;
  /** How much of the second, 0 to 1. */
  part: number;
}

/** For every full-size position, the reduced samples on both sides of it. */
function places(length: number, reducedLength: number, halvings: number): Place[] {
  const step = 2 ** halvings;
  const last = reducedLength - 1;
  return Array.from({ length }, (_, position) => {
    const first = Math.min(Math.floor(position / step), last);
    return { first, second: Math.min(first + 1, last), part: (position % step) / step };
  });
}

function mix(a: number, b: number, part: number): number {
  return a + (b - a) * part;
}
