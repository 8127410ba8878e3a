import { useEffect } from 'react';

const activity = ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart'] as const;
const checkMs = 5_000;

/** Calls `idle` once nobody has touched the page for `afterMs`; a sleeping computer counts as idle too. */
export function useIdle(afterMs: number, active: boolean, idle: () => void): void {
  useEffect(() => {
    if (!active) return undefined;
    let last = Date.now();
    const touched = () => {
      last = Date.now();
    };
    for (const name of activity) addEventListener(name, touched, { passive: true });
    const timer = setInterval(() => {
      if (Date.now() - last >= afterMs) idle();
    }, checkMs);
    return () => {
      clearInterval(timer);
      for (const name of activity) removeEventListener(name, touched);
    };
  }, [afterMs, active, idle]);
}
