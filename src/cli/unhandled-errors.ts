/**
 * What nobody caught: an exception in a callback of a socket or a timer, or a rejection that nobody waits
 * for. It is a bug of ours, and it takes the exchange in whose path it happened, which its timers end, and
 * not the thousand beside it.
 *
 * Rules: each is counted, and told in one line without its message; a process in an unknown state does not
 * limp on for ever: after UNHANDLED_MAX within UNHANDLED_WINDOW_MS it is to drain and end. It does not know
 * how that is done. Before anything is served there is nothing to go on with, and the process ends at once.
 */

import { storyOf } from '../telemetry/error-story.ts';
import type { Log } from '../telemetry/log.ts';
import { FAILED } from './exit-code.ts';

/** So many within the window, and the process ends. */
const UNHANDLED_MAX = 10;
const UNHANDLED_WINDOW_MS = 60_000;

/** Node's own last words would have the message. */
function crash(thrown: unknown): never {
  process.stderr.write(`outrigger: unhandled error: ${storyOf(thrown)}\n`);
  process.exit(FAILED);
}

/** From the first line of the program until somebody watches. */
export function crashOnUnhandledErrors(): void {
  process.on('uncaughtException', crash);
}

export interface UnhandledErrorsOptions {
  readonly log: Log;
  /** Told of each. */
  readonly count: () => void;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

export class UnhandledErrors {
  /** Resolves once there were too many. */
  readonly tooMany: Promise<'unhandled errors'>;
  readonly #options: UnhandledErrorsOptions;
  /** Whether there were too many. */
  fatal = false;
  /** When the latest ones happened, oldest first. */
  readonly #times: number[] = [];
  readonly #giveUp: () => void;

  constructor(options: UnhandledErrorsOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<'unhandled errors'>();
    this.tooMany = promise;
    this.#giveUp = () => resolve('unhandled errors');
  }

  /** Rejections come the same way: Node raises them as exceptions when nobody listens for them. */
  watch(): void {
    process.off('uncaughtException', crash);
    process.on('uncaughtException', (error, origin) => this.take(error, origin));
  }

  take(thrown: unknown, origin: string): void {
    const { log, count, now } = this.#options;
    const at = now();
    while (this.#times.length > 0 && at - (this.#times[0] as number) >= UNHANDLED_WINDOW_MS)
      this.#times.shift();
    count();
    // What comes faster than that says nothing new, and may be the log's own fault.
    if (this.#times.length >= UNHANDLED_MAX) return;
    this.#times.push(at);
    const last = this.#times.length === UNHANDLED_MAX;
    if (last) {
      this.fatal = true;
      this.#giveUp();
    }
    try {
      log.fatal({ origin, cause: storyOf(thrown), ending: last }, 'unhandled error');
    } catch {
      // It is counted; there is nobody left to tell.
    }
  }
}
