// @vitest-environment happy-dom
import { act } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Draft, FindingBlock, TemplateDefinition } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { exampleVersion } from '../../testing/example-report.ts';
import { exampleRequest, readerSession } from '../../testing/example-request.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { FindingsPanel } from './FindingsPanel.tsx';
import type { DraftHandle } from './use-draft.ts';
import { useDraft } from './use-draft.ts';

vi.mock('../../api/client.ts', () => ({ saveDraft: vi.fn(() => new Promise(() => undefined)), getReadingRequest: vi.fn(), listTemplates: vi.fn() }));

const template = (id: string, title: string, alone: boolean): TemplateDefinition => ({ id, version: '1.0.0', kind: 'finding', excludes_others: alone, title: { ja: title, en: id }, fields: [] });
const templates = [template('ich', '脳内出血', false), template('normal', '異常なし', true)];

const begunWith = (blocks: FindingBlock[]): Draft => ({ version: 1, saved_at_ms: 0, body: { ...exampleVersion.body, finding_blocks: blocks }, evaluation: exampleVersion.evaluation });
let draft: DraftHandle;
function Panel({ begun }: { begun: Draft }) {
  draft = useDraft('q', begun);
  return <FindingsPanel request={exampleRequest} draft={draft} disabled={false} onShowKeyImage={() => undefined} />;
}

let rendered: Rendered;
beforeEach(() => localStorage.clear());
afterEach(() => rendered.leave());

const show = async (blocks: FindingBlock[]) => {
  rendered = await render(<Panel begun={begunWith(blocks)} />, { session: readerSession, data: [[['templates'], { items: templates }]] });
};
const chosen = () => draft.saver.getState().body.finding_blocks.map(({ template: ref }) => ref);
const press = (label: string) => act(async () => rendered.button(label)?.click());

it('asks before a template takes out the answers of another', async () => {
  await show([{ template: 'normal@1.0.0', in: { compared: 'yes' } }]);
  await press('+ 脳内出血');
  expect(chosen()).toEqual(['normal@1.0.0']);
  expect(rendered.page.textContent).toContain(ja.findings.replaceWhy('脳内出血', '異常なし'));
  await press(ja.common.cancel);
  expect(chosen()).toEqual(['normal@1.0.0']);
  await press('+ 脳内出血');
  await press(ja.findings.replace('脳内出血', '異常なし'));
  expect(chosen()).toEqual(['ich@1.0.0']);
});

it('asks nothing when there are no answers to lose', async () => {
  await show([{ template: 'normal@1.0.0', in: {} }]);
  await press('+ 脳内出血');
  expect(chosen()).toEqual(['ich@1.0.0']);
});
