import { describe, expect, it } from 'vitest';
import type { Missing } from './load-order.ts';
import { jobKey, nextJob } from './load-order.ts';
import { LoadPool } from './load-pool.ts';

const images = ['a', 'b', 'c', 'd', 'e'].map((imageId) => ({ imageId }));

/** Every job in the order in which they would be fetched one by one. */
function whole(missing: Record<string, Missing>, wanted: number): string[] {
  const tried = new Set<string>();
  const order: string[] = [];
  for (let job = nextJob(images, wanted, ({ imageId }) => missing[imageId] ?? null, tried); job; job = nextJob(images, wanted, ({ imageId }) => missing[imageId] ?? null, tried)) {
    tried.add(jobKey(job));
    order.push(jobKey(job));
  }
  return order;
}

describe('what is fetched next', () => {
  it('is something to look at for every image, then the originals, nearest to the reader first', () => {
    const missing: Record<string, Missing> = { a: 'picture', b: 'original', c: 'original', d: 'picture', e: 'original' };
    expect(whole(missing, 2)).toEqual(['picture d', 'picture a', 'original c', 'original b', 'original e']);
  });

  it('is nothing when nothing is missing', () => {
    expect(whole({}, 0)).toEqual([]);
  });
});

describe('the pool', () => {
  it('fetches a few at once, goes on after a failure, and tries it again only for another stack', async () => {
    const missing: Record<string, Missing> = { a: 'picture', b: 'picture', c: 'picture' };
    const running = new Map<string, { resolve(): void; reject(error: Error): void }>();
    const started: string[] = [];
    const pool = new LoadPool(
      2,
      (tried) => nextJob(images, 0, ({ imageId }) => missing[imageId] ?? null, tried),
      ({ id }) => {
        started.push(id);
        return new Promise<void>((resolve, reject) => running.set(id, { resolve, reject }));
      },
    );
    const settled = () => new Promise((resolve) => setImmediate(resolve));
    pool.wake();
    pool.wake();
    expect(started).toEqual(['a', 'b']);
    running.get('a')?.reject(new Error('line'));
    await settled();
    expect(started).toEqual(['a', 'b', 'c']);
    missing.b = null;
    missing.c = null;
    running.get('b')?.resolve();
    running.get('c')?.resolve();
    await settled();
    pool.wake();
    expect(started).toEqual(['a', 'b', 'c']);
    pool.forget();
    pool.wake();
    expect(started).toEqual(['a', 'b', 'c', 'a']);
    pool.stop();
    running.get('a')?.reject(new Error('line'));
    await settled();
    pool.forget();
    pool.wake();
    expect(started).toHaveLength(4);
  });
});
