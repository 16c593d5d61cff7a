import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Semaphore, type Waiter } from '../../../src/upstream/semaphore.ts';

const nothing = (): void => {};

test('never more than the limit is held', () => {
  const semaphore = new Semaphore(2);
  assert.deepEqual(
    [1, 2, 3].map(() => semaphore.tryAcquire()),
    [true, true, false],
  );
  assert.equal(semaphore.held, 2);
});

test('a permit that comes back goes to who has waited longest, at once', () => {
  const semaphore = new Semaphore(1);
  const order: string[] = [];
  semaphore.tryAcquire();
  semaphore.wait({ granted: () => order.push('first') });
  semaphore.wait({ granted: () => order.push('second') });
  semaphore.release();
  assert.deepEqual(order, ['first']);
  assert.equal(semaphore.held, 1);
  semaphore.release();
  assert.deepEqual(order, ['first', 'second']);
});

test('who comes does not overtake who waits', () => {
  const semaphore = new Semaphore(1);
  semaphore.tryAcquire();
  const taken: boolean[] = [];
  semaphore.wait({ granted: () => taken.push(semaphore.tryAcquire()) });
  semaphore.wait({ granted: nothing });
  semaphore.setLimit(3);
  assert.deepEqual(taken, [false]);
  assert.equal(semaphore.held, 3);
});

test('who waits where a permit is free has it', () => {
  const semaphore = new Semaphore(1);
  let granted = 0;
  semaphore.wait({ granted: () => granted++ });
  assert.equal(granted, 1);
  assert.equal(semaphore.waiting, 0);
});

test('a waiter that is forgotten is not granted, wherever it stood', () => {
  const semaphore = new Semaphore(1);
  semaphore.tryAcquire();
  const order: number[] = [];
  const waiters = [0, 1, 2, 3, 4].map((n): Waiter => ({ granted: () => order.push(n) }));
  for (const waiter of waiters) semaphore.wait(waiter);
  for (const n of [0, 2, 4, 2]) semaphore.forget(waiters[n] as Waiter);
  assert.equal(semaphore.waiting, 2);
  for (let i = 0; i < 3; i++) semaphore.release();
  assert.deepEqual(order, [1, 3]);
  assert.equal(semaphore.held, 0);
});

test('a permit that nobody held cannot come back', () => {
  const semaphore = new Semaphore(1);
  assert.throws(() => semaphore.release(), RangeError);
  assert.equal(semaphore.held, 0);
});

test('a waiter waits once, and a limit is a whole number', () => {
  const semaphore = new Semaphore(0);
  const waiter = { granted: nothing };
  semaphore.wait(waiter);
  assert.throws(() => semaphore.wait(waiter), RangeError);
  for (const limit of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => new Semaphore(limit), RangeError);
    assert.throws(() => semaphore.setLimit(limit), RangeError);
  }
});

test('a lower limit takes nothing away and is reached as permits come back', () => {
  const semaphore = new Semaphore(3);
  for (let i = 0; i < 3; i++) semaphore.tryAcquire();
  semaphore.setLimit(1);
  assert.equal(semaphore.held, 3);
  let granted = 0;
  semaphore.wait({ granted: () => granted++ });
  semaphore.release();
  semaphore.release();
  assert.equal(granted, 0);
  semaphore.release();
  assert.equal(granted, 1);
});

test('a hundred thousand waiters that give back at once do not pile up on the stack', () => {
  const semaphore = new Semaphore(1);
  semaphore.tryAcquire();
  let granted = 0;
  for (let i = 0; i < 100_000; i++) {
    semaphore.wait({
      granted: () => {
        granted++;
        semaphore.release();
      },
    });
  }
  semaphore.release();
  assert.equal(granted, 100_000);
  assert.equal(semaphore.held, 0);
});

test('a waiter that throws takes its own permit with it, not the queue', () => {
  const semaphore = new Semaphore(1);
  semaphore.tryAcquire();
  let granted = 0;
  semaphore.wait({
    granted: () => {
      throw new Error('a bug');
    },
  });
  semaphore.wait({ granted: () => granted++ });
  assert.throws(() => semaphore.release(), /a bug/);
  semaphore.release();
  assert.equal(granted, 1);
});

test('any order of calls agrees with a queue in an array', () => {
  const step = fc.record({
    what: fc.constantFrom('try', 'wait', 'wait', 'release', 'release', 'forget', 'limit'),
    number: fc.nat(7),
  });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4 }), fc.array(step, { maxLength: 100 }), (limit, steps) => {
      const semaphore = new Semaphore(limit);
      const model = { limit, held: 0, queue: [] as number[], granted: [] as number[] };
      const settle = (): void => {
        while (model.held < model.limit && model.queue.length > 0) {
          model.held++;
          model.granted.push(model.queue.shift() as number);
        }
      };
      const granted: number[] = [];
      const waiters: Waiter[] = [];
      for (const { what, number } of steps) {
        if (what === 'try') {
          const free = model.held < model.limit && model.queue.length === 0;
          assert.equal(semaphore.tryAcquire(), free);
          if (free) model.held++;
        } else if (what === 'wait') {
          const n = waiters.length;
          const waiter = { granted: () => granted.push(n) };
          waiters.push(waiter);
          model.queue.push(n);
          semaphore.wait(waiter);
        } else if (what === 'release') {
          if (model.held === 0) assert.throws(() => semaphore.release(), RangeError);
          else {
            model.held--;
            semaphore.release();
          }
        } else if (what === 'forget' && waiters.length > 0) {
          const n = number % waiters.length;
          model.queue = model.queue.filter((other) => other !== n);
          semaphore.forget(waiters[n] as Waiter);
        } else if (what === 'limit') {
          model.limit = number;
          semaphore.setLimit(number);
        }
        settle();
        assert.deepEqual(granted, model.granted);
        assert.equal(semaphore.held, model.held);
        assert.equal(semaphore.waiting, model.queue.length);
      }
    }),
    { numRuns: 1000 },
  );
});
