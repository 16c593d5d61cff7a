/**
 * One exchange of a caller, from its first byte to its last, whatever it goes over. It is judged on the way: the answer belongs to
 * this request, is whole if it says so, and consists of the bytes that the vendor made for it.
 */
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, type RequestOptions, request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Ticket } from './ledger.ts';
import { letterOf } from './vendor.ts';

export interface Call extends RequestOptions {
  readonly headers?: OutgoingHttpHeaders;
  readonly ticket: Ticket;
  readonly body?: Buffer;
  /** Without a length. */
  readonly chunked?: boolean;
  /** The body comes a byte at a time. */
  readonly dripMs?: number;
  /** Then the caller goes away. */
  readonly leaveAfterMs?: number;
  /** Between two pieces of the answer. */
  readonly readingMs?: number;
  /** Of a stream: from now on it may last, without being silent for longer. */
  readonly silenceMs?: number;
}

const PIECE = 16_384;

/** Which exchange a connection carried last. */
const carried = new WeakMap<Duplex, string>();

/** Resolves when it is over, however it ended. */
export function call(it: Call): Promise<void> {
  const { ticket, body, leaveAfterMs, ...options } = it;
  return new Promise((resolve) => {
    let left = false;
    const end = (how: 'whole' | 'cut'): void => {
      ticket.ended(left ? 'left' : how);
      clearTimeout(leaving);
      resolve();
    };
    const outgoing = request({
      ...options,
      headers: { ...options.headers, 'X-Request-Id': ticket.id, ...(body && framing(it, body)) },
    });
    const leaving =
      leaveAfterMs === undefined
        ? undefined
        : setTimeout(() => {
            left = true;
            outgoing.destroy();
          }, leaveAfterMs);
    outgoing.on('socket', (socket) => {
      ticket.behind = carried.get(socket);
      carried.set(socket, ticket.id);
    });
    outgoing.on('error', () => end('cut'));
    outgoing.on('close', () => end('cut'));
    outgoing.on('response', (response) => {
      const judge = new Judge(ticket, response.statusCode ?? 0, response.headers);
      if (it.silenceMs !== undefined) ticket.alive(it.silenceMs);
      response.on('error', () => end('cut'));
      response.on('data', (piece: Buffer) => {
        judge.piece(piece);
        if (it.silenceMs !== undefined) ticket.alive();
        if (it.readingMs === undefined) return;
        response.pause();
        setTimeout(() => response.resume(), it.readingMs);
      });
      response.on('end', () => {
        if (response.complete && it.method !== 'HEAD') judge.whole();
        end(response.complete ? 'whole' : 'cut');
      });
      response.on('close', () => end('cut'));
    });
    if (body === undefined) outgoing.end();
    else if (it.dripMs !== undefined) drip(outgoing, body, it.dripMs);
    else if (it.chunked) {
      for (let at = 0; at < body.length; at += PIECE) outgoing.write(body.subarray(at, at + PIECE));
      outgoing.end();
    } else outgoing.end(body);
  });
}

const framing = ({ chunked }: Call, body: Buffer) =>
  chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': body.length };

function drip(outgoing: ReturnType<typeof request>, body: Buffer, everyMs: number): void {
  let at = 0;
  const timer = setInterval(() => {
    if (outgoing.destroyed || at >= body.length) {
      clearInterval(timer);
      if (!outgoing.destroyed) outgoing.end();
    } else outgoing.write(body.subarray(at, ++at));
  }, everyMs);
  outgoing.once('response', () => clearInterval(timer));
  outgoing.once('close', () => clearInterval(timer));
}

/** Looks at an answer as it comes. */
export class Judge {
  readonly #ticket: Ticket;
  /** Nobody but the sidecar made it. */
  readonly #own: boolean;
  readonly #bytes: number;
  #received = 0;
  #strange = false;

  constructor(ticket: Ticket, status: number, headers: IncomingHttpHeaders) {
    this.#ticket = ticket;
    ticket.answered(status);
    const told = String(headers['proxy-status'] ?? '');
    this.#own = told.includes('error=');
    this.#bytes = Number(headers['x-bytes']);
    const opaque = ticket.terms.logged === false;
    if (!opaque && headers['x-request-id'] !== ticket.id)
      ticket.broken('the answer is that of the request', `it has the ID ${String(headers['x-request-id'])}`);
    if (!opaque && !told.startsWith('outrigger'))
      ticket.broken('the answer is that of the request', 'it has no Proxy-Status of ours');
    if (!this.#own && headers['x-echo'] !== String(ticket.n))
      ticket.broken('the answer is that of the request', `the vendor answered ${String(headers['x-echo'])}`);
  }

  piece(piece: Buffer): void {
    this.#received += piece.length;
    const letter = letterOf(this.#ticket.n);
    if (piece.at(0) !== letter || piece.at(-1) !== letter) this.#strange = true;
  }

  /** It ended as a whole one does. */
  whole(): void {
    if (this.#own) return;
    if (this.#received !== this.#bytes)
      this.#ticket.broken('what looks whole is whole', `${this.#received} of ${this.#bytes} bytes`);
    if (this.#strange) this.#ticket.broken('the answer is that of the request', 'it holds bytes of another');
  }
}
