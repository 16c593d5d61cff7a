import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RetryBudget } from '../../../src/upstream/retry-budget.ts';

const policy = { ratio: 0.2, floor: 0 };

function taken(budget: RetryBudget, wanted: number, nowMs: number, by = policy): number {
  let count = 0;
  for (let i = 0; i < wanted; i++) if (budget.tryRetry(by, nowMs)) count++;
  return count;
}

test('retries are the share of the exchanges that the ratio says, to the one', () => {
  for (const [exchanges, ratio, retries] of [
    [100, 0.2, 20],
    [4, 0.2, 0],
    [5, 0.2, 1],
    [100, 0.29, 29],
    [10, 1, 10],
    [10, 0, 0],
    [10, 2.5, 25],
  ] as const) {
    const budget = new RetryBudget();
    for (let i = 0; i < exchanges; i++) budget.exchangeBegan(500);
    assert.equal(taken(budget, 1000, 900, { ratio, floor: 0 }), retries, `${ratio} of ${exchanges}`);
  }
});

test('the first few retries of a second are allowed whatever the traffic, and count', () => {
  const budget = new RetryBudget();
  const floored = { ratio: 0.2, floor: 3 };
  assert.equal(taken(budget, 10, 0, floored), 3);
  assert.equal(taken(budget, 10, 999, floored), 0);
  assert.equal(taken(budget, 10, 1000, floored), 3);
  for (let i = 0; i < 35; i++) budget.exchangeBegan(1500);
  assert.equal(taken(budget, 10, 1500, floored), 1, 'six of the seven are spent');
});

test('what is older than ten seconds counts no more', () => {
  const budget = new RetryBudget();
  for (let i = 0; i < 50; i++) budget.exchangeBegan(0);
  assert.equal(taken(budget, 100, 9999), 10);
  for (let i = 0; i < 10; i++) budget.exchangeBegan(10_000);
  assert.equal(taken(budget, 100, 10_000), 0, 'ten retries still stand against ten exchanges');
  assert.equal(taken(budget, 100, 19_500), 2);
  assert.equal(taken(budget, 100, 100_000), 0);
});

test('a clock that steps back changes nothing', () => {
  const budget = new RetryBudget();
  for (let i = 0; i < 5; i++) budget.exchangeBegan(60_000);
  assert.equal(taken(budget, 9, 1000), 1);
  assert.equal(taken(budget, 9, 60_000), 0);
});

test('an origin that fails everything gets 1.2 times the exchanges, plus the floor of every second', () => {
  const step = fc.record({ waitMs: fc.nat(4000), exchanges: fc.nat(40) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(5), (steps, floor) => {
      const budget = new RetryBudget();
      const seconds = new Set<number>();
      let nowMs = 0;
      let exchanges = 0;
      let retries = 0;
      for (const { waitMs, exchanges: more } of steps) {
        nowMs += waitMs;
        for (let i = 0; i < more; i++) budget.exchangeBegan(nowMs);
        exchanges += more;
        retries += taken(budget, 100, nowMs, { ratio: 0.2, floor });
        seconds.add(Math.floor(nowMs / 1000));
      }
      assert.ok(retries <= 0.2 * exchanges + floor * seconds.size, `${retries} retries of ${exchanges}`);
    }),
    { numRuns: 500 },
  );
});

test('any history agrees with a plain list of what happened when', () => {
  const step = fc.record({
    waitMs: fc.oneof(fc.nat(3000), fc.nat(25_000)),
    retry: fc.boolean(),
    times: fc.integer({ min: 1, max: 9 }),
  });
  const ratios = fc.constantFrom(0, 0.05, 0.2, 0.5, 1, 3);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), ratios, fc.nat(3), (steps, ratio, floor) => {
      const budget = new RetryBudget();
      const exchanges: number[] = [];
      const retries: number[] = [];
      let nowMs = 0;
      for (const { waitMs, retry, times } of steps) {
        nowMs += waitMs;
        const second = Math.floor(nowMs / 1000);
        for (let i = 0; i < times; i++) {
          if (!retry) {
            budget.exchangeBegan(nowMs);
            exchanges.push(second);
            continue;
          }
          const inWindow = (at: number): boolean => at > second - 10;
          const allowed =
            retries.filter((at) => at === second).length < floor ||
            retries.filter(inWindow).length + 1 <=
              Math.floor(ratio * exchanges.filter(inWindow).length + 1e-9);
          assert.equal(budget.tryRetry({ ratio, floor }, nowMs), allowed);
          if (allowed) retries.push(second);
        }
      }
    }),
    { numRuns: 500 },
  );
});
