/**
 * Lines on their way to a descriptor: put together into few writes, and bounded, so that a reader who has
 * stopped reading costs lines and not memory, and never makes traffic wait.
 *
 * Rules: order is kept; a line is written within FLUSH_MS, or as soon as the reader takes it, or counted as
 * dropped; there is no timer while nothing is buffered. It does not know what the lines say.
 */
import { Descriptor } from './descriptor.ts';

/** A person who watches sees lines at once. */
const FLUSH_MS = 100;
/** Bytes that may wait for a slow reader, beside those that are being written. */
const MAX_WAITING = 2 * 1024 * 1024;
/** What is put together is kept for the next lines, unless a slow reader has made it larger than this; bytes. */
const KEPT_BYTES = 256 * 1024;
const FIRST_BYTES = 8 * 1024;
const LF = 0x0a;
/** The last lines of a process that ends wait this long for a reader. */
const LAST_MS = 500;

export class LineQueue {
  readonly #descriptor: Descriptor;
  readonly #batchBytes: number;
  #timer: NodeJS.Timeout | null = null;
  #armed = false;
  /** Lines are copied here at once: as strings they would be on the heap for as long as they wait. */
  #buffer: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;
  #lines = 0;
  /** The one that has been written, for the lines after those that are being put together. */
  #spare: Buffer | null = null;
  /** Lines of the write under way; 0: there is none. */
  #writing = 0;
  #dropped = 0;
  #gone = false;

  /** @param batchBytes 0: every line is written at once */
  constructor(fd: number, batchBytes: number) {
    this.#descriptor = new Descriptor(fd);
    this.#batchBytes = batchBytes;
    process.on('exit', this.flush);
  }

  get dropped(): number {
    return this.#dropped;
  }

  push(line: string): void {
    // A character of UTF-16 has three bytes at most.
    const room = this.#length + line.length * 3 + 1;
    if (this.#gone || this.#length + line.length >= MAX_WAITING) {
      this.#dropped++;
      return;
    }
    if (room > this.#buffer.length) this.#grow(room);
    this.#length += this.#buffer.write(line, this.#length, 'utf8');
    this.#buffer[this.#length++] = LF;
    this.#lines++;
    if (this.#writing === 0) this.#next();
  }

  /** Writes what is buffered before it returns. */
  flush = (): void => {
    if (this.#gone || this.#lines + this.#writing === 0) return;
    const bytes = this.#buffer.subarray(0, this.#length);
    const lines = this.#lines;
    this.#length = 0;
    this.#lines = 0;
    // The thread pool may still read what it was given.
    this.#spare = null;
    if (!this.#descriptor.writeNow(bytes, LAST_MS)) this.#dropped += lines;
  };

  #grow(room: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(room, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  close(): void {
    process.off('exit', this.flush);
    this.flush();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (!this.#gone) this.#descriptor.close();
    this.#gone = true;
  }

  #next(): void {
    if (this.#length >= this.#batchBytes) this.#write();
    else if (!this.#armed) this.#arm();
  }

  /** One timer for the life of the queue; it runs only while something waits. */
  #arm(): void {
    this.#armed = true;
    if (this.#timer === null) this.#timer = setTimeout(this.#expired, FLUSH_MS).unref();
    else this.#timer.refresh();
  }

  #expired = (): void => {
    this.#armed = false;
    if (this.#writing === 0) this.#write();
  };

  #write(): void {
    if (this.#lines === 0) return;
    const buffer = this.#buffer;
    const bytes = buffer.subarray(0, this.#length);
    this.#buffer = this.#spare ?? Buffer.allocUnsafeSlow(FIRST_BYTES);
    this.#spare = buffer.length <= KEPT_BYTES ? buffer : null;
    this.#writing = this.#lines;
    this.#length = 0;
    this.#lines = 0;
    this.#descriptor.write(bytes, this.#written);
  }

  #written = (error: NodeJS.ErrnoException | null): void => {
    if (error !== null) {
      this.#dropped += this.#writing;
      // Nobody will ever read again. Anything else (a full disk) may pass.
      this.#gone = error.code === 'EPIPE';
      if (this.#gone) this.#dropped += this.#lines;
    }
    this.#writing = 0;
    if (this.#lines > 0 && !this.#gone) this.#next();
  };
}
