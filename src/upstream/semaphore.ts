/**
 * Permits with a first-come queue: one per connection of an origin, one for the whole sidecar.
 *
 * Keeps: state changes in one synchronous function, before anyone is told; who comes never overtakes who
 * waits; a waiter that is forgotten costs nothing more. It knows no time-outs and no bound of its queue:
 * whoever waits brings both.
 */

/** Told once, synchronously, that it holds a permit now. It must not throw. */
export interface Waiter {
  granted(): void;
}

interface Place {
  readonly waiter: Waiter;
  readonly since: number;
  previous: Place | null;
  next: Place | null;
}

export class Semaphore {
  #limit: number;
  #held = 0;
  /** The queue is a list, so that its first is found, and the map so that anyone is, at once. */
  readonly #places = new Map<Waiter, Place>();
  #first: Place | null = null;
  #last: Place | null = null;
  #reconciling = false;

  constructor(limit: number) {
    this.#limit = checked(limit);
  }

  get limit(): number {
    return this.#limit;
  }

  get held(): number {
    return this.#held;
  }

  get waiting(): number {
    return this.#places.size;
  }

  /** What the first in the queue gave as the moment since which it waits; Infinity: nobody waits. */
  get waitingSince(): number {
    return this.#first === null ? Number.POSITIVE_INFINITY : this.#first.since;
  }

  tryAcquire(): boolean {
    if (this.#held >= this.#limit || this.#first !== null) return false;
    this.#held++;
    return true;
  }

  release(): void {
    if (this.#held === 0) throw new RangeError('a permit was released that nobody held');
    this.#held--;
    this.#reconcile();
  }

  /** Joins the queue; is granted at once where a permit is free. `since` is for others to look at. */
  wait(waiter: Waiter, since = 0): void {
    if (this.#places.has(waiter)) throw new RangeError('a waiter waits once');
    const place: Place = { waiter, since, previous: this.#last, next: null };
    if (this.#last === null) this.#first = place;
    else this.#last.next = place;
    this.#last = place;
    this.#places.set(waiter, place);
    this.#reconcile();
  }

  /** Leaves the queue; nothing happens to one that is not in it. */
  forget(waiter: Waiter): void {
    const place = this.#places.get(waiter);
    if (place !== undefined) this.#remove(place);
  }

  /** A lower limit takes no permit away; it is reached as permits come back. */
  setLimit(limit: number): void {
    this.#limit = checked(limit);
    this.#reconcile();
  }

  /**
   * The only place where waiters become holders. A waiter may call back in here: the outer loop then goes
   * on.
   */
  #reconcile(): void {
    if (this.#reconciling) return;
    this.#reconciling = true;
    try {
      while (this.#first !== null && this.#held < this.#limit) {
        const { waiter } = this.#first;
        this.#remove(this.#first);
        this.#held++;
        waiter.granted();
      }
    } finally {
      this.#reconciling = false;
    }
  }

  #remove(place: Place): void {
    if (place.previous === null) this.#first = place.next;
    else place.previous.next = place.next;
    if (place.next === null) this.#last = place.previous;
    else place.next.previous = place.previous;
    this.#places.delete(place.waiter);
  }
}

function checked(limit: number): number {
  if (!Number.isInteger(limit) || limit < 0) throw new RangeError('a limit is a whole number');
  return limit;
}
