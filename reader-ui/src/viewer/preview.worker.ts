import openJph from '@cornerstonejs/codec-openjph/wasmjs';
import wasmUrl from '@cornerstonejs/codec-openjph/wasm?url';
import type { FullSize, ReducedFrame } from './preview-frame.ts';
import { enlarge } from './preview-frame.ts';

/** Decodes the beginnings of HTJ2K codestreams away from the page's own thread. */
export interface PreviewTask {
  id: number;
  codestream: Uint8Array<ArrayBuffer>;
  halvings: number;
  full: FullSize;
  signed: boolean;
  components: number;
}

export interface PreviewResult {
  id: number;
  /** Native little endian Pixel Data of the full size; null when the codestream is not what it should be. */
  frame: Uint8Array<ArrayBuffer> | null;
}

const decoderModule = openJph({ locateFile: (file: string) => (file.endsWith('.wasm') ? wasmUrl : file) });

self.addEventListener('message', ({ data }: MessageEvent<PreviewTask>) => {
  void decode(data)
    .catch(() => null)
    .then((frame) => {
      const result: PreviewResult = { id: data.id, frame };
      self.postMessage(result, { transfer: frame ? [frame.buffer] : [] });
    });
});

async function decode({ codestream, halvings, full, signed, components }: PreviewTask): Promise<Uint8Array<ArrayBuffer> | null> {
  const { HTJ2KDecoder } = await decoderModule;
  const decoder = new HTJ2KDecoder();
  try {
    decoder.getEncodedBuffer(codestream.length).set(codestream);
    decoder.decodeSubResolution(halvings);
    const info = decoder.getFrameInfo();
    const whole = info.width === full.columns && info.height === full.rows;
    if (!whole || info.isSigned !== signed || info.componentCount !== components) return null;
    // A copy: the decoder's memory goes with it.
    const bytes = decoder.getDecodedBuffer().slice();
    const columns = Math.ceil(full.columns / 2 ** halvings);
    const rows = Math.ceil(full.rows / 2 ** halvings);
    const samples = info.bitsPerSample <= 8 ? bytes : signed ? new Int16Array(bytes.buffer) : new Uint16Array(bytes.buffer);
    if (samples.length !== columns * rows * components) return null;
    const reduced: ReducedFrame = { samples, columns, rows, components, precision: info.bitsPerSample, signed, halvings };
    return enlarge(reduced, full);
  } finally {
    decoder.delete();
  }
}
