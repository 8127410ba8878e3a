import { describe, expect, it } from 'vitest';
import { ownScriptUrl } from './trusted-types.ts';

const origin = 'https://relay.example';

describe('worker addresses', () => {
  it('are those of our own build', () => {
    expect(ownScriptUrl('/assets/worker-1a.js', origin, false)).toBe(`${origin}/assets/worker-1a.js`);
  });

  it.each(['https://elsewhere.example/assets/x.js', '/other/x.js', '/assets/../x.js', 'data:text/javascript,1', 'blob:https://relay.example/1'])('refuses %s', (url) => {
    expect(() => ownScriptUrl(url, origin, false)).toThrow();
  });
});
