/**
 * The response of an HTTP/1.1 exchange on its caller's connection. A head and what is here of its body go out in
 * one piece.
 *
 * Keeps: RFC 9112, section 6.3 (no body for HEAD, 204 and 304; Content-Length, else chunked, else the end of the
 * connection, which is all that HTTP/1.0 knows), section 9.3 and 9.6 (what is said of the connection is what
 * becomes of it); RFC 9110, section 6.5 (trailers in chunked bodies only). A message that broke off never ends
 * like a whole one: its connection is reset. It knows no exchange.
 */
import type { Socket } from 'node:net';
import { hasToken, isNamed } from '../headers/field-names.ts';
import { chunkLine, UnsafeField, writeFieldLines, writeHead } from '../http1/head-writer.ts';
import { STATUS_CODES } from '../node-http.ts';
import { resetSocket } from '../socket-reset.ts';
import { TurnEnd } from '../turn-end.ts';
import type { CallerResponse, ResponseOwner } from './caller.ts';
import type { Http1Request } from './http1-request.ts';

/** The connection that it is written to. */
export interface ResponseHome {
  readonly socket: Socket;
  /** `Connection` and `Keep-Alive` of a response after which the connection goes on. */
  readonly keepAliveFields: string;
  /** It has gone out whole. */
  responseOver(response: Http1Response): void;
}

/** What is smaller is copied, so that one buffer goes out and not several; bytes. */
const COPIED_BYTES = 16_384;

type Framing = 'none' | 'length' | 'chunked' | 'close';

const NO_PIECES: Buffer[] = [];

/** With more than this no more is taken until the end of the turn; bytes. */
const HELD_BYTES = 131_072;

/** Those that have something to write. */
const answers = new TurnEnd<Http1Response>((response) => response.writeDue());

export class Http1Response implements CallerResponse {
  owner: ResponseOwner | null = null;
  headersSent = false;
  writableFinished = false;
  /** The connection ends with it. */
  last: boolean;
  readonly #home: ResponseHome;
  readonly #socket: Socket;
  readonly #request: Http1Request;
  readonly #isHead: boolean;
  readonly #isModern: boolean;
  #framing: Framing = 'none';
  /** The head, until it goes out. */
  #head = '';
  #pieces = NO_PIECES;
  #heldBytes = 0;
  #trailers = '';
  /** What is held goes out at the end of the turn. */
  #waits = false;
  /** More is held than there should be: whoever brings it has been told to stop. */
  #hasTooMuch = false;
  #ended = false;
  #closed = false;

  constructor(home: ResponseHome, request: Http1Request) {
    this.#home = home;
    this.#socket = home.socket;
    this.#request = request;
    this.#isHead = request.method === 'HEAD';
    this.#isModern = request.httpVersionMinor === 1;
    this.last = !request.persistent;
  }

  get writableLength(): number {
    return this.#socket.writableLength;
  }

  /**
   * It is whole, and goes out at the end of this turn, whether or not its caller has anything more to say. Of what was
   * written with TLS is told a turn later that it has gone out: by then the caller may have read it and left.
   */
  get isDue(): boolean {
    return this.#ended && (this.#waits || 'encrypted' in this.#socket);
  }

  writeHead(status: number, statusText: string, headers: readonly string[], empty = false): void {
    if (status < 200 || status > 999) throw new UnsafeField('a status that is no final one');
    // Its caller would otherwise begin another request on a connection that is about to end.
    if (this.#request.outlastsAnswer) this.last = true;
    let named = false;
    let length = false;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] as string;
      if (name.length === 10 && isNamed(name, 'connection')) {
        named = true;
        if (hasToken(headers[i + 1] as string, 'close')) this.last = true;
      } else if (name.length === 14 && isNamed(name, 'content-length')) length = true;
    }
    let more = '';
    if (this.#isHead || status === 204 || status === 304) this.#framing = 'none';
    else if (length) this.#framing = 'length';
    else if (empty) {
      this.#framing = 'length';
      more = 'Content-Length: 0\r\n';
    } else if (this.#isModern) {
      this.#framing = 'chunked';
      more = 'Transfer-Encoding: chunked\r\n';
    } else {
      this.#framing = 'close';
      this.last = true;
    }
    if (!named) more += this.last ? 'Connection: close\r\n' : this.#home.keepAliveFields;
    this.#head = writeHead(`HTTP/1.1 ${status} ${statusText}`, headers, more);
    this.headersSent = true;
  }

  flush(): void {
    this.#putOff();
  }

  writeContinue(): void {
    if (!this.headersSent) this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
  }

  writeInformation(status: number, headers: readonly string[]): void {
    if (this.headersSent) return;
    const head = writeHead(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, headers);
    this.#socket.write(head, 'latin1');
  }

  write(chunk: Buffer): boolean {
    const socket = this.#socket;
    // An empty chunk would be the last.
    if (this.#framing === 'none' || chunk.length === 0 || socket.destroyed) return true;
    if (this.#pieces === NO_PIECES) this.#pieces = [chunk];
    else this.#pieces.push(chunk);
    this.#heldBytes += chunk.length;
    this.#putOff();
    if (this.#heldBytes <= HELD_BYTES) return !socket.writableNeedDrain;
    this.#hasTooMuch = true;
    return false;
  }

  addTrailers(trailers: readonly string[]): void {
    this.#trailers = writeFieldLines(trailers);
  }

  end(body?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (body !== undefined && body !== '' && this.#framing !== 'none') {
      if (this.#framing === 'length') this.#head += body;
      else {
        this.#pieces = [Buffer.from(body, 'latin1')];
        this.#heldBytes = body.length;
      }
    }
    // The connection may be closed in this very turn.
    if (this.last) this.#writeAll();
    else this.#putOff();
  }

  #putOff(): void {
    if (this.#waits) return;
    this.#waits = true;
    answers.add(this);
  }

  /** At the end of the turn. */
  writeDue(): void {
    if (!this.#waits || this.#socket.destroyed) return;
    this.#writeAll();
    if (this.#ended && !this.#closed) this.owner?.lagging();
  }

  #writeAll(): void {
    this.#waits = false;
    const wanted = this.#release();
    if (this.#ended) this.#settle();
    else if (this.#hasTooMuch) {
      this.#hasTooMuch = false;
      if (wanted) this.owner?.drained();
    }
  }

  #settle(): void {
    const socket = this.#socket;
    if (socket.writableLength === 0) this.#finish();
    // Behind all that waits.
    else socket.write('', (error) => error ?? this.#finish());
  }

  destroy(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    let isWhole = this.#ended && this.#waits;
    if (this.#waits || this.#head !== '') this.#release();
    this.#waits = false;
    if (socket.writableLength > 0) isWhole = false;
    // A FIN may be taken for the end: where only the connection's end tells it, and by clients that look at no length.
    if (this.headersSent && this.#framing !== 'none' && !isWhole) resetSocket(socket);
    else socket.destroy();
  }

  /** The connection has gone, or is somebody else's. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.owner?.closed();
  }

  /** Writes everything that is held, in one piece where that is not too large; false: the caller is slow to take it. */
  #release(): boolean {
    const socket = this.#socket;
    const head = this.#head;
    const pieces = this.#pieces;
    const bytes = this.#heldBytes;
    this.#head = '';
    this.#pieces = NO_PIECES;
    this.#heldBytes = 0;
    const chunked = this.#framing === 'chunked';
    const tail = chunked && this.#ended ? `0\r\n${this.#trailers}\r\n` : '';
    if (bytes === 0) {
      const text = tail === '' ? head : head + tail;
      return text === '' || socket.write(text, 'latin1');
    }
    // What is here is one chunk, in however many pieces it came.
    const front = chunked ? head + chunkLine(bytes) : head;
    const back = chunked ? `\r\n${tail}` : tail;
    if (bytes <= COPIED_BYTES) {
      const out = Buffer.allocUnsafe(front.length + bytes + back.length);
      let at = out.write(front, 'latin1');
      for (const piece of pieces) {
        out.set(piece, at);
        at += piece.length;
      }
      if (back !== '') out.write(back, at, 'latin1');
      return socket.write(out);
    }
    socket.cork();
    if (front !== '') socket.write(front, 'latin1');
    for (const piece of pieces) socket.write(piece);
    if (back !== '') socket.write(back, 'latin1');
    socket.uncork();
    return !socket.writableNeedDrain;
  }

  #finish(): void {
    if (this.#closed || this.#socket.destroyed) return;
    this.#closed = true;
    this.writableFinished = true;
    this.owner?.closed();
    this.#home.responseOver(this);
  }
}
