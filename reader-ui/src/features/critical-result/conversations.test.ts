import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { saveConversation } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import type { Call } from '../../api/types.ts';
import { ownOpenCalls } from './call-facts.ts';
import { ConversationBook } from './use-conversations.ts';

vi.mock('../../api/client.ts', () => ({ saveConversation: vi.fn() }));
const save = vi.mocked(saveConversation);

const call = (patch: object = {}): Call => ({ id: 'c', version: 1, state: 'connected', recorded_by: { id: 'me', name: '' }, conversation: null, ...patch }) as unknown as Call;

describe('the conversation of a call', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    save.mockReset();
    save.mockImplementation((_, base) => Promise.resolve(call({ version: base + 1 })));
  });
  afterEach(() => void vi.useRealTimers());

  const write = (book: ConversationBook, text: string) => book.of(call()).update({ findings_conveyed: text });
  const sent = () => save.mock.calls.map(([, , conversation]) => conversation.findings_conveyed);
  const basesSent = () => save.mock.calls.map(([, base]) => base);
  const stale = (version: number, conversation: object) => new Problem(409, { code: 'call_stale', current: call({ version, conversation }) });

  it('has one keeper per call, which still has the words after the tab was changed', () => {
    const book = new ConversationBook(() => undefined);
    write(book, 'bleeding');
    expect(book.of(call()).getState().conversation.findings_conveyed).toBe('bleeding');
  });

  it('follows the relay in what nobody has written here', () => {
    const saver = new ConversationBook(() => undefined).of(call());
    saver.adopt(call({ version: 2, conversation: { findings_conveyed: 'from the other desk' } }));
    expect(saver.getState().conversation.findings_conveyed).toBe('from the other desk');
    saver.update({ readback_text: 'mine' });
    saver.adopt(call({ version: 3, conversation: { findings_conveyed: 'longer, from the other desk' } }));
    expect(saver.getState().conversation).toMatchObject({ findings_conveyed: 'longer, from the other desk', readback_text: 'mine' });
    saver.adopt(call({ version: 2, conversation: null }));
    expect(saver.getState().conversation.readback_text).toBe('mine');
  });

  it('is saved over the version that was seen, also after a dial made another', async () => {
    const book = new ConversationBook(() => undefined);
    write(book, 'one');
    await vi.advanceTimersByTimeAsync(2_000);
    book.of(call()).adopt(call({ version: 5, conversation: null }));
    write(book, 'two');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(basesSent()).toEqual([1, 5]);
  });

  it('is joined with what another screen has saved in other fields, and saved again', async () => {
    save.mockRejectedValueOnce(stale(7, { readback_text: 'from the other desk', questions_answers: [{ q: 'q', a: 'a' }] }));
    const book = new ConversationBook(() => undefined);
    write(book, 'mine');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(basesSent()).toEqual([1, 7]);
    expect(save.mock.calls[1]?.[2]).toMatchObject({ findings_conveyed: 'mine', readback_text: 'from the other desk', questions_answers: [{ q: 'q', a: 'a' }] });
    expect(book.of(call()).getState().status).toBe('saved');
  });

  it('asks when both screens wrote the same field, and saves nothing until it is settled', async () => {
    save.mockRejectedValueOnce(stale(7, { findings_conveyed: 'theirs', readback_ok: true }));
    const book = new ConversationBook(() => undefined);
    const saver = book.of(call());
    write(book, 'mine');
    saver.update({ readback_ok: false });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(save).toHaveBeenCalledTimes(1);
    expect(saver.getState()).toMatchObject({ status: 'conflict', theirs: { findings_conveyed: 'theirs', readback_ok: true } });
    expect(saver.getState().conversation.findings_conveyed).toBe('mine');
    expect(await saver.flush()).toBe(false);
    saver.settle('readback_ok', 'theirs');
    expect(saver.getState().status).toBe('conflict');
    saver.settle('findings_conveyed', 'both');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(save.mock.calls[1]?.slice(1)).toMatchObject([7, { findings_conveyed: 'theirs\nmine', readback_ok: true }]);
    expect(saver.getState().status).toBe('saved');
  });

  it('keeps both texts when the case leaves the screen before anybody could choose', async () => {
    const book = new ConversationBook(() => undefined);
    save.mockRejectedValueOnce(stale(7, { findings_conveyed: 'theirs' }));
    write(book, 'mine');
    book.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent()).toEqual(['mine', 'theirs\nmine']);
  });

  it('needs no choice when a save arrived but its answer was lost', async () => {
    save.mockRejectedValueOnce(new Problem(0, {}));
    save.mockRejectedValueOnce(stale(2, { findings_conveyed: 'mine' }));
    const book = new ConversationBook(() => undefined);
    write(book, 'mine');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(basesSent()).toEqual([1, 1, 2]);
    expect(book.of(call()).getState().status).toBe('saved');
  });

  it('is sent at once when the tab changes, and one save at a time', async () => {
    const book = new ConversationBook(() => undefined);
    let answer: (saved: Call) => void = () => undefined;
    save.mockImplementationOnce(() => new Promise((resolve) => void (answer = resolve)));
    write(book, 'one');
    book.flush();
    await vi.advanceTimersByTimeAsync(0);
    write(book, 'two');
    book.flush();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sent()).toEqual(['one']);
    answer(call());
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sent()).toEqual(['one', 'two']);
  });

  it('is tried again while the line is down, but never after the case has left the screen', async () => {
    save.mockRejectedValue(new Problem(0, {}));
    const book = new ConversationBook(() => undefined);
    write(book, 'old words');
    await vi.advanceTimersByTimeAsync(7_000);
    expect(save).toHaveBeenCalledTimes(2);
    book.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(save).toHaveBeenCalledTimes(3);
  });

  it('is not sent again by itself once the relay has refused it', async () => {
    save.mockRejectedValue(new Problem(409, { code: 'call_closed' }));
    write(new ConversationBook(() => undefined), 'too late');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(save).toHaveBeenCalledTimes(1);
  });
});

describe('open calls', () => {
  it('of another reader do not count as one’s own', () => {
    const calls = [call(), call({ id: 'd', recorded_by: { id: 'other', name: '' } }), call({ id: 'e', state: 'closed' })];
    expect(ownOpenCalls({ calls }, 'me').map(({ id }) => id)).toEqual(['c']);
  });
});
