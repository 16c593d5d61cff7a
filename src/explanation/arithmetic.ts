/**
 * What a policy comes to: how long at worst until there is a head, with retries and waits, and when its circuit
 * opens. Pure; durations are milliseconds.
 */
import type { Via } from '../exchange.ts';
import { backoffMs } from '../policy/backoff.ts';
import { isIdempotent } from '../policy/classify.ts';
import type { Policy, RetryPolicy } from '../policy/policy.ts';

export interface Arithmetic {
  readonly attempts: number;
  /** One attempt whose connection is new and whose queue is full. */
  readonly attemptMs: {
    readonly queue: number;
    readonly dns: number;
    readonly connect: number;
    /** 0: TLS is not ours. */
    readonly tls: number;
    /** 0: no head is seen. */
    readonly head: number;
  };
  /** All waits between attempts. */
  readonly backoffMs: number;
  /** Until the head over connections that are there; null: none is seen. */
  readonly headsMs: number | null;
  /** With everything that an attempt may wait for. */
  readonly worstMs: number;
  /** Whatever is under way ends then; null: nothing ends it. */
  readonly totalMs: number | null;
  /** In words, one line each. */
  readonly lines: readonly string[];
}

/** The longest that all waits between so many attempts can be. */
export function backoffSumMs({ backoff }: RetryPolicy, attempts: number): number {
  let sum = 0;
  for (let made = 1; made < attempts; made++) sum += backoffMs(backoff, made, 1);
  return sum;
}

/** `250 ms`, `95.1 s`: one unit, so that sums can be followed. */
export function spanText(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  return `${Number((ms / 1_000).toFixed(3))} s`;
}

const percent = (share: number): string => `${Number((share * 100).toPrecision(12))} %`;

/** `tls`: whether TLS to the origin is ours. */
export function arithmetic(
  { pool, timeouts, retry, breaker }: Policy,
  method: string,
  via: Via,
  tls: boolean,
): Arithmetic {
  const tunnel = via === 'tunnel';
  const connecting = method === 'CONNECT';
  // An interception looks once whether the origin is who it says.
  const attempts = connecting && via === 'intercept' ? 1 : retry.attempts;
  const attemptMs = {
    queue: pool.queueTimeoutMs,
    dns: timeouts.dnsMs,
    connect: timeouts.connectMs,
    tls: tls && !tunnel ? timeouts.tlsMs : 0,
    head: connecting ? 0 : timeouts.headMs,
  };
  const waits = backoffSumMs(retry, attempts);
  const { queue, dns, connect, head } = attemptMs;
  const reaching = queue + dns + connect + attemptMs.tls;
  // What has been sent and is not safe to repeat is waited for once.
  const repeatable = connecting || isIdempotent(method);
  const heads = repeatable ? attempts : 1;
  const headsMs = connecting ? null : heads * head + (repeatable ? waits : 0);
  const worstMs = attempts * reaching + heads * head + waits;
  const lines: string[] = [];
  const plus = waits > 0 ? ` + ${spanText(waits)} of backoff` : '';
  if (headsMs !== null) {
    const sum = `${heads} × ${spanText(head)}${repeatable ? plus : ''}`;
    lines.push(`heads: at worst ${sum}${heads > 1 ? ` = ${spanText(headsMs)}` : ''}`);
    if (!repeatable && attempts > 1)
      lines.push(
        `${method} is sent again only if nothing was sent, or with an Idempotency-Key: then ${attempts} × ${spanText(head)}${plus} = ${spanText(attempts * head + waits)}`,
      );
  }
  const parts = [
    `${spanText(queue)} queue`,
    `${spanText(dns)} dns`,
    `${spanText(connect)} connect`,
    ...(attemptMs.tls > 0 ? [`${spanText(attemptMs.tls)} tls`] : []),
  ];
  const once = repeatable && head > 0 ? [...parts, `${spanText(head)} head`] : parts;
  const last = !repeatable && head > 0 ? ` + ${spanText(head)} head` : '';
  lines.push(
    `with waits and new connections: at worst ${attempts} × (${once.join(' + ')})${last}${plus} = ${spanText(worstMs)}`,
  );
  if (attempts > 1 && !connecting && retry.retryAfterMaxMs > 0 && retry.statuses.length > 0)
    lines.push(
      `where the origin asks for it (Retry-After): up to ${attempts - 1} × ${spanText(retry.retryAfterMaxMs)} more`,
    );
  const { totalMs } = timeouts;
  if (totalMs === null) lines.push('timeouts.total is null: nothing ends the whole exchange');
  else
    lines.push(
      totalMs < worstMs
        ? `timeouts.total cuts all of that, and the body, at ${spanText(totalMs)}`
        : `timeouts.total, ${spanText(totalMs)}, leaves room for that`,
    );
  lines.push(
    tunnel
      ? `then the tunnel lives as long as it is never silent for ${spanText(timeouts.idleMs)}`
      : `the body may pause for ${spanText(timeouts.idleMs)} at a time`,
  );
  lines.push(
    breaker === null
      ? 'no circuit: breaker is null'
      : `the circuit opens when ${percent(breaker.failureRatio)} of at least ${breaker.minimumCalls} attempts within ${spanText(breaker.windowMs)} fail; for ${spanText(breaker.openForMs)}, then longer, up to ${spanText(breaker.openForMaxMs)}`,
  );
  return { attempts, attemptMs, backoffMs: waits, headsMs, worstMs, totalMs, lines };
}
