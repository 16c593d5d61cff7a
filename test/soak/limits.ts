/**
 * Limits that a reload moves, and who watches that they are kept. A higher one counts at once. Under a lower one what is
 * there may stay and nothing may come: the ceiling comes down with what is seen until it has reached the limit.
 */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Knobs } from './configuration.ts';
import { type Count, kernelName, type Question } from './kernel-connections.ts';
import type { Vendors } from './vendors.ts';
import type { Violations } from './violations.ts';
import { pause } from './world.ts';

/** Who had a place before it became one too many may still be looking up a name, or dialling; milliseconds. */
const ON_THE_WAY_MS = 3_000;

const LOOK_MS = 40;

/** Exchanges that have not finished, for each that holds a permit of limits.exchanges; at the very most. */
const NOT_ONLY_PERMITS = 1.5;

class Ceiling {
  #limit: number;
  #ceiling: number;
  #since = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#ceiling = limit;
  }

  /** What was in force may be so for a while; what is asked for may be in force already. */
  changing(to: number): void {
    this.#ceiling = Math.max(this.#ceiling, to);
    this.#limit = Math.max(this.#limit, to);
  }

  changed(to: number): void {
    this.#limit = to;
    this.#since = performance.now();
  }

  get height(): number {
    return this.#ceiling;
  }

  /** Returns the ceiling if it is broken. */
  seen({ least, most }: Count): number | null {
    const ceiling = this.#ceiling;
    if (performance.now() - this.#since > ON_THE_WAY_MS)
      this.#ceiling = Math.max(this.#limit, Math.min(ceiling, most));
    return least > ceiling ? ceiling : null;
  }
}

export class Limits {
  /** The most connections seen, of each vendor and in all. */
  readonly most = new Map<string, number>();
  readonly #violations: Violations;
  readonly #vendors: readonly {
    readonly name: string;
    readonly row: string;
    readonly ceiling: Ceiling;
    readonly ways: number;
  }[];
  readonly #connections: Ceiling;
  readonly #exchanges: Ceiling;
  #watching = true;

  constructor(vendors: Vendors, knobs: Knobs, violations: Violations) {
    this.#violations = violations;
    this.#vendors = vendors.all.map(({ name, port, options }) => ({
      name,
      row: kernelName(options.address, port),
      ways: options.ways,
      ceiling: new Ceiling(knobs.pool * options.ways),
    }));
    this.#connections = new Ceiling(knobs.connections);
    this.#exchanges = new Ceiling(knobs.exchanges);
  }

  /** A reload is asked for. */
  changing(knobs: Knobs): void {
    for (const { ceiling, ways } of this.#vendors) ceiling.changing(knobs.pool * ways);
    this.#connections.changing(knobs.connections);
    this.#exchanges.changing(knobs.exchanges);
  }

  /** It has happened. */
  changed(knobs: Knobs): void {
    for (const { ceiling, ways } of this.#vendors) ceiling.changed(knobs.pool * ways);
    this.#connections.changed(knobs.connections);
    this.#exchanges.changed(knobs.exchanges);
  }

  /** Counts in the kernel, again and again, until `end`. */
  async watch(): Promise<void> {
    const worker = new Worker(new URL('kernel-connections.ts', import.meta.url));
    while (this.#watching) {
      const far = this.#vendors.map(({ row, ceiling }) => [row, ceiling.height] as const);
      const question: Question = { far, limit: this.#connections.height };
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- of windows, and this is a thread
      worker.postMessage(question);
      const [counts] = (await once(worker, 'message')) as [Count[]];
      this.#count(counts);
      await pause(LOOK_MS);
    }
    await worker.terminate();
  }

  end(): void {
    this.#watching = false;
  }

  #count(counts: readonly Count[]): void {
    let least = 0;
    let most = 0;
    for (const [index, { name, ceiling }] of this.#vendors.entries()) {
      const count = counts[index] as Count;
      least += count.least;
      most += count.most;
      this.#judge('connections of a vendor', name, ceiling, count);
    }
    this.#judge('connections in all', 'in all', this.#connections, { least, most });
  }

  /** By the gauge, which counts those too that are just being refused, or whose bodies are received first. */
  exchanges(count: number): void {
    const least = Math.floor(count / NOT_ONLY_PERMITS);
    this.#judge('exchanges in flight', 'exchanges', this.#exchanges, { least, most: count });
  }

  #judge(what: string, name: string, ceiling: Ceiling, count: Count): void {
    this.most.set(name, Math.max(this.most.get(name) ?? 0, count.least));
    const broken = ceiling.seen(count);
    if (broken !== null)
      this.#violations.add('limits hold', `${what}: ${count.least}, limit ${broken} (${name})`);
  }
}
