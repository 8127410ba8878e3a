import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { saveConversation } from '../../api/client.ts';
import { Problem } from '../../api/http.ts';
import type { Call } from '../../api/types.ts';
import { ownOpenCalls } from './call-facts.ts';
import { ConversationBook } from './use-conversations.ts';

vi.mock('../../api/client.ts', () => ({ saveConversation: vi.fn() }));
const save = vi.mocked(saveConversation);

const call = (patch: object = {}): Call => ({ id: 'c', state: 'connected', recorded_by: { id: 'me', name: '' }, conversation: null, ...patch }) as unknown as Call;

describe('the conversation of a call', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    save.mockReset();
    save.mockResolvedValue(call());
  });
  afterEach(() => void vi.useRealTimers());

  const write = (book: ConversationBook, text: string) => book.of(call()).update({ findings_conveyed: text });
  const sent = () => save.mock.calls.map(([, conversation]) => conversation.findings_conveyed);

  it('has one keeper per call, which still has the words after the tab was changed', () => {
    const book = new ConversationBook(() => undefined);
    write(book, 'bleeding');
    expect(book.of(call()).getState().conversation.findings_conveyed).toBe('bleeding');
  });

  it('follows the relay until the first word is written here', () => {
    const saver = new ConversationBook(() => undefined).of(call());
    saver.adopt(call({ conversation: { findings_conveyed: 'from the other desk' } }));
    expect(saver.getState().conversation.findings_conveyed).toBe('from the other desk');
    saver.update({ findings_conveyed: 'mine' });
    saver.adopt(call({ conversation: { findings_conveyed: 'from the other desk' } }));
    expect(saver.getState().conversation.findings_conveyed).toBe('mine');
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
