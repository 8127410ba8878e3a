import { notifyManager, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { act } from 'react';
import type { ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import type { Session } from '../api/types.ts';
import { SessionContext } from '../features/session/session-context.ts';
import { LanguageProvider } from '../strings/language.tsx';
import { referrerSession } from './example-request.ts';

// What a query answers is on the page when the act that asked is over.
notifyManager.setScheduler(queueMicrotask);

export interface Rendered {
  page: HTMLElement;
  queries: QueryClient;
  show(shown: ReactNode): Promise<void>;
  button(label: string): HTMLButtonElement | undefined;
  leave(): void;
}

/** Draws a part of the page for somebody who is logged in; nothing is asked of a relay but what the test answers. */
export async function render(shown: ReactNode, { session = referrerSession, data = [] }: { session?: Session; data?: readonly [readonly unknown[], unknown][] } = {}): Promise<Rendered> {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: Number.POSITIVE_INFINITY } } });
  for (const [key, value] of data) queries.setQueryData(key, value);
  const page = document.body.appendChild(document.createElement('div'));
  const root = createRoot(page);
  const control = { session, covered: false, lock: () => undefined, logOut: () => undefined };
  const show = (next: ReactNode) =>
    act(async () =>
      root.render(
        <QueryClientProvider client={queries}>
          <LanguageProvider>
            <SessionContext value={control}>{next}</SessionContext>
          </LanguageProvider>
        </QueryClientProvider>,
      ),
    );
  await show(shown);
  return {
    page,
    queries,
    show,
    button: (label) => [...page.querySelectorAll('button')].find(({ textContent }) => textContent?.trim() === label),
    leave: () => {
      act(() => root.unmount());
      page.remove();
    },
  };
}
