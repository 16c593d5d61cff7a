/**
 * The windows of circuits move on together: one interval for all of one length, where each would have its own.
 *
 * Rules: a window in which nothing is left stands still until its circuit is told of something, so that what costs is
 * origins in use and not origins known; more than a few take several turns of the event loop. It does not know
 * what is in a window.
 */

/** So many are turned at once; then others have a turn. */
const TURNED_AT_ONCE = 128;

export interface Turning {
  /** One step on; false: nothing is left in it, and it is turned no more until it begins anew. */
  turn(): boolean;
}

export class Rotation {
  readonly #stepMs: number;
  /** Told when nobody is left. */
  readonly #over: () => void;
  readonly #turning = new Set<Turning>();
  /** Who may ever have something in a window. */
  #members = 0;
  #interval: NodeJS.Timeout | null = null;
  /** Those whose turn in this step is still to come. */
  #left: SetIterator<Turning> | null = null;

  constructor(stepMs: number, over: () => void) {
    this.#stepMs = Math.max(1, Math.floor(stepMs));
    this.#over = over;
  }

  /** Once, and `leave` at the end: the steps go on as long as there is anybody. */
  enter(): void {
    this.#members++;
    this.#interval ??= setInterval(this.#step, this.#stepMs).unref();
  }

  leave(one: Turning): void {
    this.#turning.delete(one);
    if (--this.#members > 0) return;
    clearInterval(this.#interval ?? undefined);
    this.#interval = null;
    this.#over();
  }

  /** Something is in its window from now on. */
  begin(one: Turning): void {
    this.#turning.add(one);
  }

  #step = (): void => {
    // Of the step before: nobody is left out.
    while (this.#left !== null) this.#turnSome();
    this.#left = this.#turning.values();
    this.#turnOn();
  };

  #turnOn = (): void => {
    if (this.#left === null) return;
    this.#turnSome();
    if (this.#left !== null) setImmediate(this.#turnOn);
  };

  #turnSome(): void {
    const left = this.#left as SetIterator<Turning>;
    for (let n = 0; n < TURNED_AT_ONCE; n++) {
      const { value: one, done } = left.next();
      if (done === true) {
        this.#left = null;
        return;
      }
      if (!one.turn()) this.#turning.delete(one);
    }
  }
}

const rotations = new Map<number, Rotation>();

/** One for all windows whose steps are that long. */
export function rotationOf(stepMs: number): Rotation {
  let rotation = rotations.get(stepMs);
  if (rotation === undefined) {
    rotation = new Rotation(stepMs, () => rotations.delete(stepMs));
    rotations.set(stepMs, rotation);
  }
  return rotation;
}
