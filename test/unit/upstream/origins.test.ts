import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OutriggerError } from '../../../src/errors.ts';
import type { BreakerPolicy, PoolPolicy } from '../../../src/policy/policy.ts';
import { Origins } from '../../../src/upstream/origins.ts';
import type { Claimant } from '../../../src/upstream/pool.ts';
import { Semaphore } from '../../../src/upstream/semaphore.ts';

const breaker: BreakerPolicy = {
  failureRatio: 0.5,
  minimumCalls: 1,
  windowMs: 10_000,
  openForMs: 60_000,
  openForMaxMs: 60_000,
};
const pool: PoolPolicy = {
  connections: 1,
  queue: 1,
  queueTimeoutMs: 1_000,
  idleTimeoutMs: 1_000,
  maxAgeMs: 1_000,
};
const claimant: Claimant = { pool, fresh: false, http2: false, since: 0, granted: () => {} };

const origins = (limit: number): Origins => new Origins(limit, new Semaphore(10));

function used(it: Origins, ...keys: string[]): void {
  for (const key of keys) it.enter(key).release();
}

test('the origin unused for longest makes place', () => {
  const it = origins(2);
  used(it, 'a', 'b', 'a', 'c');
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => it.get(key) !== undefined),
    [true, false, true],
  );
});

test('one in use never makes place, and with all in use the next is refused', () => {
  const it = origins(2);
  it.enter('a');
  used(it, 'b', 'c');
  assert.notEqual(it.get('a'), undefined);
  it.enter('c');
  assert.throws(
    () => it.enter('d'),
    (error: OutriggerError) => error.name === 'origin_limit',
  );
});

test('one whose circuit is open stays longer than one whose circuit is closed', () => {
  const it = origins(2);
  const bad = it.enter('bad');
  bad.circuit(breaker).tryAcquire()?.end('failure');
  bad.release();
  used(it, 'b', 'c');
  assert.equal(it.get('bad'), bad);
  it.close();
});

test('one whose circuit an operator has forced, closed too, stays', () => {
  const it = origins(2);
  const forced = it.enter('forced');
  forced.circuit(breaker).force('closed');
  forced.release();
  used(it, 'b', 'c');
  assert.equal(it.get('forced'), forced);
  it.close();
});

test('however many come by, none whose circuit is forced or open goes while another can', () => {
  const it = origins(64);
  const kept = Array.from({ length: 60 }, (_, i) => {
    const origin = it.enter(`kept ${i}`);
    const circuit = origin.circuit(breaker);
    if (i % 2 === 0) origin.force('open');
    else circuit.tryAcquire()?.end('failure');
    origin.release();
    return origin;
  });
  for (let i = 0; i < 1_000; i++) used(it, `other ${i}`);
  assert.deepEqual(
    kept.filter(({ key }) => it.get(key) === undefined),
    [],
  );
  // Nobody else can: the one of them that is unused for longest.
  const busy = ['a', 'b', 'c', 'd', 'e'].map((key) => it.enter(key));
  assert.deepEqual(
    kept.filter(({ key }) => it.get(key) === undefined).map(({ key }) => key),
    ['kept 0'],
  );
  for (const origin of busy) origin.release();
  used(it, 'f', 'g');
  assert.equal(kept.filter(({ key }) => it.get(key) === undefined).length, 1);
  it.close();
});

test('one that is forgotten while it has a connection is the same again when it comes back', () => {
  const it = origins(1);
  const first = it.enter('a');
  const connection = first.pool.acquire(claimant);
  first.release();
  used(it, 'b');
  assert.equal(it.get('a'), undefined);
  assert.equal(it.enter('a'), first);
  first.release();
  connection?.kill();
  used(it, 'b');
  const second = it.enter('a');
  assert.notEqual(second, first);
  second.release();
});

const settled = { breakers: new Set<BreakerPolicy>(), key: () => true, redial: false };

test('origins that nobody can ask for any more go at once, and those in use when they are not', () => {
  const it = origins(10);
  used(it, 'a', 'b');
  const inUse = it.enter('c');
  it.settle({ ...settled, key: (key) => key === 'a' });
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => it.get(key) !== undefined),
    [true, false, true],
  );
  inUse.release();
  it.settle({ ...settled, key: (key) => key === 'a' });
  assert.equal(it.get('c'), undefined);
});

test('circuits of breakers that are no more go, their openings are counted on, and the word of an operator holds', () => {
  const it = origins(10);
  const origin = it.enter('a');
  const other = { ...breaker };
  origin.circuit(breaker).tryAcquire()?.end('failure');
  assert.equal(it.snapshot()[0]?.circuit, 'open');
  it.settle({ ...settled, breakers: new Set([other]) });
  assert.deepEqual([it.snapshot()[0]?.circuit, it.snapshot()[0]?.circuitOpenings], [null, 1]);
  assert.equal(origin.force('open'), false, 'there is none');
  assert.equal(origin.circuit(other).state, 'closed');
  assert.equal(origin.force('open'), true);
  it.settle({ ...settled, breakers: new Set([breaker]) });
  assert.equal(origin.circuit(breaker).state, 'open');
  assert.equal(origin.remembered, true);
  origin.force('auto');
  assert.equal(origin.circuit(breaker).state, 'closed');
  it.close();
});

test('a lower limit makes those go that were unused for longest, and none that is in use', () => {
  const it = origins(4);
  const inUse = it.enter('a');
  used(it, 'b', 'c', 'd');
  it.setLimit(2);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((key) => it.get(key) !== undefined),
    [true, false, false, true],
  );
  it.setLimit(0);
  assert.equal(it.snapshot().length, 1);
  inUse.release();
});
