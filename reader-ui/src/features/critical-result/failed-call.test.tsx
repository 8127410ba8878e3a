// @vitest-environment happy-dom
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { act } from 'react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { closeCall, endAttempt, escalateCall, recordAlternativeDelivery, startAttempt } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import type { Call, CallAttempt, ReadingRequestDetail } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { readerSession, requestWith } from '../../testing/example-request.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { roleAt } from './call-facts.ts';
import { CallEditor } from './CallEditor.tsx';
import { attemptsMin, distinctMin, failureFacts } from './failure-facts.ts';
import { ConversationBook } from './use-conversations.ts';

vi.mock('../../api/client.ts', () => ({
  saveConversation: vi.fn(),
  closeCall: vi.fn(),
  escalateCall: vi.fn(),
  recordAlternativeDelivery: vi.fn(),
  startAttempt: vi.fn(() => new Promise(() => undefined)),
  endAttempt: vi.fn(() => new Promise(() => undefined)),
  listTemplates: vi.fn(),
}));

const dial = (patch: Partial<CallAttempt> = {}): CallAttempt => ({
  attempt_no: 1,
  number_dialed: '0153-00-1111',
  callee_role: 'attending',
  callee_name: null,
  channel: 'landline',
  started_at_ms: 1,
  ended_at_ms: 2,
  outcome: 'no_answer',
  failure_reason: 'recipient-unavailable',
  next_action: 'redial',
  ...patch,
});
const call = (patch: Partial<Call> = {}): Call => ({
  id: 'c',
  version: 1,
  reading_request_id: 'q',
  state: 'attempted',
  direction: 'reader_to_referrer',
  attempts: [],
  conversation: null,
  escalation: null,
  alternative_delivery: null,
  addenda: [],
  recorded_by: { id: 'saito', name: '齋藤 守' },
  recorded_at_ms: 1,
  report_version_at_call: null,
  started_at_ms: 0,
  dialed_at_ms: null,
  connected_at_ms: null,
  ended_at_ms: null,
  missing: [],
  ...patch,
});
const escalation = { who: '部長 佐藤', role: 'on_call', why: '主治医が出ない', at_ms: 5 };
const delivery = { kind: 'fax', to: '0153-00-2222', sent_at_ms: 6, receipt_text: '受領 田中', receipt_at_ms: 7 };
const thrice = [dial(), dial({ attempt_no: 2 }), dial({ attempt_no: 3 })];

describe('a documented failure', () => {
  it('is counted over all calls of the case, as the relay counts', () => {
    const other = dial({ number_dialed: '０１５３００１１１２' });
    expect(failureFacts([call({ attempts: thrice })])).toEqual({ attempts: 3, distinct: 1, escalated: false, delivered: false });
    expect(failureFacts([call({ attempts: thrice, escalation, alternative_delivery: delivery }), call({ id: 'd', attempts: [other] })])).toEqual({ attempts: 4, distinct: 2, escalated: true, delivered: true });
    expect(failureFacts([call({ attempts: [dial({ number_dialed: '0153001111' }), dial({ callee_role: 'on_call' })] })]).distinct).toBe(2);
    expect(failureFacts([call({ attempts: [dial({ outcome: 'connected' }), dial({ outcome: null })] }), call({ direction: 'third_party', attempts: thrice })]).attempts).toBe(0);
    const policy = readFileSync(join(dirname(fileURLToPath(import.meta.url)), '../../../../relay/domain/src/critical_result.rs'), 'utf8');
    expect(policy).toContain(`attempts_min: ${attemptsMin},\n            distinct_min: ${distinctMin},`);
  });
});

describe('who answers at a number', () => {
  const contact = (role: string, name: string) => ({ name, role, number: '1', site: '根室診療所' });
  it('is what the request says, and else not known', () => {
    expect(roleAt(contact('callback', '北健二'), { responsible_physician: '北　健二' })).toBe('attending');
    expect(roleAt(contact('callback', '山本 看護師'), { responsible_physician: '北 健二' })).toBeNull();
    expect(roleAt(contact('site', '根室診療所'), { responsible_physician: null })).toBeNull();
    expect(roleAt(contact('nurse', '救急'), { responsible_physician: null })).toBe('nurse');
  });
});

describe('the record of a call that reached nobody', () => {
  let rendered: Rendered;
  const changed = vi.fn();
  const failed = vi.fn();
  const book = new ConversationBook(() => undefined);
  const editor = (shown: Call, request: ReadingRequestDetail) => (
    <CallEditor call={shown} request={request} book={book} disabled={false} currentImage={() => null} onChanged={changed} onFailure={failed} />
  );
  const show = async (shown: Call, earlier: Call[] = [], patch: Partial<ReadingRequestDetail> = {}) => {
    const request = requestWith({ calls: [...earlier, shown], ...patch });
    if (rendered) await rendered.show(editor(shown, request));
    else rendered = await render(editor(shown, request), { session: readerSession, data: [[['templates'], { items: [] }]] });
    return rendered.page.textContent ?? '';
  };
  const press = (label: string) => act(async () => rendered.button(label)?.click());

  beforeEach(() => {
    localStorage.clear();
    vi.clearAllMocks();
    rendered = undefined as unknown as Rendered;
  });
  afterEach(() => rendered.leave());

  it('says before it is closed that another number or role is needed', async () => {
    const delivered = call({ state: 'alternative_delivered', attempts: thrice, escalation, alternative_delivery: delivery });
    expect(await show(delivered)).toContain(ja.call.failedMore(ja.call.needOther));
    expect(rendered.button(ja.call.close)).toBeUndefined();
    expect(rendered.button(ja.call.closeAnyway)?.disabled).toBe(false);
    const text = await show({ ...delivered, attempts: [...thrice, dial({ attempt_no: 4, number_dialed: '0153-00-1112' })] });
    expect(text).not.toContain(ja.call.needOther);
    expect(rendered.button(ja.call.close)?.disabled).toBe(false);
  });

  it('is not closed at all while a red finding would have to be documented again', async () => {
    const delivered = call({ state: 'alternative_delivered', attempts: thrice, escalation, alternative_delivery: delivery });
    await show(delivered, [], { criticality: 'crit_red' });
    expect(rendered.button(ja.call.close)?.disabled).toBe(true);
    const told = call({ id: 'b', state: 'closed', attempts: [dial({ outcome: 'connected' })], conversation: { readback_ok: true } });
    await show(delivered, [told], { criticality: 'crit_red' });
    expect(rendered.button(ja.call.close)?.disabled).toBe(false);
  });

  it('names what the relay says is missing before it is closed', async () => {
    const delivered = call({ state: 'alternative_delivered', attempts: thrice, escalation, alternative_delivery: delivery, missing: ['findings_conveyed'] });
    vi.mocked(closeCall).mockRejectedValue(new Problem(422, { code: 'failure_not_documented', missing: ['failed_attempts', 'numbers_or_roles', 'escalation', 'alternative_delivery'] }));
    await show(delivered);
    await press(ja.call.closeAnyway);
    const list = () => [...rendered.page.querySelectorAll('[role=alert]')].map(({ textContent }) => textContent).find((text) => text?.includes(ja.call.missing)) ?? '';
    for (const name of [ja.call.failedAttempts(attemptsMin), ja.call.failedDistinct(distinctMin), ja.call.failedEscalated, ja.call.failedDelivered]) expect(list()).toContain(name);
    expect(failed.mock.lastCall?.[0]).toMatchObject({ code: 'failure_not_documented' });
    await show({ ...delivered, version: 2 });
    expect(list()).toBe('');
  });

  it('cannot be closed before somebody else was told and the finding delivered', async () => {
    expect(await show(call({ attempts: thrice }))).toContain(ja.call.closeAfterDelivery);
    expect(rendered.button(ja.call.close)?.disabled).toBe(true);
  });

  it('takes over the escalation and the delivery that the case has on record', async () => {
    const earlier = call({ id: 'b', state: 'closed_with_exception', attempts: thrice, escalation, alternative_delivery: delivery });
    const second = call({ attempts: [dial({ number_dialed: '0153-00-1112' })] });
    vi.mocked(escalateCall).mockResolvedValue({ ...second, escalation });
    vi.mocked(recordAlternativeDelivery).mockResolvedValue({ ...second, state: 'alternative_delivered', escalation, alternative_delivery: delivery });
    expect(await show(second, [earlier])).toContain(ja.call.reuseWhy('部長 佐藤', '0153-00-2222'));
    await press(ja.call.reuse);
    expect(vi.mocked(escalateCall).mock.calls[0]).toMatchObject(['c', { who: '部長 佐藤', role: 'on_call' }]);
    expect(vi.mocked(escalateCall).mock.calls[0]?.[1].why).toContain('主治医が出ない');
    expect(vi.mocked(recordAlternativeDelivery).mock.calls[0]).toEqual(['c', delivery]);
    expect(changed).toHaveBeenCalledTimes(2);
    expect(await show(second)).not.toContain(ja.call.reuse);
  });

  it('presets a reason only where the outcome says it, and never what is done next', async () => {
    await show(call({ attempts: [dial({ outcome: null, ended_at_ms: null, failure_reason: null, next_action: null })] }));
    const chosen = () => [...rendered.page.querySelectorAll('[data-state=on]')].map(({ textContent }) => textContent);
    await press(ja.code('unreachable_number'));
    expect(chosen()).toEqual([ja.code('invalid-phone-number')]);
    expect(rendered.button(ja.common.save)?.disabled).toBe(true);
    await press(ja.code('wrong_party'));
    expect(chosen()).toEqual([]);
    await press(ja.code('no_answer'));
    await press(ja.code('other_number'));
    await press(ja.common.save);
    expect(vi.mocked(endAttempt).mock.calls[0]?.[2]).toEqual({ outcome: 'no_answer', failure_reason: 'recipient-unavailable', next_action: 'other_number' });
  });

  it('asks who answers before a number is dialled, unless the request says it', async () => {
    await show(call(), [], { callback_person: '根室診療所' });
    const number = () => rendered.page.querySelector(`[aria-label="${ja.call.dial} 0153-00-1111"]`) as HTMLButtonElement;
    expect(number().disabled).toBe(true);
    expect(rendered.page.querySelector('a[href^="tel:"]')).toBeNull();
    const role = rendered.page.querySelector(`select[aria-label^="${ja.call.calleeRole} 0153"]`) as HTMLSelectElement;
    await act(async () => {
      role.value = 'nurse';
      role.dispatchEvent(new Event('change', { bubbles: true }));
    });
    await act(async () => number().click());
    expect(vi.mocked(startAttempt).mock.calls[0]?.[1]).toEqual({ number_dialed: '0153-00-1111', channel: 'landline', callee_role: 'nurse' });
  });

  it('lists what a refused closing lacks, and less of it as it is filled in', async () => {
    const connected = call({ state: 'connected', attempts: [dial({ outcome: 'connected' })], missing: ['findings_conveyed', 'readback_text'] });
    vi.mocked(closeCall).mockRejectedValue(new Problem(422, { code: 'call_incomplete', missing: ['findings_conveyed', 'readback_text', 'late_entry_reason'] }));
    await show(connected);
    const list = () => [...rendered.page.querySelectorAll('[role=alert]')].map(({ textContent }) => textContent).join();
    expect(list()).not.toContain(ja.call.missing);
    await press(ja.call.close);
    for (const name of [ja.call.findingsConveyed, ja.call.readbackText, ja.call.lateReason]) expect(list()).toContain(name);
    await show({ ...connected, version: 2, missing: ['readback_text'] });
    expect(list()).toContain(ja.call.readbackText);
    expect(list()).not.toContain(ja.call.findingsConveyed);
    await show({ ...connected, version: 3, missing: [] });
    expect(list()).not.toContain(ja.call.missing);
  });
});
