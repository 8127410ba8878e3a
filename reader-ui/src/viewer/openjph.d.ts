/** The parts of the HTJ2K decoder that this page calls itself; the package brings no types. */
declare module '@cornerstonejs/codec-openjph/wasmjs' {
  export interface Htj2kFrameInfo {
    width: number;
    height: number;
    bitsPerSample: number;
    componentCount: number;
    isSigned: boolean;
  }

  export interface Htj2kDecoder {
    /** Room in the decoder's memory for a codestream of so many bytes. */
    getEncodedBuffer(length: number): Uint8Array;
    /** Decodes with the sides of the image halved so many times. */
    decodeSubResolution(halvings: number): void;
    /** Of the whole image, not of the decoded one. */
    getFrameInfo(): Htj2kFrameInfo;
    getDecodedBuffer(): Uint8Array<ArrayBuffer>;
    delete(): void;
  }

  export interface OpenJph {
    HTJ2KDecoder: new () => Htj2kDecoder;
  }

  export default function openJph(options?: { locateFile?: (file: string) => string }): Promise<OpenJph>;
}
