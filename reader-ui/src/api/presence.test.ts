import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { presenceHeaders, setCovered, watchPresence } from './presence.ts';

describe('a request of the page', () => {
  const target = new EventTarget();
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('addEventListener', target.addEventListener.bind(target));
    watchPresence();
    target.dispatchEvent(new Event('keydown'));
  });
  afterEach(() => {
    setCovered(false);
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  it('counts as use while somebody is at the page', () => {
    vi.advanceTimersByTime(60_000);
    expect(presenceHeaders()).toEqual({});
  });

  it('does not keep the session alive in front of an empty chair, nor under the lock', () => {
    vi.advanceTimersByTime(120_000);
    expect(presenceHeaders()).toEqual({ 'tancho-background': '1' });
    target.dispatchEvent(new Event('pointermove'));
    expect(presenceHeaders()).toEqual({});
    setCovered(true);
    expect(presenceHeaders()).toEqual({ 'tancho-background': '1' });
  });
});
