/**
 * What a finished exchange adds to the metrics of its route.
 *
 * Rules: the hot path looks prepared series up by number or by a short constant string and makes no label
 * objects; no label has more values than its bound, whatever callers and origins send. It does not know how
 * the sums get to whoever scrapes.
 */
import type { Attempt, Exchange, Outcome } from '../exchange.ts';
import type { CountFamily, Distribution, DistributionFamily, FamilyText, Tally } from './families.ts';

// biome-ignore format: one family per line reads as the table it is
export const ROUTE_COUNTS = Object.freeze({
  exchanges: ['exchanges_total', 'Exchanges finished, by what the caller was answered and how they ended.', 'route', 'method', 'status', 'outcome'],
  attempts: ['attempts_total', 'Attempts ended, by verdict or error.', 'route', 'result'],
  retries: ['retries_total', 'Attempts that were made again, by why they could be.', 'route', 'reason'],
  retriesRefused: ['retries_refused_total', 'Failed attempts that were not made again, by why not.', 'route', 'reason'],
  errors: ['errors_total', 'Exchanges that ended in an error of the sidecar, by RFC 9209 token.', 'route', 'error'],
  reported: ['access_reported_total', 'Exchanges let through that access would have refused, had it not been told only to report.', 'route'],
  limited: ['limited_total', 'Exchanges that a limit on heads, bodies or their pace refused or cut, by the limit.', 'route', 'limit'],
  shed: ['shed_total', 'Exchanges refused to protect the origin or the sidecar from load.', 'route', 'reason'],
} as const satisfies Record<string, FamilyText>);

// biome-ignore format: one family per line reads as the table it is
export const ROUTE_DISTRIBUTIONS = Object.freeze({
  exchangeDuration: ['exchange_duration_seconds', 'Time from the request head to the end of the exchange.', 'route'],
  attemptDuration: ['attempt_duration_seconds', 'Time of one attempt, its wait for a connection included.', 'route'],
  queueWait: ['queue_wait_seconds', 'Time an attempt waited for a connection.', 'route'],
} as const satisfies Record<string, FamilyText>);

export type RouteFamilies = {
  readonly [name in keyof typeof ROUTE_COUNTS]: CountFamily;
} & {
  readonly [name in keyof typeof ROUTE_DISTRIBUTIONS]: DistributionFamily;
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
const OUTCOME_COUNT = Object.keys(OUTCOMES).length;

/** Combinations of method, status and outcome per route, more than any honest API has: an origin may send 900 codes. */
const MAX_EXCHANGE_SERIES = 200;
/** Values of a label that come from closed sets in our own code; the bound holds if one is opened by mistake. */
const MAX_WORDS = 48;

/** The tokens of a refusal that protects the origin or the sidecar from load. */
const SHED: ReadonlySet<string> = new Set(['connection_limit_reached', 'destination_unavailable']);

/** The errors of limits, each by its own name: `error` of the others is a token that several share. */
const LIMITS: ReadonlySet<string> = new Set<NonNullable<Exchange['error']>['name']>([
  'request_head_too_large',
  'request_head_timeout',
  'request_target_too_long',
  'request_too_large',
  'request_body_stalled',
  'request_body_yielded',
  'response_head_too_large',
  'response_too_large',
  'head_timeout',
  'body_timeout',
  'write_timeout',
  'caller_stalled',
  'caller_yielded',
]);

const RETRIED = 'retried: ';
const NOT_RETRIED = 'not retried: ';

export class RouteMetrics {
  readonly #route: string;
  readonly #families: RouteFamilies;
  readonly #exchangeDuration: Distribution;
  readonly #attemptDuration: Distribution;
  readonly #queueWait: Distribution;
  readonly #exchanges = new Map<number, Tally>();
  /** By outcome: where exchanges are counted once there are too many series. */
  readonly #otherExchanges = new Map<Outcome, Tally>();
  readonly #attempts: Words;
  readonly #retries: Words;
  readonly #retriesRefused: Words;
  readonly #errors: Words;
  readonly #limited: Words;
  readonly #shed: Words;
  #reported: Tally | null = null;

  constructor(route: string, families: RouteFamilies) {
    this.#route = route;
    this.#families = families;
    this.#exchangeDuration = families.exchangeDuration(route);
    this.#attemptDuration = families.attemptDuration(route);
    this.#queueWait = families.queueWait(route);
    this.#attempts = new Words(route, families.attempts, '');
    this.#retries = new Words(route, families.retries, RETRIED);
    this.#retriesRefused = new Words(route, families.retriesRefused, NOT_RETRIED);
    this.#errors = new Words(route, families.errors, '');
    this.#limited = new Words(route, families.limited, '');
    this.#shed = new Words(route, families.shed, '');
  }

  exchangeFinished(exchange: Exchange): void {
    this.#exchange(exchange.method, exchange.status, exchange.outcome ?? 'failed').inc();
    this.#exchangeDuration.observe(exchange.durationMs / 1000);
    const error = exchange.error;
    if (error !== null) {
      this.#errors.of(error.token).inc();
      if (LIMITS.has(error.name)) this.#limited.of(error.name).inc();
      if (SHED.has(error.token)) this.#shed.of(error.name).inc();
    }
    if (exchange.wouldRefuse !== null) {
      this.#reported ??= this.#families.reported(this.#route);
      this.#reported.inc();
    }
    const attempts = exchange.attempts;
    for (let i = 0; i < attempts.length; i++) this.#attempt(attempts[i] as Attempt);
  }

  #attempt(attempt: Attempt): void {
    this.#attempts.of(attempt.error === null ? (attempt.verdict ?? 'ignored') : attempt.error.token).inc();
    if (attempt.durationMs !== null) this.#attemptDuration.observe(attempt.durationMs / 1000);
    if (attempt.queueMs !== null) this.#queueWait.observe(attempt.queueMs / 1000);
    const retry = attempt.retry;
    if (retry === null) return;
    if (retry.startsWith(RETRIED)) this.#retries.of(retry).inc();
    else if (retry.startsWith(NOT_RETRIED)) this.#retriesRefused.of(retry).inc();
  }

  #exchange(method: string, status: number | null, outcome: Outcome): Tally {
    const m = METHODS.get(method) ?? OTHER_METHOD;
    const key = ((status ?? 0) * METHOD_NAMES.length + m) * OUTCOME_COUNT + OUTCOMES[outcome];
    const known = this.#exchanges.get(key);
    if (known !== undefined) return known;
    if (this.#exchanges.size >= MAX_EXCHANGE_SERIES) return this.#otherExchange(outcome);
    const label = status === null ? 'none' : `${status}`;
    const tally = this.#families.exchanges(this.#route, METHOD_NAMES[m] as string, label, outcome);
    this.#exchanges.set(key, tally);
    return tally;
  }

  #otherExchange(outcome: Outcome): Tally {
    let tally = this.#otherExchanges.get(outcome);
    if (tally === undefined) {
      tally = this.#families.exchanges(this.#route, 'OTHER', 'other', outcome);
      this.#otherExchanges.set(outcome, tally);
    }
    return tally;
  }
}

/** The series of one label beside the route, found by its word. */
class Words {
  readonly #route: string;
  readonly #family: CountFamily;
  readonly #prefix: string;
  readonly #known = new Map<string, Tally>();
  #other: Tally | null = null;

  /** `prefix` is not part of the label. */
  constructor(route: string, family: CountFamily, prefix: string) {
    this.#route = route;
    this.#family = family;
    this.#prefix = prefix;
  }

  of(word: string): Tally {
    const known = this.#known.get(word);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_WORDS) {
      this.#other ??= this.#family(this.#route, 'other');
      return this.#other;
    }
    const tally = this.#family(this.#route, word.slice(this.#prefix.length));
    this.#known.set(word, tally);
    return tally;
  }
}
