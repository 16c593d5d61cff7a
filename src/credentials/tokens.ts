/**
 * The token of one route: kept until it ends, replaced ahead of its end, fetched by one fetch at a time however
 * many wait for it.
 *
 * Rules: no request waits while there is a token that holds; it is replaced by the first request that comes within
 * `refreshBefore` of its end, so that a route which nobody uses asks for nothing; a failed fetch is followed by a
 * pause that doubles, so that a token server which is down is not stormed, unless the client secret has changed
 * meanwhile; a token that the origin does not take is dropped once, and where the next is not taken either, pauses
 * double in the same way. Late results decide nothing. It does no I/O and its clock is given.
 */
import { OutriggerError } from '../errors.ts';
import type { Exchange, Pending } from '../exchange.ts';
import type { OAuth2Policy } from '../policy/policy.ts';
import type { Grant } from './token-response.ts';

/** Fetches a token; rejects with an OutriggerError. */
export type Fetch = (secret: string) => Promise<Grant>;

/** Of a token whose end is not told (RFC 6749, section 5.1), milliseconds. */
const UNTOLD_MS = 300_000;

/** Longer is not believed, milliseconds. */
const LONGEST_MS = 24 * 3_600_000;

/** The pause after a failed fetch or a token that was not taken, milliseconds: doubled with each, up to the last. */
const PAUSE_MS = 1_000;
const PAUSE_MAX_MS = 60_000;

const pauseMs = (before: number): number => Math.min(PAUSE_MS * 2 ** before, PAUSE_MAX_MS);

interface Token {
  /** As the field carries it. */
  readonly value: string;
  readonly refreshAt: number;
  readonly endsAt: number;
}

/** An exchange that waits; it may be aborted. */
class Waiter implements Pending {
  readonly settle: (token: Token | null, error: OutriggerError | null) => void;
  readonly #leave: (waiter: Waiter) => void;

  constructor(settle: Waiter['settle'], leave: (waiter: Waiter) => void) {
    this.settle = settle;
    this.#leave = leave;
  }

  cancel(error: OutriggerError): void {
    this.#leave(this);
    this.settle(null, error);
  }
}

export class Tokens {
  readonly #policy: OAuth2Policy;
  readonly #fetch: Fetch;
  readonly #now: () => number;
  readonly #waiters = new Set<Waiter>();
  #token: Token | null = null;
  #fetching = false;
  /** Failed fetches in a row. */
  #failures = 0;
  #failure: OutriggerError | null = null;
  #pauseUntil = Number.NEGATIVE_INFINITY;
  /** Of the last fetch. */
  #secret = '';
  /** Tokens that were not taken, in a row. */
  #drops = 0;
  #keepUntil = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds; only its differences count */
  constructor(policy: OAuth2Policy, fetch: Fetch, now: () => number) {
    this.#policy = policy;
    this.#fetch = fetch;
    this.#now = now;
  }

  get header(): string {
    return this.#policy.header;
  }

  /** The field's value, at once; null: there is no token that holds. */
  current(): string | null {
    const token = this.#token;
    if (token === null) return null;
    const now = this.#now();
    if (now >= token.endsAt) {
      this.#token = null;
      return null;
    }
    if (now >= token.refreshAt && !this.#paused(now)) this.#begin();
    return token.value;
  }

  /** The field's value, once there is a token; rejects with `token_unavailable`, or whatever aborts the exchange. */
  wait(exchange: Exchange): Promise<string> {
    const now = this.#now();
    if (!this.#fetching && this.#paused(now)) return Promise.reject(this.#refusal(now));
    return new Promise((resolve, reject) => {
      const waiter = new Waiter(
        (token, error) => (token === null ? reject(error) : resolve(token.value)),
        (it) => this.#waiters.delete(it),
      );
      exchange.phase = 'waiting for a token';
      exchange.pending = waiter;
      this.#waiters.add(waiter);
      this.#begin();
    });
  }

  /** The origin does not take it (401): the next request fetches another, unless there is one by now. */
  rejected(value: string): void {
    const now = this.#now();
    // An origin that takes none must not have the token server asked for each request.
    if (this.#token?.value !== value || now < this.#keepUntil) return;
    this.#token = null;
    if (now >= this.#keepUntil + PAUSE_MAX_MS) this.#drops = 0;
    this.#keepUntil = now + pauseMs(this.#drops);
    this.#drops++;
  }

  #paused(now: number): boolean {
    return now < this.#pauseUntil && this.#secret === this.#secretNow();
  }

  #secretNow(): string {
    const { clientSecret } = this.#policy;
    return typeof clientSecret === 'string' ? clientSecret : clientSecret.value;
  }

  #begin(): void {
    if (this.#fetching) return;
    this.#fetching = true;
    this.#secret = this.#secretNow();
    let fetched: Promise<Grant>;
    try {
      fetched = this.#fetch(this.#secret);
    } catch (thrown) {
      // A bug of ours; the route must not wait for ever for it.
      fetched = Promise.reject(thrown);
    }
    fetched.then(this.#fetched, this.#failed);
  }

  #fetched = ({ token: text, expiresInS }: Grant): void => {
    this.#fetching = false;
    this.#failures = 0;
    this.#failure = null;
    this.#pauseUntil = Number.NEGATIVE_INFINITY;
    const now = this.#now();
    const lifeMs = expiresInS === null ? UNTOLD_MS : Math.min(expiresInS * 1_000, LONGEST_MS);
    const token: Token = {
      value: `Bearer ${text}`,
      refreshAt: now + lifeMs - Math.min(this.#policy.refreshBeforeMs, lifeMs / 2),
      endsAt: now + lifeMs,
    };
    this.#token = token;
    this.#release(token, null);
  };

  #failed = (thrown: unknown): void => {
    const now = this.#now();
    this.#fetching = false;
    this.#failure =
      thrown instanceof OutriggerError ? thrown : new OutriggerError('internal', '', null, thrown);
    this.#pauseUntil = now + pauseMs(this.#failures);
    this.#failures++;
    if (this.#waiters.size > 0) this.#release(null, this.#refusal(now));
  };

  #release(token: Token | null, error: OutriggerError | null): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.settle(token, error);
  }

  /** What those are told who need a token and get none. */
  #refusal(now: number): OutriggerError {
    const cause = this.#failure as OutriggerError;
    const seconds = Math.max(1, Math.ceil((this.#pauseUntil - now) / 1_000));
    const name = cause.row.status === 504 ? 'token_timeout' : 'token_unavailable';
    const detail = cause.name === 'token_unavailable' ? cause.detail : `${cause.name}: ${cause.detail}`;
    return new OutriggerError(name, detail, seconds, cause.cause);
  }
}
