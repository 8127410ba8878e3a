/** The little this page must know about a JPEG 2000 codestream before it trusts a decoder (ISO/IEC 15444-1 A.5.1). */
const startOfCodestream = 0xff4f;
const sizeMarker = 0xff51;
const signByteOffset = 42;

/** Whether component 0 is signed, or null when the bytes do not start with SOC and SIZ. */
export function jpeg2000Signed(bytes: Uint8Array): boolean | null {
  if (bytes.length <= signByteOffset) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(0) !== startOfCodestream || view.getUint16(2) !== sizeMarker) return null;
  return (view.getUint8(signByteOffset) & 0x80) !== 0;
}

/** Ssiz of component 0 (A.5.1): the sign, and one less than the bits of a sample; null as for {@link jpeg2000Signed}. */
function jpeg2000Bits(bytes: Uint8Array): number | null {
  return jpeg2000Signed(bytes) === null ? null : ((bytes[signByteOffset] ?? 0) & 0x7f) + 1;
}

const htj2kFamily = new Set(['201', '202', '203'].map((end) => `1.2.840.10008.1.2.4.${end}`));

/** The HTJ2K decoder at hand shows negative samples of 8 bits and less as 0: such a picture is refused. */
export function decodesTruly(bytes: Uint8Array, transferSyntaxUid: string): boolean {
  if (!htj2kFamily.has(transferSyntaxUid)) return true;
  const bits = jpeg2000Bits(bytes);
  return bits === null || bits > 8 || jpeg2000Signed(bytes) !== true;
}

const jpeg2000Family = new Set(['90', '91', '92', '93', '201', '202', '203'].map((end) => `1.2.840.10008.1.2.4.${end}`));

/**
 * A header that says "signed" over a stream that says otherwise is drawn with air as white by every decoder at hand.
 * Such an image is refused: a wrong picture is worse than none.
 */
export function signsAgree(bytes: Uint8Array, transferSyntaxUid: string, headerSigned: boolean): boolean {
  if (!jpeg2000Family.has(transferSyntaxUid)) return true;
  const signed = jpeg2000Signed(bytes);
  return signed === null || signed === headerSigned;
}
