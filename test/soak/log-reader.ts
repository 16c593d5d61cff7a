/** Reads a log that grows, piece by piece, and hands over whole lines; holds no more than a piece and half a line. */
import { closeSync, openSync, readSync } from 'node:fs';

const PIECE = 262_144;

export class LogReader {
  readonly #file: number;
  readonly #piece = Buffer.alloc(PIECE);
  readonly #line: (line: string) => void;
  #at = 0;
  #rest = '';

  constructor(path: string, line: (line: string) => void) {
    this.#file = openSync(path, 'r');
    this.#line = line;
  }

  /** All that is there by now. Every line is ASCII, so a piece may end anywhere. */
  read(): void {
    for (;;) {
      const length = readSync(this.#file, this.#piece, 0, PIECE, this.#at);
      if (length === 0) return;
      this.#at += length;
      const lines = (this.#rest + this.#piece.toString('latin1', 0, length)).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#line(line);
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}
