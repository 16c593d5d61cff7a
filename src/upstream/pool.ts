/**
 * The connections to one origin: who has one, who waits for one. All changes of state happen in
 * `#reconcile`, one synchronous function; sockets are opened and closed outside it, by whoever was
 * granted a connection.
 *
 * Rules: first come, first served, also between origins that share the limit of the whole process (one
 * permit per connection, asked for last); a connection counts until its socket is gone, so the origin never
 * sees more than `pool.connections`, not even for a moment; nobody waits while something is free, or opens a
 * connection while one is under way that will have room for all who wait. Limits are arguments (they belong
 * to the policy), counts are derived from the set of connections. It knows no HTTP.
 */
import { OutriggerError } from '../errors.ts';
import type { PoolPolicy } from '../policy/policy.ts';
import { Connection } from './connection.ts';
import { MAX_STREAMS } from './http2-session.ts';
import type { Semaphore } from './semaphore.ts';

/** One who waits for a connection; told once, unless it has left. */
export interface Claimant {
  readonly pool: PoolPolicy;
  /** A tunnel needs a connection that nobody has used. */
  readonly fresh: boolean;
  /** It may share a connection with others, and would rather. */
  readonly http2: boolean;
  /** The moment since which it waits, monotonic milliseconds. */
  readonly since: number;
  granted(connection: Connection): void;
}

export interface PoolCounts {
  connecting: number;
  busy: number;
  idle: number;
  closing: number;
}

/** Asked to close one idle connection somewhere else, so that this pool may open one. */
export type Reclaim = () => void;

/** How long others wait for a connection that they may share, milliseconds: most are there sooner. */
const PROMISE_MS = 500;

export class Pool {
  readonly #all = new Set<Connection>();
  /** Last used last: the most recently used is taken first, so that what is not needed grows old. */
  readonly #idle: Connection[] = [];
  /** Those that several may hold at once, oldest first: these are filled first, so that the others may go. */
  readonly #shared: Connection[] = [];
  /** Those on their way that may turn out to have room for more than who opened them. */
  readonly #coming = new Set<Connection>();
  /** How many such a connection is expected to take: as many as the last one did. */
  #expected = MAX_STREAMS;
  readonly #queue = new Set<Claimant>();
  /** Whether those who wait differ in what they need: then one may pass another that cannot be served. */
  #mixed = false;
  readonly #permits: Semaphore;
  readonly #reclaim: Reclaim;
  #limit = 0;
  /** Permits of the process granted to us and not yet turned into a connection. */
  #spare = 0;
  #waitsForPermit = false;
  #reconciling = false;
  /** Something changed while connections were being given out. */
  #again = false;
  /** Nothing is kept any more: its origin is about to be forgotten. */
  #closed = false;
  #sweep: NodeJS.Timeout | null = null;
  #sweepAt = 0;

  constructor(permits: Semaphore, reclaim: Reclaim) {
    this.#permits = permits;
    this.#reclaim = reclaim;
  }

  get queued(): number {
    return this.#queue.size;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The limit that was asked for last. */
  get limit(): number {
    return this.#limit;
  }

  /** When the connection that has been idle longest became so; Infinity: none is. */
  get oldestIdleAt(): number {
    return this.#idle[0]?.idleUntil ?? Number.POSITIVE_INFINITY;
  }

  counts(): PoolCounts {
    const counts = { connecting: 0, busy: 0, idle: 0, closing: 0 };
    for (const connection of this.#all) counts[connection.state]++;
    return counts;
  }

  /** Exchanges that hold a connection. */
  get streams(): number {
    let streams = 0;
    for (const connection of this.#all) if (connection.state === 'busy') streams += connection.streams;
    return streams;
  }

  /** What the connections speak; null: there is none yet. */
  get protocol(): 'h2' | 'http/1.1' | null {
    for (const connection of this.#all) {
      if (connection.ready) return connection.multiplexed ? 'h2' : 'http/1.1';
    }
    return null;
  }

  /** A connection now, or null: then the claimant waits in the queue. Throws when the queue is full. */
  acquire(claimant: Claimant): Connection | null {
    this.#limit = claimant.pool.connections;
    // Whoever waits already could not be served, so whoever can be passes nobody that wants the same; but
    // not while connections are being given out, when it is not known yet who can be served.
    const connection = this.#reconciling || this.#waitsBehind(claimant) ? null : this.#take(claimant, 1);
    if (connection) return connection;
    if (this.#queue.size >= claimant.pool.queue) {
      throw new OutriggerError('queue_full', `${this.#queue.size} wait already`, 1);
    }
    const first = this.#first;
    if (
      first &&
      (first.fresh !== claimant.fresh || first.pool !== claimant.pool || first.http2 !== claimant.http2)
    ) {
      this.#mixed = true;
    }
    this.#queue.add(claimant);
    this.#reconcile();
    return null;
  }

  /** A claimant that no longer waits. */
  leave(claimant: Claimant): void {
    if (this.#queue.delete(claimant)) this.#reconcile();
  }

  /** A connection whose exchange went well: kept if it is young and sound, else closed in good order. */
  release(connection: Connection, policy: PoolPolicy, keepAliveHintMs: number | null): void {
    connection.streams--;
    if (connection.state !== 'busy') return;
    const now = performance.now();
    if (connection.streams > 0) {
      // One at a time makes place; the last of those who hold it closes it.
      if (this.#owesPlace(connection) && !this.#makesPlace()) connection.retire();
      if (this.#queue.size > 0) this.#reconcile();
      return;
    }
    const idleMs = Connection.idleMs(policy.idleTimeoutMs, keepAliveHintMs);
    if (idleMs <= 0 || connection.retired || this.#wornOut(connection, policy, now)) {
      connection.close();
      return;
    }
    connection.used = true;
    connection.state = 'idle';
    connection.idleUntil = Math.min(now + idleMs, connection.bornAt + policy.maxAgeMs);
    this.#idle.push(connection);
    if (this.#queue.size > 0) this.#reconcile();
    if (connection.state === 'idle') this.#scheduleSweep(connection.idleUntil, now);
  }

  /** A connection whose exchange did not go well: ended, unless others hold it and it is sound. */
  abandon(connection: Connection, policy: PoolPolicy): void {
    // Nobody but its first exchange has a connection of which the origin has said nothing yet.
    if (connection.multiplexed && connection.settled) this.release(connection, policy, null);
    else connection.kill();
  }

  /** Closes one idle connection, the one idle longest; false: there is none. */
  closeOldestIdle(): boolean {
    const connection = this.#idle.shift();
    connection?.close();
    return connection !== undefined;
  }

  /** Closes all that is idle, and from here on whatever comes back. */
  close(): void {
    this.#closed = true;
    while (this.closeOldestIdle());
    if (this.#sweep) clearTimeout(this.#sweep);
    this.#sweep = null;
  }

  /** Nobody gets a connection that is there now: the idle are closed, the others go with who holds them. */
  renew(): void {
    while (this.closeOldestIdle());
    for (const connection of this.#all) connection.retire();
  }

  /** Its origin is wanted again before the last connection had gone. */
  reopen(): void {
    this.#closed = false;
  }

  connectionChanged(connection: Connection): void {
    const awaited = connection.settled && this.#coming.delete(connection);
    if (awaited) this.#expected = Math.max(1, connection.capacity);
    if (!connection.multiplexed && !awaited) return;
    if (connection.multiplexed && !this.#shared.includes(connection)) this.#shared.push(connection);
    if (connection.state === 'idle' && !connection.usable) {
      remove(this.#idle, connection);
      connection.close();
    }
    if (this.#queue.size > 0) this.#reconcile();
  }

  connectionClosed(connection: Connection): void {
    if (!this.#all.delete(connection)) return;
    remove(this.#idle, connection);
    if (connection.multiplexed) remove(this.#shared, connection);
    // Who waited for it does not wait for the next one alone: as many are tried as have failed, and more.
    if (this.#coming.delete(connection)) this.#expected = Math.max(1, this.#expected >> 1);
    this.#permits.release();
    this.#reconcile();
  }

  /** A permit of the process has come free for us. */
  granted(): void {
    this.#waitsForPermit = false;
    this.#spare++;
    this.#reconcile();
  }

  get #first(): Claimant | undefined {
    return this.#queue.values().next().value;
  }

  /** Whether the place of a connection that has come back belongs to somebody who cannot use it as it is. */
  #owesPlace(connection: Connection): boolean {
    const first = this.#first;
    // A tunnel is first: kept for those behind it, the connection would keep it waiting for ever.
    if (first && (first.fresh || (connection.multiplexed && !first.http2))) return true;
    // Another origin has waited longer for a connection of the process.
    return this.#permits.waitingSince < (first?.since ?? Number.POSITIVE_INFINITY);
  }

  /** Whether a connection that several hold is on its way out already. */
  #makesPlace(): boolean {
    return this.#shared.some((one) => one.retired && one.streams > 0);
  }

  /** Whether it is to be closed rather than kept. */
  #wornOut(connection: Connection, policy: PoolPolicy, now: number): boolean {
    return (
      this.#closed ||
      !connection.usable ||
      now - connection.bornAt >= policy.maxAgeMs ||
      this.#owesPlace(connection)
    );
  }

  /** Whether somebody waits already who wants the same, and would be passed by. */
  #waitsBehind(claimant: Claimant): boolean {
    if (!claimant.http2 || claimant.fresh) return false;
    for (const other of this.#queue) {
      if (other.http2 && !other.fresh && other.pool === claimant.pool) return true;
    }
    return false;
  }

  /** Whether what is on its way will have room for as many as wait. */
  #isPromised(claimant: Claimant, waiting: number): boolean {
    if (!claimant.http2 || claimant.fresh || this.#coming.size === 0) return false;
    let room = 0;
    for (const one of this.#coming) {
      if (one.state !== 'closing') room += Math.max(0, this.#expected - one.streams);
    }
    // Nobody is refused for a full queue while a connection may be opened.
    return waiting <= Math.min(room, claimant.pool.queue - 1);
  }

  /**
   * The one place where those who wait get connections. Whoever is granted one may fail and come back in
   * here before `granted` returns: then the outer loop goes round again, so that no stack grows.
   */
  #reconcile(): void {
    this.#again = true;
    if (this.#reconciling) return;
    this.#reconciling = true;
    try {
      while (this.#again) {
        this.#again = false;
        this.#serve();
      }
    } finally {
      this.#reconciling = false;
    }
    this.#giveBackPermits();
  }

  #serve(): void {
    let displaced = 0;
    for (const claimant of this.#queue) {
      const connection = this.#take(claimant, this.#queue.size);
      if (connection) {
        this.#queue.delete(claimant);
        claimant.granted(connection);
        continue;
      }
      if (this.#all.size < claimant.pool.connections) {
        if (!this.#isPromised(claimant, this.#queue.size)) this.#waitForPermit(claimant);
        // Who cannot use what is idle has one make place.
      } else if (this.#idle.length > 0) displaced += this.#mixed ? 1 : this.#queue.size;
      // Where all want the same, who comes later cannot be served either.
      if (!this.#mixed) break;
    }
    if (displaced > 0 && this.#idle.length > 0) {
      for (let closing = this.counts().closing; closing < displaced; closing++) this.closeOldestIdle();
    }
    if (this.#queue.size === 0) this.#mixed = false;
  }

  #waitForPermit(claimant: Claimant): void {
    if (this.#waitsForPermit) return;
    this.#waitsForPermit = true;
    this.#permits.wait(this, claimant.since);
    if (this.#waitsForPermit) this.#reclaim();
  }

  /** What nobody here needs any more. */
  #giveBackPermits(): void {
    if (this.#queue.size === 0 && this.#waitsForPermit) {
      this.#waitsForPermit = false;
      this.#permits.forget(this);
    }
    while (this.#spare > 0) {
      this.#spare--;
      this.#permits.release();
    }
  }

  /** `waiting`: how many want a connection, this one included. */
  #take(claimant: Claimant, waiting: number): Connection | null {
    if (!claimant.fresh) {
      const now = performance.now();
      const kept = this.#takeShared(claimant, now) ?? this.#takeIdle(now);
      if (kept) return kept;
      if (this.#isPromised(claimant, waiting)) return null;
    }
    if (this.#all.size >= claimant.pool.connections) return null;
    if (this.#spare > 0) this.#spare--;
    else if (!this.#permits.tryAcquire()) return null;
    const connection = new Connection(this);
    connection.streams = 1;
    this.#all.add(connection);
    if (claimant.http2 && !claimant.fresh) this.#promise(connection);
    return connection;
  }

  /** Others wait for what is on its way, but not as long as it takes: one origin may have a slow address. */
  #promise(connection: Connection): void {
    this.#coming.add(connection);
    setTimeout(() => {
      if (this.#coming.delete(connection)) this.#reconcile();
    }, PROMISE_MS).unref();
  }

  #takeShared(claimant: Claimant, now: number): Connection | null {
    if (!claimant.http2) return null;
    for (const connection of this.#shared) {
      if (!connection.hasRoom || now - connection.bornAt >= claimant.pool.maxAgeMs) continue;
      if (connection.state === 'idle') {
        if (now >= connection.idleUntil) continue;
        remove(this.#idle, connection);
      } else if (connection.state !== 'busy') continue;
      connection.state = 'busy';
      connection.streams++;
      return connection;
    }
    return null;
  }

  /** One for oneself. */
  #takeIdle(now: number): Connection | null {
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const idle = this.#idle[i] as Connection;
      if (idle.multiplexed) continue;
      if (i === this.#idle.length - 1) this.#idle.pop();
      else this.#idle.splice(i, 1);
      if (idle.usable && now < idle.idleUntil) {
        idle.state = 'busy';
        idle.streams = 1;
        return idle;
      }
      idle.close();
    }
    return null;
  }

  #scheduleSweep(at: number, now: number): void {
    if (this.#sweep !== null) {
      if (this.#sweepAt <= at) return;
      clearTimeout(this.#sweep);
    }
    this.#sweepAt = at;
    this.#sweep = setTimeout(() => this.#sweepIdle(), Math.max(1, Math.ceil(at - now)));
    this.#sweep.unref();
  }

  #sweepIdle(): void {
    this.#sweep = null;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const connection = this.#idle[i] as Connection;
      if (connection.idleUntil <= now) {
        this.#idle.splice(i, 1);
        connection.close();
      } else if (connection.idleUntil < next) next = connection.idleUntil;
    }
    if (next < Number.POSITIVE_INFINITY) this.#scheduleSweep(next, now);
  }
}

function remove(from: Connection[], connection: Connection): void {
  const index = from.indexOf(connection);
  if (index >= 0) from.splice(index, 1);
}
