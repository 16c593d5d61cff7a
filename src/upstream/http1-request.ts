/**
 * A request of HTTP/1.1 as text: its head, the framing of its body, and the body itself where it is small and
 * here whole, so that all of it goes out at once. Pure.
 *
 * Rules: what a head says of its body is true, or it is not written (RFC 9112, section 6); a Content-Length goes on
 * as it came, also a 0 without a body, and none is made up for a request without one (RFC 9110, section 8.6); a
 * body that came without a length is chunked anew, its trailers behind it (RFC 9112, section 7.1.2). Connections are
 * persistent without a word about it (section 9.3).
 */
import { isNamed } from '../headers/field-names.ts';
import { forwardTrailers } from '../headers/hop-by-hop.ts';
import { chunkLine, lastChunk, requestLine, UnsafeField, writeHead } from '../http1/head-writer.ts';
import { Http1Fault } from './http1-fault.ts';

/** A request as it is to go out: hop-by-hop fields are gone, framing is added here. */
export interface Http1Request {
  readonly method: string;
  /** Byte for byte. */
  readonly path: string;
  /** Flat list. */
  readonly headers: readonly string[];
  readonly body: {
    /** Bytes; null: unknown. */
    readonly length: number | null;
    /** Flat list as it came; whole once the body is. */
    readonly trailers: readonly string[];
  } | null;
}

/** A body that is here whole and no larger goes out with its head; bytes. */
const TEXT_BYTES = 8_192;

const NO_TRAILERS: readonly string[] = [];

/** Whether the text has all of the request. */
export function goesAtOnce(body: object | null): boolean {
  return body === null || (Buffer.isBuffer(body) && body.length <= TEXT_BYTES);
}

export const isChunked = ({ body }: Http1Request): boolean => body !== null && body.length === null;

/** Latin-1. `payload`: the body; what is not a buffer comes later. Throws Http1Fault or UnsafeField. */
export function requestText(request: Http1Request, payload: object | null): string {
  const { method, path, headers, body } = request;
  const line = requestLine(method, path);
  if (line === null) throw new Http1Fault('H1_REQUEST_LINE', 'a method or a path that cannot be written');
  const head = writeHead(line, headers, framingLine(headers, body?.length));
  if (!Buffer.isBuffer(payload)) return head;
  const chunked = isChunked(request);
  if (!chunked && payload.length !== body?.length)
    throw new Http1Fault('H1_REQUEST_LENGTH', 'a body of another length than announced');
  if (payload.length > TEXT_BYTES) return head;
  const text = payload.toString('latin1');
  if (!chunked) return head + text;
  return `${head}${text === '' ? '' : `${chunkLine(payload.length)}${text}\r\n`}${endOfChunks(request)}`;
}

/** What a chunked body ends with. Throws UnsafeField. */
export function endOfChunks({ body }: Http1Request): string {
  const raw = body?.trailers ?? NO_TRAILERS;
  if (raw.length === 0) return lastChunk(NO_TRAILERS);
  const kept: string[] = [];
  forwardTrailers(raw, kept);
  return lastChunk(kept);
}

/** What the fields lack. `length`: bytes of the body, null: unknown; undefined: there is none. */
function framingLine(fields: readonly string[], length: number | null | undefined): string {
  let said: string | null = null;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name.length === 14 && isNamed(name, 'content-length')) {
      if (said !== null) throw new UnsafeField('a second Content-Length');
      said = fields[i + 1] as string;
    } else if (name.length === 17 && isNamed(name, 'transfer-encoding'))
      throw new UnsafeField('a Transfer-Encoding that is not ours');
  }
  if (said !== null) {
    if (length === null || Number(said) !== (length ?? 0))
      throw new UnsafeField('a Content-Length that is not that of the body');
    return '';
  }
  if (length === null) return 'Transfer-Encoding: chunked\r\n';
  return length === undefined ? '' : `Content-Length: ${length}\r\n`;
}
