/**
 * The time between the answer to a CONNECT and the knowledge of what is inside: what the caller sends is
 * kept, and looked at until the first bytes tell.
 *
 * Rules: kept bytes are bounded, the time is bounded by the clock of whoever opened the tunnel for silence
 * and by `listen.headTimeout` once something has come; the caller's end is heard. It decides nothing.
 */
import type { Socket } from 'node:net';
import { FirstBytes, type Opening } from './first-bytes.ts';

export interface OpeningListener {
  /** What is inside, told once. Never `more`. */
  opened(opening: Opening): void;
  /** Nothing came for so long, or not enough. */
  late(silent: boolean): void;
  /** The caller has gone, or will send nothing: `half` says that it still listens. */
  left(half: boolean): void;
}

/** Bytes that a caller may send before they can go on. */
const KEPT_BYTES = 65_536;

export class OpeningReader {
  readonly #socket: Socket;
  readonly #listener: OpeningListener;
  readonly #first = new FirstBytes();
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #looking = false;
  #headTimeoutMs = 0;
  #timer: NodeJS.Timeout | null = null;

  /** Keeps from now on, and looks once told to. */
  constructor(socket: Socket, head: Buffer, listener: OpeningListener) {
    this.#socket = socket;
    this.#listener = listener;
    if (head.length > 0) this.#keep(head);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onClose);
  }

  /** Everything that has come, in order. */
  get kept(): Buffer[] {
    return this.#kept;
  }

  look(silentMs: number, headTimeoutMs: number): void {
    this.#looking = true;
    this.#headTimeoutMs = headTimeoutMs;
    this.#arm(this.#kept.length === 0 ? silentMs : headTimeoutMs);
    for (const chunk of this.#kept) {
      this.#read(chunk);
      if (!this.#looking) return;
    }
    this.#socket.resume();
    if (this.#socket.readableEnded) this.#onEnd();
  }

  /** No more is heard from here. */
  stop(): void {
    this.#looking = false;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onClose);
  }

  #arm(timeoutMs: number): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#listener.late(this.#kept.length === 0);
    }, timeoutMs);
  }

  #keep(chunk: Buffer): void {
    this.#kept.push(chunk);
    this.#keptBytes += chunk.length;
    if (this.#keptBytes > KEPT_BYTES) this.#socket.pause();
  }

  #onData = (chunk: Buffer): void => {
    if (this.#looking && this.#kept.length === 0) this.#arm(this.#headTimeoutMs);
    this.#keep(chunk);
    if (this.#looking) this.#read(chunk);
  };

  #read(chunk: Buffer): void {
    const opening = this.#first.read(chunk);
    if (opening.kind === 'more') return;
    this.#looking = false;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#listener.opened(opening);
  }

  #onEnd = (): void => {
    if (!this.#looking || this.#kept.length === 0) {
      this.#listener.left(this.#looking);
      return;
    }
    this.#looking = false;
    this.#listener.opened(this.#first.end());
  };

  #onClose = (): void => this.#listener.left(false);
}
