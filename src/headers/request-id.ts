/**
 * The identity of an exchange: made here as a UUID of version 7 (RFC 9562, section 5.7), or taken from the
 * caller if it is well formed. Time and randomness are arguments. It knows no header and no configuration.
 */

/**
 * Random bytes in stock, so that an ID does not cost a call into the generator. `fill` fills all of what it
 * is given.
 */
export class RandomPool {
  readonly bytes = new Uint8Array(4096);
  readonly #fill: (bytes: Uint8Array) => void;
  #used = this.bytes.length;

  constructor(fill: (bytes: Uint8Array) => void) {
    this.#fill = fill;
  }

  /** Where the next `count` bytes stand; valid until the next call, and used once. */
  take(count: number): number {
    if (this.#used + count > this.bytes.length) {
      this.#fill(this.bytes);
      this.#used = 0;
    }
    const offset = this.#used;
    this.#used += count;
    return offset;
  }
}

/** `00`..`ff` */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

export function hexOf(bytes: Uint8Array, offset: number, count: number): string {
  let hex = '';
  for (let i = offset; i < offset + count; i++) hex += HEX[bytes[i] ?? 0];
  return hex;
}

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
    return format(this.#ms, this.#counter, bytes, at);
  }
}

/** One ID without memory; `random` holds at least ten bytes. */
export function uuidv7(nowMs: number, random: Uint8Array): string {
  return format(Math.floor(nowMs), (((random[8] ?? 0) << 8) | (random[9] ?? 0)) & 0xfff, random, 0);
}

/** unix_ts_ms (48 bits), version 7, rand_a (12), variant 10, rand_b (62). */
function format(ms: number, randA: number, random: Uint8Array, at: number): string {
  const high = Math.floor(ms / 0x1_0000_0000) & 0xffff;
  const low = ms % 0x1_0000_0000;
  return (
    `${HEX[high >>> 8]}${HEX[high & 0xff]}${HEX[(low >>> 24) & 0xff]}${HEX[(low >>> 16) & 0xff]}-` +
    `${HEX[(low >>> 8) & 0xff]}${HEX[low & 0xff]}-` +
    `${HEX[0x70 | (randA >>> 8)]}${HEX[randA & 0xff]}-` +
    `${HEX[0x80 | ((random[at] ?? 0) & 0x3f)]}${HEX[random[at + 1] ?? 0]}-${hexOf(random, at + 2, 6)}`
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
