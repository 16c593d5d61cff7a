/**
 * How long to wait before the next attempt: exponential backoff with full jitter, as in "Exponential
 * Backoff And Jitter" (Marc Brooker, AWS Architecture Blog, 2015). Full jitter needs the fewest calls of the
 * variants compared there, because the callers that failed together do not come back together.
 */
import type { BackoffPolicy } from './policy.ts';

/** `attemptsMade` counts from 1; `random` is in 0..1 and is an argument, so that the decision stays pure. */
export function backoffMs(policy: BackoffPolicy, attemptsMade: number, random: number): number {
  // 2^30 times any initial is beyond every max; the bound keeps 0 * Infinity out.
  const ceiling = Math.min(policy.maxMs, policy.initialMs * 2 ** Math.min(30, Math.max(0, attemptsMade - 1)));
  return random * ceiling;
}
