// @vitest-environment happy-dom
import { act } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { startAttempt } from '../../api/client.ts';
import type { Call } from '../../api/types.ts';
import { ja } from '../../strings/ja.ts';
import { requestWith } from '../../testing/example-request.ts';
import type { Rendered } from '../../testing/render.tsx';
import { render } from '../../testing/render.tsx';
import { ContactList } from './ContactList.tsx';

vi.mock('../../api/client.ts', () => ({ startAttempt: vi.fn(() => Promise.resolve({})) }));

let rendered: Rendered;
beforeEach(() => localStorage.clear());
afterEach(() => rendered.leave());

it('does not name the attending physician for a call that asks for a nurse', async () => {
  const request = requestWith({ callback_number: '0153-00-1111', callback_person: '北 健二', responsible_physician: '北 健二' });
  rendered = await render(<ContactList call={{ id: 'c' } as Call} request={request} disabled={false} onChanged={() => undefined} onFailure={() => undefined} />);
  const role = rendered.page.querySelector(`select[aria-label="${ja.call.calleeRole} 0153-00-1111"]`) as HTMLSelectElement;
  expect(role.value).toBe('attending');
  const dial = () => (rendered.page.querySelector(`[aria-label="${ja.call.dial} 0153-00-1111"]`) as HTMLButtonElement).click();
  await act(async () => dial());
  expect(startAttempt).toHaveBeenLastCalledWith('c', expect.objectContaining({ callee_role: 'attending', callee_name: '北 健二' }));
  await act(async () => {
    role.value = 'nurse';
    role.dispatchEvent(new Event('change', { bubbles: true }));
  });
  await act(async () => dial());
  expect(vi.mocked(startAttempt).mock.lastCall?.[1]).toMatchObject({ callee_role: 'nurse' });
  expect(vi.mocked(startAttempt).mock.lastCall?.[1]).not.toHaveProperty('callee_name');
});
