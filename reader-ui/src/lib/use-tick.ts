import { useEffect, useState } from 'react';
import { serverNow } from './server-clock.ts';

/** The relay's time, again every second, for clocks on screen. */
export function useServerTime(everyMs = 1000): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
