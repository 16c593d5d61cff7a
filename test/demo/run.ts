/**
 * One run of the demo: the service under its load, by itself or with the sidecar in front of its vendors. In the
 * middle one of the vendors hangs, and later it returns.
 *
 * `node scoring-service.ts` is the direct run, `outrigger exec -- node scoring-service.ts` the other: same program, same
 * load, same vendors.
 */
import { createWriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { TallySnapshot } from '../vendors/tally.ts';
import { Child } from './child.ts';
import type { Call, RunRecord } from './figures.ts';
import { SteadyLoad } from './steady-load.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
export const CONFIG_FILE = path('outrigger.yaml');
const SERVICE = path('scoring-service.ts');
const MAIN = path('../../src/main.ts');

/** As `npm start` runs it. */
const SIDECAR = ['--disable-sigusr1', '--disallow-code-generation-from-strings', MAIN, 'exec'];

/** Shares of a run: warming up, all well, hanging, back. */
const SHARES = { counted: 0.09, hang: 0.33, back: 0.67 };

export type VendorStates = Readonly<Record<string, TallySnapshot & { readonly behaviour: string }>>;

export interface OriginState {
  readonly origin: string;
  readonly connections: Readonly<Record<string, number>>;
  readonly limit: number;
  readonly queue: number;
  readonly circuit: string;
}

export interface RunOptions {
  readonly name: 'direct' | 'sidecar';
  readonly seconds: number;
  readonly vendors: Readonly<Record<string, string>>;
  readonly controlUrl: string;
  /** The vendor that hangs. */
  readonly hung: string;
  readonly logFile: string;
  /** Of the sidecar. */
  readonly configFile: string;
}

async function json<T>(url: string, body?: string): Promise<T> {
  const response = await fetch(url, body === undefined ? {} : { method: 'POST', body });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

export class Run {
  readonly name: 'direct' | 'sidecar';
  readonly endMs: number;
  readonly calls: Call[] = [];
  /** The pool of the service. */
  pool = { used: 0, waiting: 0 };
  phase: 'warming up' | 'all well' | 'hanging' | 'back' | 'ending' | 'kept' = 'warming up';
  adminUrl: string | null = null;
  proxyUrl: string | null = null;
  serviceUrl = '';
  load!: SteadyLoad;
  readonly #options: RunOptions;
  readonly #child: Child;
  readonly #service: Promise<number>;
  readonly #died: Promise<never>;

  constructor(options: RunOptions) {
    this.#options = options;
    this.name = options.name;
    this.endMs = options.seconds * 1_000;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#service = promise;
    const log = createWriteStream(options.logFile);
    const command =
      options.name === 'direct'
        ? [SERVICE]
        : [...SIDECAR, '--config', options.configFile, '--', process.execPath, SERVICE];
    this.#child = new Child(command, {
      env: { VENDORS: JSON.stringify(options.vendors) },
      onLine: (line) => this.#heard(line, resolve),
      onErrorLine: (line) => {
        log.write(`${line}\n`);
        if (this.adminUrl === null) this.#ready(line);
      },
    });
    this.#died = this.#child.unexpectedEnd(options.name === 'direct' ? 'the service' : 'the sidecar');
    this.#died.catch(() => {});
  }

  /** Plays the run; `signal` ends it early. */
  async play(signal: AbortSignal): Promise<RunRecord> {
    const { hung, controlUrl, vendors, seconds } = this.#options;
    await json(`${controlUrl}/forget`, '');
    const port = await Promise.race([this.#service, this.#died]);
    this.serviceUrl = `http://127.0.0.1:${port}/score`;
    this.load = new SteadyLoad(port, Object.keys(vendors).length);
    const at = (share: number): Promise<unknown> =>
      Promise.race([sleep(share * seconds * 1_000 - this.load.nowMs, undefined, { signal }), this.#died]);
    const hungState = (): Promise<TallySnapshot> => json(`${controlUrl}/vendors/${hung}`);
    await at(SHARES.counted);
    const countedFromMs = this.load.nowMs;
    this.phase = 'all well';
    await at(SHARES.hang);
    const atHang = await hungState();
    const hangAtMs = this.load.nowMs;
    await json(`${controlUrl}/vendors/${hung}`, 'hanging');
    this.phase = 'hanging';
    await at(SHARES.back);
    const atReturn = await hungState();
    const returnAtMs = this.load.nowMs;
    await json(`${controlUrl}/vendors/${hung}`, vendorBehaviour(hung));
    this.phase = 'back';
    await at(1);
    // The load goes on, which is what --keep wants; what began by now has its time.
    this.phase = 'ending';
    const scoresUntilMs = this.load.nowMs;
    const states = await this.vendorStates();
    const retries = await this.#retries();
    return {
      name: this.name,
      scores: await this.#settled(scoresUntilMs),
      calls: this.calls,
      vendors: Object.keys(vendors),
      hung,
      countedFromMs,
      hangAtMs,
      returnAtMs,
      endMs: scoresUntilMs,
      hungConnections: atReturn.connections.openMost,
      hungRequests: atReturn.requests.all - atHang.requests.all,
      duplicates: Object.values(states).reduce((sum, one) => sum + one.operations.duplicates, 0),
      retries,
    };
  }

  async end(): Promise<void> {
    await Promise.all([this.#child.end(), this.load?.stop()]);
  }

  vendorStates(): Promise<VendorStates> {
    return json(this.#options.controlUrl);
  }

  async originStates(): Promise<readonly OriginState[]> {
    if (this.adminUrl === null) return [];
    return (await json<{ origins: OriginState[] }>(`${this.adminUrl}/origins`)).origins;
  }

  async #settled(untilMs: number): Promise<RunRecord['scores']> {
    const patient = 2_000;
    await Promise.race([sleep(patient), this.#died]);
    return this.load.scores.filter(({ atMs }) => atMs < untilMs);
  }

  async #retries(): Promise<number> {
    if (this.adminUrl === null) return 0;
    const page = await (await fetch(`${this.adminUrl}/metrics`)).text();
    const counts = [...page.matchAll(/^outrigger_retries_total\{[^}]*\} (\d+)/gm)].map(([, n]) => Number(n));
    return counts.reduce((sum, one) => sum + one, 0);
  }

  #ready(line: string): void {
    if (!line.includes('"msg":"ready"')) return;
    const { admin, proxy } = JSON.parse(line);
    this.adminUrl = `http://${admin}`;
    this.proxyUrl = `http://${proxy}`;
  }

  #heard(line: string, resolve: (port: number) => void): void {
    const said = JSON.parse(line);
    if ('vendor' in said) this.calls.push(said);
    else if ('used' in said) this.pool = said;
    else if ('port' in said) resolve(said.port);
  }
}

/** What each does when all is well: they answer within 35 to 65 ms, and one is a little flaky. */
export const vendorBehaviour = (name: string): string =>
  name === 'identity'
    ? 'flaky,share=0.01,faults=error+reset,status=503,latencyMs=50,spreadMs=15'
    : 'healthy,latencyMs=50,spreadMs=15';
