import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoffMs } from '../../../src/policy/backoff.ts';

const policy = { initialMs: 100, maxMs: 5000 };

test('the ceiling doubles with each attempt, up to the maximum', () => {
  assert.deepEqual(
    [1, 2, 3, 6, 7, 50].map((attempts) => backoffMs(policy, attempts, 1)),
    [100, 200, 400, 3200, 5000, 5000],
  );
});

test('the jitter is full: any part of the ceiling, none included', () => {
  assert.equal(backoffMs(policy, 3, 0), 0);
  assert.equal(backoffMs(policy, 3, 0.25), 100);
});

test('no wait stays no wait, however many attempts there were', () => {
  assert.equal(backoffMs({ initialMs: 0, maxMs: 5000 }, 5000, 1), 0);
});

test('no number of attempts leads out of 0..max', () => {
  const ms = fc.nat(1e9);
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(ms, ms, fc.nat(), random, (initialMs, maxMs, attempts, share) => {
      const delay = backoffMs({ initialMs, maxMs }, attempts, share);
      assert.ok(delay >= 0 && delay <= maxMs, String(delay));
    }),
  );
});
