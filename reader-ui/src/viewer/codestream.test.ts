import { describe, expect, it } from 'vitest';
import { decodesTruly, jpeg2000Signed, signsAgree } from './codestream.ts';

/** SOC, SIZ and the sign byte of the first component; the rest does not matter here. */
function stream(signByte: number): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set([0xff, 0x4f, 0xff, 0x51]);
  bytes[42] = signByte;
  return bytes;
}

describe('the sign of a JPEG 2000 codestream', () => {
  it('is read from SIZ', () => {
    expect(jpeg2000Signed(stream(0x8f))).toBe(true);
    expect(jpeg2000Signed(stream(0x0f))).toBe(false);
    expect(jpeg2000Signed(new Uint8Array(64))).toBeNull();
    expect(jpeg2000Signed(new Uint8Array(10))).toBeNull();
  });

  it('must agree with the header, or the picture is refused', () => {
    expect(signsAgree(stream(0x0f), '1.2.840.10008.1.2.4.90', true)).toBe(false);
    expect(signsAgree(stream(0x8f), '1.2.840.10008.1.2.4.202', true)).toBe(true);
    expect(signsAgree(stream(0x0f), '1.2.840.10008.1.2.4.80', true)).toBe(true);
  });

  it('with 8 bits and less is beyond the HTJ2K decoder, and refused', () => {
    const htj2k = '1.2.840.10008.1.2.4.202';
    expect(decodesTruly(stream(0x87), htj2k)).toBe(false);
    expect(decodesTruly(stream(0x88), htj2k)).toBe(true);
    expect(decodesTruly(stream(0x07), htj2k)).toBe(true);
    expect(decodesTruly(stream(0x87), '1.2.840.10008.1.2.4.90')).toBe(true);
  });
});
