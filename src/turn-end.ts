/**
 * What is put off to the end of this turn of the event loop, and then done in one go: writes, so that whoever
 * reads them is woken once for all of them and not once for each (under load that is most of what a write
 * costs), and looks at what the turn may still bring. Nothing waits longer than the turn takes.
 *
 * Rules: first come, first done; what fails ends nobody else. It knows nothing of what it does.
 */
export class TurnEnd<T> {
  readonly #perform: (one: T) => void;
  #due: T[] = [];

  constructor(perform: (one: T) => void) {
    this.#perform = perform;
  }

  add(one: T): void {
    if (this.#due.length === 0) setImmediate(this.#run);
    this.#due.push(one);
  }

  readonly #run = (): void => {
    const due = this.#due;
    this.#due = [];
    for (let i = 0; i < due.length; i++) {
      try {
        this.#perform(due[i] as T);
      } catch (thrown) {
        // A bug of ours: it is told as one, and the others go on.
        queueMicrotask(() => {
          throw thrown;
        });
      }
    }
  };
}
