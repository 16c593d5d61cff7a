/**
 * The latest exchanges, as the log tells of them: for an operator who has a request ID and no log at hand.
 *
 * Rules: bounded; a line is copied into memory of its own, used again and again, and read when somebody asks: kept as
 * text, the pieces of which it was made would grow old with it, and cost the collector more than the exchange did.
 * Nothing is here that the log may not have. It does not know who asks.
 */

/** An exchange in the list; its timeline is the whole line. */
export interface RecentExchange {
  readonly requestId: string;
  readonly time: string;
  readonly method: string;
  /** Null where the request could not be understood that far. */
  readonly origin: string | null;
  readonly route: string;
  readonly status: number | null;
  readonly outcome: string;
  readonly error: string | null;
  readonly reason: string | null;
  readonly attempts: number;
  readonly durationMs: number;
}

/** What is read of a line. */
interface Line extends Omit<RecentExchange, 'origin' | 'attempts'> {
  readonly scheme: string | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly attempts: readonly object[];
}

/** Of a line, to begin with; a longer one gets more. */
const LINE_BYTES = 1_024;

interface Slot {
  bytes: Buffer;
  /** 0: nothing yet. */
  length: number;
}

export class RecentExchanges {
  #slots: Slot[];
  /** Where the next goes. */
  #at = 0;

  /** @param limit 0: none are kept */
  constructor(limit: number) {
    this.#slots = slots(limit);
  }

  get limit(): number {
    return this.#slots.length;
  }

  /** The latest stay. */
  setLimit(limit: number): void {
    if (limit === this.limit) return;
    const kept = [...this.#latest()].slice(0, limit).reverse();
    this.#slots = [...kept, ...slots(limit - kept.length)];
    this.#at = limit === 0 ? 0 : kept.length % limit;
  }

  /** The line is ASCII. */
  add(line: string): void {
    const slot = this.#slots[this.#at];
    if (slot === undefined) return;
    const { length } = line;
    if (slot.bytes.length < length) slot.bytes = Buffer.allocUnsafeSlow(length * 2);
    slot.length = slot.bytes.write(line, 0, length, 'latin1');
    this.#at = this.#at + 1 === this.#slots.length ? 0 : this.#at + 1;
  }

  /** The latest first. */
  list(): RecentExchange[] {
    return Array.from(this.#latest(), (slot) => summaryOf(lineOf(slot)));
  }

  /** Every one of that request ID, the latest first: a caller may have used it more than once. */
  timelines(id: string): object[] {
    return Array.from(this.#latest(), lineOf).filter(({ requestId }) => requestId === id);
  }

  *#latest(): Generator<Slot> {
    const { length } = this.#slots;
    for (let n = 1; n <= length; n++) {
      const slot = this.#slots[(this.#at - n + length) % length] as Slot;
      if (slot.length === 0) return;
      yield slot;
    }
  }
}

const slots = (count: number): Slot[] =>
  Array.from({ length: count }, () => ({ bytes: Buffer.allocUnsafeSlow(LINE_BYTES), length: 0 }));

const lineOf = ({ bytes, length }: Slot): Line => JSON.parse(bytes.toString('latin1', 0, length));

function summaryOf({ scheme, host, port, attempts, ...line }: Line): RecentExchange {
  const { requestId, time, method, route, status, outcome, error, reason, durationMs } = line;
  const name = host?.includes(':') ? `[${host}]` : host;
  return {
    requestId,
    time,
    method,
    origin: scheme === null ? null : `${scheme}://${name}:${port}`,
    route,
    status,
    outcome,
    error,
    reason,
    attempts: attempts.length,
    durationMs,
  };
}
