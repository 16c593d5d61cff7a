import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ErrorName } from '../../../src/errors.ts';
import { ERRORS } from '../../../src/errors.ts';
import type { Delivery } from '../../../src/exchange.ts';
import type { RetryPolicy } from '../../../src/policy/policy.ts';
import type { RetryFacts } from '../../../src/policy/retry-decision.ts';
import { decideRetry } from '../../../src/policy/retry-decision.ts';

const policy: RetryPolicy = {
  attempts: 3,
  statuses: [429, 502, 503, 504],
  backoff: { initialMs: 100, maxMs: 5000 },
  retryAfterMaxMs: 20_000,
  budget: { ratio: 0.2, floor: 3 },
  replayBytes: 1024,
};
const refused: RetryFacts = {
  method: 'GET',
  idempotencyKey: false,
  delivery: 'unsent',
  status: null,
  errorName: 'connection_refused',
  attemptsMade: 1,
  bodyReplayable: true,
  bodyReason: null,
  retryAfterMs: null,
  aborted: false,
  random: 0.5,
};
const reset: RetryFacts = { ...refused, delivery: 'maybe sent', errorName: 'connection_terminated' };
const unavailable: RetryFacts = { ...refused, delivery: 'answered', status: 503, errorName: null };

const decide = (facts: RetryFacts, budget = true) => decideRetry(policy, facts, () => budget);
const reasonOf = (facts: RetryFacts, budget = true): string | null => decide(facts, budget).reason;

test('a request that was not sent is tried again whatever its method', () => {
  for (const method of ['GET', 'POST', 'PATCH', 'CONNECT', 'FOO']) {
    assert.deepEqual(decide({ ...refused, method }), { retry: true, delayMs: 50, reason: 'retried: unsent' });
  }
  const unsent = [
    'dns_error',
    'dns_timeout',
    'connection_timeout',
    'tls_timeout',
    'tls_protocol_error',
    'address_unroutable',
  ];
  for (const errorName of unsent as ErrorName[]) {
    assert.equal(reasonOf({ ...refused, method: 'POST', errorName }), 'retried: unsent', errorName);
  }
});

test('a POST is not retried once it may have reached the origin', () => {
  assert.equal(reasonOf({ ...reset, method: 'POST' }), 'not retried: POST may have reached the origin');
  assert.equal(reasonOf({ ...unavailable, method: 'POST' }), 'not retried: POST may have reached the origin');
  assert.equal(reasonOf({ ...reset, method: 'PATCH' }), 'not retried: PATCH may have reached the origin');
  assert.equal(reasonOf({ ...reset, method: 'CONNECT' }), 'not retried: CONNECT may have reached the origin');
});

test('a method that the caller made up is no label of a metric', () => {
  assert.equal(reasonOf({ ...reset, method: 'X-7F3A' }), 'not retried: request may have reached the origin');
});

test('an idempotent request is retried when its fate is unknown', () => {
  for (const method of ['GET', 'PUT', 'DELETE', 'QUERY'])
    assert.equal(reasonOf({ ...reset, method }), 'retried: idempotent');
  assert.equal(reasonOf({ ...reset, errorName: 'head_timeout' }), 'retried: idempotent');
});

test('an Idempotency-Key makes a POST fit to be repeated', () => {
  const facts = { method: 'POST', idempotencyKey: true };
  assert.equal(reasonOf({ ...reset, ...facts }), 'retried: Idempotency-Key');
  assert.equal(reasonOf({ ...unavailable, ...facts }), 'retried: status');
});

test('only the statuses of the policy are retried', () => {
  for (const status of policy.statuses) assert.equal(reasonOf({ ...unavailable, status }), 'retried: status');
  for (const status of [200, 404, 408, 500, 501, 505]) {
    assert.deepEqual(decide({ ...unavailable, status }), { retry: false, reason: null });
  }
});

test('a success has nothing to retry, whatever else is so', () => {
  const facts = { ...unavailable, status: 200, aborted: true, attemptsMade: 9, bodyReplayable: false };
  assert.deepEqual(decide(facts, false), { retry: false, reason: null });
});

test('every refusal has its own reason', () => {
  const caller = 'not retried: caller left';
  assert.equal(reasonOf({ ...reset, attemptsMade: 3 }), 'not retried: attempts spent');
  assert.equal(reasonOf(reset, false), 'not retried: budget spent');
  assert.equal(reasonOf({ ...reset, aborted: true }), caller);
  assert.equal(reasonOf({ ...reset, aborted: true, errorName: 'caller_left' }), caller);
  assert.equal(
    reasonOf({ ...reset, aborted: true, errorName: 'total_timeout' }),
    'not retried: deadline passed',
  );
  const body = { ...reset, bodyReplayable: false };
  assert.equal(
    reasonOf({ ...body, bodyReason: 'larger than replayBytes' }),
    'not retried: body larger than replayBytes',
  );
  assert.equal(
    reasonOf({ ...body, bodyReason: 'limits.replayBytes reached' }),
    'not retried: limits.replayBytes reached',
  );
  const own: ErrorName[] = [
    'circuit_open',
    'queue_full',
    'queue_timeout',
    'exchange_limit',
    'origin_limit',
    'draining',
  ];
  for (const errorName of own) {
    assert.equal(reasonOf({ ...refused, errorName }), 'not retried: refused by the sidecar', errorName);
  }
  const hopeless: ErrorName[] = [
    'address_denied',
    'tls_certificate_error',
    'request_body_stalled',
    'response_head_too_large',
  ];
  for (const errorName of hopeless) {
    assert.equal(reasonOf({ ...refused, errorName }), 'not retried: would fail again', errorName);
  }
});

test('one attempt in all switches retries off', () => {
  const once = { ...policy, attempts: 1 };
  assert.equal(decideRetry(once, reset, () => true).reason, 'not retried: attempts spent');
});

test('a body that nobody kept is not sent again, even unsent ones', () => {
  const facts: RetryFacts = { ...refused, bodyReplayable: false, bodyReason: 'larger than replayBytes' };
  assert.equal(reasonOf(facts), 'not retried: body larger than replayBytes');
});

test('Retry-After is a lower bound, with the jitter on top', () => {
  assert.deepEqual(decide({ ...unavailable, retryAfterMs: 2000 }), {
    retry: true,
    delayMs: 2050,
    reason: 'retried: status',
  });
  assert.deepEqual(decide({ ...unavailable, retryAfterMs: 2000, random: 0 }), {
    retry: true,
    delayMs: 2000,
    reason: 'retried: status',
  });
});

test('a Retry-After longer than retryAfterMax is not waited for', () => {
  assert.equal(decide({ ...unavailable, retryAfterMs: 20_000 }).retry, true);
  assert.equal(
    reasonOf({ ...unavailable, retryAfterMs: 20_001 }),
    'not retried: Retry-After longer than retryAfterMax',
  );
});

test('a wait that ends after the deadline is not begun', () => {
  assert.equal(
    reasonOf({ ...unavailable, retryAfterMs: 2000, remainingMs: 2050 }),
    'not retried: deadline passed',
  );
  assert.equal(decide({ ...unavailable, retryAfterMs: 2000, remainingMs: 2051 }).retry, true);
  assert.equal(decide({ ...unavailable, remainingMs: null }).retry, true);
});

const anyFacts = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PATCH', 'DELETE', 'CONNECT', 'FOO'),
  idempotencyKey: fc.boolean(),
  delivery: fc.constantFrom<Delivery>('unsent', 'maybe sent', 'answered'),
  status: fc.option(fc.constantFrom(200, 404, 500, ...policy.statuses)),
  errorName: fc.option(fc.constantFrom(...(Object.keys(ERRORS) as ErrorName[]))),
  attemptsMade: fc.integer({ min: 1, max: 4 }),
  bodyReplayable: fc.boolean(),
  bodyReason: fc.constantFrom(
    'larger than replayBytes' as const,
    'limits.replayBytes reached' as const,
    null,
  ),
  retryAfterMs: fc.option(fc.nat(40_000)),
  aborted: fc.boolean(),
  remainingMs: fc.option(fc.nat(10_000)),
  random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
});

test('the budget is asked last, once, and only for what will be retried', () => {
  fc.assert(
    fc.property(anyFacts, fc.boolean(), (facts, allows) => {
      let asked = 0;
      const decision = decideRetry(policy, facts, () => {
        asked++;
        return allows;
      });
      assert.equal(asked, decision.retry || decision.reason === 'not retried: budget spent' ? 1 : 0);
      if (asked === 1) assert.equal(decision.retry, allows);
    }),
    { numRuns: 5000 },
  );
});

test('no combination repeats what may not be repeated, waits too little or too long, or makes up a reason', () => {
  const reasons = new Set<string | null>();
  fc.assert(
    fc.property(anyFacts, (facts) => {
      const decision = decide(facts);
      reasons.add(decision.reason);
      if (!decision.retry) return;
      const safe = ['GET', 'DELETE'].includes(facts.method) || facts.idempotencyKey;
      assert.ok(safe || (facts.errorName !== null && facts.delivery === 'unsent'));
      assert.ok(!facts.aborted && facts.bodyReplayable && facts.attemptsMade < policy.attempts);
      assert.ok(decision.delayMs >= (facts.retryAfterMs ?? 0));
      assert.ok(decision.delayMs <= policy.retryAfterMaxMs + policy.backoff.maxMs);
    }),
    { numRuns: 5000 },
  );
  for (const reason of reasons) assert.ok(reason === null || !/\d/.test(reason), reason ?? '');
  assert.ok(reasons.size <= 20, [...reasons].join());
});
