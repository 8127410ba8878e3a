import { fileURLToPath } from 'node:url';
import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';
import { writeBrotli } from './build/brotli.ts';
import { freeHtj2kDecoder } from './build/free-htj2k-decoder.ts';
import { plainTextBox } from './build/plain-text-box.ts';

const relay = process.env.TANCHO_RELAY ?? 'http://127.0.0.1:8080';
const brotliQuality = Number(process.env.TANCHO_UI_BROTLI ?? 11);

export default defineConfig({
  plugins: [react(), tailwindcss(), freeHtj2kDecoder(), plainTextBox(), writeBrotli(brotliQuality)],
  worker: { format: 'es', plugins: () => [freeHtj2kDecoder()] },
  resolve: {
    // vtk.js pulls in Node's `events` through this package, and the built page would stay blank.
    alias: { xmlbuilder2: fileURLToPath(new URL('./src/viewer/no-xml.ts', import.meta.url)) },
  },
  optimizeDeps: {
    exclude: ['@cornerstonejs/dicom-image-loader'],
    include: [
      'dicom-parser',
      '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs',
      '@cornerstonejs/codec-charls/decodewasmjs',
      '@cornerstonejs/codec-openjpeg/decodewasmjs',
      '@cornerstonejs/codec-openjph/wasmjs',
    ],
  },
  build: {
    target: 'es2022',
    // WASM stays as files: the content security policy and the cache want it so.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 6000,
  },
  server: {
    // The relay checks the origin of writes, so the proxy speaks in its name.
    proxy: Object.fromEntries(
      ['/api', '/dicom-web'].map((path) => [path, { target: relay, changeOrigin: true, headers: { origin: relay } }]),
    ),
  },
  test: { include: ['src/**/*.test.{ts,tsx}', 'build/**/*.test.ts'] },
});
