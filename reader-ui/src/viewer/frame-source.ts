import { presenceHeaders } from '../api/presence.ts';
import { signsAgree } from './codestream.ts';
import { ViewerFailure } from './failure.ts';

/** The bytes of one frame as the relay holds them, with the transfer syntax they are in. */
export interface FrameBytes {
  bytes: Uint8Array<ArrayBuffer>;
  transferSyntaxUid: string;
}

export interface FrameWanted {
  url: string;
  signed: boolean;
  bytesExpected: number;
}

const nativeLittleEndian = new Set(['1.2.840.10008.1.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.1.99', '1.2.840.10008.1.2.2']);

/**
 * Fetches one frame with the session cookie and checks what can be checked before a decoder sees it.
 * Native frames must have exactly the size the header promises; padding to an even length is allowed.
 */
export async function fetchFrame(wanted: FrameWanted, signal: AbortSignal): Promise<FrameBytes> {
  const response = await request(wanted.url, signal);
  const contentType = response.headers.get('content-type') ?? '';
  const transferSyntaxUid = /transfer-syntax="?([0-9.]+)"?/.exec(contentType)?.[1];
  if (!transferSyntaxUid || contentType.startsWith('multipart/')) throw new ViewerFailure('unsupported_transfer_syntax');
  const bytes = new Uint8Array(await readAll(response));
  if (nativeLittleEndian.has(transferSyntaxUid)) {
    const surplus = bytes.length - wanted.bytesExpected;
    if (surplus < 0 || surplus > 1) throw new ViewerFailure('short_frame');
  } else if (!signsAgree(bytes, transferSyntaxUid, wanted.signed)) {
    throw new ViewerFailure('sign_mismatch');
  }
  return { bytes, transferSyntaxUid };
}

async function request(url: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    const accept = 'application/octet-stream;transfer-syntax=*';
    response = await fetch(url, { signal, credentials: 'same-origin', headers: { accept, ...presenceHeaders() } });
  } catch {
    throw new ViewerFailure('network');
  }
  if (response.ok) return response;
  if (response.status === 401) throw new ViewerFailure('session_ended');
  throw new ViewerFailure(response.status === 404 ? 'not_found' : 'relay_error');
}

async function readAll(response: Response): Promise<ArrayBuffer> {
  try {
    return await response.arrayBuffer();
  } catch {
    throw new ViewerFailure('network');
  }
}
