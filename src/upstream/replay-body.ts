/**
 * The body of a request on its way up: read once from the caller, and kept for another attempt as long as
 * the bounds allow. Beyond them it still streams, but can be sent only once, and says so.
 *
 * Rules: memory is bounded by the exchange's `replayBytes`, the process's `limits.replayBytes` and one
 * buffer of 64 KiB; the caller is paused beyond that. Nothing is dropped before it has been consumed, so a
 * body of which nothing went out is intact whatever its size. It knows no HTTP.
 */
import type { Readable } from 'node:stream';
import { bodyPassed } from '../spent-buffers.ts';

/** Bytes held for an attempt that reads slower than the caller writes. */
const BUFFER_BYTES = 65_536;

/** The process-wide bound on bytes kept for retries. */
export class ReplayBound {
  readonly limit: number;
  #used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  tryTake(bytes: number): boolean {
    if (this.#used + bytes > this.limit) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

export type ReplayRefusal = 'larger than replayBytes' | 'limits.replayBytes reached';

const DONE: IteratorResult<Buffer, undefined> = { done: true, value: undefined };

const OVER = new Error('the attempt is over');

/** One attempt's view of the body, from its first byte. */
export class BodyReader implements AsyncIterableIterator<Buffer, undefined> {
  readonly #body: RequestBody;
  #position = 0;
  #wake: ((result: IteratorResult<Buffer, undefined>) => void) | null = null;
  #stop: ((error: Error) => void) | null = null;
  #closed = false;

  constructor(body: RequestBody) {
    this.#body = body;
  }

  /** Whether the origin waits for the caller, and not the other way round. */
  get waiting(): boolean {
    return this.#wake !== null;
  }

  get position(): number {
    return this.#position;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Buffer, undefined>> {
    // Never the end: it would make a whole body of what is a part of one.
    if (this.#closed) return Promise.reject(OVER);
    const chunk = this.#body.chunkAt(this.#position);
    if (chunk) {
      this.#position++;
      this.#body.consumed(this, chunk.length);
      return Promise.resolve({ done: false, value: chunk });
    }
    if (this.#body.complete) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#wake = resolve;
      this.#stop = reject;
    });
  }

  /** More has come, or the end. */
  wake(): void {
    const wake = this.#wake;
    if (!wake) return;
    this.#wake = null;
    this.#stop = null;
    void this.next().then(wake);
  }

  /** The attempt is over: whoever still waits is told so by an error, for the body is not whole. */
  close(): void {
    this.#closed = true;
    const stop = this.#stop;
    this.#wake = null;
    this.#stop = null;
    stop?.(OVER);
  }
}

export class RequestBody {
  /** Bytes announced; null: chunked. */
  readonly length: number | null;
  /** Called when the first attempt wants the body: where the caller waits for 100 Continue, now is the time. */
  onWanted: (() => void) | null = null;
  received = 0;
  /** Why nothing is kept any more; null: all is kept. */
  refusal: ReplayRefusal | null = null;

  readonly #source: Readable;
  readonly #keepBytes: number;
  readonly #bound: ReplayBound;
  /** Everything from chunk number `#first` on. */
  #chunks: Buffer[] = [];
  #first = 0;
  #buffered = 0;
  /** Of what is buffered, bytes that the reader has not consumed. */
  #ahead = 0;
  #taken = 0;
  #keeping: boolean;
  #ended = false;
  #paused = false;
  #reader: BodyReader | null = null;

  /** Begins to read at once. `keepBytes` 0: sent once. */
  constructor(source: Readable, length: number | null, keepBytes: number, bound: ReplayBound) {
    this.#source = source;
    this.length = length;
    this.#keepBytes = keepBytes;
    this.#bound = bound;
    this.#keeping = keepBytes > 0;
    if (!this.#keeping) this.refusal = 'larger than replayBytes';
    source.on('data', this.#onData);
    source.on('end', this.#onEnd);
  }

  get complete(): boolean {
    return this.#ended || (this.length !== null && this.received >= this.length);
  }

  /** Whether another attempt can send it from its first byte. */
  get intact(): boolean {
    return this.#first === 0;
  }

  /** The body in one piece, if it is here whole; null: it must be streamed. */
  whole(): Buffer | null {
    if (!this.complete || !this.intact) return null;
    this.#want();
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
  }

  /** What `whole` gave is on its way: from here it is held only if it is kept. */
  sent(): void {
    if (!this.#keeping) this.#drop(this.#first + this.#chunks.length);
  }

  /** For one attempt; the reader of an earlier one is closed. */
  open(): BodyReader {
    this.#reader?.close();
    const reader = new BodyReader(this);
    this.#reader = reader;
    this.#ahead = this.#buffered;
    this.#want();
    return reader;
  }

  chunkAt(position: number): Buffer | undefined {
    return this.#chunks[position - this.#first];
  }

  consumed(reader: BodyReader, bytes: number): void {
    this.#ahead -= bytes;
    if (!this.#keeping) this.#drop(reader.position);
    this.#regulate();
  }

  /** Nothing of it is wanted any more; what the caller still sends is read and thrown away. */
  release(): void {
    this.#reader?.close();
    this.#reader = null;
    this.#source.off('data', this.#onData);
    this.#source.off('end', this.#onEnd);
    this.#chunks = [];
    this.#buffered = 0;
    this.#stopKeeping();
    if (!this.#ended) this.#source.resume();
  }

  #want(): void {
    const wanted = this.onWanted;
    this.onWanted = null;
    wanted?.();
  }

  #onData = (chunk: Buffer): void => {
    this.received += chunk.length;
    bodyPassed(chunk.length);
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    this.#ahead += chunk.length;
    if (this.#keeping) this.#keep(chunk.length);
    this.#reader?.wake();
    this.#regulate();
  };

  #onEnd = (): void => {
    this.#ended = true;
    this.#reader?.wake();
  };

  #keep(bytes: number): void {
    if (this.received > this.#keepBytes) this.refusal = 'larger than replayBytes';
    else if (!this.#bound.tryTake(bytes)) this.refusal = 'limits.replayBytes reached';
    else {
      this.#taken += bytes;
      return;
    }
    this.#stopKeeping();
    if (this.#reader) this.#drop(this.#reader.position);
  }

  #stopKeeping(): void {
    this.#keeping = false;
    this.#bound.give(this.#taken);
    this.#taken = 0;
  }

  #drop(before: number): void {
    while (this.#first < before) {
      this.#buffered -= (this.#chunks.shift() as Buffer).length;
      this.#first++;
    }
  }

  /** What is kept is no reason to pause a body that its reader follows; what lies ahead of the reader is. */
  #regulate(): void {
    const full = this.#ahead >= (this.#reader ? BUFFER_BYTES : Math.max(this.#keepBytes, BUFFER_BYTES));
    if (full && !this.#paused) {
      this.#paused = true;
      this.#source.pause();
    } else if (!full && this.#paused) {
      this.#paused = false;
      this.#source.resume();
    }
  }
}
