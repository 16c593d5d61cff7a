import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import type { OutriggerError } from '../../../src/errors.ts';
import type { PoolPolicy } from '../../../src/policy/policy.ts';
import type { Connection } from '../../../src/upstream/connection.ts';
import type { Dial } from '../../../src/upstream/dial.ts';
import { type Claimant, Pool } from '../../../src/upstream/pool.ts';
import { Semaphore } from '../../../src/upstream/semaphore.ts';

/** A socket that closes when the test says so, as an origin does in its own time. */
class FakeSocket extends EventEmitter {
  destroyed = false;
  writable = true;
  connecting = false;
  ended = false;

  end(): void {
    this.writable = false;
    this.ended = true;
  }

  resetAndDestroy(): void {
    this.destroyed = true;
  }

  destroy(): void {
    this.destroyed = true;
  }

  close(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

/** The same, of an origin that speaks HTTP/2 and says how many streams there may be. */
class FakeHttp2Socket extends Duplex {
  readonly alpnProtocol = 'h2';
  readonly encrypted = true;
  readonly connecting = false;

  constructor() {
    super({ read: () => {}, write: (_chunk, _encoding, done) => done(), emitClose: false });
    this.on('error', () => {});
  }

  allow(streams: number): void {
    this.push(Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, streams]));
  }

  resetAndDestroy(): void {
    this.destroy();
  }

  close(): void {
    this.destroy();
    this.emit('close');
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The dial has succeeded, the origin has agreed on HTTP/2 and has sent its SETTINGS. */
async function connectHttp2(connection: Connection, streams: number): Promise<FakeHttp2Socket> {
  const socket = new FakeHttp2Socket();
  const asSocket = socket as unknown as Socket;
  connection.attach({ socket: asSocket, tcp: asSocket, address: '192.0.2.1' } as Dial);
  socket.allow(streams);
  for (let turns = 0; turns < 20 && !connection.settled; turns++) await turn();
  assert.ok(connection.settled, 'the SETTINGS have come');
  return socket;
}

const policy = (connections: number, more: Partial<PoolPolicy> = {}): PoolPolicy => ({
  connections,
  queue: 1_000,
  queueTimeoutMs: 1_000,
  idleTimeoutMs: 60_000,
  maxAgeMs: 60_000,
  ...more,
});

let clock = 0;

class FakeClaimant implements Claimant {
  readonly pool: PoolPolicy;
  readonly fresh: boolean;
  http2 = false;
  readonly since = ++clock;
  connection: Connection | null = null;
  readonly onGranted: (claimant: FakeClaimant) => void;

  constructor(pool: PoolPolicy, fresh = false, onGranted: (claimant: FakeClaimant) => void = () => {}) {
    this.pool = pool;
    this.fresh = fresh;
    this.onGranted = onGranted;
  }

  granted(connection: Connection): void {
    this.connection = connection;
    this.onGranted(this);
  }
}

function alone(limit = 1_000): { pool: Pool; permits: Semaphore } {
  const permits = new Semaphore(limit);
  return { pool: new Pool(permits, () => {}), permits };
}

/** The dial has succeeded. */
function connect(connection: Connection): FakeSocket {
  const socket = new FakeSocket();
  const asSocket = socket as unknown as Socket;
  connection.attach({ socket: asSocket, tcp: asSocket, address: '192.0.2.1' } as Dial);
  return socket;
}

function take(pool: Pool, claimant: FakeClaimant): FakeClaimant {
  claimant.connection = pool.acquire(claimant);
  return claimant;
}

test('a connection that comes back goes to who has waited longest', () => {
  const { pool } = alone();
  const limits = policy(1);
  const first = take(pool, new FakeClaimant(limits));
  const second = take(pool, new FakeClaimant(limits));
  const third = take(pool, new FakeClaimant(limits));
  connect(first.connection as Connection);
  pool.release(first.connection as Connection, limits, null);
  assert.equal(second.connection, first.connection);
  assert.equal(third.connection, null);
  pool.close();
});

test('the place of a connection is free once its socket is closed, and not before', () => {
  const { pool, permits } = alone();
  const limits = policy(1);
  const first = take(pool, new FakeClaimant(limits));
  const socket = connect(first.connection as Connection);
  const second = take(pool, new FakeClaimant(limits));
  first.connection?.kill();
  assert.equal(socket.destroyed, true);
  assert.equal(second.connection, null);
  assert.equal(permits.held, 1);
  socket.close();
  assert.notEqual(second.connection, null);
  assert.equal(permits.held, 1);
});

test('a tunnel that waits first is served although requests keep coming', () => {
  const { pool } = alone();
  const limits = policy(1);
  const busy = take(pool, new FakeClaimant(limits));
  const socket = connect(busy.connection as Connection);
  const tunnel = take(pool, new FakeClaimant(limits, true));
  const behind = take(pool, new FakeClaimant(limits));
  pool.release(busy.connection as Connection, limits, null);
  assert.equal(socket.ended, true);
  assert.equal(behind.connection, null);
  socket.close();
  assert.notEqual(tunnel.connection, null);
  assert.equal(behind.connection, null);
  pool.leave(behind);
});

test('idle connections make place for as many tunnels as wait, and no more', () => {
  const { pool } = alone();
  const limits = policy(4);
  const holders = [1, 2, 3, 4].map(() => take(pool, new FakeClaimant(limits)));
  const sockets = holders.map((one) => connect(one.connection as Connection));
  for (const one of holders) pool.release(one.connection as Connection, limits, null);
  const tunnels = [1, 2].map(() => take(pool, new FakeClaimant(limits, true)));
  assert.deepEqual(
    sockets.map((one) => one.ended),
    [true, true, false, false],
  );
  const request = take(pool, new FakeClaimant(limits));
  assert.notEqual(request.connection, null, 'a request does not wait beside an idle connection');
  for (const one of sockets) if (one.ended) one.close();
  assert.ok(tunnels.every((one) => one.connection !== null));
  pool.close();
});

test('a tunnel that waits for a permit of the process gets that of a connection of its own pool', () => {
  const { pool } = alone(1);
  const limits = policy(8);
  const request = take(pool, new FakeClaimant(limits));
  const socket = connect(request.connection as Connection);
  const tunnel = take(pool, new FakeClaimant(limits, true));
  pool.release(request.connection as Connection, limits, null);
  assert.equal(socket.ended, true);
  socket.close();
  assert.notEqual(tunnel.connection, null);
});

test('of two pools that share a limit, the one whose claimant came first is served first', () => {
  const permits = new Semaphore(1);
  const [a, b] = [new Pool(permits, () => {}), new Pool(permits, () => {})];
  const limits = policy(8);
  const holder = take(a, new FakeClaimant(limits));
  const socket = connect(holder.connection as Connection);
  const other = take(b, new FakeClaimant(limits));
  const own = take(a, new FakeClaimant(limits));
  a.release(holder.connection as Connection, limits, null);
  assert.equal(own.connection, null);
  socket.close();
  assert.notEqual(other.connection, null);
  assert.equal(own.connection, null);
  const otherSocket = connect(other.connection as Connection);
  b.release(other.connection as Connection, limits, null);
  assert.equal(otherSocket.ended, true, 'and gives its place back to the other in turn');
  otherSocket.close();
  assert.notEqual(own.connection, null);
});

test('where routes differ, every claimant below its own limit asks for a permit of the process', () => {
  const permits = new Semaphore(2);
  const [a, b] = [new Pool(permits, () => {}), new Pool(permits, () => {})];
  const narrow = policy(1);
  const wide = policy(8);
  const holder = take(a, new FakeClaimant(narrow));
  const foreign = take(b, new FakeClaimant(wide));
  take(a, new FakeClaimant(narrow));
  const second = take(a, new FakeClaimant(wide));
  const third = take(a, new FakeClaimant(wide));
  foreign.connection?.kill();
  assert.notEqual(second.connection, null);
  assert.equal(permits.waiting, 1);
  second.connection?.kill();
  assert.notEqual(third.connection, null);
  assert.equal(holder.connection?.state, 'connecting');
});

const sharing = (limits: PoolPolicy): FakeClaimant => {
  const claimant = new FakeClaimant(limits);
  claimant.http2 = true;
  return claimant;
};

test('who can share a connection waits for one that is on its way, and gets as much of it as its origin allows', async () => {
  const { pool, permits } = alone();
  const limits = policy(8);
  const claimants = Array.from({ length: 5 }, () => take(pool, sharing(limits)));
  assert.equal(pool.size, 1, 'a burst opens one connection');
  const first = claimants[0]?.connection as Connection;
  const socket = await connectHttp2(first, 3);
  assert.deepEqual(
    claimants.map((one) => one.connection === first),
    [true, true, true, false, false],
  );
  assert.equal(
    pool.size,
    2,
    'who has no place there has a connection of its own, and the last waits for that',
  );
  assert.equal(first.streams, 3);
  pool.abandon(first, limits);
  assert.equal(socket.destroyed, false, 'one that leaves does not take it from the others');
  assert.equal(claimants[4]?.connection, first);
  for (let i = 0; i < 3; i++) pool.release(first, limits, null);
  assert.equal(first.state, 'idle');
  claimants[3]?.connection?.kill();
  pool.close();
  socket.close();
  assert.equal(permits.held, 0);
});

test('where the origin speaks HTTP/1.1 after all, as many connections are opened as usual', () => {
  const { pool } = alone();
  const limits = policy(4);
  const claimants = Array.from({ length: 6 }, () => take(pool, sharing(limits)));
  assert.equal(pool.size, 1);
  const socket = connect(claimants[0]?.connection as Connection);
  assert.equal(pool.size, 4);
  for (const one of claimants.slice(0, 4)) one.connection?.kill();
  socket.close();
  for (const one of claimants.slice(4)) one.connection?.kill();
  assert.equal(pool.queued, 0);
});

test('a dial that fails is followed by the next of those who waited for it', () => {
  const { pool, permits } = alone();
  const limits = policy(8);
  const claimants = Array.from({ length: 30 }, () => take(pool, sharing(limits)));
  for (const [n, one] of claimants.entries()) {
    assert.notEqual(one.connection, null, `number ${n}`);
    one.connection?.kill();
  }
  assert.equal(permits.held, 0);
});

test('fifty thousand claimants that fail as soon as they are served do not pile up on the stack', () => {
  const { pool, permits } = alone();
  const limits = policy(1, { queue: 50_000 });
  const holder = take(pool, new FakeClaimant(limits));
  let failed = 0;
  for (let i = 0; i < 50_000; i++) {
    take(
      pool,
      new FakeClaimant(limits, false, (claimant) => {
        failed++;
        claimant.connection?.kill();
      }),
    );
  }
  holder.connection?.kill();
  assert.equal(failed, 50_000);
  assert.equal(permits.held, 0);
  assert.equal(pool.size, 0);
});

test('one more than the queue holds is refused at once', () => {
  const { pool } = alone();
  const limits = policy(1, { queue: 2 });
  for (let i = 0; i < 3; i++) take(pool, new FakeClaimant(limits));
  assert.throws(
    () => pool.acquire(new FakeClaimant(limits)),
    (error: OutriggerError) => error.name === 'queue_full',
  );
  assert.equal(pool.queued, 2);
});

test('after it was closed a pool keeps nothing, until it is opened again', () => {
  const { pool } = alone();
  const limits = policy(2);
  const [a, b] = [take(pool, new FakeClaimant(limits)), take(pool, new FakeClaimant(limits))];
  const sockets = [a, b].map((one) => connect(one.connection as Connection));
  pool.close();
  pool.release(a.connection as Connection, limits, null);
  assert.equal(sockets[0]?.ended, true);
  pool.reopen();
  pool.release(b.connection as Connection, limits, null);
  assert.equal(sockets[1]?.ended, false);
  pool.close();
});

type Step =
  | {
      readonly kind: 'acquire';
      readonly pool: 0 | 1;
      readonly wide: boolean;
      readonly fresh: boolean;
      readonly http2: boolean;
    }
  | {
      readonly kind: 'leave' | 'release' | 'kill' | 'connect' | 'share' | 'close' | 'drop';
      readonly pick: number;
    };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('acquire' as const),
      pool: fc.constantFrom(0 as const, 1 as const),
      wide: fc.boolean(),
      fresh: fc.boolean(),
      http2: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('leave', 'release', 'kill', 'connect', 'share', 'close', 'drop' as const),
      pick: fc.nat(),
    }),
  },
);

interface Holding {
  readonly claimant: FakeClaimant;
  readonly pool: number;
}

/** What a test of the whole keeps beside the pools: every claimant and every connection, in plain arrays. */
class Model {
  readonly permits: Semaphore;
  readonly pools: readonly Pool[];
  readonly narrow = policy(1);
  readonly wide = policy(3);
  readonly waiting: Holding[] = [];
  readonly holding: Holding[] = [];
  readonly connections = new Map<
    Connection,
    { pool: number; socket: FakeSocket | FakeHttp2Socket | null; gone: boolean }
  >();
  readonly grants: number[][] = [[], []];

  constructor(limit: number) {
    this.permits = new Semaphore(limit);
    this.pools = [0, 1].map(() => new Pool(this.permits, () => this.reclaim()));
  }

  reclaim(): void {
    const pool = this.pools.toSorted((x, y) => x.oldestIdleAt - y.oldestIdleAt)[0];
    pool?.closeOldestIdle();
  }

  async play(steps: readonly Step[]): Promise<void> {
    for (const one of steps) {
      await this.#do(one);
      this.check();
    }
    // Everything ends: nobody is left waiting, and every permit is back.
    for (let round = 0; round < 1_000 && (this.waiting.length > 0 || this.holding.length > 0); round++) {
      const held = this.holding[0];
      if (held)
        this.#finish(held, (connection) => this.pools[held.pool]?.abandon(connection, held.claimant.pool));
      for (const [connection] of this.connections) this.#closeSocket(connection);
      this.check();
    }
    for (const pool of this.pools) pool.close();
    for (const [connection] of this.connections) this.#closeSocket(connection);
    assert.equal(this.waiting.length, 0, 'nobody waits for ever');
    assert.equal(this.permits.held, 0, 'every permit came back');
    assert.equal(this.permits.waiting, 0);
  }

  async #do(one: Step): Promise<void> {
    if (one.kind === 'acquire') {
      this.#acquire(one.pool, one.wide ? this.wide : this.narrow, one.fresh, one.http2);
      return;
    }
    const pick = <T>(from: readonly T[]): T | undefined => from[one.pick % Math.max(1, from.length)];
    if (one.kind === 'leave') {
      const waiter = pick(this.waiting);
      if (!waiter) return;
      this.waiting.splice(this.waiting.indexOf(waiter), 1);
      this.pools[waiter.pool]?.leave(waiter.claimant);
      return;
    }
    if (one.kind === 'close' || one.kind === 'drop') {
      const connection = pick([...this.connections.keys()]);
      if (connection && (one.kind === 'drop' || connection.state === 'closing'))
        this.#closeSocket(connection);
      return;
    }
    const held = pick(this.holding);
    if (!held) return;
    const connection = held.claimant.connection as Connection;
    if (one.kind === 'kill')
      this.#finish(held, () => this.pools[held.pool]?.abandon(connection, held.claimant.pool));
    else if (one.kind === 'share' && connection.state === 'connecting' && held.claimant.http2) {
      const known = this.connections.get(connection);
      if (known) known.socket = await connectHttp2(connection, 1 + (one.pick % 4));
    } else if (connection.state === 'connecting') this.#connect(connection);
    else if (one.kind === 'release' && connection.state === 'busy') {
      this.#finish(held, () => this.pools[held.pool]?.release(connection, held.claimant.pool, null));
    }
  }

  #acquire(pool: number, limits: PoolPolicy, fresh: boolean, http2: boolean): void {
    const claimant = new FakeClaimant(limits, fresh, () => {
      const index = this.waiting.findIndex((other) => other.claimant === claimant);
      assert.notEqual(index, -1, 'only who waits is granted');
      for (const other of this.waiting.slice(0, index)) {
        const same = alike(other.claimant, claimant);
        assert.ok(other.pool !== pool || !same, 'first come, first served');
      }
      const [holding] = this.waiting.splice(index, 1);
      this.#hold(holding as Holding);
    });
    claimant.http2 = http2 && !fresh;
    const holding = { claimant, pool };
    const connection = (this.pools[pool] as Pool).acquire(claimant);
    if (connection) {
      claimant.connection = connection;
      assert.ok(
        !this.waiting.some((other) => other.pool === pool && alike(other.claimant, claimant)),
        'who comes does not overtake who waits',
      );
      this.#hold(holding);
    } else this.waiting.push(holding);
  }

  #hold(holding: Holding): void {
    const connection = holding.claimant.connection as Connection;
    const known = this.connections.get(connection);
    assert.ok(!known || !known.gone, 'a connection that is gone is not given out');
    if (holding.claimant.fresh) assert.equal(known, undefined, 'a tunnel has a connection of its own');
    if (!known) this.connections.set(connection, { pool: holding.pool, socket: null, gone: false });
    const others = this.holding.filter((other) => other.claimant.connection === connection);
    assert.ok(others.length < Math.max(1, connection.capacity), 'held by no more than it has room for');
    assert.ok(others.length === 0 || holding.claimant.http2, 'shared only with who wants to');
    this.holding.push(holding);
  }

  #connect(connection: Connection): void {
    const known = this.connections.get(connection);
    if (known) known.socket = connect(connection);
  }

  #finish(held: Holding, how: (connection: Connection) => void): void {
    this.holding.splice(this.holding.indexOf(held), 1);
    const connection = held.claimant.connection as Connection;
    const known = this.connections.get(connection);
    if (known && !known.socket) known.gone = true;
    how(connection);
  }

  #closeSocket(connection: Connection): void {
    const known = this.connections.get(connection);
    if (!known?.socket || known.gone) return;
    known.gone = true;
    // Whoever held it finds out, as it would from the socket's error.
    const held = this.holding.filter((other) => other.claimant.connection === connection);
    for (const one of held) this.holding.splice(this.holding.indexOf(one), 1);
    known.socket.close();
    for (const one of held)
      if (connection.multiplexed) this.pools[one.pool]?.abandon(connection, one.claimant.pool);
  }

  check(): void {
    const open = [...this.connections.values()].filter((one) => !one.gone);
    assert.equal(this.permits.held, open.length, 'one permit for each connection');
    assert.ok(open.length <= this.permits.limit, 'the limit of the process');
    if (this.waiting.length === 0) assert.equal(this.permits.waiting, 0, 'nobody waits for a permit in vain');
    for (const [n, pool] of this.pools.entries()) {
      const here = [...this.connections].filter(([, one]) => one.pool === n && !one.gone);
      assert.equal(pool.size, here.length);
      assert.ok(pool.size <= this.wide.connections, 'the limit of the origin');
      const waiters = this.waiting.filter((one) => one.pool === n).map((one) => one.claimant);
      assert.equal(pool.queued, waiters.length);
      const idle = here.filter(([connection]) => connection.state === 'idle');
      const coming = here.some(([connection]) => connection.state === 'connecting');
      const free = this.permits.held < this.permits.limit;
      for (const waiter of waiters) {
        assert.ok(
          waiter.fresh || idle.every(([connection]) => connection.multiplexed && !waiter.http2),
          'nobody waits beside an idle connection',
        );
        assert.ok(
          !waiter.http2 || here.every(([connection]) => !connection.multiplexed || !connection.hasRoom),
          'nobody waits beside one with room',
        );
        assert.ok(
          !free || (waiter.http2 && coming) || pool.size >= waiter.pool.connections,
          'nobody waits for a connection that may be opened',
        );
      }
      // Whoever waits, waits for something that is under way.
      if (waiters.length > 0) {
        const busy = [...this.connections].some(
          ([connection, one]) => !one.gone && connection.state !== 'idle',
        );
        assert.ok(busy, 'nobody waits for nothing');
      }
    }
  }
}

/** Who may not pass one another. */
const alike = (one: Claimant, other: Claimant): boolean =>
  one.fresh === other.fresh && one.http2 === other.http2 && one.pool === other.pool;

test('any interleaving keeps every limit, serves in order, leaves nobody waiting and loses no permit', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 60 }), (limit, steps) =>
      new Model(limit).play(steps),
    ),
    { numRuns: 3_000 },
  );
});
