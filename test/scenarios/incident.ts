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
import { until } from '../support/until.ts';
import { percentile, tell, type WayFigures } from './figures.ts';
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
  const healthyMs = Date.now();
  await after(HEALTHY_MS);
  const hungMs = Date.now();
  await stage.behave(HUNG, HANGING);
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
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
  await stop();

  const phases = { healthyMs, hungMs, returnedMs };
  const [direct, sidecar] = await Promise.all([replays[0].figures(phases), replays[1].figures(phases)]);
  tell(t, `fraud-${name.toLowerCase()}`, {
    scenario: `fraud service, ${name}, one of five vendors hangs`,
    direct,
    sidecar,
  });
  assert.ok((direct['successHealthyShare'] as number) >= HEALTHY_SHARE, 'direct, all is well at first');
  assert.ok((direct['successHungShare'] as number) < 0.2, 'direct, the service is down');
  assert.ok((sidecar['successHealthyShare'] as number) >= HEALTHY_SHARE, 'through the sidecar, too');
  assert.ok((sidecar['othersSuccessShare'] as number) >= 0.995, 'the other vendors are reached');
  // What held the vendors up, which live in this process, is the machine's.
  const heldUpMs = delay.max / 1e6 - 10;
  assert.ok(
    (sidecar['othersP99HungMs'] as number) <= 1.3 * (sidecar['othersP99HealthyMs'] as number) + heldUpMs,
    `the other vendors are as fast as before, but for ${heldUpMs} ms of the machine`,
  );
  assert.ok((sidecar['recoveryMs'] ?? Infinity) <= RECOVERY_MAX_MS, 'full service within ten seconds');
  assert.ok(
    (sidecar['hungVendorConnections'] as number) <= CONNECTIONS_MAX,
    'the vendor sees no more connections than configured',
  );
  await stage.proveQuiet((await replays[1].calls()).length);
}

function isFull({ status, body }: Asked): boolean {
  return status === 200 && (JSON.parse(body) as { missing: string[] }).missing.length === 0;
}

const duration = ({ ms }: Call): number => ms ?? Number.POSITIVE_INFINITY;

function share<T>(all: readonly T[], is: (one: T) => boolean): number {
  return all.filter(is).length / all.length;
}
