import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openLive } from './live.ts';
import { noteSignOfLife } from './sign-of-life.ts';

/** The browser's end of the stream, as the test wants it. */
class Source {
  static opened: Source[] = [];
  readonly #heard = new Map<string, ((event: { data: string }) => void)[]>();
  static readonly CLOSED = 2;
  readyState = 0;
  constructor() {
    Source.opened.push(this);
  }
  addEventListener(name: string, listener: (event: { data: string }) => void) {
    this.#heard.set(name, [...(this.#heard.get(name) ?? []), listener]);
  }
  close() {
    this.readyState = Source.CLOSED;
  }
  say(name: string, data = '{}') {
    for (const listener of this.#heard.get(name) ?? []) listener({ data });
  }
}

const newest = () => Source.opened.at(-1) as Source;
const answered = vi.fn<() => Promise<Response>>();
const never = (signal: AbortSignal) => new Promise<Response>((_, refuse) => signal.addEventListener('abort', () => refuse(new Error('aborted'))));

describe('the live line', () => {
  let told: [boolean, number][] = [];
  let events: string[] = [];
  let close: () => void;

  beforeEach(() => {
    vi.useFakeTimers();
    // Node's own timeout signal does not follow the test's clock.
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      const control = new AbortController();
      setTimeout(() => control.abort(), ms);
      return control.signal;
    });
    vi.stubGlobal('EventSource', Source);
    vi.stubGlobal('fetch', (_: string, { signal }: { signal: AbortSignal }) => Promise.race([answered(), never(signal)]));
    answered.mockReset();
    answered.mockResolvedValue(new Response());
    Source.opened = [];
    told = [];
    events = [];
    noteSignOfLife();
    close = openLive((event) => events.push(event.name), (up, silentMs) => told.push([up, silentMs]));
    newest().say('open');
  });
  afterEach(() => {
    close();
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  it('tells what changed, and nothing of its own beginnings', () => {
    newest().say('hello');
    newest().say('worklist', '{"reading_request_id":"q"}');
    expect(events).toEqual(['worklist']);
    expect(told.map(([up]) => up)).toEqual([true]);
  });

  it('is quiet for long while the relay answers when it is asked', async () => {
    await vi.advanceTimersByTimeAsync(60_000);
    expect(told.map(([up]) => up)).toEqual([true]);
    expect(answered.mock.calls.length).toBeGreaterThan(8);
  });

  it('asks nothing while something comes in', async () => {
    for (let n = 0; n < 20; n += 1) {
      newest().say('study_bytes');
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(answered).not.toHaveBeenCalled();
  });

  it('is missed within eleven seconds when the relay goes without a word, and says since when', async () => {
    answered.mockReturnValue(new Promise(() => undefined));
    await vi.advanceTimersByTimeAsync(8_000);
    // One answer that is late may wait behind images.
    expect(told.map(([up]) => up)).toEqual([true]);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(told.map(([up]) => up)).toEqual([true, false]);
    expect(told[1]?.[1]).toBeGreaterThanOrEqual(10_000);
    expect(newest().readyState).toBe(Source.CLOSED);
  });

  it('is missed at once when the machine refuses, or a proxy says that it is gone', async () => {
    answered.mockRejectedValue(new TypeError('refused'));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(told.map(([up]) => up)).toEqual([true, false]);
    answered.mockResolvedValue(new Response());
    await vi.advanceTimersByTimeAsync(4_000);
    newest().say('open');
    answered.mockResolvedValue(new Response(null, { status: 502 }));
    await vi.advanceTimersByTimeAsync(6_000);
    expect(told.map(([up]) => up)).toEqual([true, false, true, false]);
  });

  it('is opened anew as soon as the relay answers again', async () => {
    newest().say('error');
    answered.mockRejectedValue(new TypeError('refused'));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(Source.opened).toHaveLength(1);
    answered.mockResolvedValue(new Response());
    await vi.advanceTimersByTimeAsync(4_000);
    expect(Source.opened).toHaveLength(2);
    newest().say('open');
    expect(told.map(([up]) => up)).toEqual([true, false, true]);
  });
});
