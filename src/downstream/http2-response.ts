/**
 * The response of an HTTP/2 stream, with the face of Node's for HTTP/1.1.
 *
 * Rules: RFC 9113, section 8.2.1 (lower-case names, values without control characters), section 8.2.2 (no
 * connection-specific fields), section 8.1 (trailers need no announcement; a response that is over before
 * its request ends with a reset that says NO_ERROR). A message that broke off ends with a reset and never
 * with END_STREAM. Bytes are taken as fast as the caller's window opens. It knows no exchange.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { http2 } from '../node-http.ts';
import type { CallerResponse, ResponseOwner } from './caller.ts';

const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** RFC 9110, section 5.6.2; Node checks what comes in the head, and only that. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** RFC 9110, section 5.5. To Node a NUL would be the beginning of another field. */
const VALUE = /^[\t -~\x80-\xff]*$/;

/** Of final responses, the codes that Node writes in HTTP/2 (RFC 9110, section 15). */
const STATUS_MIN = 200;
const STATUS_MAX = 599;

/** How often is looked whether END_STREAM has gone out to a caller that reads slowly, milliseconds. */
const LOOK_MS = 10;

export class Http2Response implements CallerResponse {
  owner: ResponseOwner | null = null;
  headersSent = false;
  writableFinished = false;
  /** Told when nothing more becomes of it, after its owner. */
  readonly #over: () => void;
  readonly #stream: ServerHttp2Stream;
  readonly #isHead: boolean;
  /** Known to send no body; waits for the word that no trailers follow either, so that it ends with its head. */
  #held: string[] | null = null;
  #trailers: Record<string, string[]> = {};
  /** HEAD, 204, 205 and 304 (RFC 9110, section 6.4.1). */
  #bodiless = false;
  #ended = false;
  /** All but what is still in the stream's buffer is out, trailers included. */
  #lastOut = false;
  #closed = false;

  constructor(stream: ServerHttp2Stream, method: string | undefined, over: () => void) {
    this.#stream = stream;
    this.#over = over;
    this.#isHead = method === 'HEAD';
    stream.on('error', ignore);
    stream.on('wantTrailers', this.#onWantTrailers);
    stream.on('finish', this.#onFinish);
    stream.on('close', this.#onClose);
  }

  /** END_STREAM counts as one, for without room in the window even that does not go out. */
  get writableLength(): number {
    return this.#stream.writableLength + (this.#ended && !this.#closed ? 1 : 0);
  }

  get #gone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  /** Throws where a field or the status cannot be written. `empty`: nothing but trailers may follow. */
  writeHead(status: number, _statusText: string, headers: readonly string[], empty = false): void {
    // Checked here, for a head that is held is out as far as anybody knows.
    if (status < STATUS_MIN || status > STATUS_MAX) throw unwritable('the status');
    // RFC 9110, sections 15.3.5 and 15.3.6; what the origin sends all the same is dropped, and so is its length.
    const contentless = status === 204 || status === 205;
    const head: string[] = [':status', String(status)];
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = (headers[i] as string).toLowerCase();
      if (CONNECTION_SPECIFIC.has(name)) continue;
      if (contentless && name === 'content-length') continue;
      checkField(name, headers[i + 1] as string);
      head.push(name, headers[i + 1] as string);
    }
    this.#bodiless = this.#isHead || contentless || status === 304;
    if (!this.#gone) {
      // The content of a 205 may be on its way: its end is the exchange's, and so the stream's.
      if (this.#bodiless ? status === 205 : empty) this.#held = head;
      else this.#respond(head, this.#bodiless);
    }
    this.headersSent = true;
  }

  /** It waits for nothing, but for the word whether it is the last. */
  flush(): void {}

  writeContinue(): void {
    this.writeInformation(100, []);
  }

  /** Throws where a field cannot be written. */
  writeInformation(status: number, headers: readonly string[]): void {
    if (this.#gone || this.headersSent) return;
    this.#stream.additionalHeaders({ ...grouped(headers), ':status': status });
  }

  /** False asks for a pause; the owner is told of its end. */
  write(chunk: Buffer): boolean {
    if (this.#bodiless || this.#gone) return true;
    if (this.#held) this.#sendHeld(this.#held, false);
    if (this.#stream.write(chunk)) return true;
    this.#stream.once('drain', this.#onDrain);
    return false;
  }

  /** Throws where a field cannot be written. */
  addTrailers(trailers: readonly string[]): void {
    this.#trailers = grouped(trailers);
  }

  end(body?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#gone) return;
    const stream = this.#stream;
    if (this.#held) {
      const last = this.#bodiless || (body === undefined && Object.keys(this.#trailers).length === 0);
      this.#sendHeld(this.#held, last);
    }
    if (body !== undefined && !this.#bodiless) stream.end(body);
    else stream.end();
    // Node has ended the stream of a HEAD when it came.
    if (stream.writableFinished) setImmediate(this.#onFinish);
  }

  /** Cuts the message. */
  destroy(): void {
    this.#stream.close(http2().constants.NGHTTP2_INTERNAL_ERROR);
    process.nextTick(this.#close);
  }

  #sendHeld(head: string[], last: boolean): void {
    this.#held = null;
    try {
      this.#respond(head, last);
    } catch {
      this.destroy();
    }
  }

  #respond(head: string[], endStream: boolean): void {
    this.#lastOut = endStream;
    // A Date is the origin's to give, as it is in HTTP/1.1. Without the wait for trailers Node ends a stream
    // that is reset, so that half a message would look whole.
    const options = { endStream, waitForTrailers: !endStream, sendDate: false };
    this.#stream.respond(head, options);
  }

  #onDrain = (): void => this.owner?.drained();

  /** The last byte of the body is on its way; Node sends END_STREAM with these, or by itself if there are none. */
  #onWantTrailers = (): void => {
    try {
      this.#stream.sendTrailers(this.#trailers);
    } catch {
      this.destroy();
      return;
    }
    setImmediate(() => {
      this.#lastOut = true;
      this.#onFinish();
    });
  };

  #onFinish = (): void => {
    if (!this.#ended || !this.#lastOut || !this.#stream.writableFinished || this.#stream.aborted) return;
    this.#finished();
  };

  #onClose = (): void => {
    const stream = this.#stream;
    if (this.#ended && stream.writableFinished && stream.rstCode === http2().constants.NGHTTP2_NO_ERROR) {
      this.#finished();
    } else this.#close();
  };

  #finished(): void {
    if (this.#closed) return;
    this.writableFinished = true;
    this.#close();
    if (!this.#gone && !this.#stream.readableEnded) setImmediate(this.#refuseRest);
  }

  /** RFC 9113, section 8.1: what is still to come of the request is not wanted; but END_STREAM goes first. */
  #refuseRest = (): void => {
    const stream = this.#stream;
    if (this.#gone) return;
    const { localClose, state } = stream.state;
    if (state === http2().constants.NGHTTP2_STREAM_STATE_HALF_CLOSED_REMOTE) stream.resume();
    else if (localClose === 1) stream.close(http2().constants.NGHTTP2_NO_ERROR);
    else setTimeout(this.#refuseRest, LOOK_MS).unref();
  };

  #close = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    this.owner?.closed();
    this.#over();
  };
}

/** By name in lower case, checked, without what is about a connection. */
function grouped(fields: readonly string[]): Record<string, string[]> {
  const groups: Record<string, string[]> = Object.create(null);
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const lower = (fields[i] as string).toLowerCase();
    if (CONNECTION_SPECIFIC.has(lower)) continue;
    checkField(lower, fields[i + 1] as string);
    (groups[lower] ??= []).push(fields[i + 1] as string);
  }
  return groups;
}

function checkField(lower: string, value: string): void {
  if (!TOKEN.test(lower)) throw unwritable('a field name');
  if (!VALUE.test(value)) throw unwritable(`the value of ${lower}`);
}

function unwritable(what: string): Error {
  return Object.assign(new Error(`${what} cannot be written`), { code: what });
}

function ignore(): void {
  // Every error is followed by a close, which is what is acted upon.
}
