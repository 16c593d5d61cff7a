/** The callers of a soak: workers, each with a sequence of its own that the seed decides. */
import { Chance } from '../fuzz/chance.ts';
import * as http1 from './http1-callers.ts';
import { http2Caller } from './http2-callers.ts';
import { halfHead, malformed, webSocket } from './raw-callers.ts';
import { intercepted, opaqueTunnel, plainTunnel } from './tunnel-callers.ts';
import { pause, type Turn, type World } from './world.ts';

const WORKERS = 40;
const THINKING_MS = 50;

/** How often in a hundred or so. */
const SHARES: readonly (readonly [(turn: Turn) => Promise<void>, number])[] = [
  [http1.get, 24],
  [http1.post, 16],
  [http1.keyedPost, 6],
  [http1.put, 4],
  [http1.remove, 3],
  [http1.head, 2],
  [http1.byPrefix, 3],
  [http1.originateGet, 5],
  [http1.originatePost, 4],
  [http1.gridGet, 5],
  [http1.gridPost, 4],
  [http1.upload, 4],
  [http1.download, 3],
  [http1.events, 3],
  [http1.leaving, 7],
  [http1.slowReader, 1],
  [http1.slowBody, 1],
  [http1.unknownName, 2],
  [http1.refused, 2],
  [http1.denied, 1],
  [opaqueTunnel, 4],
  [intercepted, 4],
  [plainTunnel, 4],
  [http2Caller, 2],
  [webSocket, 3],
  [malformed, 2],
  [halfHead, 1],
];
const WHEEL = SHARES.flatMap(([kind, share]) => Array.from({ length: share }, () => kind));

export class Workload {
  readonly #world: World;
  readonly #workers: Promise<void>[];
  #going = true;

  constructor(world: World, seed: number) {
    this.#world = world;
    this.#workers = Array.from({ length: WORKERS }, (_, n) => this.#work(new Chance(seed * 1_000 + n)));
  }

  /** Nobody begins anything more; resolves when all is answered. */
  async stop(): Promise<void> {
    this.#going = false;
    await Promise.all(this.#workers);
  }

  async #work(chance: Chance): Promise<void> {
    while (this.#going && this.#world.sidecar.exit === null) {
      await chance.one(WHEEL)({ world: this.#world, chance });
      await pause(chance.below(THINKING_MS));
    }
  }
}
