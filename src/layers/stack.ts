/**
 * THE ORDER: what an exchange meets, outermost first, one line and one reason each. A layer that a policy
 * does not want is absent.
 */
import type { Tokens } from '../credentials/tokens.ts';
import type { Dispatch, Layer } from '../exchange.ts';
import type { Policy } from '../policy/policy.ts';
import type { Origins } from '../upstream/origins.ts';
import type { Semaphore } from '../upstream/semaphore.ts';
import type { TlsProfiles } from '../upstream/tls-profile.ts';
import { attempt } from './attempt.ts';
import { attemptTimeout } from './attempt-timeout.ts';
import { breaker } from './breaker.ts';
import { credential } from './credential.ts';
import { deadline } from './deadline.ts';
import { limit, type RoomMaker } from './limit.ts';
import { origin } from './origin.ts';
import { poolPermit } from './pool-permit.ts';
import { type Retriable, retry } from './retry.ts';

/** State that the layers share across exchanges. */
export interface Shared {
  readonly exchanges: Semaphore;
  readonly slow: RoomMaker;
  readonly origins: Origins;
  readonly profiles: TlsProfiles;
}

/**
 * `fresh`: each attempt needs a connection that nobody has used, as a tunnel does. `accepted`: the exchange has
 * met its `acceptance`, so its time runs and it is counted. `tokens`: its requests carry one.
 */
export function stack<R extends Retriable>(
  policy: Policy,
  shared: Shared,
  fresh: boolean,
  innermost: Dispatch<R>,
  accepted = false,
  tokens: Tokens | null = null,
): Dispatch<R> {
  const { timeouts, retry: retries } = policy;
  const layers: (Layer<R> | null)[] = [
    accepted || timeouts.totalMs === null ? null : deadline(timeouts.totalMs), // time spent waiting for a permit or a backoff counts too
    accepted ? null : limit(shared.exchanges, shared.slow), // an exchange is one unit of load however often it is tried
    tokens === null ? null : credential(tokens), // while a token is fetched nothing of the origin is held, and every attempt carries the same
    origin(shared.origins, shared.profiles), // its state must outlive every attempt
    retries.attempts > 1 ? retry(retries, timeouts.totalMs) : null, // around all that one attempt needs, so nothing is held while waiting to try again
    attempt(), // what is beneath is one attempt, and is on record
    policy.breaker === null ? null : breaker(policy.breaker), // sees every attempt; an open circuit answers without waiting in a queue
    poolPermit(policy.pool, fresh), // one attempt, one connection, given back when its body ends
    attemptTimeout(timeouts), // innermost, so that a slow attempt is a failure which the breaker sees and retry may repeat
  ];
  return layers.reduceRight<Dispatch<R>>((next, layer) => (layer ? layer(next) : next), innermost);
}

/** What a request of our own meets: it is part of an exchange that has been counted, and has a time of its own. */
export function inside<R extends Retriable>(
  policy: Policy,
  shared: Shared,
  totalMs: number,
  innermost: Dispatch<R>,
): Dispatch<R> {
  return deadline<R>(totalMs)(stack(policy, shared, false, innermost, true));
}

/**
 * What an exchange meets that is accepted before it is known where it goes, as a CONNECT whose first bytes
 * decide: it is one unit of load, and its time runs. The stack that it may meet later leaves both out.
 */
export function acceptance({ timeouts }: Policy, shared: Shared): Dispatch<void> {
  const limited = limit<void>(shared.exchanges, shared.slow)(() => Promise.resolve());
  return timeouts.totalMs === null ? limited : deadline<void>(timeouts.totalMs)(limited);
}
