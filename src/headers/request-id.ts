/**
 * The identity of an exchange: made here as a UUID of version 7 (RFC 9562, section 5.7), or taken from the
 * caller if it is well formed. Time and randomness are arguments. It knows no header and no configuration.
 */

/**
 * Random bytes in stock, so that an ID does not cost a call into the generator. `fill` fills all of what it
 * is given.
 */
export class RandomPool {
  readonly bytes = Buffer.alloc(4096);
  /** The same, in lower-case hexadecimal, two digits for each byte. */
  #hex = '';
  readonly #fill: (bytes: Uint8Array) => void;
  #used = this.bytes.length;

  constructor(fill: (bytes: Uint8Array) => void) {
    this.#fill = fill;
  }

  /** Where the next `count` bytes stand; valid until the next call, and used once. */
  take(count: number): number {
    if (this.#used + count > this.bytes.length) {
      this.#fill(this.bytes);
      this.#hex = this.bytes.toString('hex');
      this.#used = 0;
    }
    const offset = this.#used;
    this.#used += count;
    return offset;
  }

  hex(offset: number, count: number): string {
    return this.#hex.slice(offset * 2, (offset + count) * 2);
  }
}

/** `00`..`ff` */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/** A clock that goes back further than this has been set, and is believed. */
const CLOCK_SLACK_MS = 10_000;

/** A source of IDs that grow, also within a millisecond and while the clock steps back a little. */
export class RequestIds {
  readonly #random: RandomPool;
  #ms = 0;
  /**
   * The 12 bits of rand_a are a counter (RFC 9562, section 6.2, method 1), begun at random in its lower
   * half.
   */
  #counter = 0;

  constructor(random: RandomPool) {
    this.#random = random;
  }

  next(nowMs: number): string {
    const ms = Math.floor(nowMs);
    const at = this.#random.take(10);
    const { bytes } = this.#random;
    if (ms > this.#ms || ms < this.#ms - CLOCK_SLACK_MS) {
      this.#ms = ms;
      this.#counter = (((bytes[at + 8] ?? 0) << 8) | (bytes[at + 9] ?? 0)) & 0x7ff;
    } else if (++this.#counter > 0xfff) {
      // More than the counter holds in one millisecond: borrowed from the next.
      this.#ms++;
      this.#counter = 0;
    }
    return format(this.#ms, this.#counter, bytes[at] ?? 0, this.#random.hex(at + 1, 7));
  }
}

/** One ID without memory; `random` holds at least ten bytes. */
export function uuidv7(nowMs: number, random: Uint8Array): string {
  const randA = (((random[8] ?? 0) << 8) | (random[9] ?? 0)) & 0xfff;
  return format(Math.floor(nowMs), randA, random[0] ?? 0, Buffer.from(random.subarray(1, 8)).toString('hex'));
}

let lastMs = -1;
let timeText = '';

/** unix_ts_ms as it begins an ID; many IDs in a row have the same. */
function timeOf(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms;
    const digits = ms.toString(16).padStart(12, '0').slice(-12);
    timeText = `${digits.slice(0, 8)}-${digits.slice(8)}-`;
  }
  return timeText;
}

/** unix_ts_ms (48 bits), version 7, rand_a (12), variant 10, rand_b (62): `first` has its first bits, `rest` is in hexadecimal. */
function format(ms: number, randA: number, first: number, rest: string): string {
  return (
    `${timeOf(ms)}${HEX[0x70 | (randA >>> 8)]}${HEX[randA & 0xff]}-` +
    `${HEX[0x80 | (first & 0x3f)]}${rest.slice(0, 2)}-${rest.slice(2)}`
  );
}

/** `^[A-Za-z0-9._~-]{1,128}$`: fit for a header, a log and a URL. */
export function isWellFormedRequestId(value: string): boolean {
  if (value.length === 0 || value.length > 128) return false;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    const letter = (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a;
    const digit = code >= 0x30 && code <= 0x39;
    if (!letter && !digit && code !== 0x2e && code !== 0x5f && code !== 0x7e && code !== 0x2d) return false;
  }
  return true;
}
