/**
 * HTTP/1.1 read a second time: one message out of bytes, strictly and slowly, by nobody's code but this.
 * What it takes for one message, no hop may take for two. It exists so that fuzzers and rules have an
 * opinion that does not come from the sidecar.
 *
 * Rules: RFC 9112, sections 2.2 to 7; RFC 9110, section 5. It is as wide as the standard lets a strict
 * recipient be (equal Content-Length lines, white space before a chunk extension) and no wider.
 */
type FieldLine = readonly [name: string, value: string];

export interface ReferenceMessage {
  /** Method, target, version; or version, status, reason. */
  readonly start: readonly [string, string, string];
  readonly fields: readonly FieldLine[];
  readonly body: Buffer;
  readonly trailers: readonly FieldLine[];
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
  /** Where the next message begins. */
  readonly end: number;
}

export type Reading =
  | { readonly kind: 'message'; readonly message: ReferenceMessage }
  /** `body`: what of it is there already; null: not even the head is. */
  | {
      readonly kind: 'incomplete';
      readonly body: Buffer | null;
      readonly start: ReferenceMessage['start'] | null;
    }
  | { readonly kind: 'invalid'; readonly why: string };

class Invalid extends Error {}
class Incomplete extends Error {
  readonly body: Buffer | null;

  constructor(body: Buffer | null) {
    super('incomplete');
    this.body = body;
  }
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** HTAB, SP, VCHAR and obs-text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: which of them are allowed is the rule
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** A line without its CRLF, and where the next one begins. */
function line(bytes: Buffer, at: number, body: Buffer | null): [text: string, next: number] {
  const lf = bytes.indexOf(0x0a, at);
  const text = bytes.toString('latin1', at, lf < 0 ? bytes.length : lf);
  const cr = text.indexOf('\r');
  if (lf < 0) {
    if (cr >= 0 && cr < text.length - 1) throw new Invalid('a CR without its LF');
    throw new Incomplete(body);
  }
  if (cr < 0) throw new Invalid('a LF without its CR');
  if (cr < text.length - 1) throw new Invalid('a CR without its LF');
  return [text.slice(0, -1), lf + 1];
}

function fieldLines(bytes: Buffer, from: number, body: Buffer | null): [FieldLine[], number] {
  const fields: FieldLine[] = [];
  let at = from;
  for (;;) {
    const [text, next] = line(bytes, at, body);
    at = next;
    if (text === '') return [fields, at];
    if (text.startsWith(' ') || text.startsWith('\t')) throw new Invalid('a folded line');
    const colon = text.indexOf(':');
    if (colon < 0) throw new Invalid('a field without a colon');
    const name = text.slice(0, colon);
    if (!TOKEN.test(name)) throw new Invalid('a field name that is no token');
    const value = text.slice(colon + 1);
    if (!VALUE.test(value)) throw new Invalid('a control byte in a value');
    fields.push([name, value.replace(/^[ \t]+|[ \t]+$/g, '')]);
  }
}

export const valuesOf = (fields: readonly FieldLine[], name: string): string[] =>
  fields.filter(([one]) => one.toLowerCase() === name).map(([, value]) => value);

/** Null: no length is told. */
function framingOf(fields: readonly FieldLine[], version: string): number | 'chunked' | null {
  const lengths = valuesOf(fields, 'content-length');
  const codings = valuesOf(fields, 'transfer-encoding');
  if (lengths.length > 0 && codings.length > 0) throw new Invalid('both lengths');
  if (codings.length > 0) {
    if (version !== 'HTTP/1.1') throw new Invalid('Transfer-Encoding before HTTP/1.1');
    if (codings.length > 1 || codings[0]?.toLowerCase() !== 'chunked')
      throw new Invalid('a coding that is not chunked alone');
    return 'chunked';
  }
  const [first] = lengths;
  if (first === undefined) return null;
  if (!/^[0-9]+$/.test(first) || !Number.isSafeInteger(Number(first)))
    throw new Invalid('a length that is no number');
  if (lengths.some((one) => !/^[0-9]+$/.test(one) || Number(one) !== Number(first)))
    throw new Invalid('lengths that differ');
  return Number(first);
}

interface Framed {
  readonly body: Buffer;
  readonly trailers: readonly FieldLine[];
  readonly end: number;
}

function chunkedBody(bytes: Buffer, from: number): Framed {
  const pieces: Buffer[] = [];
  let at = from;
  for (;;) {
    const soFar = Buffer.concat(pieces);
    const [text, next] = line(bytes, at, soFar);
    const size = /^([0-9a-fA-F]+)(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/.exec(text)?.[1];
    if (size === undefined) throw new Invalid('a chunk size that is no number');
    const length = Number.parseInt(size, 16);
    if (!Number.isSafeInteger(length)) throw new Invalid('a chunk beyond every number');
    if (length === 0) {
      const [trailers, end] = fieldLines(bytes, next, soFar);
      return { body: soFar, trailers, end };
    }
    if (bytes.length < next + length) throw new Incomplete(Buffer.concat([soFar, bytes.subarray(next)]));
    const data = bytes.subarray(next, next + length);
    const tail = bytes.toString('latin1', next + length, next + length + 2);
    if (tail !== '\r\n') {
      if ('\r\n'.startsWith(tail)) throw new Incomplete(Buffer.concat([soFar, data]));
      throw new Invalid('a chunk longer than its size');
    }
    pieces.push(data);
    at = next + length + 2;
  }
}

function sizedBody(bytes: Buffer, at: number, length: number): Framed {
  if (bytes.length < at + length) throw new Incomplete(bytes.subarray(at));
  return { body: bytes.subarray(at, at + length), trailers: [], end: at + length };
}

function reading(read: (begun: (start: ReferenceMessage['start']) => void) => ReferenceMessage): Reading {
  let start: ReferenceMessage['start'] | null = null;
  try {
    return {
      kind: 'message',
      message: read((one) => {
        start = one;
      }),
    };
  } catch (error) {
    if (error instanceof Invalid) return { kind: 'invalid', why: error.message };
    if (error instanceof Incomplete) return { kind: 'incomplete', body: error.body, start };
    throw error;
  }
}

/** At most this many empty lines before a request line are no matter (RFC 9112, section 2.2). */
const EMPTY_LINES_MAX = 8;

/** The request that begins at `from`. */
export function readRequest(bytes: Buffer, from = 0): Reading {
  return reading((begun) => {
    let at = from;
    let empty = 0;
    let [text, next] = line(bytes, at, null);
    while (text === '') {
      if (++empty > EMPTY_LINES_MAX) throw new Invalid('too many empty lines');
      at = next;
      [text, next] = line(bytes, at, null);
    }
    const parts = text.split(' ');
    const [method = '', target = '', version = ''] = parts;
    if (parts.length !== 3) throw new Invalid('a request line of other than three parts');
    if (!TOKEN.test(method)) throw new Invalid('a method that is no token');
    if (!/^[\x21-\x7e]+$/.test(target)) throw new Invalid('a target with other bytes than a URL has');
    if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') throw new Invalid('an unknown version');
    const [fields, bodyAt] = fieldLines(bytes, next, null);
    const start = [method, target, version] as const;
    const framing = framingOf(fields, version);
    begun(start);
    if (framing === 'chunked') return { start, fields, framing: 'chunked', ...chunkedBody(bytes, bodyAt) };
    if (framing === null) return { start, fields, framing: 'none', ...sizedBody(bytes, bodyAt, 0) };
    return { start, fields, framing: 'length', ...sizedBody(bytes, bodyAt, framing) };
  });
}

/** The response that begins at `from`, to a request of that method; `ended`: no more bytes will come. */
export function readResponse(bytes: Buffer, from: number, method: string, ended: boolean): Reading {
  return reading((begun) => {
    const [text, next] = line(bytes, from, null);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: which of them are allowed is the rule
    const parts = /^(HTTP\/1\.[01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/.exec(text);
    if (parts === null) throw new Invalid('no status line');
    const [, version = '', status = '', reason = ''] = parts;
    const [fields, at] = fieldLines(bytes, next, null);
    const start = [version, status, reason] as const;
    const code = Number(status);
    // RFC 9110, section 15.2: an interim response has no body, whatever it says.
    const framing = code < 200 ? null : framingOf(fields, version);
    begun(start);
    const tunnel = method === 'CONNECT' && code >= 200 && code < 300;
    if (code < 200 || code === 204 || code === 304 || method === 'HEAD' || tunnel)
      return { start, fields, framing: 'none', ...sizedBody(bytes, at, 0) };
    if (framing === 'chunked') return { start, fields, framing: 'chunked', ...chunkedBody(bytes, at) };
    if (framing !== null) return { start, fields, framing: 'length', ...sizedBody(bytes, at, framing) };
    if (!ended) throw new Incomplete(bytes.subarray(at));
    return { start, fields, framing: 'close', ...sizedBody(bytes, at, bytes.length - at) };
  });
}
