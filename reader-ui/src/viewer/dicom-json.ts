/** Readers for DICOM JSON (PS3.18 annex F): plain values out, nothing assumed to be there. */
export interface DicomElement {
  vr: string;
  Value?: unknown[];
  BulkDataURI?: string;
  InlineBinary?: string;
}

export type DicomJson = Record<string, DicomElement | undefined>;

export function readNumbers(json: DicomJson, tag: string): number[] {
  const values = json[tag]?.Value ?? [];
  // Values of DS and IS may come as text.
  return values.map((value) => (typeof value === 'string' ? Number.parseFloat(value) : Number(value))).filter(Number.isFinite);
}

export function readNumber(json: DicomJson, tag: string): number | null {
  return readNumbers(json, tag)[0] ?? null;
}

export function readText(json: DicomJson, tag: string): string | null {
  const value = json[tag]?.Value?.[0];
  return typeof value === 'string' && value !== '' ? value : null;
}

export function readTexts(json: DicomJson, tag: string): string[] {
  return (json[tag]?.Value ?? []).filter((value): value is string => typeof value === 'string');
}

export function readItems(json: DicomJson, tag: string): DicomJson[] {
  const value = json[tag]?.Value;
  return Array.isArray(value) ? value.filter((item): item is DicomJson => typeof item === 'object' && item !== null) : [];
}
