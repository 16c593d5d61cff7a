/**
 * What a finished exchange adds to the metrics of its route.
 *
 * Rules: the hot path looks prepared series up by number or by a short constant string and makes no label
 * objects; no label has more values than its bound, whatever callers and origins send. It knows no metrics
 * library: a family is a function from label values to a series.
 */
import { STATUS_CODES } from 'node:http';
import type { Attempt, Exchange, Outcome } from '../exchange.ts';

/** One series that counts. */
export interface Count {
  inc(by?: number): void;
}

/** One series of a histogram. */
export interface Distribution {
  observe(value: number): void;
}

/** Finds the series of these label values, in the order of the family's labels. */
type Counts = (...values: string[]) => Count;
type Distributions = (...values: string[]) => Distribution;

/** Name without prefix, help, labels. */
export type FamilyText = readonly [name: string, help: string, ...labels: string[]];

// biome-ignore format: one family per line reads as the table it is
export const ROUTE_COUNTS = Object.freeze({
  exchanges: ['exchanges_total', 'Exchanges finished, by what the caller was answered and how they ended.', 'route', 'method', 'status', 'outcome'],
  attempts: ['attempts_total', 'Attempts ended, by verdict or error.', 'route', 'result'],
  retries: ['retries_total', 'Attempts that were made again, by why they could be.', 'route', 'reason'],
  retriesRefused: ['retries_refused_total', 'Failed attempts that were not made again, by why not.', 'route', 'reason'],
  errors: ['errors_total', 'Exchanges that ended in an error of the sidecar, by RFC 9209 token.', 'route', 'error'],
  shed: ['shed_total', 'Exchanges refused to protect the origin or the sidecar from load.', 'route', 'reason'],
} as const satisfies Record<string, FamilyText>);

// biome-ignore format: one family per line reads as the table it is
export const ROUTE_DISTRIBUTIONS = Object.freeze({
  exchangeDuration: ['exchange_duration_seconds', 'Time from the request head to the end of the exchange.', 'route'],
  attemptDuration: ['attempt_duration_seconds', 'Time of one attempt, its wait for a connection included.', 'route'],
  queueWait: ['queue_wait_seconds', 'Time an attempt waited for a connection.', 'route'],
} as const satisfies Record<string, FamilyText>);

export type RouteFamilies = {
  readonly [name in keyof typeof ROUTE_COUNTS]: Counts;
} & {
  readonly [name in keyof typeof ROUTE_DISTRIBUTIONS]: Distributions;
};

/** Any other method is OTHER: its name is the caller's to invent. */
const METHODS = new Map(
  ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'CONNECT'].map((method, i) => [method, i]),
);
const METHOD_NAMES = [...METHODS.keys(), 'OTHER'];
const OTHER_METHOD = METHODS.size;

const OUTCOMES: Readonly<Record<Outcome, number>> = Object.freeze({
  completed: 0,
  refused: 1,
  failed: 2,
  aborted: 3,
  truncated: 4,
});
const OUTCOME_NAMES = Object.keys(OUTCOMES);

/** Combinations of method, status and outcome per route; more than any honest API has. */
const MAX_EXCHANGE_SERIES = 200;
/** Values of a label that come from closed sets in our own code; the bound holds if one is opened by mistake. */
const MAX_WORDS = 48;

/** The tokens of a refusal that protects the origin or the sidecar from load. */
const SHED: ReadonlySet<string> = new Set(['connection_limit_reached', 'destination_unavailable']);

const RETRIED = 'retried: ';
const NOT_RETRIED = 'not retried: ';

export class RouteMetrics {
  readonly #route: string;
  readonly #families: RouteFamilies;
  readonly #exchangeDuration: Distribution;
  readonly #attemptDuration: Distribution;
  readonly #queueWait: Distribution;
  readonly #exchanges = new Map<number, Count>();
  readonly #attempts: (word: string) => Count;
  readonly #retries: (word: string) => Count;
  readonly #retriesRefused: (word: string) => Count;
  readonly #errors: (word: string) => Count;
  readonly #shed: (word: string) => Count;

  constructor(route: string, families: RouteFamilies) {
    this.#route = route;
    this.#families = families;
    this.#exchangeDuration = families.exchangeDuration(route);
    this.#attemptDuration = families.attemptDuration(route);
    this.#queueWait = families.queueWait(route);
    this.#attempts = words(route, families.attempts, '');
    this.#retries = words(route, families.retries, RETRIED);
    this.#retriesRefused = words(route, families.retriesRefused, NOT_RETRIED);
    this.#errors = words(route, families.errors, '');
    this.#shed = words(route, families.shed, '');
  }

  exchangeFinished(exchange: Exchange): void {
    this.#exchange(exchange.method, exchange.status, exchange.outcome ?? 'failed').inc();
    this.#exchangeDuration.observe(exchange.durationMs / 1000);
    const error = exchange.error;
    if (error !== null) {
      this.#errors(error.token).inc();
      if (SHED.has(error.token)) this.#shed(error.name).inc();
    }
    const attempts = exchange.attempts;
    for (let i = 0; i < attempts.length; i++) this.#attempt(attempts[i] as Attempt);
  }

  #attempt(attempt: Attempt): void {
    this.#attempts(attempt.error === null ? (attempt.verdict ?? 'ignored') : attempt.error.token).inc();
    if (attempt.durationMs !== null) this.#attemptDuration.observe(attempt.durationMs / 1000);
    if (attempt.queueMs !== null) this.#queueWait.observe(attempt.queueMs / 1000);
    const retry = attempt.retry;
    if (retry === null) return;
    if (retry.startsWith(RETRIED)) this.#retries(retry).inc();
    else if (retry.startsWith(NOT_RETRIED)) this.#retriesRefused(retry).inc();
  }

  #exchange(method: string, status: number | null, outcome: Outcome): Count {
    const m = METHODS.get(method) ?? OTHER_METHOD;
    const o = OUTCOMES[outcome];
    const key = ((status ?? 0) * METHOD_NAMES.length + m) * OUTCOME_NAMES.length + o;
    return this.#exchanges.get(key) ?? this.#newExchange(key, m, status, outcome);
  }

  #newExchange(key: number, m: number, status: number | null, outcome: Outcome): Count {
    const full = this.#exchanges.size >= MAX_EXCHANGE_SERIES;
    const count = this.#families.exchanges(
      this.#route,
      full ? 'OTHER' : (METHOD_NAMES[m] as string),
      full ? 'other' : statusLabel(status),
      outcome,
    );
    // What is past the bound is not remembered either: the map would grow in the place of the page.
    if (!full) this.#exchanges.set(key, count);
    return count;
  }
}

/** The exact code where it is one that exists: an origin may send any of 900. */
function statusLabel(status: number | null): string {
  if (status === null) return 'none';
  return status in STATUS_CODES || status === 499 ? `${status}` : 'other';
}

/** The series of one label beside the route, found by its word; `prefix` is not part of the label. */
function words(route: string, family: Counts, prefix: string): (word: string) => Count {
  const known = new Map<string, Count>();
  return (word) => {
    const found = known.get(word);
    if (found !== undefined) return found;
    if (known.size >= MAX_WORDS) return family(route, 'other');
    const count = family(route, word.slice(prefix.length));
    known.set(word, count);
    return count;
  };
}
