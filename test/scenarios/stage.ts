/**
 * The stage of a scenario: vendors that can be told to fail (test/vendors), the sidecar as a process of its own with the
 * YAML that lies beside the program, and the program, whose HTTP client none of us wrote. It runs on two ways, direct
 * and through the sidecar, and nothing differs but its environment.
 *
 * Rules: each way has vendors of its own, with the same seed, so that both can run at the same time; a program finds
 * its vendors in `<NAME>_URL`, the YAML finds them in `${<NAME>_PORT}`; all that was started is ended by its id, with its
 * test at the latest. What a program does is its own affair (program.ts has what it prints).
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { setTimeout as after } from 'node:timers/promises';
import { sumOf } from '../support/metric-sum.ts';
import { environment, SidecarProcess } from '../support/process.ts';
import type { LoggedExchange } from '../support/sidecar.ts';
import { until } from '../support/until.ts';
import type { VendorOptions } from '../vendors/vendor.ts';
import { Vendors } from '../vendors/vendors.ts';
import { ScenarioProgram } from './program.ts';

export const WAYS = ['direct', 'sidecar'] as const;
export type Way = (typeof WAYS)[number];

/** A program with its arguments, given the URL of the proxy, or null: for those that read no environment. */
export type Command = (proxy: string | null) => readonly [path: string, ...args: string[]];

interface Plan {
  readonly vendors: readonly VendorOptions[];
  /** The sidecar's configuration; free ports and loopback are seen to. */
  readonly yaml: URL;
}

export class ScenarioStage {
  readonly vendors: Readonly<Record<Way, Vendors>>;
  readonly sidecar: SidecarProcess;
  readonly #t: TestContext;

  private constructor(t: TestContext, vendors: Readonly<Record<Way, Vendors>>, sidecar: SidecarProcess) {
    this.#t = t;
    this.vendors = vendors;
    this.sidecar = sidecar;
  }

  static async start(t: TestContext, { vendors: options, yaml }: Plan): Promise<ScenarioStage> {
    const [direct, sidecar] = await Promise.all([Vendors.start(options), Vendors.start(options)]);
    t.after(() => Promise.all([direct.close(), sidecar.close()]));
    const process = await SidecarProcess.start(t, readFileSync(yaml, 'utf8'), { env: addressesOf(sidecar) });
    return new ScenarioStage(t, { direct, sidecar }, process);
  }

  /** Runs a program to its end; returns the figures that it printed last, as JSON. */
  async run<Figures>(
    way: Way,
    command: Command,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Figures> {
    return (await this.#begin(way, command, env).figures()) as Figures;
  }

  /** Starts a service; returns its URL once it has printed `{"port":N}`. It lives until the test ends. */
  async serve(way: Way, command: Command, env: Readonly<Record<string, string>> = {}): Promise<string> {
    return `http://127.0.0.1:${await this.#begin(way, command, env).port()}`;
  }

  /** Tells a vendor, on both ways. */
  async behave(name: string, behaviour: string): Promise<void> {
    await Promise.all(WAYS.map((way) => this.vendors[way].named(name).behave(behaviour)));
  }

  /**
   * What the sidecar owes once `count` exchanges are over: as many of them counted, one line for each under an ID of its
   * own, and nothing held for any. Returns the lines.
   */
  async proveQuiet(count: number): Promise<readonly LoggedExchange[]> {
    const page = await this.#quiet();
    assert.equal(sumOf(page, 'outrigger_exchanges_total'), count, 'exchanges counted');
    await until(() => this.#lines >= count, `${count} lines of exchanges`);
    const lines = this.sidecar.exchanges;
    assert.equal(lines.length, count, 'one line for each exchange');
    assert.equal(new Set(lines.map(({ requestId }) => requestId)).size, count, 'each under an ID of its own');
    for (const lost of ['outrigger_log_lines_dropped_total', 'outrigger_unhandled_errors_total'])
      assert.equal(sumOf(page, lost), 0, lost);
    return lines;
  }

  get #lines(): number {
    return this.sidecar.stdout.split('"msg":"exchange"').length - 1;
  }

  /** The page of metrics (which is up to a second old) once it says that nothing is held; /origins says the same. */
  async #quiet(): Promise<string> {
    const end = performance.now() + QUIET_MS;
    for (;;) {
      const { body: page } = await this.sidecar.ask('/metrics');
      const { origins } = JSON.parse((await this.sidecar.ask('/origins')).body) as { origins: OriginState[] };
      const held = HELD.filter((name) => sumOf(page, name) !== 0);
      const busy = origins.filter(
        ({ connections, queue }) => connections.connecting + connections.busy + queue > 0,
      );
      if (held.length === 0 && busy.length === 0) return page;
      assert.ok(performance.now() < end, `still held: ${held.join(', ')} ${JSON.stringify(busy)}`);
      await after(LOOK_MS);
    }
  }

  #begin(way: Way, command: Command, env: Readonly<Record<string, string>>): ScenarioProgram {
    const proxy = way === 'direct' ? null : this.sidecar.url;
    // What an application sets; the last is how Node is told to look at the others.
    const told = proxy === null ? {} : { HTTP_PROXY: proxy, http_proxy: proxy, NODE_USE_ENV_PROXY: '1' };
    const whole = environment({ ...addressesOf(this.vendors[way]), ...env, ...told });
    return new ScenarioProgram(this.#t, way, command(proxy), whole);
  }
}

interface OriginState {
  readonly connections: Readonly<Record<'connecting' | 'busy', number>>;
  readonly queue: number;
}

const HELD = [
  'outrigger_exchanges_in_flight',
  'outrigger_pool_queue',
  'outrigger_replay_bytes',
  'outrigger_tunnels',
];
const QUIET_MS = 10_000;
const LOOK_MS = 100;

function addressesOf(vendors: Vendors): Record<string, string> {
  return Object.fromEntries(
    vendors.all.flatMap(({ name, url }) => {
      const prefix = name.toUpperCase().replaceAll('-', '_');
      return [
        [`${prefix}_URL`, url],
        [`${prefix}_PORT`, new URL(url).port],
      ];
    }),
  );
}
