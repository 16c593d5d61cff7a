/**
 * The latest exchanges, as the log tells of them: for an operator who has a request ID and no log at hand.
 *
 * Rules: bounded; a line is kept as it was made and read again when somebody asks, so that an exchange costs two
 * references; nothing is here that the log may not have. It does not know who asks.
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

export class RecentExchanges {
  #lines: (string | undefined)[];
  #ids: (string | undefined)[];
  /** Where the next goes. */
  #at = 0;

  /** @param limit 0: none are kept */
  constructor(limit: number) {
    this.#lines = Array.from({ length: limit });
    this.#ids = Array.from({ length: limit });
  }

  get limit(): number {
    return this.#lines.length;
  }

  /** The latest stay. */
  setLimit(limit: number): void {
    if (limit === this.limit) return;
    const kept = [...this.#indexes()].slice(0, limit).reverse();
    const [lines, ids] = [this.#lines, this.#ids];
    this.#lines = Array.from({ length: limit }, (_, i) => lines[kept[i] ?? -1]);
    this.#ids = Array.from({ length: limit }, (_, i) => ids[kept[i] ?? -1]);
    this.#at = limit === 0 ? 0 : kept.length % limit;
  }

  add(id: string, line: string): void {
    const { length } = this.#lines;
    if (length === 0) return;
    this.#lines[this.#at] = line;
    this.#ids[this.#at] = id;
    this.#at = this.#at + 1 === length ? 0 : this.#at + 1;
  }

  /** The latest first. */
  list(): RecentExchange[] {
    return Array.from(this.#indexes(), (i) => summaryOf(JSON.parse(this.#lines[i] as string)));
  }

  /** Every one of that request ID, the latest first: a caller may have used it more than once. */
  timelines(id: string): object[] {
    return [...this.#indexes()]
      .filter((i) => this.#ids[i] === id)
      .map((i) => JSON.parse(this.#lines[i] as string));
  }

  *#indexes(): Generator<number> {
    const { length } = this.#lines;
    for (let n = 1; n <= length; n++) {
      const i = (this.#at - n + length) % length;
      if (this.#lines[i] === undefined) return;
      yield i;
    }
  }
}

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
