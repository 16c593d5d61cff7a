/**
 * What a library's error means: one row of the error table for each code that undici, its parser or a
 * socket may report while a request is carried. Knows the codes, not the libraries.
 */
import { type ErrorName, OutriggerError } from '../errors.ts';

const BY_CODE: Readonly<Record<string, ErrorName>> = {
  // undici's parser asserts what a peer may break, a 101 without an Upgrade field for one.
  ERR_ASSERTION: 'response_malformed',
  EMFILE: 'file_limit',
  ENFILE: 'file_limit',
  ECONNRESET: 'connection_terminated',
  EPIPE: 'connection_terminated',
  ETIMEDOUT: 'connection_terminated',
  UND_ERR_SOCKET: 'connection_terminated',
  UND_ERR_HEADERS_OVERFLOW: 'response_head_too_large',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'response_incomplete',
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'request_body_incomplete',
  // undici refuses to send it; the caller's request is at fault, and nothing has gone out.
  UND_ERR_INVALID_ARG: 'request_malformed',
  UND_ERR_NOT_SUPPORTED: 'request_malformed',
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

/** What people are told in the place of a code. */
const WORDS: Readonly<Record<string, string>> = {
  ECONNRESET: 'reset',
  EPIPE: 'closed while it was written to',
  ETIMEDOUT: 'no sign of life',
  UND_ERR_HEADERS_OVERFLOW: 'more than limits.headerBytes',
  H2_CANCEL: 'closed',
  H2_REFUSED_STREAM: 'refused the stream',
  H2_CONNECTION_BROKEN: 'broke the protocol on a connection that several requests shared',
  H2_HTTP_1_1_REQUIRED: 'wants HTTP/1.1: set http2: false',
  H2_ENHANCE_YOUR_CALM: 'ENHANCE_YOUR_CALM: more than limits.headerBytes, or more requests than it wants',
};

/** What undici says of a 100 or 101 that nobody asked for. */
const BAD_RESPONSE = /^bad (response|upgrade)/;

/** `headOut`: the response head had come, so what is missing is the rest of the body. */
export function failureOf(error: NodeJS.ErrnoException, origin: string, headOut: boolean): OutriggerError {
  const code = error.code ?? '';
  let name: ErrorName | undefined = BY_CODE[code];
  // undici's parser errors have a code in some versions and none in others.
  if (error.name === 'HTTPParserError') name = 'response_malformed';
  // Before the head it is not the body that came short: framing that contradicts itself.
  if (!headOut && code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') name = 'response_malformed';
  if (code === 'UND_ERR_SOCKET' && BAD_RESPONSE.test(error.message)) name = 'response_malformed';
  if (headOut && name === 'response_head_too_large') name = 'response_malformed';
  if (headOut && name === 'connection_terminated') name = 'response_incomplete';
  if (name === undefined) return new OutriggerError('internal', '', null, error);
  return new OutriggerError(name, `${origin}: ${WORDS[code] ?? error.message}`);
}
