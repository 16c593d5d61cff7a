/**
 * Whether an attempt is made again, and why or why not. Pure: randomness is a fact and the budget is asked
 * last, only once everything else says yes, so that nothing is taken from it in vain.
 *
 * Keeps: a proxy does not repeat a request that is not idempotent once it may have reached the origin (RFC
 * 9110, section 9.2.2), unless the caller made it so with an Idempotency-Key. The reasons are a closed set
 * without numbers: they go into the log and onto metrics verbatim.
 */
import type { ErrorName } from '../errors.ts';
import type { Delivery } from '../exchange.ts';
import { backoffMs } from './backoff.ts';
import { isIdempotent } from './classify.ts';
import type { RetryPolicy } from './policy.ts';

export interface RetryFacts {
  readonly method: string;
  readonly idempotencyKey: boolean;
  readonly delivery: Delivery;
  /** Null: no answer. */
  readonly status: number | null;
  readonly errorName: ErrorName | null;
  readonly attemptsMade: number;
  /** False once some of the body is gone that nobody kept. */
  readonly bodyReplayable: boolean;
  readonly bodyReason: 'larger than replayBytes' | 'limits.replayBytes reached' | null;
  /** Of the answer. */
  readonly retryAfterMs: number | null;
  readonly aborted: boolean;
  /** What is left of timeouts.total; null or absent: no end. */
  readonly remainingMs?: number | null;
  /** 0..1 */
  readonly random: number;
}

export type RetryDecision =
  | { readonly retry: true; readonly delayMs: number; readonly reason: string }
  /** The reason is null where there was nothing to retry. */
  | { readonly retry: false; readonly reason: string | null };

type No = Extract<RetryDecision, { retry: false }>;
const no = (reason: string | null): No => Object.freeze({ retry: false, reason });

const NOTHING_TO_RETRY = no(null);
const CALLER_LEFT = no('not retried: caller left');
const DEADLINE = no('not retried: deadline passed');
const REFUSED = no('not retried: refused by the sidecar');
const POINTLESS = no('not retried: would fail again');
const ATTEMPTS = no('not retried: attempts spent');
const BODY_LARGE = no('not retried: body larger than replayBytes');
const BODY_BOUND = no('not retried: limits.replayBytes reached');
const RETRY_AFTER = no('not retried: Retry-After longer than retryAfterMax');
const BUDGET = no('not retried: budget spent');
const REACHED = no('not retried: request may have reached the origin');
const REACHED_POST = no('not retried: POST may have reached the origin');
const REACHED_PATCH = no('not retried: PATCH may have reached the origin');
const REACHED_CONNECT = no('not retried: CONNECT may have reached the origin');

/**
 * What an error means for another attempt of the same exchange; null: it may go better. A new error needs a
 * line here.
 */
const AFTER: Readonly<Record<ErrorName, No | null>> = {
  target_unusable: POINTLESS,
  request_malformed: POINTLESS,
  request_target_too_long: POINTLESS,
  request_head_too_large: POINTLESS,
  request_head_timeout: POINTLESS,
  method_unsupported: POINTLESS,
  expectation_failed: POINTLESS,
  request_too_large: POINTLESS,
  request_body_stalled: POINTLESS,
  request_body_yielded: POINTLESS,
  caller_yielded: POINTLESS,
  request_body_incomplete: POINTLESS,
  access_denied: POINTLESS,
  port_denied: POINTLESS,
  client_unauthenticated: POINTLESS,
  client_unknown: POINTLESS,
  client_limit: REFUSED,
  tunnel_port_denied: POINTLESS,
  request_misdirected: POINTLESS,
  prefix_unknown: POINTLESS,
  server_name_denied: POINTLESS,
  tunnel_protocol_denied: POINTLESS,
  tunnel_hello_malformed: POINTLESS,
  tunnel_hello_timeout: POINTLESS,
  caller_tls_failed: POINTLESS,
  caller_distrusts: POINTLESS,
  address_denied: POINTLESS,
  loop_detected: POINTLESS,
  credentials_denied: POINTLESS,
  token_unavailable: REFUSED,
  token_timeout: REFUSED,
  dns_error: null,
  dns_timeout: null,
  connection_refused: null,
  connection_terminated: null,
  connection_timeout: null,
  tls_timeout: null,
  address_unroutable: null,
  head_timeout: null,
  total_timeout: DEADLINE,
  write_timeout: null,
  body_timeout: null,
  caller_stalled: POINTLESS,
  tunnel_idle: POINTLESS,
  tls_certificate_error: POINTLESS,
  tls_protocol_error: null,
  response_malformed: POINTLESS,
  response_head_too_large: POINTLESS,
  response_too_large: POINTLESS,
  response_incomplete: null,
  queue_full: REFUSED,
  queue_timeout: REFUSED,
  caller_limit: REFUSED,
  exchange_limit: REFUSED,
  origin_limit: REFUSED,
  file_limit: REFUSED,
  circuit_open: REFUSED,
  draining: REFUSED,
  caller_left: CALLER_LEFT,
  internal: POINTLESS,
};

export function decideRetry(
  policy: RetryPolicy,
  facts: RetryFacts,
  budgetAllows: () => boolean,
): RetryDecision {
  const { errorName, status } = facts;
  if (errorName === null) {
    if (status === null || !policy.statuses.includes(status)) return NOTHING_TO_RETRY;
  } else {
    const hopeless = AFTER[errorName];
    if (hopeless !== null) return hopeless;
  }
  if (facts.aborted) return CALLER_LEFT;

  const reason = whyRepeatable(facts);
  if (reason === null) return mayHaveReached(facts.method);
  if (facts.attemptsMade >= policy.attempts) return ATTEMPTS;
  if (!facts.bodyReplayable) {
    return facts.bodyReason === 'limits.replayBytes reached' ? BODY_BOUND : BODY_LARGE;
  }
  const { retryAfterMs } = facts;
  if (retryAfterMs !== null && retryAfterMs > policy.retryAfterMaxMs) return RETRY_AFTER;

  // Never before the time the origin named (RFC 9110, section 10.2.3), and the jitter goes on top of it:
  // the origin has told the same second to everyone, and those who all wait exactly that long come back as
  // one wave.
  const delayMs = (retryAfterMs ?? 0) + backoffMs(policy.backoff, facts.attemptsMade, facts.random);
  // Waiting for a moment after the deadline would only turn the origin's answer into a timeout of ours.
  if (typeof facts.remainingMs === 'number' && delayMs >= facts.remainingMs) return DEADLINE;
  if (!budgetAllows()) return BUDGET;
  return { retry: true, delayMs, reason };
}

/** Null: the origin may have acted on the request, and acting twice may not be the same as once. */
function whyRepeatable(facts: RetryFacts): string | null {
  if (facts.errorName !== null && facts.delivery === 'unsent') return 'retried: unsent';
  const idempotent = isIdempotent(facts.method);
  if (!idempotent && !facts.idempotencyKey) return null;
  if (facts.errorName === null) return 'retried: status';
  return idempotent ? 'retried: idempotent' : 'retried: Idempotency-Key';
}

/** Three methods by name; every other would let callers choose metrics labels. */
function mayHaveReached(method: string): No {
  if (method === 'POST') return REACHED_POST;
  if (method === 'PATCH') return REACHED_PATCH;
  if (method === 'CONNECT') return REACHED_CONNECT;
  return REACHED;
}
