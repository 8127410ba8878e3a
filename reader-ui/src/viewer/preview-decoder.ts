import { ViewerFailure } from './failure.ts';
import type { PreviewResult, PreviewTask } from './preview.worker.ts';

type Waiting = { resolve(frame: Uint8Array<ArrayBuffer>): void; reject(failure: ViewerFailure): void };

let worker: Worker | null = null;
let lastId = 0;
const waiting = new Map<number, Waiting>();

/** Decodes the beginning of a codestream to a native frame of the full size. One worker: a preview takes a few ms. */
export function decodePreview(task: Omit<PreviewTask, 'id'>): Promise<Uint8Array<ArrayBuffer>> {
  worker ??= startWorker();
  lastId += 1;
  const id = lastId;
  const decoded = new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => waiting.set(id, { resolve, reject }));
  worker.postMessage({ ...task, id } satisfies PreviewTask, [task.codestream.buffer]);
  return decoded;
}

/** Ends the worker with every pixel in it. */
export function stopPreviewDecoder(): void {
  worker?.terminate();
  worker = null;
  for (const { reject } of waiting.values()) reject(new ViewerFailure('decode_failed'));
  waiting.clear();
}

function startWorker(): Worker {
  const started = new Worker(new URL('./preview.worker.ts', import.meta.url), { type: 'module' });
  started.addEventListener('message', ({ data }: MessageEvent<PreviewResult>) => {
    const task = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.frame) task?.resolve(data.frame);
    else task?.reject(new ViewerFailure('decode_failed'));
  });
  // The worker itself failed: nothing it was given will be answered.
  started.addEventListener('error', () => {
    if (worker === started) stopPreviewDecoder();
  });
  return started;
}
