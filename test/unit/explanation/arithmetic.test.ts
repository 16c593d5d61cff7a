import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { arithmetic, backoffSumMs, spanText } from '../../../src/explanation/arithmetic.ts';
import { backoffMs } from '../../../src/policy/backoff.ts';
import type { Policy } from '../../../src/policy/policy.ts';
import { loadTexts } from '../config/sources.ts';

const policyOf = (text = ''): Policy => loadTexts([`policy: ${text === '' ? '{}' : text}`]).config.policy;

test('the sum that an operator would make: three heads of 30 s and 5.1 s of backoff are 95.1 s', () => {
  const policy = policyOf('{ retry: { attempts: 3, backoff: { initial: 1700ms, max: 5s } } }');
  const { lines, headsMs, backoffMs: waits } = arithmetic(policy, 'GET', 'forward', false);
  assert.equal(lines[0], 'heads: at worst 3 × 30 s + 5.1 s of backoff = 95.1 s');
  assert.deepEqual([headsMs, waits], [95_100, 5_100]);
});

test('with everything that an attempt may wait for, and cut by the whole where that is shorter', () => {
  const all = arithmetic(policyOf('{ timeouts: { total: 60s } }'), 'GET', 'originate', true);
  assert.equal(all.worstMs, 3 * (2_000 + 3_000 + 3_000 + 5_000 + 30_000) + 300);
  assert.ok(
    all.lines.includes('timeouts.total cuts all of that, and the body, at 60 s'),
    all.lines.join('\n'),
  );
  const some = arithmetic(policyOf('{ timeouts: { total: 200s } }'), 'GET', 'originate', true);
  assert.ok(some.lines.includes('timeouts.total, 200 s, leaves room for that'));
  assert.match(arithmetic(policyOf(), 'GET', 'forward', false).lines.join('\n'), /timeouts\.total is null/);
});

test('what is not safe to repeat waits for one head, and a tunnel for none', () => {
  const post = arithmetic(policyOf(), 'POST', 'forward', false);
  assert.equal(post.headsMs, 30_000);
  assert.equal(post.worstMs, 3 * 8_000 + 30_000 + 300);
  assert.equal(
    post.lines[1],
    'POST is sent again only if nothing was sent, or with an Idempotency-Key: then 3 × 30 s + 300 ms of backoff = 90.3 s',
  );
  const tunnel = arithmetic(policyOf(), 'CONNECT', 'tunnel', true);
  assert.deepEqual([tunnel.headsMs, tunnel.attemptMs.tls, tunnel.worstMs], [null, 0, 3 * 8_000 + 300]);
  assert.equal(arithmetic(policyOf(), 'CONNECT', 'intercept', true).attempts, 1);
});

test('no chance makes the waits longer than their sum, and the worst chance makes them so', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 1, max: 5_000 }),
      fc.integer({ min: 1, max: 60_000 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 10, maxLength: 10 }),
      (attempts, initialMs, maxMs, chances) => {
        const retry = { ...policyOf0.retry, attempts, backoff: { initialMs, maxMs } };
        let sum = 0;
        for (let made = 1; made < attempts; made++)
          sum += backoffMs(retry.backoff, made, chances[made - 1] as number);
        assert.ok(sum <= backoffSumMs(retry, attempts) + 1e-6);
      },
    ),
    { numRuns: 300 },
  );
});

const policyOf0 = policyOf();

test('spans have one unit', () => {
  assert.deepEqual([0, 999, 1_000, 95_100, 90_300].map(spanText), [
    '0 ms',
    '999 ms',
    '1 s',
    '95.1 s',
    '90.3 s',
  ]);
});
