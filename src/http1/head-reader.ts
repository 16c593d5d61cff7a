/**
 * Finds the end of a head in a flow of bytes, whatever the pieces it comes in, and hands it on as one text.
 *
 * Rules: a line ends with CR LF and with nothing else (RFC 9112, section 2.2 lets a recipient take a bare LF;
 * where one hop does and another does not, requests are smuggled); a few empty lines before the first are
 * passed over (same section); what cannot become a head is refused at the octet that shows it, so that nobody
 * waits for the end of what has none. The bytes of a head that came in one piece are copied once.
 */
import { type HeadBounds, HeadFault, malformed } from './head-fault.ts';
import { IN_TOKEN, IN_VALUE } from './octets.ts';

/** What `read` returns where it returns no position. */
export const MORE = -1;
export const FAULT = -2;

const CR = 0x0d;
const LF = 0x0a;

/** So many empty lines are passed over in front of a request. */
const EMPTY_LINES_MAX = 8;

/** What is kept of a head that came in pieces begins with so much; octets. */
const HELD_BYTES = 512;

const END = Buffer.from('\r\n\r\n');

export class HeadReader {
  /** The head without its last two line ends, as Latin-1; only after `read` has returned a position. */
  text = '';
  /** Only after `read` has returned FAULT. */
  fault: HeadFault | null = null;
  /** An octet of the first line has been seen. */
  begun = false;
  readonly #bounds: HeadBounds;
  readonly #emptyLinesMax: number;
  readonly #start: string;
  #held: Buffer | null = null;
  #length = 0;
  /** Checked up to here. */
  #scanned = 0;
  #emptyLines = 0;
  /** The CR of an empty line has been seen, and not its LF. */
  #afterCr = false;

  /** `start`: what the first line must begin with, so that nobody waits for the rest of something else. */
  constructor(bounds: HeadBounds, emptyLinesMax = EMPTY_LINES_MAX, start = '') {
    this.#bounds = bounds;
    this.#emptyLinesMax = emptyLinesMax;
    this.#start = start;
  }

  /** For the next head on the same connection. */
  reset(): void {
    this.text = '';
    this.fault = null;
    this.begun = false;
    this.#held = null;
    this.#length = 0;
    this.#scanned = 0;
    this.#emptyLines = 0;
    this.#afterCr = false;
  }

  /** The position behind the head; MORE: it is not here whole; FAULT: it will never be one. */
  read(chunk: Buffer, from: number): number {
    let at = from;
    if (!this.begun) {
      at = this.#skipEmptyLines(chunk, at);
      if (this.fault !== null) return FAULT;
      if (at === chunk.length) return MORE;
      if (IN_TOKEN[chunk[at] as number] === 0)
        return this.#refuse(malformed('the first line does not begin with a token'));
      this.begun = true;
    }
    if (this.#held !== null) return this.#readOn(chunk, at);
    const end = chunk.indexOf(END, at);
    if (end < 0) return this.#hold(chunk, at);
    if (end - at > this.#bounds.headBytes) return this.#refuse(this.#tooLarge(chunk, at, end));
    this.text = chunk.toString('latin1', at, end);
    return end + 4;
  }

  #refuse(fault: HeadFault): typeof FAULT {
    this.fault = fault;
    return FAULT;
  }

  #skipEmptyLines(chunk: Buffer, from: number): number {
    let at = from;
    for (; at < chunk.length; at++) {
      const octet = chunk[at];
      if (this.#afterCr) {
        if (octet !== LF) break;
        this.#afterCr = false;
        if (++this.#emptyLines > this.#emptyLinesMax) break;
      } else if (octet === CR) this.#afterCr = true;
      else break;
    }
    if (this.#emptyLines > this.#emptyLinesMax)
      this.fault = malformed('too many empty lines before the first');
    else if (at < chunk.length && (this.#afterCr || chunk[at] === LF))
      this.fault = malformed('a line end that is not CR LF');
    return at;
  }

  /** Keeps what has come of a head. */
  #hold(chunk: Buffer, at: number): number {
    const part = chunk.subarray(at);
    this.#held = Buffer.allocUnsafeSlow(Math.max(HELD_BYTES, part.length * 2));
    this.#held.set(part);
    this.#length = part.length;
    return this.#scan(this.#length);
  }

  #readOn(chunk: Buffer, at: number): number {
    const before = this.#length;
    // The end may be spread over both.
    const room = Math.min(chunk.length - at, this.#bounds.headBytes + 4 - before + 1);
    this.#append(chunk, at, at + room);
    const held = this.#held as Buffer;
    const end = held.subarray(0, this.#length).indexOf(END, Math.max(0, before - 3));
    if (end < 0) return this.#scan(this.#length);
    if (end > this.#bounds.headBytes) return this.#refuse(this.#tooLarge(held, 0, end));
    this.text = held.toString('latin1', 0, end);
    this.#held = null;
    return at + (end + 4 - before);
  }

  #append(chunk: Buffer, from: number, to: number): void {
    let held = this.#held as Buffer;
    const length = this.#length + (to - from);
    if (length > held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, held.length * 2));
      held.copy(larger, 0, 0, this.#length);
      this.#held = held = larger;
    }
    chunk.copy(held, this.#length, from, to);
    this.#length = length;
  }

  /** Whether it can still become a head. */
  #scan(length: number): number {
    const held = this.#held as Buffer;
    for (let i = this.#scanned; i < length; i++) {
      const octet = held[i] as number;
      if (i < this.#start.length && octet !== this.#start.charCodeAt(i))
        return this.#refuse(malformed(`a first line that does not begin with ${this.#start}`));
      if (octet === LF) {
        if (held[i - 1] !== CR) return this.#refuse(malformed('a line end that is not CR LF'));
      } else if (i > 0 && held[i - 1] === CR) return this.#refuse(malformed('a line end that is not CR LF'));
      else if (octet !== CR && IN_VALUE[octet] === 0) return this.#refuse(malformed('a control character'));
    }
    this.#scanned = length;
    // Up to three octets of the end may be here.
    if (length - 3 > this.#bounds.headBytes) return this.#refuse(this.#tooLarge(held, 0, length));
    if (length > this.#bounds.startLineBytes + 1 && !hasLine(held, this.#bounds.startLineBytes + 2, length)) {
      return this.#refuse(startLineTooLong(this.#bounds));
    }
    return MORE;
  }

  #tooLarge(bytes: Buffer, from: number, to: number): HeadFault {
    const { startLineBytes, headBytes } = this.#bounds;
    const end = Math.min(to, from + startLineBytes + 2);
    if (!hasLine(bytes.subarray(from), end - from, to - from)) return startLineTooLong(this.#bounds);
    return new HeadFault('head too large', `more than ${headBytes} bytes`);
  }
}

/** Whether a line ends among the first `within` octets of `length`. */
function hasLine(bytes: Buffer, within: number, length: number): boolean {
  const at = bytes.indexOf(LF);
  return at >= 0 && at < Math.min(within, length);
}

export function startLineTooLong({ startLineBytes }: HeadBounds): HeadFault {
  return new HeadFault('start line too long', `more than ${startLineBytes} bytes`);
}
