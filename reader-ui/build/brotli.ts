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
    generateBundle(_options, bundle) {
      for (const [fileName, output] of Object.entries(bundle)) {
        if (!compressible.test(fileName)) continue;
        const source = output.type === 'chunk' ? output.code : output.source;
        const bytes = typeof source === 'string' ? Buffer.from(source) : Buffer.from(source);
        if (bytes.length < bytesMin) continue;
        const params = { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
        this.emitFile({ type: 'asset', fileName: `${fileName}.br`, source: brotliCompressSync(bytes, { params }) });
      }
    },
  };
}
