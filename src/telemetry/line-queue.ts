/**
 * Lines on their way to a stream: put together into few writes, and bounded, so that a reader who has
 * stopped reading costs lines and not memory, and never makes traffic wait.
 *
 * Rules: order is kept; a line is written within FLUSH_MS or counted as dropped; there is no timer while
 * nothing is buffered. It does not know what the lines say, nor which library the stream is from.
 */

/** A person who watches sees lines at once. */
const FLUSH_MS = 100;

/** What is needed of the stream: it buffers while a write is under way, up to a limit of its own. */
export interface LineStream {
  write(text: string): unknown;
  flushSync(): void;
  end(): void;
  on(event: 'drop', listener: (text: string) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

export class LineQueue {
  readonly #stream: LineStream;
  readonly #batchLength: number;
  readonly #timer: NodeJS.Timeout;
  #armed = false;
  #text = '';
  #dropped = 0;
  #gone = false;

  /** `batchLength` 0: every line is written at once. */
  constructor(stream: LineStream, batchLength: number) {
    this.#stream = stream;
    this.#batchLength = batchLength;
    this.#timer = setTimeout(() => this.#write(), FLUSH_MS).unref();
    clearTimeout(this.#timer);
    stream.on('drop', (text) => {
      this.#dropped += countLines(text);
    });
    // EPIPE: nobody will ever read again. Anything else may pass; the stream tries again by itself.
    stream.on('error', (error) => {
      if ((error as NodeJS.ErrnoException).code === 'EPIPE') this.#gone = true;
    });
  }

  get dropped(): number {
    return this.#dropped;
  }

  push(line: string): void {
    if (this.#gone) {
      this.#dropped++;
      return;
    }
    this.#text += `${line}\n`;
    if (this.#text.length >= this.#batchLength) this.#write();
    else if (!this.#armed) {
      this.#armed = true;
      this.#timer.refresh();
    }
  }

  #write(): void {
    this.#armed = false;
    const text = this.#text;
    if (text === '') return;
    this.#text = '';
    if (this.#gone) this.#dropped += countLines(text);
    else this.#stream.write(text);
  }

  flush(): void {
    this.#write();
    if (this.#gone) return;
    try {
      this.#stream.flushSync();
    } catch {
      // The last lines of a process that ends; there is nobody left to tell.
    }
  }

  close(): void {
    this.#write();
    clearTimeout(this.#timer);
    if (this.#gone) return;
    this.#gone = true;
    this.#stream.end();
  }
}

function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++;
  return lines;
}
