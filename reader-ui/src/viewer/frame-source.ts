import { presenceHeaders } from '../api/presence.ts';
import { decodesTruly, signsAgree } from './codestream.ts';
import { ViewerFailure } from './failure.ts';

/** The bytes of one frame as the relay holds them, with the transfer syntax they are in. */
export interface FrameBytes {
  bytes: Uint8Array<ArrayBuffer>;
  transferSyntaxUid: string;
}

export interface FrameWanted {
  url: string;
  signed: boolean;
  /** Bits Stored (0028,0101). */
  bitsStored: number;
  bytesExpected: number;
}

/** The beginning of a frame's codestream, as far as the relay has checked it. */
export interface PreviewBytes {
  codestream: Uint8Array<ArrayBuffer>;
  /** How often the sides of the image it holds are halved. */
  halvings: number;
}

const htj2k = '1.2.840.10008.1.2.4.202';
const asReceived = 'application/octet-stream;transfer-syntax=*';
const native = 'application/octet-stream;transfer-syntax=1.2.840.10008.1.2.1';

/**
 * Frames that travelled as HTJ2K come as HTJ2K. The decoder at hand cuts negative samples of 8 bits and less off, so
 * those are asked for decoded. What was received compressed comes as it was received either way.
 */
export function acceptOf({ signed, bitsStored }: Pick<FrameWanted, 'signed' | 'bitsStored'>): string {
  return signed && bitsStored <= 8 ? `${native}, ${asReceived}` : `image/jphc;transfer-syntax=${htj2k}, ${asReceived}`;
}

const nativeLittleEndian = new Set(['1.2.840.10008.1.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.1.99', '1.2.840.10008.1.2.2']);

/**
 * Fetches one frame with the session cookie and checks what can be checked before a decoder sees it.
 * Native frames must have exactly the size the header promises; padding to an even length is allowed.
 */
export async function fetchFrame(wanted: FrameWanted, signal: AbortSignal): Promise<FrameBytes> {
  const response = await request(wanted.url, acceptOf(wanted), signal);
  const contentType = response.headers.get('content-type') ?? '';
  const transferSyntaxUid = /transfer-syntax="?([0-9.]+)"?/.exec(contentType)?.[1];
  if (!transferSyntaxUid || contentType.startsWith('multipart/')) throw new ViewerFailure('unsupported_transfer_syntax');
  const bytes = new Uint8Array(await readAll(response));
  if (nativeLittleEndian.has(transferSyntaxUid)) {
    const surplus = bytes.length - wanted.bytesExpected;
    if (surplus < 0 || surplus > 1) throw new ViewerFailure('short_frame');
  } else if (!signsAgree(bytes, transferSyntaxUid, wanted.signed)) {
    throw new ViewerFailure('sign_mismatch');
  } else if (!decodesTruly(bytes, transferSyntaxUid)) {
    throw new ViewerFailure('unsupported_transfer_syntax');
  }
  return { bytes, transferSyntaxUid };
}

const halvingsMax = 8;

/** Fetches what the relay has of a frame that is still arriving. */
export async function fetchPreview(url: string, signal: AbortSignal): Promise<PreviewBytes> {
  const response = await request(url, `image/jphc;transfer-syntax=${htj2k}`, signal);
  const halvings = Number(response.headers.get('tancho-preview-halvings') ?? Number.NaN);
  if (!Number.isInteger(halvings) || halvings < 0 || halvings > halvingsMax) throw new ViewerFailure('decode_failed');
  return { codestream: new Uint8Array(await readAll(response)), halvings };
}

async function request(url: string, accept: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal, credentials: 'same-origin', headers: { accept, ...presenceHeaders() } });
  } catch {
    throw new ViewerFailure('network');
  }
  if (response.ok) return response;
  if (response.status === 401) throw new ViewerFailure('session_ended');
  if (response.status !== 404) throw new ViewerFailure('relay_error');
  throw new ViewerFailure((await isNotArrived(response)) ? 'not_arrived' : 'not_found');
}

const notArrived = new Set(['preview_not_there', 'instance_arriving']);

async function isNotArrived(response: Response): Promise<boolean> {
  const problem = (await response.json().catch(() => null)) as { code?: unknown } | null;
  return typeof problem?.code === 'string' && notArrived.has(problem.code);
}

async function readAll(response: Response): Promise<ArrayBuffer> {
  try {
    return await response.arrayBuffer();
  } catch {
    throw new ViewerFailure('network');
  }
}
