import { useEffect } from 'react';

/** The longest wait for a quiet moment. */
const quietWithinMs = 2000;

/** Loads and starts the viewer while the reader looks at the worklist. What fails here is tried again, and told, when a case is opened. */
export function useViewerReady(): void {
  useEffect(() => {
    const load = () => {
      const page = import('../reading/ReadingPage.tsx');
      const viewer = import('../../viewer/warm-up.ts').then(({ warmUp }) => warmUp());
      void Promise.allSettled([page, viewer]);
    };
    // Safari has no idle callback.
    if (!('requestIdleCallback' in window)) {
      const timer = setTimeout(load, quietWithinMs);
      return () => clearTimeout(timer);
    }
    const handle = requestIdleCallback(load, { timeout: quietWithinMs });
    return () => cancelIdleCallback(handle);
  }, []);
}
