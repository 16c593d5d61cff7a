import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OutriggerError } from '../../../src/errors.ts';
import type { PoolPolicy } from '../../../src/policy/policy.ts';
import { Lease } from '../../../src/upstream/lease.ts';
import { Pool } from '../../../src/upstream/pool.ts';
import { Semaphore } from '../../../src/upstream/semaphore.ts';

const policy: PoolPolicy = {
  connections: 1,
  queue: 10,
  queueTimeoutMs: 30,
  idleTimeoutMs: 1_000,
  maxAgeMs: 1_000,
};
const pool = (): Pool => new Pool(new Semaphore(10), () => {});
const never = (): void => assert.fail('it is not called');

/** A lease that has the only connection. */
function holder(from: Pool): Lease {
  const lease = new Lease(from, policy, false);
  assert.equal(lease.take(never), true);
  return lease;
}

test('a lease that waits is told once its connection is here, and its timeout is called off', async () => {
  const from = pool();
  const first = holder(from);
  const second = new Lease(from, policy, false);
  const told: (OutriggerError | null)[] = [];
  assert.equal(
    second.take((error) => told.push(error)),
    false,
  );
  first.kill();
  assert.deepEqual(told, [null]);
  assert.notEqual(second.connection, null);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(told.length, 1);
  second.kill();
});

test('a lease that waits too long is told queue_timeout, and has left the queue', async () => {
  const from = pool();
  const first = holder(from);
  const second = new Lease(from, policy, false);
  const error = await new Promise<OutriggerError | null>((resolve) => second.take(resolve));
  assert.equal(error?.name, 'queue_timeout');
  assert.equal(error?.retryAfterS, 1);
  assert.equal(from.queued, 0);
  first.kill();
  assert.equal(second.connection, null);
  assert.equal(from.size, 0);
});

test('a lease that leaves is not told any more', async () => {
  const from = pool();
  const first = holder(from);
  const second = new Lease(from, policy, false);
  second.take(never);
  second.leave();
  first.kill();
  assert.equal(second.connection, null);
  await new Promise((resolve) => setTimeout(resolve, 50));
});

test('what was given back once is not given back again', () => {
  const from = pool();
  const first = holder(from);
  first.kill();
  const second = holder(from);
  first.kill();
  first.release(null);
  assert.equal(from.size, 1);
  second.kill();
  assert.equal(from.size, 0);
});

test('a lease may be taken again after its connection was of no use', () => {
  const from = pool();
  const lease = holder(from);
  lease.kill();
  assert.equal(lease.take(never), true);
  lease.kill();
});
