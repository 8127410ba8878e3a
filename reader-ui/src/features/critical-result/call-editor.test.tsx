// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { act } from 'react';
import { createRoot } from 'react-dom/client';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { closeCall, saveConversation } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import type { Call, ReadingRequestDetail } from '../../api/types.ts';
import { LanguageProvider } from '../../strings/language.tsx';
import { ja } from '../../strings/ja.ts';
import type { SessionControl } from '../session/session-context.ts';
import { SessionContext } from '../session/session-context.ts';
import { CallEditor } from './CallEditor.tsx';
import { missingName } from './conversation-facts.ts';
import { ConversationBook } from './use-conversations.ts';

vi.mock('../../api/client.ts', () => ({ saveConversation: vi.fn(), closeCall: vi.fn(), listTemplates: vi.fn(() => new Promise(() => undefined)) }));

const all = ['parties', 'identity_confirmed', 'patient_identified_by', 'state_told', 'state_assessed_at_ms', 'images_viewed', 'findings_conveyed', 'agreed_plan', 'readback_text', 'readback_ok', 'uncertainty', 'family_informed', 'next_contact_at_ms', 'late_entry_reason'];
const dial = { attempt_no: 1, number_dialed: '1', callee_role: 'other', callee_name: null, channel: 'landline', started_at_ms: 1, ended_at_ms: 2, outcome: 'connected', failure_reason: null, next_action: null };
const call = (missing: string[]) =>
  ({ id: 'c', version: 1, state: 'connected', attempts: [dial], conversation: null, dialed_at_ms: 1, connected_at_ms: 2, ended_at_ms: null, started_at_ms: 0, missing }) as unknown as Call;
const request = {
  patient: { name: { alphabetic: 'A', ideographic: '', phonetic: '' }, birth_date: null, birth_date_era: null, sex: 'F', age_years: 1 },
  study: { study_date: null, study_time: null },
  case_code: '4723',
  clinical_context: {},
  requesting_site: { name: '根室' },
} as unknown as ReadingRequestDetail;
const session = { session: { user: { id: 'u', name: '読影', role: 'reader', site: { name: '中央' } } } } as unknown as SessionControl;

let page: HTMLElement;
let book: ConversationBook;
let root: ReturnType<typeof createRoot>;

beforeEach(() => {
  vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', true);
  localStorage.clear();
  page = document.body.appendChild(document.createElement('div'));
  book = new ConversationBook(() => undefined);
  root = createRoot(page);
});
afterEach(() => {
  act(() => root.unmount());
  page.remove();
  vi.unstubAllGlobals();
});

function show(missing: string[]): void {
  const queries = new QueryClient();
  queries.setQueryData(['templates'], { items: [] });
  act(() =>
    root.render(
      <QueryClientProvider client={queries}>
        <LanguageProvider>
          <SessionContext value={session}>
            <CallEditor call={call(missing)} request={request} book={book} disabled={false} currentImage={() => null} onChanged={() => undefined} onFailure={() => undefined} />
          </SessionContext>
        </LanguageProvider>
      </QueryClientProvider>,
    ),
  );
}

const marks = () => [...page.querySelectorAll('span')].filter(({ textContent }) => textContent === ja.common.required).length;

it('marks what the relay says is missing, every one of it and nothing else', () => {
  show([]);
  expect(marks()).toBe(0);
  for (const field of all) {
    show([field]);
    // Name and role of the other party are two answers.
    expect(marks(), field).toBe(field === 'parties' ? 2 : 1);
    expect(missingName(field, ja), field).toBeTruthy();
  }
});

it('says why a record is not closed when what was written cannot be saved', async () => {
  vi.mocked(saveConversation).mockRejectedValue(new Problem(0, {}));
  show([]);
  await act(async () => book.of(call([])).update({ readback_text: '左被殻出血' }));
  const close = [...page.querySelectorAll('button')].find(({ textContent }) => textContent === ja.call.close);
  await act(async () => close?.click());
  expect(closeCall).not.toHaveBeenCalled();
  for (const text of [ja.call.notClosed, ja.call.saveFailed, ja.problem.offline]) expect(page.textContent).toContain(text);
});
