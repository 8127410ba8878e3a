/** UCUM codes as they are written in a hospital. */
const written: Record<string, { ja: string; en: string }> = {
  '1': { ja: '', en: '' },
  a: { ja: '歳', en: 'y' },
  'mm[Hg]': { ja: 'mmHg', en: 'mmHg' },
  Cel: { ja: '℃', en: '°C' },
  h: { ja: '時間', en: 'h' },
  min: { ja: '分', en: 'min' },
  s: { ja: '秒', en: 's' },
  "[hnsf'U]": { ja: 'HU', en: 'HU' },
  '10*3/uL': { ja: '×10³/µL', en: '×10³/µL' },
  'mL/min/{1.73_m2}': { ja: 'mL/分/1.73m²', en: 'mL/min/1.73 m²' },
};

export function unitText(unit: string | null | undefined, language: 'ja' | 'en'): string {
  if (!unit) return '';
  return written[unit]?.[language] ?? unit;
}
