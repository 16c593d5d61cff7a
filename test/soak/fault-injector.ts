/**
 * Faults of the vendors and of the sidecar beside those that requests ask for: a shuffled deck, one after the other, so
 * that each kind comes round before any comes again. A fault of a vendor lasts a while, beside others; one of the sidecar
 * is over before the next.
 */
import { Chance } from '../fuzz/chance.ts';
import { configurationText, INVALID_TEXTS, KNOBS, type Knobs, type Places } from './configuration.ts';
import { burst, pressure } from './http1-callers.ts';
import type { Limits } from './limits.ts';
import type { Names } from './soaked-sidecar.ts';
import type { Tally } from './tally.ts';
import type { Vendor } from './vendors.ts';
import { pause, type World } from './world.ts';

const STOP_MS = 1_000;
const RELOAD_DUE_MS = 5_000;

/** Done to every request of a vendor. */
const SCRIPTED = [
  'stall-head',
  'stall-body',
  'reset',
  'close',
  'half-closed',
  'slow-body',
  'truncated-body',
  'status-503',
  'status-429',
] as const;
const SCRIPTED_HTTP1 = [
  'slow-head',
  'malformed-head',
  'status-503-retry-after',
  'status-429-retry-after',
] as const;

type Fault = (chance: Chance) => Promise<void>;

export class FaultInjector {
  readonly #world: World;
  readonly #limits: Limits;
  readonly #places: Places;
  readonly #faults: Tally;
  readonly #names: Names;
  readonly #chance: Chance;
  readonly #deck: readonly Fault[];
  readonly #lasting = new Set<Promise<void>>();
  readonly #faulty = new Set<Vendor>();
  #knobs: Knobs = KNOBS;
  #going = true;
  #done: Promise<void> = Promise.resolve();
  /** The sidecar does not run. */
  stopped = false;
  /** Each is told in the log once, or twice where the file was looked at meanwhile. */
  invalidReloads = 0;

  constructor(world: World, limits: Limits, places: Places, names: Names, faults: Tally, seed: number) {
    this.#world = world;
    this.#limits = limits;
    this.#places = places;
    this.#names = names;
    this.#faults = faults;
    this.#chance = new Chance(seed);
    const reload: Fault = (chance) => this.#reload(chance);
    const invalid: Fault = (chance) => this.#invalid(chance);
    this.#deck = [
      ...SCRIPTED.map((kind) => this.#scripted(kind, () => true)),
      ...SCRIPTED_HTTP1.map((kind) => this.#scripted(kind, ({ name }) => name !== 'grid')),
      this.#lasts(
        'vendor restarted',
        () => true,
        (vendor) => vendor.close(),
        (vendor) => vendor.open(),
      ),
      this.#lasts(
        'vendor restarted',
        () => true,
        (vendor) => vendor.close(),
        (vendor) => vendor.open(),
      ),
      this.#lasts(
        'all connections of a vendor reset',
        () => true,
        (vendor) => vendor.cut(),
        () => {},
      ),
      this.#lasts(
        'slamming',
        () => true,
        slam,
        (vendor) => (vendor.slamming = false),
      ),
      ...(['missing', 'failing', 'late', 'hanging'] as const).map((kind) => this.#named(kind)),
      ...(['expired', 'wrongHost', 'selfSigned'] as const).map((which) =>
        this.#lasts(
          `certificate ${which}`,
          ({ secure }) => secure,
          (vendor) => {
            vendor.present(which);
            vendor.cut();
          },
          (vendor) => vendor.present('good'),
        ),
      ),
      reload,
      reload,
      reload,
      invalid,
      () => this.#stop(),
      (chance) => this.#load('memory pressure', pressure, chance),
      (chance) => this.#load('burst', burst, chance),
    ];
  }

  begin(): void {
    this.#done = this.#run();
  }

  /** No faults, the names and the configuration of the beginning. */
  async end(): Promise<void> {
    this.#going = false;
    await this.#done;
    await Promise.all(this.#lasting);
    if (this.#world.sidecar.exit === null) await this.#apply(KNOBS, 'POST');
  }

  async #run(): Promise<void> {
    while (this.#going) {
      for (const fault of shuffled(this.#deck, this.#chance)) {
        await pause(150 + this.#chance.below(700));
        if (!this.#going || this.#world.sidecar.exit !== null) return;
        await fault(this.#chance);
      }
    }
  }

  #lasts(
    kind: string,
    fits: (vendor: Vendor) => boolean,
    begin: (vendor: Vendor) => unknown,
    end: (vendor: Vendor) => unknown,
  ): Fault {
    return async (chance) => {
      const free = this.#world.vendors.all.filter((vendor) => fits(vendor) && !this.#faulty.has(vendor));
      const ms = 200 + chance.below(1_800);
      if (free.length === 0) return;
      const vendor = chance.one(free);
      this.#faulty.add(vendor);
      this.#faults.add(kind);
      await begin(vendor);
      const lasting = pause(ms).then(async () => {
        await end(vendor);
        this.#faulty.delete(vendor);
        this.#lasting.delete(lasting);
      });
      this.#lasting.add(lasting);
    };
  }

  #scripted(kind: string, fits: (vendor: Vendor) => boolean): Fault {
    return this.#lasts(
      `every request: ${kind}`,
      fits,
      (vendor) => (vendor.standingFault = kind),
      (vendor) => (vendor.standingFault = null),
    );
  }

  #named(kind: string): Fault {
    return this.#lasts(
      `name ${kind}`,
      () => true,
      (vendor) => {
        this.#names.faults[vendor.host] = kind;
        this.#world.sidecar.name(this.#names);
        // What is connected needs no name.
        vendor.cut();
      },
      ({ host }) => {
        delete this.#names.faults[host];
        this.#world.sidecar.name(this.#names);
      },
    );
  }

  async #load(kind: string, load: typeof burst, chance: Chance): Promise<void> {
    this.#faults.add(kind);
    await load({ world: this.#world, chance: new Chance(chance.below(1e9)) });
  }

  async #stop(): Promise<void> {
    this.#faults.add('SIGSTOP for a second');
    const { clock } = this.#world.ledger;
    this.stopped = true;
    clock.stop();
    this.#world.sidecar.signal('SIGSTOP');
    await pause(STOP_MS);
    this.#world.sidecar.signal('SIGCONT');
    clock.go();
    this.stopped = false;
  }

  async #reload(chance: Chance): Promise<void> {
    const ways = this.#knobs.watch ? (['POST', 'SIGHUP', 'watch'] as const) : (['POST', 'SIGHUP'] as const);
    const way = chance.one(ways);
    this.#faults.add(`reload by ${way}`);
    const pools = [3, 4, 5, 6, 7, 8].filter((pool) => pool !== this.#knobs.pool);
    const knobs = {
      pool: chance.one(pools),
      connections: 20 + chance.below(21),
      exchanges: 60 + chance.below(61),
      attempts: 1 + chance.below(3),
      watch: chance.yes(0.7),
    };
    await this.#apply(knobs, way);
  }

  async #apply(knobs: Knobs, way: 'POST' | 'SIGHUP' | 'watch'): Promise<void> {
    const { sidecar, ledger } = this.#world;
    const before = await this.#state();
    this.#limits.changing(knobs);
    sidecar.configure(this.#text(knobs));
    if (way === 'POST') {
      const { status, body } = await sidecar.ask('/reload', 'POST');
      if (status !== 200)
        ledger.violations.add('a reload is all or nothing', `a valid one: ${status} ${body}`);
    } else {
      if (way === 'SIGHUP') sidecar.signal('SIGHUP');
      const end = performance.now() + RELOAD_DUE_MS;
      while ((await this.#state()).hash === before.hash) {
        if (performance.now() > end) {
          ledger.violations.add('a reload is all or nothing', `${way} did nothing`);
          break;
        }
        await pause(50);
      }
    }
    this.#limits.changed(knobs);
    this.#knobs = knobs;
  }

  /** It changes nothing, says so, and is forgotten once the file is right again. */
  async #invalid(chance: Chance): Promise<void> {
    const { sidecar, ledger } = this.#world;
    this.#faults.add('reload with an invalid configuration');
    this.invalidReloads++;
    const before = await this.#state();
    sidecar.configure(chance.one(INVALID_TEXTS));
    const { status } = await sidecar.ask('/reload', 'POST');
    const during = await this.#state();
    sidecar.configure(this.#text(this.#knobs));
    const again = await sidecar.ask('/reload', 'POST');
    const after = await this.#state();
    const story = JSON.stringify({ before, status, during, again: again.status, after });
    const right =
      status === 422 &&
      during.hash === before.hash &&
      during.ready &&
      during.problem &&
      again.status === 200 &&
      after.hash === before.hash &&
      !after.problem;
    if (!right) ledger.violations.add('a reload is all or nothing', `an invalid one: ${story}`);
  }

  async #state(): Promise<{ ready: boolean; hash: string; problem: boolean }> {
    const { status, body } = await this.#world.sidecar.ask('/readyz');
    const { config } = JSON.parse(body);
    return { ready: status === 200, hash: config.hash, problem: config.problem !== null };
  }

  #text(knobs: Knobs): string {
    return configurationText(this.#world.vendors, this.#places, knobs);
  }
}

function slam(vendor: Vendor): void {
  vendor.slamming = true;
  vendor.cut();
}

function shuffled<T>(deck: readonly T[], chance: Chance): T[] {
  const cards = [...deck];
  for (let at = cards.length - 1; at > 0; at--) {
    const other = chance.below(at + 1);
    [cards[at], cards[other]] = [cards[other] as T, cards[at] as T];
  }
  return cards;
}
