/**
 * The body of a request on its way up: read once from the caller, and kept for another attempt as long as
 * the bounds allow. Beyond them it still streams, but can be sent only once, and says so.
 *
 * Rules: memory is bounded by the exchange's `replayBytes`, the process's `limits.replayBytes` and one
 * buffer of 64 KiB; the caller is paused beyond that. Nothing is dropped before it has been consumed, so a
 * body of which nothing went out is intact whatever its size. What is larger than it may be is not passed on
 * from the piece on that makes it so. It knows no HTTP.
 */
import type { BodySource } from '../exchange.ts';
import { bodyPassed } from '../spent-buffers.ts';

/** Bytes held for an attempt that reads slower than the caller writes. */
const BUFFER_BYTES = 65_536;

/** Small pieces that nobody reads yet are gathered up to this size, in room that begins with less; bytes. */
const GATHERED_BYTES = 16_384;
const ROOM_BYTES = 256;

/** The process-wide bound on bytes kept for retries. */
export class ReplayBound {
  limit: number;
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

const NO_TRAILERS: readonly string[] = [];

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

/** Of one body. */
export interface BodyBounds {
  /** Bytes kept for another attempt; 0: none. */
  readonly keepBytes: number;
  /** There is but one attempt: what is kept is so until that begins. */
  readonly once: boolean;
  /** Bytes that it may have; null: any number. */
  readonly maxBytes: number | null;
}

export class RequestBody {
  /** Bytes announced; null: chunked. */
  readonly length: number | null;
  /** Called when the body is first wanted: where the caller waits for 100 Continue, now is the time. */
  onWanted: (() => void) | null = null;
  /** Called whenever more of it has come, or its end. */
  onProgress: (() => void) | null = null;
  /** To be called when the head of the answer is here. */
  onAnswered: (() => void) | null = null;
  /** Called once, when more has come than may. */
  onTooLarge: (() => void) | null = null;
  /** What of the trailers may go on; null: all. */
  settleTrailers: ((raw: readonly string[]) => readonly string[]) | null = null;
  received = 0;
  /** Why nothing is kept any more; null: all is kept. */
  refusal: ReplayRefusal | null = null;

  readonly #source: BodySource;
  readonly #keepBytes: number;
  readonly #maxBytes: number;
  readonly #once: boolean;
  readonly #bound: ReplayBound;
  /** Everything from chunk number `#first` on. */
  #chunks: Buffer[] = [];
  #first = 0;
  #buffered = 0;
  /** Of what is buffered, bytes that the reader has not consumed. */
  #ahead = 0;
  #taken = 0;
  #keeping: boolean;
  /** What the last chunk is the beginning of, where that was gathered. */
  #room: Buffer | null = null;
  #ended = false;
  /** Some of it was not taken: it will never be whole. */
  #refused = false;
  #paused = false;
  #reader: BodyReader | null = null;

  /** Begins to read at once. */
  constructor(source: BodySource, length: number | null, bounds: BodyBounds, bound: ReplayBound) {
    this.#source = source;
    this.length = length;
    this.#once = bounds.once;
    // Whole before its only attempt, or not held at all.
    const whole = length !== null && length <= bounds.keepBytes;
    this.#keepBytes = bounds.once && !whole ? 0 : bounds.keepBytes;
    this.#maxBytes = bounds.maxBytes ?? Number.POSITIVE_INFINITY;
    this.#bound = bound;
    this.#keeping = this.#keepBytes > 0;
    if (!this.#keeping) this.refusal = 'larger than replayBytes';
    source.on('data', this.#onData);
    source.on('end', this.#onEnd);
  }

  /** What came behind it, as a flat list; whole once it is. */
  get trailers(): readonly string[] {
    const { trailers = NO_TRAILERS } = this.#source;
    return trailers.length === 0 || this.settleTrailers === null ? trailers : this.settleTrailers(trailers);
  }

  get complete(): boolean {
    if (this.#refused) return false;
    return this.#ended || (this.length !== null && this.received >= this.length);
  }

  /** Whether all of it can be here before anything goes out. */
  get gatherable(): boolean {
    return this.#keeping && this.length !== null && this.length <= this.#keepBytes;
  }

  /** Whether the caller is the one who has to go on: it is neither paused nor waits to be asked for more. */
  get owed(): boolean {
    return !this.complete && !this.#paused && this.onWanted === null;
  }

  /** Whether another attempt can send it from its first byte. */
  get intact(): boolean {
    return this.#first === 0;
  }

  /** The body in one piece, if it is here whole; null: it must be streamed. */
  whole(): Buffer | null {
    if (!this.complete || !this.intact) return null;
    this.want();
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
  }

  /** What `whole` gave is on its way: from here it is held only if it is kept. */
  sent(): void {
    if (this.#once) this.#stopKeeping();
    if (!this.#keeping) this.#drop(this.#first + this.#chunks.length);
  }

  /** For one attempt; the reader of an earlier one is closed. */
  open(): BodyReader {
    this.#reader?.close();
    const reader = new BodyReader(this);
    this.#reader = reader;
    this.#ahead = this.#buffered;
    if (this.#once) this.#stopKeeping();
    this.want();
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
    this.onProgress = null;
    this.onAnswered = null;
    this.#source.off('data', this.#onData);
    this.#source.off('end', this.#onEnd);
    this.#chunks = [];
    this.#buffered = 0;
    this.#stopKeeping();
    if (!this.#ended) this.#source.resume();
  }

  /** The caller is asked for it, if it waits for that. */
  want(): void {
    const wanted = this.onWanted;
    this.onWanted = null;
    wanted?.();
  }

  #onData = (chunk: Buffer): void => {
    this.received += chunk.length;
    bodyPassed(chunk.length);
    if (this.received > this.#maxBytes) {
      this.#refuse();
      return;
    }
    if (this.#reader !== null || !this.#gather(chunk)) this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    this.#ahead += chunk.length;
    if (this.#keeping) this.#keep(chunk.length);
    this.#reader?.wake();
    this.onProgress?.();
    this.#regulate();
  };

  /**
   * Appends a small piece to the one before, as long as nobody reads: of a body that drips, thousands of pieces
   * would each be kept with what it costs to keep one.
   */
  #gather(chunk: Buffer): boolean {
    const last = this.#chunks.length - 1;
    const before = this.#chunks[last];
    if (before === undefined || chunk.length > GATHERED_BYTES / 4) return false;
    const length = before.length + chunk.length;
    if (length > GATHERED_BYTES) return false;
    let room = this.#room;
    if (room === null || room.buffer !== before.buffer || room.length < length) {
      room = Buffer.allocUnsafeSlow(Math.min(GATHERED_BYTES, Math.max(ROOM_BYTES, length * 2)));
      room.set(before);
      this.#room = room;
    }
    room.set(chunk, before.length);
    this.#chunks[last] = room.subarray(0, length);
    return true;
  }

  #onEnd = (): void => {
    this.#room = null;
    this.#ended = true;
    this.#reader?.wake();
    this.onProgress?.();
  };

  #refuse(): void {
    this.#refused = true;
    const tooLarge = this.onTooLarge;
    this.onTooLarge = null;
    tooLarge?.();
  }

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
    this.#giveBack();
  }

  /** What is still here is memory, whether or not it is kept for another attempt. */
  #giveBack(): void {
    const gone = this.#taken - this.#buffered;
    if (gone <= 0) return;
    this.#bound.give(gone);
    this.#taken -= gone;
  }

  #drop(before: number): void {
    while (this.#first < before) {
      this.#buffered -= (this.#chunks.shift() as Buffer).length;
      this.#first++;
    }
    this.#giveBack();
  }

  /** What is kept is no reason to pause a body that its reader follows; what lies ahead of the reader is. */
  #regulate(): void {
    const isAhead = this.#reader !== null || !this.#keeping;
    const full = this.#ahead >= (isAhead ? BUFFER_BYTES : Math.max(this.#keepBytes, BUFFER_BYTES));
    if (full && !this.#paused) {
      this.#paused = true;
      this.#source.pause();
    } else if (!full && this.#paused) {
      this.#paused = false;
      this.#source.resume();
    }
  }
}
