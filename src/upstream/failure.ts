/**
 * What the end of an exchange with an origin means: one row of the error table for each code that HTTP/1.1,
 * HTTP/2 or a socket may report while a request is carried. Knows the codes, not who reports them.
 */
import { type ErrorName, OutriggerError } from '../errors.ts';

const BY_CODE: Readonly<Record<string, ErrorName>> = {
  EMFILE: 'file_limit',
  ENFILE: 'file_limit',
  ECONNRESET: 'connection_terminated',
  EPIPE: 'connection_terminated',
  ETIMEDOUT: 'connection_terminated',
  // The network's own word for a connection that was there.
  ECONNABORTED: 'connection_terminated',
  EHOSTDOWN: 'connection_terminated',
  EHOSTUNREACH: 'connection_terminated',
  ENETDOWN: 'connection_terminated',
  ENETRESET: 'connection_terminated',
  ENETUNREACH: 'connection_terminated',
  ENOTCONN: 'connection_terminated',
  H1_CLOSED: 'connection_terminated',
  H1_MALFORMED: 'response_malformed',
  H1_HEAD_TOO_LARGE: 'response_head_too_large',
  H1_REQUEST_LENGTH: 'request_body_incomplete',
  // It cannot be sent; the caller's request is at fault, and nothing has gone out.
  H1_REQUEST_LINE: 'request_malformed',
  // The same of node:http2.
  ERR_HTTP2_INVALID_PSEUDOHEADER: 'request_malformed',
  ERR_HTTP2_INVALID_CONNECTION_HEADERS: 'request_malformed',
  ERR_HTTP2_PSEUDOHEADER_NOT_ALLOWED: 'request_malformed',
  ERR_INVALID_HTTP_TOKEN: 'request_malformed',
  ERR_INVALID_CHAR: 'request_malformed',
  // RFC 9113, section 7: the origin ended the stream or the connection.
  H2_GOAWAY: 'connection_terminated',
  H2_NO_ERROR: 'connection_terminated',
  H2_INTERNAL_ERROR: 'connection_terminated',
  H2_REFUSED_STREAM: 'connection_terminated',
  H2_CANCEL: 'connection_terminated',
  H2_CONNECT_ERROR: 'connection_terminated',
  H2_INADEQUATE_SECURITY: 'connection_terminated',
  H2_HTTP_1_1_REQUIRED: 'connection_terminated',
  H2_UNKNOWN: 'connection_terminated',
  // Under several streams, and any of them may have been the cause.
  H2_CONNECTION_BROKEN: 'connection_terminated',
  // The frames are not what they should be, whoever found out.
  H2_PROTOCOL_ERROR: 'response_malformed',
  H2_FLOW_CONTROL_ERROR: 'response_malformed',
  H2_SETTINGS_TIMEOUT: 'response_malformed',
  H2_STREAM_CLOSED: 'response_malformed',
  H2_FRAME_SIZE_ERROR: 'response_malformed',
  H2_COMPRESSION_ERROR: 'response_malformed',
  H2_HEAD_TOO_LARGE: 'response_head_too_large',
  // Node says this of a head over its bound, and it cannot be told from the origin's own word.
  H2_ENHANCE_YOUR_CALM: 'response_head_too_large',
};

/** What Node and OpenSSL say of TLS that broke after its handshake, by whomever on the way: RFC 8446, section 6.2. */
const OF_TLS = /^(?:EPROTO$|ERR_SSL_|ERR_OSSL_|ERR_TLS_)/;

/** What people are told in the place of a code. */
const WORDS: Readonly<Record<string, string>> = {
  ECONNRESET: 'reset',
  EPIPE: 'closed while it was written to',
  ETIMEDOUT: 'no sign of life',
  H2_CANCEL: 'closed',
  H2_REFUSED_STREAM: 'refused the stream',
  H2_CONNECTION_BROKEN: 'broke the protocol on a connection that several requests shared',
  H2_HTTP_1_1_REQUIRED: 'wants HTTP/1.1: set http2: false',
  H2_ENHANCE_YOUR_CALM: 'ENHANCE_YOUR_CALM: more than limits.headerBytes, or more requests than it wants',
};

/** `headOut`: the response head had come, so what is missing is the rest of the body. */
export function failureOf(error: NodeJS.ErrnoException, origin: string, headOut: boolean): OutriggerError {
  const code = error.code ?? '';
  let name: ErrorName | undefined = BY_CODE[code];
  if (OF_TLS.test(code)) {
    const broken: ErrorName = headOut ? 'response_incomplete' : 'tls_protocol_error';
    return new OutriggerError(broken, `${origin}: TLS broke: ${code}`);
  }
  if (headOut && name === 'response_head_too_large') name = 'response_malformed';
  if (headOut && name === 'connection_terminated') name = 'response_incomplete';
  if (name === undefined) return new OutriggerError('internal', '', null, error);
  return new OutriggerError(name, `${origin}: ${WORDS[code] ?? error.message}`);
}
