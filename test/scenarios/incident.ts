/**
 * The incident, replayed: a fraud service that asks five vendors for each score, under steady load. One vendor hangs, and
 * returns. Two copies of the service run side by side, direct and through the sidecar, and go through the same.
 *
 * What a service must do, in whichever language: `GET /score?payment=N` asks `DEVICE_URL` and the four others for
 * `/v1/score?payment=N` at once, leaves out who gives no answer, and answers `{"score":0.4,"missing":["device"]}`;
 * `GET /calls` is a list of all its calls so far, `{"vendor","at","ms","outcome"}`: at since the epoch, in milliseconds,
 * ms null while it is open, outcome `ok` or what went wrong.
 */
import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { TestContext } from 'node:test';
import { setTimeout as after } from 'node:timers/promises';
import { percentile } from '../support/quantiles.ts';
import { until } from '../support/until.ts';
import { tell, type WayFigures } from './figures.ts';
import { type Command, ScenarioStage, type Way } from './stage.ts';
import { type Asked, SteadyCaller } from './steady-caller.ts';

const HUNG = 'identity';
/** So slow that what a busy machine adds is little beside it. */
const HEALTHY = 'healthy,latencyMs=120,spreadMs=60';
/** What hangs then is reset when the vendor returns, as by a restart. */
const HANGING = 'hanging,release=reset';
const VENDORS = ['device', HUNG, 'network', 'email', 'sanctions'];

const PER_SECOND = 10;
const PATIENCE_MS = 2_000;
const HEALTHY_MS = 5_000;
const HUNG_MS = 8_000;
const RECOVERY_MAX_MS = 10_000;
const WARM_MS = 20_000;
/** Of what is asked while all is well, on a machine that has so much to do that somebody's patience ends. */
const HEALTHY_SHARE = 0.9;
/**
 * Six are configured (fraud/outrigger.yaml). A vendor that is held up may accept the next ones before it is told that
 * others were reset.
 */
const CONNECTIONS_MAX = 6 + 2;
/**
 * A machine that stands still for longer than this is slower than what is to be seen: then the incident is replayed
 * once more, so many times in all.
 */
const HELD_UP_MS = 100;
const TIMES = 3;
const LOOK_MS = 10;
/** Scores in a row that rest on all vendors, before the service counts as recovered. */
const FULL_IN_A_ROW = PER_SECOND;

interface Call {
  readonly vendor: string;
  readonly at: number;
  readonly ms: number | null;
  readonly outcome: string | null;
}

/** One copy of the service, and what came of it. */
class Replay {
  readonly #way: Way;
  readonly #stage: ScenarioStage;
  readonly #url: string;
  readonly caller: SteadyCaller;

  constructor(way: Way, stage: ScenarioStage, url: string) {
    this.#way = way;
    this.#stage = stage;
    this.#url = url;
    this.caller = new SteadyCaller(`${url}/score`, PER_SECOND, PATIENCE_MS);
  }

  get warm(): boolean {
    return this.caller.asked.filter(isFull).length >= FULL_IN_A_ROW;
  }

  /** From the return of the vendor to the first of so many scores in a row that rest on all vendors. */
  recoveryMs(returnedMs: number): number | null {
    const asked = this.caller.between(returnedMs, Number.POSITIVE_INFINITY);
    for (let from = 0; from + FULL_IN_A_ROW <= asked.length; from++) {
      const row = asked.slice(from, from + FULL_IN_A_ROW);
      const [first] = row;
      if (first !== undefined && row.every(isFull)) return first.atMs + first.ms - returnedMs;
    }
    return null;
  }

  async calls(): Promise<Call[]> {
    return (await (await fetch(`${this.#url}/calls`)).json()) as Call[];
  }

  async figures({ healthyMs, hungMs, returnedMs }: Phases): Promise<WayFigures> {
    const calls = await this.calls();
    // Whoever asks later may still be there when the vendor returns.
    const endMs = returnedMs - PATIENCE_MS;
    const others = calls.filter(({ vendor }) => vendor !== HUNG);
    const healthy = others.filter(({ at }) => at >= healthyMs && at < hungMs);
    const hung = others.filter(({ at }) => at >= hungMs && at < endMs);
    const asked = this.caller.between(hungMs, endMs);
    return {
      successHealthyShare: share(this.caller.between(healthyMs, hungMs), ({ status }) => status === 200),
      successHungShare: share(asked, ({ status }) => status === 200),
      othersSuccessShare: share(
        hung,
        ({ outcome, ms }) => outcome === 'ok' && (ms ?? Infinity) <= PATIENCE_MS,
      ),
      othersP99HealthyMs: percentile(healthy.map(duration), 0.99),
      othersP99HungMs: percentile(hung.map(duration), 0.99),
      scoreP99HungMs: percentile(
        asked.map(({ ms, status }) => (status === 200 ? ms : Infinity)),
        0.99,
      ),
      recoveryMs: this.recoveryMs(returnedMs),
      hungVendorConnections: this.#stage.vendors[this.#way].named(HUNG).snapshot().connections.openMost,
    };
  }
}

interface Phases {
  readonly healthyMs: number;
  readonly hungMs: number;
  readonly returnedMs: number;
  /** The longest that this process, in which the vendors live, was kept from working while it was measured. */
  readonly heldUpMs: number;
}

/** Replays it with a service, `name` in its language, and proves what the sidecar is for. */
export async function replay(t: TestContext, name: string, service: Command): Promise<void> {
  const stage = await ScenarioStage.start(t, {
    vendors: VENDORS.map((vendor) => ({ name: vendor, behaviour: HEALTHY })),
    yaml: new URL('fraud/outrigger.yaml', import.meta.url),
  });
  const urls = await Promise.all([stage.serve('direct', service), stage.serve('sidecar', service)]);
  const replays = [new Replay('direct', stage, urls[0]), new Replay('sidecar', stage, urls[1])] as const;
  const stop = (): Promise<unknown> => Promise.all(replays.map(({ caller }) => caller.stop()));
  t.after(stop);

  await until(() => replays.every(({ warm }) => warm), 'both services to be warm', WARM_MS);
  for (let left = TIMES; ; left--) {
    const phases = await incident(stage, replays);
    const [direct, sidecar] = await Promise.all([replays[0].figures(phases), replays[1].figures(phases)]);
    const problems = problemsOf(direct, sidecar, phases.heldUpMs);
    if (problems.length > 0 && phases.heldUpMs > HELD_UP_MS && left > 1) {
      t.diagnostic(
        `once more, for the machine stood still for ${Math.round(phases.heldUpMs)} ms: ${problems.join(', ')}`,
      );
      continue;
    }
    tell(t, `fraud-${name.toLowerCase()}`, {
      scenario: `fraud service, ${name}, one of five vendors hangs`,
      direct,
      sidecar,
    });
    assert.deepEqual(problems, []);
    break;
  }
  await stop();
  await stage.proveQuiet((await replays[1].calls()).length);
}

/** All is well for a while, one vendor hangs for a while, and returns. */
async function incident(stage: ScenarioStage, replays: readonly Replay[]): Promise<Phases> {
  const delay = monitorEventLoopDelay({ resolution: LOOK_MS });
  delay.enable();
  const healthyMs = Date.now();
  await after(HEALTHY_MS);
  const hungMs = Date.now();
  await stage.behave(HUNG, HANGING);
  await after(HUNG_MS);
  delay.disable();
  const returnedMs = Date.now();
  await stage.behave(HUNG, HEALTHY);
  const end = performance.now() + RECOVERY_MAX_MS + PATIENCE_MS;
  await until(
    () => replays.every((one) => one.recoveryMs(returnedMs) !== null) || performance.now() > end,
    'an end',
    2 * RECOVERY_MAX_MS,
  );
  return { healthyMs, hungMs, returnedMs, heldUpMs: delay.max / 1e6 - LOOK_MS };
}

/** What was to be shown and was not. */
function problemsOf(direct: WayFigures, sidecar: WayFigures, heldUpMs: number): string[] {
  const of = (figures: WayFigures, name: string): number => figures[name] ?? Number.POSITIVE_INFINITY;
  const p99MaxMs = 1.3 * of(sidecar, 'othersP99HealthyMs') + heldUpMs;
  const shown: Readonly<Record<string, boolean>> = {
    'direct, all is well at first': of(direct, 'successHealthyShare') >= HEALTHY_SHARE,
    'through the sidecar, too': of(sidecar, 'successHealthyShare') >= HEALTHY_SHARE,
    'direct, the service is down': of(direct, 'successHungShare') < 0.2,
    'the other vendors are reached': of(sidecar, 'othersSuccessShare') >= 0.995,
    'the other vendors are as fast as before': of(sidecar, 'othersP99HungMs') <= p99MaxMs,
    'full service within ten seconds': of(sidecar, 'recoveryMs') <= RECOVERY_MAX_MS,
    'the vendor saw no more connections than configured':
      of(sidecar, 'hungVendorConnections') <= CONNECTIONS_MAX,
  };
  return Object.keys(shown).filter((what) => shown[what] === false);
}

function isFull({ status, body }: Asked): boolean {
  return status === 200 && (JSON.parse(body) as { missing: string[] }).missing.length === 0;
}

const duration = ({ ms }: Call): number => ms ?? Number.POSITIVE_INFINITY;

function share<T>(all: readonly T[], is: (one: T) => boolean): number {
  return all.filter(is).length / all.length;
}
