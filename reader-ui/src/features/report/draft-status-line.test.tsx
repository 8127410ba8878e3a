// @vitest-environment happy-dom
import { renderToStaticMarkup } from 'react-dom/server';
import { expect, it } from 'vitest';
import { Problem } from '../../api/http.ts';
import { LanguageProvider } from '../../strings/language.tsx';
import { ja } from '../../strings/ja.ts';
import { emptyConversation } from '../critical-result/conversation-form.ts';
import type { ConversationState } from '../critical-result/conversation-saver.ts';
import type { DraftState } from './draft-saver.ts';
import { DraftStatusLine } from './DraftStatusLine.tsx';
import { emptyBody } from './empty-body.ts';

const draft: DraftState = { body: emptyBody, version: 1, savedAtMs: 0, evaluation: null, status: 'saved', theirs: null, problem: null };
const call: ConversationState = { conversation: emptyConversation, status: 'saved', savedAtMs: null, problem: null, theirs: {} };
const offline = new Problem(0, {});

function footer(draftNow: Partial<DraftState>, callNow: Partial<ConversationState>): string {
  return renderToStaticMarkup(
    <LanguageProvider>
      <DraftStatusLine draft={{ ...draft, ...draftNow }} conversations={[{ ...call, ...callNow }]} />
    </LanguageProvider>,
  );
}

it('says when the draft was saved while everything is on the relay', () => {
  expect(footer({}, {})).toContain(ja.findings.saved('09:00'));
});

it('goes on saying that a save failed while someone types on', () => {
  for (const status of ['failed', 'unsaved', 'saving'] as const) {
    const text = footer({ status, problem: offline }, {});
    expect(text).toContain(ja.findings.saveFailed);
    expect(text).toContain('role="alert"');
  }
});

it('never says saved while a call record is not', () => {
  for (const state of [{ status: 'failed', problem: offline }, { status: 'unsaved', problem: offline }] as const) {
    const text = footer({}, state);
    expect(text).toContain(ja.call.saveFailed);
    expect(text).not.toContain('下書き保存');
  }
  expect(footer({}, { status: 'conflict', theirs: { readback_text: 'x' } })).toContain(ja.call.conflictTitle);
});
