import { useQuery } from '@tanstack/react-query';
import { presenceHeaders } from '../../api/presence.ts';
import { isoDate } from '../../lib/dates.ts';
import { personName } from '../../lib/safe-text.ts';

export interface ArrivedStudy {
  uid: string;
  label: string;
}

type Values = Record<string, { Value?: unknown[] } | undefined>;
const studiesMax = '50';

/** The site's studies at the relay, by QIDO-RS: also those nobody has asked a reading for. */
export function useArrivedStudies(): ArrivedStudy[] {
  const { data } = useQuery({
    queryKey: ['arrived-studies'],
    queryFn: async () => {
      const response = await fetch(`/dicom-web/studies?limit=${studiesMax}`, { credentials: 'same-origin', cache: 'no-store', headers: { accept: 'application/dicom+json', ...presenceHeaders() } });
      if (!response.ok) return [];
      const body: unknown = await response.json().catch(() => []);
      return Array.isArray(body) ? (body as Values[]).flatMap(toStudy) : [];
    },
  });
  return data ?? [];
}

export function toStudy(json: Values): ArrivedStudy[] {
  const text = (tag: string) => {
    const value = json[tag]?.Value?.[0];
    return typeof value === 'string' ? value : '';
  };
  const uid = text('0020000D');
  if (!uid) return [];
  const name = json['00100010']?.Value?.[0] as { Alphabetic?: string; Ideographic?: string } | undefined;
  const modalities = (json['00080061']?.Value ?? []).map(String).join('/');
  const label = [isoDate(text('00080020')) ?? '', modalities, personName(name?.Ideographic ?? name?.Alphabetic ?? ''), text('00100020')].filter(Boolean).join('  ');
  return [{ uid, label }];
}
