import './trusted-types.ts';
import './zod-setup.ts';
import './styles.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Problem } from './api/http.ts';
import { watchPresence } from './api/presence.ts';
import { LiveProvider } from './features/live/LiveProvider.tsx';
import { SessionGate } from './features/session/SessionGate.tsx';
import { router } from './routes.tsx';
import { LanguageProvider } from './strings/language.tsx';

const retriesMax = 3;

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Live events say when something changed; this is for the time between an event and a missed one.
      staleTime: 15_000,
      refetchOnWindowFocus: true,
      retry: (failures, error) => failures < retriesMax && error instanceof Problem && (error.status === 0 || error.status >= 500),
    },
  },
});

watchPresence();

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <LanguageProvider>
        <QueryClientProvider client={queries}>
          <SessionGate>
            <LiveProvider>
              <RouterProvider router={router} />
            </LiveProvider>
          </SessionGate>
        </QueryClientProvider>
      </LanguageProvider>
    </StrictMode>,
  );
}
