/**
 * The connections to one origin: who has one, who waits for one. All changes of state happen in
 * `#reconcile`, one synchronous function; sockets are opened and closed outside it, by whoever was
 * granted a connection.
 *
 * Rules: first come, first served, also between origins that share the limit of the whole process (one
 * permit per connection, asked for last); a connection counts until its socket is gone, so the origin never
 * sees more than `pool.connections`, not even for a moment; nobody waits while something is free. Limits are arguments (they belong to the policy), counts are derived from
 * the set of connections. It knows no HTTP.
 */
import { OutriggerError } from '../errors.ts';
import type { PoolPolicy } from '../policy/policy.ts';
import { Connection } from './connection.ts';
import type { Semaphore } from './semaphore.ts';

/** One who waits for a connection; told once, unless it has left. */
export interface Claimant {
  readonly pool: PoolPolicy;
  /** A tunnel needs a connection that nobody has used. */
  readonly fresh: boolean;
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

export class Pool {
  readonly #all = new Set<Connection>();
  /** Last used last: the most recently used is taken first, so that what is not needed grows old. */
  readonly #idle: Connection[] = [];
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

  /** A connection now, or null: then the claimant waits in the queue. Throws when the queue is full. */
  acquire(claimant: Claimant): Connection | null {
    this.#limit = claimant.pool.connections;
    // Whoever waits already could not be served, so whoever can be passes nobody that wants the same; but
    // not while connections are being given out, when it is not known yet who can be served.
    const connection = this.#reconciling ? null : this.#take(claimant);
    if (connection) return connection;
    if (this.#queue.size >= claimant.pool.queue) {
      throw new OutriggerError('queue_full', `${this.#queue.size} wait already`, 1);
    }
    const first = this.#first;
    if (first && (first.fresh !== claimant.fresh || first.pool !== claimant.pool)) this.#mixed = true;
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
    if (connection.state !== 'busy') return;
    const now = performance.now();
    const idleMs = Connection.idleMs(policy.idleTimeoutMs, keepAliveHintMs);
    const aged = now - connection.bornAt >= policy.maxAgeMs;
    if (this.#closed || !connection.usable || idleMs <= 0 || aged || this.#owesPlace()) {
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

  /** Its origin is wanted again before the last connection had gone. */
  reopen(): void {
    this.#closed = false;
  }

  connectionClosed(connection: Connection): void {
    if (!this.#all.delete(connection)) return;
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
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
  #owesPlace(): boolean {
    const first = this.#first;
    // A tunnel is first: kept for those behind it, the connection would keep it waiting for ever.
    if (first?.fresh) return true;
    // Another origin has waited longer for a connection of the process.
    return this.#permits.waitingSince < (first?.since ?? Number.POSITIVE_INFINITY);
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
    let fresh = 0;
    for (const claimant of this.#queue) {
      const connection = this.#take(claimant);
      if (connection) {
        this.#queue.delete(claimant);
        claimant.granted(connection);
        continue;
      }
      if (this.#all.size < claimant.pool.connections) this.#waitForPermit(claimant);
      // A tunnel cannot use an idle connection, so one makes place for it.
      else if (claimant.fresh) fresh += this.#mixed ? 1 : this.#queue.size;
      // Where all want the same, who comes later cannot be served either.
      if (!this.#mixed) break;
    }
    if (fresh > 0 && this.#idle.length > 0) {
      for (let closing = this.counts().closing; closing < fresh; closing++) this.closeOldestIdle();
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

  #take(claimant: Claimant): Connection | null {
    if (!claimant.fresh) {
      const now = performance.now();
      let idle = this.#idle.pop();
      while (idle !== undefined) {
        if (idle.usable && now < idle.idleUntil) {
          idle.state = 'busy';
          return idle;
        }
        idle.close();
        idle = this.#idle.pop();
      }
    }
    if (this.#all.size >= claimant.pool.connections) return null;
    if (this.#spare > 0) this.#spare--;
    else if (!this.#permits.tryAcquire()) return null;
    const connection = new Connection(this);
    this.#all.add(connection);
    return connection;
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
