import { useEffect, useState } from 'react';

/** The value once it has not changed for a while: what someone types, when they pause. An empty text counts at once. */
export function useSettled(value: string, forMs: number): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), value === '' ? 0 : forMs);
    return () => clearTimeout(timer);
  }, [value, forMs]);
  return value === '' ? '' : settled;
}
