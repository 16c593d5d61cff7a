/**
 * The caller's side of an exchange as forwarding needs it: what HTTP/1.1 makes of a connection
 * (`http1-request.ts`, `http1-response.ts`) and HTTP/2 of a stream. The seam between the two protocols and the
 * rest of the room: calls and no events, for it is crossed by every exchange.
 */
import type { Socket } from 'node:net';
import type { OutriggerError } from '../errors.ts';
import type { BodySource } from '../exchange.ts';
import type { Inside } from './way.ts';

export interface CallerRequest extends BodySource {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** Flat raw list. */
  readonly rawHeaders: string[];
  readonly httpVersionMajor: number;
  readonly httpVersionMinor: number;
  /** A stream, beside others on one connection. */
  readonly http2?: boolean;
  /** Why it is refused whatever it asks for. */
  readonly refusal?: OutriggerError | null;
  /** The body has come whole. */
  readonly complete: boolean;
  readonly socket: Socket;
}

/** Whose response it is. */
export interface ResponseOwner {
  /** Nothing more becomes of the response: it has gone out whole, or never will. Called once. */
  closed(): void;
  /** After a `write` that asked for a pause. */
  drained(): void;
  /** The end was put off, and has been written meanwhile: the caller has not taken all of it. */
  lagging(): void;
  /** The request's own bytes turned out to be wrong after its head had been taken, or its end is missing. */
  malformed(error: OutriggerError): void;
}

export interface CallerResponse {
  owner: ResponseOwner | null;
  readonly headersSent: boolean;
  /** Everything has been handed to the kernel. */
  readonly writableFinished: boolean;
  readonly writableLength: number;
  /**
   * Throws where a field cannot be written. `empty`: no byte of a body follows. What is written goes out with
   * `flush`, or with the end.
   */
  writeHead(status: number, statusText: string, headers: readonly string[], empty?: boolean): void;
  /** The head, and what has come of the body, wait no longer. */
  flush(): void;
  writeContinue(): void;
  /** Throws where a field cannot be written. */
  writeInformation(status: number, headers: readonly string[]): void;
  /** False asks for a pause; the owner is told of its end. */
  write(chunk: Buffer): boolean;
  /** Flat list. Throws where a field cannot be written. */
  addTrailers(trailers: readonly string[]): void;
  /** `body`: ASCII, and all there is. */
  end(body?: string): void;
  /** Cuts the message, so that it does not look whole. */
  destroy(): void;
}

const INSIDE = Symbol('inside');

/** A connection inside a tunnel: everything that comes on it is meant for what the tunnel goes to. */
export function putInside(socket: Socket & { [INSIDE]?: Inside }, inside: Inside): void {
  socket[INSIDE] = inside;
}

export function insideOf(socket: Socket & { [INSIDE]?: Inside }): Inside | null {
  return socket[INSIDE] ?? null;
}
