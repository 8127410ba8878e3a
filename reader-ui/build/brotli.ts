import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import type { Plugin } from 'vite';

/** Files that are already compressed, or too small to be worth a second copy. */
const compressible = /\.(?:html|js|css|svg|wasm|json)$/;
const bytesMin = 1024;

/**
 * Writes `name.br` beside every text and WASM file, so that the relay never compresses at request time.
 * Quality comes from the build: 11 takes half a minute and is for releases, 4 is for a developer's loop.
 */
export function writeBrotli(quality: number): Plugin {
  return {
    name: 'tancho-brotli',
    apply: 'build',
    enforce: 'post',
    // From what was written: while the bundle is generated, Vite still replaces text in it.
    writeBundle({ dir }, bundle) {
      if (dir === undefined) throw new Error('the page is written to a folder');
      for (const fileName of Object.keys(bundle)) {
        if (!compressible.test(fileName)) continue;
        const file = join(dir, fileName);
        const bytes = readFileSync(file);
        if (bytes.length < bytesMin) continue;
        const params = { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
        writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params }));
      }
    },
  };
}
