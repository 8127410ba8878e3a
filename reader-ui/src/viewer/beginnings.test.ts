import { describe, expect, it } from 'vitest';
import { Beginnings } from './beginnings.ts';

const beginning = (length: number) => ({ bytes: new Uint8Array(length), etag: '"e"' });

describe('beginnings of frames', () => {
  it('are given away once', () => {
    const beginnings = new Beginnings(10);
    beginnings.keep('a', beginning(4));
    expect(beginnings.take('a')?.bytes).toHaveLength(4);
    expect(beginnings.take('a')).toBeNull();
  });

  it('are kept up to a limit, the newest first, and counted anew when one is replaced', () => {
    const beginnings = new Beginnings(10);
    beginnings.keep('a', beginning(9));
    beginnings.keep('a', beginning(4));
    beginnings.keep('b', beginning(6));
    expect(beginnings.take('a')).not.toBeNull();
    beginnings.keep('a', beginning(4));
    beginnings.keep('c', beginning(1));
    expect(['a', 'b', 'c'].map((id) => beginnings.take(id) !== null)).toEqual([true, false, true]);
    beginnings.keep('d', beginning(11));
    expect(beginnings.take('d')).toBeNull();
  });
});
