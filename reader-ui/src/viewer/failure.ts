/** Why an image is not shown. The code selects a text in `strings/`; library errors never pass this border. */
export type ViewerFailureCode =
  | 'not_found'
  /** Its head is at the relay, its picture is not. */
  | 'not_arrived'
  | 'session_ended'
  | 'network'
  | 'relay_error'
  | 'no_pixel_data'
  /** It has an image by its header, and no frame that can be shown safely. */
  | 'not_displayable'
  | 'unsupported_transfer_syntax'
  | 'unsupported_photometric'
  | 'sign_mismatch'
  | 'short_frame'
  | 'decode_failed'
  | 'too_large';

export class ViewerFailure extends Error {
  readonly code: ViewerFailureCode;

  constructor(code: ViewerFailureCode) {
    super(code);
    this.code = code;
  }
}

/** Cornerstone rejects with an event, an `XMLHttpRequest`, a bare number or an `Error` wrapped in an object. */
export function toFailureCode(error: unknown): ViewerFailureCode {
  if (error instanceof ViewerFailure) return error.code;
  const inner = (error as { error?: unknown } | null)?.error;
  if (inner instanceof ViewerFailure) return inner.code;
  return 'decode_failed';
}
