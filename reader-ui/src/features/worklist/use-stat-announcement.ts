import { useEffect, useRef, useState } from 'react';
import type { ReadingRequestSummary } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';

const announcedUrgencies = new Set(['stroke_code', 'critical']);

/** The sentence for a stat request that was not in the list before; it is put where screen readers read it out. */
export function useStatAnnouncement(items: readonly ReadingRequestSummary[] | undefined): string {
  const strings = useStrings();
  const known = useRef<Set<string> | null>(null);
  const [text, setText] = useState('');
  useEffect(() => {
    if (!items) return;
    const fresh = items.filter(({ id, urgency }) => known.current && !known.current.has(id) && announcedUrgencies.has(urgency));
    known.current = new Set([...(known.current ?? []), ...items.map(({ id }) => id)]);
    const [first] = fresh;
    if (first) setText(strings.worklist.newStat(strings.code(first.urgency), first.requesting_site.name, first.case_code));
  }, [items, strings]);
  return text;
}
