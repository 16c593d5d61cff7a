/**
 * Chance that can be had again: a generator of numbers from a seed (mulberry32), and what fuzzers take by
 * lot. The same seed is the same case, on every machine.
 */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
    // Neighbouring seeds begin alike without this.
    for (let i = 0; i < 4; i++) this.number();
  }

  /** 0 to below 1. */
  number(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** 0 to below `end`. */
  below(end: number): number {
    return Math.floor(this.number() * end);
  }

  yes(share: number): boolean {
    return this.number() < share;
  }

  one<T>(of: readonly T[]): T {
    return of[this.below(of.length)] as T;
  }

  /** Mostly the first, at times one of the others. */
  mostly<T>(usual: T, share: number, others: readonly T[]): T {
    return this.yes(share) ? usual : this.one(others);
  }

  text(alphabet: string, most: number): string {
    let text = '';
    for (let i = this.below(most + 1); i > 0; i--) text += alphabet[this.below(alphabet.length)];
    return text;
  }

  /** Up to `most` changes of bytes: another, one more, one less, a piece twice, two exchanged. */
  mutated(bytes: Buffer, most: number, spice: readonly string[]): Buffer {
    let now = bytes;
    for (let i = 1 + this.below(most); i > 0; i--) {
      const at = this.below(now.length + 1);
      const before = now.subarray(0, at);
      const behind = now.subarray(at);
      const piece = behind.subarray(0, 1 + this.below(12));
      switch (this.below(6)) {
        case 0:
          now = Buffer.concat([before, Buffer.from([this.below(256)]), behind.subarray(1)]);
          break;
        case 1:
          now = Buffer.concat([before, Buffer.from([this.below(256)]), behind]);
          break;
        case 2:
          now = Buffer.concat([before, behind.subarray(1 + this.below(3))]);
          break;
        case 3:
          now = Buffer.concat([before, piece, piece, behind.subarray(piece.length)]);
          break;
        default:
          now = Buffer.concat([before, Buffer.from(this.one(spice), 'latin1'), behind]);
      }
    }
    return now;
  }

  /** Where to cut: nowhere, at random places, or behind every byte. */
  cuts(length: number): readonly number[] {
    const how = this.below(20);
    if (how < 10) return [];
    if (how < 19) {
      const places = Array.from({ length: 1 + this.below(4) }, () => this.below(length));
      return places.toSorted((a, b) => a - b);
    }
    return Array.from({ length: Math.min(length, 600) }, (_, i) => i + 1);
  }
}
