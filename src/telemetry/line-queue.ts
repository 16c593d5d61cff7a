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
/** Characters that may wait for a slow reader, beside those that are being written. */
const MAX_WAITING = 2 * 1024 * 1024;
/** The last lines of a process that ends wait this long for a reader. */
const LAST_MS = 500;

export class LineQueue {
  readonly #descriptor: Descriptor;
  readonly #batchLength: number;
  #timer: NodeJS.Timeout | null = null;
  #armed = false;
  #text = '';
  #lines = 0;
  /** Lines of the write under way; 0: there is none. */
  #writing = 0;
  #dropped = 0;
  #gone = false;

  /** `batchLength` in characters; 0: every line is written at once. */
  constructor(fd: number, batchLength: number) {
    this.#descriptor = new Descriptor(fd);
    this.#batchLength = batchLength;
    process.on('exit', this.flush);
  }

  get dropped(): number {
    return this.#dropped;
  }

  push(line: string): void {
    if (this.#gone || this.#text.length + line.length >= MAX_WAITING) {
      this.#dropped++;
      return;
    }
    this.#text += `${line}\n`;
    this.#lines++;
    if (this.#writing === 0) this.#next();
  }

  /** Writes what is buffered before it returns. */
  flush = (): void => {
    if (this.#gone || this.#lines + this.#writing === 0) return;
    const text = this.#text;
    const lines = this.#lines;
    this.#text = '';
    this.#lines = 0;
    if (!this.#descriptor.writeNow(Buffer.from(text), LAST_MS)) this.#dropped += lines;
  };

  close(): void {
    process.off('exit', this.flush);
    this.flush();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (!this.#gone) this.#descriptor.close();
    this.#gone = true;
  }

  #next(): void {
    if (this.#text.length >= this.#batchLength) this.#write();
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
    const bytes = Buffer.from(this.#text);
    this.#writing = this.#lines;
    this.#text = '';
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
