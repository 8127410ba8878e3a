// @vitest-environment happy-dom
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, expect, it } from 'vitest';
import { auditQuery } from '../../api/queries.ts';
import { en } from '../../strings/en.ts';
import { ja } from '../../strings/ja.ts';
import { render } from '../../testing/render.tsx';
import { Page } from './AuditPage.tsx';

const relay = join(dirname(fileURLToPath(import.meta.url)), '../../../../relay/src');
const domain = (name: string) => readFileSync(join(relay, '../domain/src', name), 'utf8');

/** What the relay writes into its audit trail, from where it writes it. */
function writtenActions(): Set<string> {
  const files = readdirSync(relay, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.rs'));
  const source = files.map((name) => readFileSync(join(relay, name), 'utf8')).join('\n');
  const entries = [...source.matchAll(/Entry::(?:done|by)\(\s*([^";]*?)"([a-z_]+)"/g)].filter(([, before]) => !/\baction\b|action_name/.test(before ?? '')).map(([, , action]) => action ?? '');
  const ofCalls = source.matchAll(/(?:change|save|finish)\(\s*tx,\s*caller,(?:\s*&?[a-z.]+,)?\s*"([a-z_]+)"/g);
  // A command on a request is written down under the name of the right to it.
  const commands = domain('reading.rs');
  const rights = [...commands.slice(commands.indexOf('pub fn action_of')).matchAll(/Action::([A-Za-z]+)/g)].map(([, right]) => right);
  const named = [...domain('access.rs').matchAll(/action: Action::([A-Za-z]+),\s*name: "([a-z_]+)"/g)].filter(([, right]) => rights.includes(right)).map(([, , action]) => action ?? '');
  return new Set([...entries, ...named, ...[...ofCalls].map(([, action]) => action ?? '')]);
}

beforeEach(() => localStorage.clear());

it('has words for everything the relay writes down', () => {
  const actions = writtenActions();
  expect(actions.size).toBeGreaterThan(25);
  for (const action of actions) for (const strings of [ja, en]) expect(strings.audit.actions[action], action).toBeTruthy();
  expect(Object.keys(en.audit.actions)).toEqual(Object.keys(ja.audit.actions));
  expect(Object.keys(en.audit.subjects)).toEqual(Object.keys(ja.audit.subjects));
});

it('is read in words, and a code of tomorrow as it is', async () => {
  const entry = { seq: 1, at_ms: 1, actor_kind: 'relay', actor_id: null, actor_role: null, action: 'sign_report', subject_kind: 'reading_request', subject_id: 'q1', outcome: 'done' };
  const { page, leave } = await render(<Page />, { data: [[auditQuery(300).queryKey, { items: [entry, { ...entry, seq: 2, action: 'of_tomorrow' }] }]] });
  for (const text of ['報告書に署名', '依頼', 'of_tomorrow']) expect(page.querySelector('tbody')?.textContent).toContain(text);
  expect(page.textContent).not.toContain('sign_report');
  leave();
});
