import { afterEach, describe, expect, it, vi } from 'vitest';
import { fetchFrame } from './frame-source.ts';

const htj2k = 'image/jphc;transfer-syntax=1.2.840.10008.1.2.4.202';
const etag = '"container-1"';
const beginning = { bytes: new Uint8Array([1, 2, 3]), etag };
const wanted = { url: '/frame', signed: true, bitsStored: 12, bytesExpected: 4 };
const { signal } = new AbortController();

/** Answers one request after the other, and gives the headers that each came with. */
function answer(...answers: { status: number; body?: number[]; headers?: Record<string, string> }[]) {
  const asked: Record<string, string>[] = [];
  vi.stubGlobal('fetch', async (_: string, { headers }: { headers: Record<string, string> }) => {
    asked.push(headers);
    const { status, body = [], headers: said } = answers[asked.length - 1] ?? { status: 500 };
    return new Response(new Uint8Array(body), { status, headers: { 'content-type': htj2k, ...said } });
  });
  return asked;
}

afterEach(() => vi.unstubAllGlobals());

describe('the original of a frame that was previewed', () => {
  it('is fetched from behind the preview on', async () => {
    const asked = answer({ status: 206, body: [4, 5], headers: { 'content-range': 'bytes 3-4/5', etag } });
    const { bytes } = await fetchFrame({ ...wanted, beginning }, signal);
    expect([...bytes]).toEqual([1, 2, 3, 4, 5]);
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ range: 'bytes=3-', 'if-range': etag });
  });

  it('is taken whole when the relay has another one by now', async () => {
    answer({ status: 200, body: [9, 8, 7, 6] });
    expect([...(await fetchFrame({ ...wanted, beginning }, signal)).bytes]).toEqual([9, 8, 7, 6]);
  });

  it('is asked for whole when there is nothing behind the preview', async () => {
    const asked = answer({ status: 416 }, { status: 200, body: [1, 2, 3] });
    expect([...(await fetchFrame({ ...wanted, beginning }, signal)).bytes]).toEqual([1, 2, 3]);
    expect(asked[1]).not.toHaveProperty('range');
  });

  it.each<Record<string, string>>([
    { 'content-range': 'bytes 2-3/4', etag },
    { 'content-range': 'bytes 3-4/6', etag },
    { 'content-range': 'bytes 3-4/5', etag: '"another"' },
    { 'content-range': 'bytes 3-4/5' },
    { etag },
  ])('is never joined from parts that do not say that they belong together: %o', async (headers) => {
    answer({ status: 206, body: [4, 5], headers });
    await expect(fetchFrame({ ...wanted, beginning }, signal)).rejects.toMatchObject({ code: 'relay_error' });
  });

  it('is asked for whole when there was no preview, and a part of it is no frame', async () => {
    const asked = answer({ status: 206, body: [4, 5], headers: { 'content-range': 'bytes 3-4/5', etag } });
    await expect(fetchFrame({ ...wanted, beginning: null }, signal)).rejects.toMatchObject({ code: 'relay_error' });
    expect(asked[0]).not.toHaveProperty('range');
  });
});
