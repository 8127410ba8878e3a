import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { wrapDecoder } from './free-htj2k-decoder.ts';

const library = fileURLToPath(new URL('../node_modules/@cornerstonejs/dicom-image-loader/dist/esm/shared/decoders/decodeHTJ2K.js', import.meta.url));

describe('the HTJ2K decoder of the library', () => {
  it('is freed after every frame', () => {
    const wrapped = wrapDecoder(readFileSync(library, 'utf8'));
    expect(wrapped).toMatch(/new local\.codec\.HTJ2KDecoder\(\);\s+try \{/);
    expect(wrapped).toContain('finally { decoder.delete(); }');
    expect(wrapped.split('{').length).toBe(wrapped.split('}').length);
  });

  it('fails the build when the library has changed', () => {
    expect(() => wrapDecoder('export default function decode() {}')).toThrow(/has changed/);
  });
});
