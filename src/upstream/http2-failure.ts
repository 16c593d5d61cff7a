/**
 * Why a stream of HTTP/2 ended before its response did, as one error with a code: that of RFC 9113, section
 * 7, with `H2_` in front, or that of the socket; H2_CONNECTION_BROKEN is our own, for a connection error
 * (section 5.4.1) under a stream that need not have caused it.
 *
 * Rule: `unsent` only where the protocol says that the request was not processed (RFC 9113, section 8.7): it
 * was refused, or the origin's GOAWAY named a last stream before it (section 6.8), or it was never begun.
 */

// biome-ignore format: in the order of their numbers
const NAMES = [
  'NO_ERROR', 'PROTOCOL_ERROR', 'INTERNAL_ERROR', 'FLOW_CONTROL_ERROR', 'SETTINGS_TIMEOUT', 'STREAM_CLOSED', 'FRAME_SIZE_ERROR',
  'REFUSED_STREAM', 'CANCEL', 'COMPRESSION_ERROR', 'CONNECT_ERROR', 'ENHANCE_YOUR_CALM', 'INADEQUATE_SECURITY', 'HTTP_1_1_REQUIRED',
] as const;

export const CANCEL = 8;
const REFUSED_STREAM = 7;

export interface StreamEnd {
  /** Undefined: it never had one. */
  readonly id: number | undefined;
  readonly rstCode: number;
  /** What Node reported; null: nothing but the code. */
  readonly error: NodeJS.ErrnoException | null;
  /** Of the origin's GOAWAY; null: none came. */
  readonly goaway: Goaway | null;
  /** The connection broke under several streams, and nothing says that it was for this one. */
  readonly bystander: boolean;
}

export interface Goaway {
  readonly code: number;
  readonly lastStreamId: number;
}

export class Http2Failure extends Error {
  readonly code: string;
  readonly unsent: boolean;

  constructor(end: StreamEnd) {
    const { id, goaway, error, rstCode, bystander } = end;
    const past = goaway !== null && id !== undefined && id > goaway.lastStreamId;
    let code: string;
    if (past || (goaway !== null && goaway.code !== 0)) code = 'H2_GOAWAY';
    // Node's own word for bytes that are no frames; it says more than the code beside it.
    else if (error?.code === 'ERR_HTTP2_ERROR')
      code = bystander ? 'H2_CONNECTION_BROKEN' : 'H2_PROTOCOL_ERROR';
    else if (error !== null && !error.code?.startsWith('ERR_HTTP2_')) code = error.code ?? '';
    else code = `H2_${NAMES[rstCode] ?? 'UNKNOWN'}`;
    super(
      goaway !== null && code === 'H2_GOAWAY' ? `GOAWAY with ${NAMES[goaway.code] ?? goaway.code}` : code,
    );
    this.code = code;
    // Node gives every stream the code of a GOAWAY that ends the session, also those that it says were processed.
    const refused = rstCode === REFUSED_STREAM && (goaway === null || goaway.code === 0);
    this.unsent = id === undefined || past || (refused && error?.code !== 'ERR_HTTP2_ERROR');
  }
}

/** A response that breaks a rule which Node does not hold it to. */
export class Http2Malformed extends Error {
  readonly code: string;
  readonly unsent = false;

  constructor(code: 'H2_PROTOCOL_ERROR' | 'H2_HEAD_TOO_LARGE', message: string) {
    super(message);
    this.code = code;
  }
}
