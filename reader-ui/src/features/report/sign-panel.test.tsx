// @vitest-environment happy-dom
import { act } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { signReport } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import { keys } from '../../api/queries.ts';
import type { Blocker, Call, Draft, ReadingRequestDetail } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { readerSession, requestWith } from '../../testing/example-request.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { SignPanel } from './SignPanel.tsx';
import { emptyBody } from './empty-body.ts';
import { useDraft } from './use-draft.ts';

vi.mock('../../api/client.ts', () => ({ signReport: vi.fn(), saveDraft: vi.fn(), getReadingRequest: vi.fn(), listTemplates: vi.fn() }));

const call: Blocker = { code: 'read_back_call_required', message_ja: '復唱が必要です', message_en: 'read-back needed' };
const draft = (blockers: Blocker[]): Draft => {
  const check = { ok: blockers.length === 0, blockers };
  return { version: 1, saved_at_ms: 0, body: emptyBody, evaluation: { blocks: [], problems: [], narrative: { ja: '', en: '' }, can_sign: { preliminary: check, final: check } } };
};

const observe = { id: 'observe_local', label: { ja: '自院で経過観察', en: 'Observe locally' }, type: 'group', required: 'optional', group_fields: [] };
const disposition = { id: 'disposition', version: '1.0.0', kind: 'disposition', title: observe.label, fields: [observe] };

function Shown({ request }: { request: ReadingRequestDetail }) {
  return <SignPanel request={request} draft={useDraft(request.id, request.draft)} disabled={false} />;
}

let rendered: Rendered;
beforeEach(() => localStorage.clear());
afterEach(() => rendered.leave());

const show = async (patch: Partial<ReadingRequestDetail>) => {
  const request = requestWith({ state: 'claimed', ...patch });
  if (rendered?.page.isConnected) await rendered.show(<Shown request={request} />);
  else rendered = await render(<Shown request={request} />, { session: readerSession, data: [[keys.request('q'), request], [['templates'], { items: [disposition] }]] });
  return rendered.page.textContent ?? '';
};

it('shows what blocks signing as of the newest answer of the relay', async () => {
  expect(await show({ draft: draft([call]) })).toContain(call.message_ja);
  expect(rendered.button(ja.sign.final)?.disabled).toBe(true);
  const text = await show({ draft: draft([]) });
  expect(text).not.toContain(call.message_ja);
  expect(text).toContain(ja.sign.ready);
  expect(rendered.button(ja.sign.final)?.disabled).toBe(false);
});

it('says at once that a call record is open, and that a read-back did not match', async () => {
  const open = { id: 'c', state: 'connected', recorded_by: readerSession.user, started_at_ms: 1, attempts: [], conversation: null } as unknown as Call;
  expect(await show({ draft: draft([]), calls: [open] })).toContain(ja.sign.openCall);
  const closed = { ...open, state: 'closed', conversation: { readback_ok: false } } as unknown as Call;
  const text = await show({ draft: draft([call]), calls: [closed] });
  expect(text).not.toContain(ja.sign.openCall);
  expect(text).toContain(ja.sign.readBackDiffers);
});

it('names the disposition that a blocker is about', async () => {
  const blocker = { code: 'required', field: 'disposition.1.interval_h', message_ja: '「観察間隔」が未入力です', message_en: '' };
  const begun = draft([blocker]);
  await show({ draft: { ...begun, body: { ...begun.body, disposition: [{ code: 'repeat_imaging' }, { code: 'observe_local' }] } } });
  expect(rendered.page.textContent).toContain('自院で経過観察: 「観察間隔」が未入力です');
});

it('asks again for what blocks signing when the relay refuses to sign', async () => {
  vi.mocked(signReport).mockRejectedValue(new Problem(422, { code: 'cannot_sign' }));
  await show({ draft: draft([]) });
  await act(async () => rendered.button(ja.sign.final)?.click());
  const password = rendered.page.querySelector('input[type=password]') as HTMLInputElement;
  await act(async () => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')?.set?.call(password, 'secret');
    password.dispatchEvent(new Event('input', { bubbles: true }));
  });
  await act(async () => password.form?.requestSubmit());
  await vi.waitFor(() => expect(rendered.page.textContent).toContain(ja.problem.sign_blocked));
  expect(rendered.queries.getQueryState(keys.request('q'))?.isInvalidated).toBe(true);
});

it('waits for no save of a draft that nobody has begun', async () => {
  const text = await show({ draft: null });
  expect(text).toContain(ja.sign.nothingWritten);
  expect(text).not.toContain(ja.sign.draftFirst);
});
