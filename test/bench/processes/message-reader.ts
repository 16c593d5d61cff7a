/**
 * Finds where messages of HTTP/1.1 end, as cheaply as may be: by their length, by their last chunk, or after the
 * head. It trusts whoever sends them, for these are benchmarks; of a chunked body only its end is looked at.
 */
const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const NOTHING = Buffer.alloc(0);

export class MessageReader {
  readonly #onMessage: (head: string) => void;
  #held: Buffer = NOTHING;
  #head = '';
  /** Bytes of the body that are still to come; null: chunked. */
  #rest: number | null = 0;
  #inBody = false;

  constructor(onMessage: (head: string) => void) {
    this.#onMessage = onMessage;
  }

  take(data: Buffer): void {
    let left: Buffer = this.#held.length === 0 ? data : Buffer.concat([this.#held, data]);
    this.#held = NOTHING;
    while (left.length > 0) {
      if (!this.#inBody) {
        const end = left.indexOf(HEAD_END);
        if (end < 0) {
          this.#held = left;
          return;
        }
        this.#head = left.toString('latin1', 0, end + 2);
        left = left.subarray(end + 4);
        const length = /\r\ncontent-length: *(\d+)/i.exec(this.#head)?.[1];
        if (length !== undefined) this.#rest = Number(length);
        else this.#rest = /\r\ntransfer-encoding: *chunked/i.test(this.#head) ? null : 0;
        this.#inBody = true;
      }
      if (this.#rest === null) {
        if (!left.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK)) {
          this.#held = left.subarray(-LAST_CHUNK.length);
          return;
        }
        left = NOTHING;
      } else {
        const took = Math.min(this.#rest, left.length);
        this.#rest -= took;
        left = left.subarray(took);
        if (this.#rest > 0) return;
      }
      this.#inBody = false;
      this.#onMessage(this.#head);
    }
  }
}
