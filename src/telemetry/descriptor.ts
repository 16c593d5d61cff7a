/**
 * A file descriptor that is written to without anybody having to wait for its reader.
 *
 * A pipe whose reader stands still blocks the writer: on the event loop that stops all traffic, and in the
 * thread pool it takes a thread from the resolver and keeps the process from exiting. So a pipe is opened a
 * second time, non-blocking, under a description of our own (the flag on the first would be shared with
 * whatever process has the same standard output). Where that cannot be had (files, terminals, sockets, no
 * /proc) writes go through the thread pool.
 *
 * It knows bytes only, and one write at a time.
 */
import { closeSync, constants, fstatSync, openSync, write, writeSync } from 'node:fs';

const RETRY_MS = 1;
const MAX_RETRY_MS = 50;
/** A write in the thread pool that takes this long is blocked; whoever writes beside it blocks too. */
const BLOCKED_MS = 250;

const pause = new Int32Array(new SharedArrayBuffer(4));

type Done = (error: NodeJS.ErrnoException | null) => void;

export class Descriptor {
  readonly #fd: number;
  /** Opened by us: closed by us, and never blocks. */
  readonly #own: boolean;
  /** What is left of the write under way. */
  #rest: Buffer | null = null;
  #done: Done = () => {};
  /** When the thread pool was given a write; null: it has none. */
  #pooledAt: number | null = null;
  #retryMs = RETRY_MS;
  #retry: NodeJS.Timeout | null = null;

  constructor(fd: number) {
    const own = reopened(fd);
    this.#fd = own ?? fd;
    this.#own = own !== null;
  }

  /** Tells of the end, perhaps before it returns. The next write may begin then. */
  write(bytes: Buffer, done: Done): void {
    this.#rest = bytes;
    this.#done = done;
    this.#more();
  }

  /** Writes what is left and then `bytes`, waiting at most `limitMs` for the reader; false: not all of it. */
  writeNow(bytes: Buffer, limitMs: number): boolean {
    const until = performance.now() + limitMs;
    if (this.#pooledAt !== null) {
      if (performance.now() - this.#pooledAt > BLOCKED_MS) return false;
      // Its end cannot be seen from here; a healthy one is over by then.
      Atomics.wait(pause, 0, 0, 10);
      this.#rest = null;
    }
    const whole = this.#rest === null || this.#writeAll(this.#rest, until);
    this.#end(null);
    return this.#writeAll(bytes, until) && whole;
  }

  close(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#own) closeSync(this.#fd);
  }

  #more = (): void => {
    const rest = this.#rest;
    if (rest === null) return;
    if (!this.#own) {
      this.#pooledAt = performance.now();
      write(this.#fd, rest, this.#written);
      return;
    }
    try {
      this.#written(null, writeSync(this.#fd, rest));
    } catch (error) {
      this.#written(error as NodeJS.ErrnoException, 0);
    }
  };

  #written = (error: NodeJS.ErrnoException | null, count: number): void => {
    this.#pooledAt = null;
    if (this.#rest === null) return;
    if (error !== null && error.code !== 'EAGAIN') {
      this.#end(error);
      return;
    }
    this.#rest = this.#rest.subarray(count);
    if (this.#rest.length === 0) {
      this.#end(null);
      return;
    }
    // A pipe that took a part is full: asking again at once would only be told so.
    this.#retryMs = count > 0 ? RETRY_MS : Math.min(this.#retryMs * 2, MAX_RETRY_MS);
    this.#retry = setTimeout(this.#more, this.#retryMs).unref();
  };

  #end(error: NodeJS.ErrnoException | null): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#rest = null;
    const done = this.#done;
    this.#done = () => {};
    done(error);
  }

  #writeAll(bytes: Buffer, until: number): boolean {
    let rest = bytes;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() >= until) return false;
        Atomics.wait(pause, 0, 0, RETRY_MS);
      }
    }
    return true;
  }
}

/** The same pipe, non-blocking; null where it is none or cannot be opened again. */
function reopened(fd: number): number | null {
  try {
    if (!fstatSync(fd).isFIFO()) return null;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return null;
  }
}
