/**
 * A body in chunks, whatever the pieces it comes in: its data goes on as it comes, without the framing.
 *
 * Keeps: RFC 9112, section 7.1: a size is hexadecimal digits and nothing else; every line ends with CR LF and
 * with nothing else; data is followed by CR LF at once. Extensions are ignored (section 7.1.1) and bounded, for
 * they cost and say nothing; trailers are field lines like any other (section 7.1.2) and bounded like a head.
 */
import { readFieldLines } from './field-lines.ts';
import { type HeadBounds, HeadFault, malformed } from './head-fault.ts';
import { FAULT } from './head-reader.ts';
import { HEX_VALUE, IN_VALUE } from './octets.ts';

/** Takes the data of a body. */
export interface BodySink {
  bodyData(data: Buffer): void;
}

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;

/** Leading zeros are a number, too, but not without end. */
const SIZE_DIGITS_MAX = 16;

/** Of one size line, and of a whole message; octets. */
const EXTENSION_BYTES_MAX = 4_096;
const EXTENSIONS_BYTES_MAX = 65_536;

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
/** At the beginning of a line of the trailers. */
const TRAILER = 6;
const TRAILER_LINE = 7;
const TRAILER_LF = 8;
const LAST_LF = 9;
const DONE = 10;

export class ChunkedReader {
  /** Flat list of names and values; whole once `done`. */
  readonly trailers: string[] = [];
  /** Only after `read` has returned FAULT. */
  fault: HeadFault | null = null;
  readonly #bounds: HeadBounds;
  #state = SIZE;
  #digits = 0;
  #size = 0;
  #extensionBytes = 0;
  #extensionsBytes = 0;
  #trailerText = '';

  constructor(bounds: HeadBounds) {
    this.#bounds = bounds;
  }

  get done(): boolean {
    return this.#state === DONE;
  }

  /** The position behind what was taken, which is the end of the chunk until `done`; FAULT: it is no such body. */
  read(chunk: Buffer, from: number, sink: BodySink): number {
    let at = from;
    while (at < chunk.length && this.#state !== DONE) {
      if (this.#state === DATA) {
        const to = Math.min(chunk.length, at + this.#size);
        this.#size -= to - at;
        if (this.#size === 0) this.#state = DATA_CR;
        const data = at === 0 && to === chunk.length ? chunk : chunk.subarray(at, to);
        at = to;
        sink.bodyData(data);
        continue;
      }
      if (this.#state === TRAILER_LINE) {
        at = this.#takeTrailer(chunk, at);
      } else this.#take(chunk[at++] as number);
      if (this.fault !== null) return FAULT;
    }
    return at;
  }

  #take(octet: number): void {
    switch (this.#state) {
      case SIZE: {
        const digit = HEX_VALUE[octet] as number;
        if (digit >= 0) {
          this.#size = this.#size * 16 + digit;
          if (++this.#digits > SIZE_DIGITS_MAX || this.#size > Number.MAX_SAFE_INTEGER)
            this.fault = malformed('a chunk size that is too large');
        } else if (this.#digits === 0) this.fault = malformed('a chunk size that is no number');
        else if (octet === CR) this.#state = SIZE_LF;
        else if (octet === SEMICOLON) this.#state = EXTENSION;
        else this.fault = malformed('a chunk size that is no number');
        return;
      }
      case EXTENSION:
        if (octet === CR) this.#state = SIZE_LF;
        else if (IN_VALUE[octet] === 0) this.fault = malformed('a control character in a chunk extension');
        else if (
          ++this.#extensionBytes > EXTENSION_BYTES_MAX ||
          ++this.#extensionsBytes > EXTENSIONS_BYTES_MAX
        )
          this.fault = malformed('too many chunk extensions');
        return;
      case SIZE_LF:
        if (octet !== LF) this.fault = malformed('a line end that is not CR LF in a chunked body');
        this.#extensionBytes = 0;
        this.#digits = 0;
        this.#state = this.#size === 0 ? TRAILER : DATA;
        return;
      case DATA_CR:
        if (octet !== CR) this.fault = malformed('a chunk that is longer than its size');
        this.#state = DATA_LF;
        return;
      case DATA_LF:
        if (octet !== LF) this.fault = malformed('a line end that is not CR LF in a chunked body');
        this.#state = SIZE;
        return;
      case TRAILER:
        if (octet === CR) this.#state = LAST_LF;
        else {
          this.#state = TRAILER_LINE;
          this.#trailerOctet(octet);
        }
        return;
      case TRAILER_LF:
        if (octet !== LF) this.fault = malformed('a line end that is not CR LF in a trailer');
        this.#trailerText += '\r\n';
        this.#state = TRAILER;
        return;
      case LAST_LF:
        if (octet !== LF) this.fault = malformed('a line end that is not CR LF in a chunked body');
        else this.#end();
        return;
      default:
    }
  }

  #takeTrailer(chunk: Buffer, from: number): number {
    let to = from;
    while (to < chunk.length && IN_VALUE[chunk[to] as number] === 1) to++;
    this.#trailerText += chunk.toString('latin1', from, to);
    if (this.#trailerText.length > this.#bounds.headBytes) {
      this.fault = new HeadFault('head too large', `more than ${this.#bounds.headBytes} bytes of trailers`);
    } else if (to < chunk.length) {
      if (chunk[to] === CR) this.#state = TRAILER_LF;
      else this.fault = malformed('a control character in a trailer');
      to++;
    }
    return to;
  }

  #trailerOctet(octet: number): void {
    if (IN_VALUE[octet] === 0) this.fault = malformed('a control character in a trailer');
    this.#trailerText += String.fromCharCode(octet);
  }

  #end(): void {
    const text = this.#trailerText;
    if (text !== '') this.fault = readFieldLines(text.slice(0, -2), 0, this.#bounds.fields, this.trailers);
    this.#trailerText = '';
    this.#state = DONE;
  }
}
