import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript';
import { expect, it } from 'vitest';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

it('types are those of the relay’s document; `npm run api` writes them again', async () => {
  const document = JSON.parse(readFileSync(at('../../../relay/openapi.json'), 'utf8'));
  const made = COMMENT_HEADER + astToString(await openapiTS(document));
  expect(readFileSync(at('./schema.d.ts'), 'utf8')).toBe(made);
});
