import type { Plugin } from 'vite';

const file = 'shared/decoders/decodeHTJ2K.js';
const made = 'const decoder = new local.codec.HTJ2KDecoder();';

/**
 * The image loader makes one WASM decoder per HTJ2K frame and never frees it: after about 2,950 slices in one
 * worker every further frame fails for good. This wraps the rest of the function in `try` and frees the decoder.
 * It must run for the page and for the workers, and it fails the build when the text it knows has changed.
 */
export function freeHtj2kDecoder(): Plugin {
  return {
    name: 'tancho-free-htj2k-decoder',
    enforce: 'pre',
    transform(code, id) {
      if (!id.split('?')[0]?.endsWith(file)) return null;
      return { code: wrapDecoder(code), map: null };
    },
  };
}

/** Exported for its test: the changed text, or an error when the library's text is not the one known here. */
export function wrapDecoder(code: string): string {
  const start = code.indexOf(made);
  if (start < 0 || code.indexOf(made, start + 1) >= 0) {
    throw new Error(`${file} has changed: check whether it still leaks its decoder, then adapt or drop this plugin`);
  }
  const bodyStart = start + made.length;
  const end = functionEnd(code, bodyStart);
  return `${code.slice(0, bodyStart)}\n    try {${code.slice(bodyStart, end)}} finally { decoder.delete(); }\n${code.slice(end)}`;
}

/** Position of the brace that closes the block `from` stands in. The known file has no braces in strings. */
function functionEnd(code: string, from: number): number {
  let depth = 1;
  for (let at = from; at < code.length; at += 1) {
    if (code[at] === '{') depth += 1;
    if (code[at] === '}') depth -= 1;
    if (depth === 0) return at;
  }
  throw new Error(`${file} has no end of function where one was expected`);
}
