/**
 * Text from a header or a person, made safe to look at: controls, zero-width and direction-changing characters
 * would let one name look like another, so they are shown as a visible mark instead of taking effect.
 */
// eslint-disable-next-line no-control-regex -- control characters are what this is about
const deceptive = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\u061c\ufeff\ufff9-\ufffb]/g;

export function safeText(text: string): string {
  return text.replace(deceptive, '\u2423');
}

/** Text of a DICOM header to look at: half-width katakana, which old scanners send, in full width. */
export function headerText(text: string): string {
  return safeText(text).replace(/[\uff61-\uff9f]+/g, (kana) => kana.normalize('NFKC'));
}

/** A person's name from its DICOM groups: components are separated by `^`. */
export function personName(group: string): string {
  return headerText(group.split('^').filter(Boolean).join(' '));
}
