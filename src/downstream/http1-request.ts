/**
 * A request of HTTP/1.1: its head, what the head says of the connection, and its body as it comes.
 *
 * Keeps: RFC 9112, section 6.3 (how long a body is; where that is in doubt there is none, and the connection
 * ends with the request), section 7.1 (chunked), section 9.3 (whether the connection goes on). It takes bytes and
 * hands them on; it reads no socket and answers nothing.
 */
import type { Socket } from 'node:net';
import { hasToken, isNamed } from '../headers/field-names.ts';
import { settleFraming, takeContentLength, takeTransferEncoding } from '../headers/framing.ts';
import { ChunkedReader } from '../http1/chunked-reader.ts';
import type { HeadBounds, HeadFault } from '../http1/head-fault.ts';
import type { RequestHead } from '../http1/request-head.ts';
import type { CallerRequest } from './caller.ts';

/** Reads a connection, and may be asked to wait. */
interface BodyGate {
  readonly socket: Socket;
  holdBody(request: Http1Request): void;
  letBodyFlow(request: Http1Request): void;
}

/** So much of a body is read behind its answer, so that the connection can go on. */
export const DRAIN_BYTES = 1_048_576;

const NONE: readonly string[] = [];

export class Http1Request implements CallerRequest {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: string[];
  readonly httpVersionMajor = 1;
  readonly httpVersionMinor: 0 | 1;
  readonly socket: Socket;
  complete = true;
  trailers: readonly string[] = NONE;
  /** The connection goes on after it. */
  persistent: boolean;
  /**
   * RFC 6455, section 4.1; with a body it is none, for two hops could read two lengths from it, and without the
   * one key nobody could tell whether the answer is to it.
   */
  isWebSocketHandshake = false;
  /** Why the body is none; known only when it has been read so far. */
  fault: HeadFault | null = null;
  /** Of the body, nobody has taken so many bytes. */
  discarded = 0;
  readonly #gate: BodyGate;
  /** Bytes that are still to come, where that was announced. */
  #left = 0;
  #chunks: ChunkedReader | null = null;
  #onData: ((chunk: Buffer) => void) | null = null;
  #onEnd: (() => void) | null = null;

  constructor({ method, target, minorVersion, fields }: RequestHead, gate: BodyGate, bounds: HeadBounds) {
    this.method = method;
    this.url = target;
    this.rawHeaders = fields;
    this.httpVersionMinor = minorVersion;
    this.socket = gate.socket;
    this.#gate = gate;
    this.persistent = minorVersion === 1;
    this.#readFields(bounds);
  }

  /** More of its body may be to come than is read behind its answer. */
  get outlastsAnswer(): boolean {
    return !this.complete && (this.#chunks !== null || this.#left > DRAIN_BYTES);
  }

  on(event: 'data' | 'end', listener: ((chunk: Buffer) => void) | (() => void)): void {
    if (event === 'data') this.#onData = listener;
    else this.#onEnd = listener as () => void;
  }

  off(event: 'data' | 'end', listener: unknown): void {
    if (event === 'data' && this.#onData === listener) this.#onData = null;
    else if (event === 'end' && this.#onEnd === listener) this.#onEnd = null;
  }

  pause(): void {
    this.#gate.holdBody(this);
  }

  resume(): void {
    this.#gate.letBodyFlow(this);
  }

  /** Takes what is the body's; the position behind it. With a `fault` there is no more to take. */
  take(chunk: Buffer, from: number): number {
    let to: number;
    if (this.#chunks !== null) {
      to = this.#chunks.read(chunk, from, this);
      if (this.#chunks.fault !== null) {
        this.fault = this.#chunks.fault;
        return chunk.length;
      }
      if (!this.#chunks.done) return to;
      this.trailers = this.#chunks.trailers;
    } else {
      to = Math.min(chunk.length, from + this.#left);
      this.#left -= to - from;
      this.bodyData(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
      if (this.#left > 0) return to;
    }
    this.complete = true;
    this.#onEnd?.();
    return to;
  }

  bodyData(data: Buffer): void {
    if (this.#onData !== null) this.#onData(data);
    else this.discarded += data.length;
  }

  #readFields(bounds: HeadBounds): void {
    const { rawHeaders } = this;
    const isModern = this.httpVersionMinor === 1;
    const framing = { contentLength: null as number | null, chunked: false, invalid: null as string | null };
    let keepAlive = false;
    let close = false;
    let upgrade = false;
    let webSocket = false;
    let keys = 0;
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] as string;
      switch (name.length) {
        case 7:
          if (isNamed(name, 'upgrade')) webSocket ||= hasToken(rawHeaders[i + 1] as string, 'websocket');
          break;
        case 10:
          if (isNamed(name, 'connection')) {
            const value = rawHeaders[i + 1] as string;
            if (isNamed(value, 'keep-alive')) keepAlive = true;
            else if (isNamed(value, 'close')) close = true;
            else {
              keepAlive ||= hasToken(value, 'keep-alive');
              close ||= hasToken(value, 'close');
              upgrade ||= hasToken(value, 'upgrade');
            }
          }
          break;
        case 14:
          if (isNamed(name, 'content-length')) takeContentLength(framing, rawHeaders[i + 1] as string);
          break;
        case 17:
          if (isNamed(name, 'transfer-encoding')) takeTransferEncoding(framing, rawHeaders[i + 1] as string);
          else if (isNamed(name, 'sec-websocket-key')) keys++;
          break;
        default:
      }
    }
    settleFraming(framing);
    // RFC 9112, section 9.3: close wins; HTTP/1.0 has to ask.
    this.persistent = !close && (isModern || keepAlive);
    if (framing.invalid !== null || (framing.chunked && !isModern)) {
      // It is refused, and what follows belongs to nothing.
      this.persistent = false;
    } else if (framing.chunked) {
      this.#chunks = new ChunkedReader(bounds);
      this.complete = false;
    } else if (framing.contentLength !== null && framing.contentLength > 0) {
      this.#left = framing.contentLength;
      this.complete = false;
    } else
      this.isWebSocketHandshake = isModern && webSocket && upgrade && keys === 1 && this.method === 'GET';
  }
}
