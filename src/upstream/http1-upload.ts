/**
 * The body of a request that does not go out with its head, for it is large or not here yet: piece by piece, at the
 * pace of the origin's socket.
 *
 * Rules: of a body with a length neither more nor less goes out (RFC 9112, section 6.2), and one that falls short
 * is an error and no end; a chunked body ends with its last chunk only once it is whole. Who stops it hears
 * nothing more.
 */
import type { Socket } from 'node:net';
import { chunkLine } from '../http1/head-writer.ts';
import { Http1Fault } from './http1-fault.ts';
import { endOfChunks, type Http1Request, isChunked } from './http1-request.ts';
import type { BodyReader } from './replay-body.ts';

/** Pieces of a body that is here whole, so that its progress can be seen; bytes. */
const PIECE_BYTES = 65_536;

export interface UploadOwner {
  uploadMoved(bytes: number): void;
  /** Null: all of the request has been handed over. */
  uploadOver(error: Error | null): void;
}

export class Http1Upload {
  readonly #socket: Socket;
  readonly #request: Http1Request;
  readonly #owner: UploadOwner;
  readonly #chunked: boolean;
  #stopped = false;
  #room: (() => void) | null = null;

  constructor(socket: Socket, request: Http1Request, owner: UploadOwner) {
    this.#socket = socket;
    this.#request = request;
    this.#owner = owner;
    this.#chunked = isChunked(request);
  }

  begin(payload: Buffer | BodyReader): void {
    this.#socket.on('drain', this.#wake);
    void this.#send(payload);
  }

  /** The rest is not wanted, or the connection has gone. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#socket.off('drain', this.#wake);
    this.#wake();
  }

  async #send(payload: Buffer | BodyReader): Promise<void> {
    let error: Error | null = null;
    try {
      if (Buffer.isBuffer(payload)) await this.#sendWhole(payload);
      else error = await this.#sendParts(payload);
      if (this.#stopped) return;
      if (error === null && this.#chunked) this.#socket.write(endOfChunks(this.#request), 'latin1');
    } catch (thrown) {
      error = thrown as Error;
    }
    if (this.#stopped) return;
    this.stop();
    this.#owner.uploadOver(error);
  }

  async #sendWhole(body: Buffer): Promise<void> {
    for (let at = 0; at < body.length && !this.#stopped; at += PIECE_BYTES)
      await this.#sendPiece(body.subarray(at, at + PIECE_BYTES));
  }

  async #sendParts(reader: BodyReader): Promise<Error | null> {
    const length = this.#request.body?.length ?? null;
    let sent = 0;
    try {
      for (;;) {
        const part = await reader.next();
        if (this.#stopped) return null;
        if (part.done === true) break;
        sent += part.value.length;
        if (length !== null && sent > length) break;
        await this.#sendPiece(part.value);
      }
    } catch {
      // The attempt is over: whoever closed the reader also ends the connection.
      this.stop();
      return null;
    }
    return length === null || sent === length
      ? null
      : new Http1Fault('H1_REQUEST_LENGTH', 'a body of another length than announced');
  }

  /** Resolves when there is room for more; null: there is. */
  #sendPiece(piece: Buffer): Promise<void> | null {
    if (this.#stopped || piece.length === 0) return null;
    const socket = this.#socket;
    let room: boolean;
    if (this.#chunked) {
      socket.cork();
      socket.write(chunkLine(piece.length), 'latin1');
      socket.write(piece);
      room = socket.write('\r\n', 'latin1');
      socket.uncork();
    } else room = socket.write(piece);
    this.#owner.uploadMoved(piece.length);
    if (room || socket.destroyed) return null;
    return new Promise((resolve) => {
      this.#room = resolve;
    });
  }

  #wake = (): void => {
    const room = this.#room;
    this.#room = null;
    room?.();
  };
}
