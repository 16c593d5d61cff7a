/**
 * The caller's side of an exchange as forwarding needs it: what Node's request and response of HTTP/1.1 are
 * by themselves, and what HTTP/2 makes of a stream. The seam between the two protocols and the rest of the
 * room.
 */
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { OutriggerError } from '../errors.ts';
import type { Inside } from './way.ts';

export interface CallerRequest extends Readable {
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

export interface CallerResponse {
  readonly headersSent: boolean;
  /** Everything has been handed to the kernel. */
  readonly writableFinished: boolean;
  readonly writableLength: number;
  readonly socket: Socket | null;
  sendDate: boolean;
  /** Throws where a field cannot be written. `empty`: no byte of a body follows. */
  writeHead(status: number, statusText: string, headers: string[], empty?: boolean): unknown;
  /** Sends a head that would wait for the first of its body; not there where none waits. */
  flushHeaders?(): void;
  writeContinue(): void;
  writeInformation(status: number, headers: Record<string, string[]>): void;
  write(chunk: Buffer): boolean;
  addTrailers(pairs: [string, string][]): void;
  end(body?: string): unknown;
  destroy(): unknown;
  on(event: 'close' | 'drain', listener: () => void): unknown;
  listenerCount(event: 'drain'): number;
}

const INSIDE = Symbol('inside');

/** A connection inside a tunnel: everything that comes on it is meant for what the tunnel goes to. */
export function putInside(socket: Socket & { [INSIDE]?: Inside }, inside: Inside): void {
  socket[INSIDE] = inside;
}

export function insideOf(socket: Socket & { [INSIDE]?: Inside }): Inside | null {
  return socket[INSIDE] ?? null;
}
