import { presenceHeaders } from '../api/presence.ts';
import { noteSignOfLife } from '../api/sign-of-life.ts';
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
  /** What a preview has brought of it. */
  beginning: FrameBeginning | null;
}

/** The first bytes of a frame, and the entity tag of the whole that they belong to. */
export interface FrameBeginning {
  bytes: Uint8Array<ArrayBuffer>;
  etag: string;
}

/** The beginning of a frame's codestream, as far as the relay has checked it. */
export interface PreviewBytes {
  codestream: Uint8Array<ArrayBuffer>;
  /** Entity tag of the frame that begins so; null from a relay that does not say. */
  frameEtag: string | null;
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
  const { beginning } = wanted;
  // Only what lies behind the preview, if the relay still has the frame that begins so; else it sends the whole.
  const goOn: Record<string, string> = beginning ? { range: `bytes=${beginning.bytes.length}-`, 'if-range': beginning.etag } : {};
  const response = await request(wanted.url, { accept: acceptOf(wanted), ...goOn }, signal);
  // There is nothing behind it.
  if (response.status === rangeBeyond) return fetchFrame({ ...wanted, beginning: null }, signal);
  const contentType = response.headers.get('content-type') ?? '';
  const transferSyntaxUid = /transfer-syntax="?([0-9.]+)"?/.exec(contentType)?.[1];
  if (!transferSyntaxUid || contentType.startsWith('multipart/')) throw new ViewerFailure('unsupported_transfer_syntax');
  const received = new Uint8Array(await readAll(response));
  const bytes = response.status === partial ? joined(beginning, received, response) : received;
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

const partial = 206;
const rangeBeyond = 416;

/** The frame from its beginning and what was asked for to follow it; nothing else is taken for it. */
function joined(beginning: FrameBeginning | null, rest: Uint8Array, { headers }: Response): Uint8Array<ArrayBuffer> {
  const length = (beginning?.bytes.length ?? 0) + rest.length;
  const fits = headers.get('content-range') === `bytes ${beginning?.bytes.length}-${length - 1}/${length}`;
  if (!beginning || !fits || headers.get('etag') !== beginning.etag) throw new ViewerFailure('relay_error');
  const whole = new Uint8Array(length);
  whole.set(beginning.bytes);
  whole.set(rest, beginning.bytes.length);
  return whole;
}

const halvingsMax = 8;

/** Fetches what the relay has of a frame that is still arriving. */
export async function fetchPreview(url: string, signal: AbortSignal): Promise<PreviewBytes> {
  const response = await request(url, { accept: `image/jphc;transfer-syntax=${htj2k}` }, signal);
  const halvings = Number(response.headers.get('tancho-preview-halvings') ?? Number.NaN);
  if (!Number.isInteger(halvings) || halvings < 0 || halvings > halvingsMax) throw new ViewerFailure('decode_failed');
  return { codestream: new Uint8Array(await readAll(response)), frameEtag: response.headers.get('tancho-frame-etag'), halvings };
}

async function request(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal, credentials: 'same-origin', headers: { ...headers, ...presenceHeaders() } });
  } catch {
    throw new ViewerFailure('network');
  }
  noteSignOfLife();
  if (response.ok || (response.status === rangeBeyond && 'range' in headers)) return response;
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
    const bytes = await response.arrayBuffer();
    noteSignOfLife();
    return bytes;
  } catch {
    throw new ViewerFailure('network');
  }
}
