/**
 * The sidecar of a test: the whole of it, in this process, on free ports, with its log in memory. Loopback
 * may be dialled, since that is where the origins of tests live.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestsOf } from '../../src/config/file-watch.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { ReloadResult } from '../../src/config/reloads.ts';
import type { Loaded } from '../../src/config/source.ts';
import { type Addresses, type Edges, Sidecar } from '../../src/sidecar.ts';
import { createLog } from '../../src/telemetry/log.ts';
import type { OriginSnapshot } from '../../src/telemetry/snapshot.ts';
import { until } from './until.ts';

/** One attempt of a log line. */
export interface LoggedAttempt {
  readonly n: number;
  readonly address: string | null;
  readonly reused: boolean;
  readonly queueMs: number | null;
  readonly dnsMs: number | null;
  readonly connectMs: number | null;
  readonly tlsMs: number | null;
  readonly headMs: number | null;
  readonly status: number | null;
  readonly error: string | null;
  readonly verdict: string | null;
  readonly delivery: string;
  readonly retry: string | null;
}

/** The log line of an exchange. */
export interface LoggedExchange {
  readonly requestId: string;
  readonly client: string;
  readonly clientName: string | null;
  readonly traceId: string | null;
  readonly method: string;
  readonly scheme: string | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly path: string | null;
  readonly route: string;
  readonly via: string;
  readonly serverName: string | null;
  readonly status: number | null;
  readonly outcome: string;
  readonly error: string | null;
  readonly reason: string | null;
  readonly wouldRefuse: string | null;
  readonly attempts: readonly LoggedAttempt[];
  readonly durationMs: number;
  readonly queueMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** Applies to every test unless its own YAML says otherwise. */
const BASE = `
listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:0" }
access: { deniedPorts: [], addresses: { allow: [127.0.0.0/8, "::1/128"] } }
log: { format: json }
shutdown: { drainTimeout: 1s, quiet: 50ms }
reload: { watch: false }
`;

export class TestSidecar {
  readonly sidecar: Sidecar;
  readonly addresses: Addresses;
  /** Every line, as text. */
  readonly lines: readonly string[];
  readonly #folder: string;

  private constructor(sidecar: Sidecar, addresses: Addresses, lines: string[], folder: string) {
    this.sidecar = sidecar;
    this.addresses = addresses;
    this.lines = lines;
    this.#folder = folder;
  }

  /** `yaml` overrides the base key by key. */
  static async start(yaml = '', edges: Edges = {}): Promise<TestSidecar> {
    const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
    const files = ['base.yaml', 'test.yaml'].map((name) => join(folder, name));
    writeFileSync(files[0] as string, BASE);
    writeFileSync(files[1] as string, yaml);
    const load = (): Loaded => {
      const digests = digestsOf(files);
      return { ...loadConfig({ files, env: {} }), warnings: [], digests };
    };
    const remove = (): void => rmSync(folder, { recursive: true, force: true });
    let loaded: Loaded;
    try {
      loaded = load();
    } catch (error) {
      remove();
      throw error;
    }
    const { config } = loaded;
    const lines: string[] = [];
    const sink = createLog({
      level: config.log.level,
      format: 'json',
      destination: { write: (text) => void lines.push(text) },
    });
    try {
      const sidecar = new Sidecar(config, '0.0.0-test', sink, edges, { loaded, source: { load } });
      return new TestSidecar(sidecar, await sidecar.start(), lines, folder);
    } catch (error) {
      remove();
      throw error;
    }
  }

  /** Its file says this from now on; nobody is told. */
  write(yaml: string): void {
    writeFileSync(join(this.#folder, 'test.yaml'), yaml);
  }

  /** The same, and somebody asks for a reload. */
  reload(yaml: string): Promise<ReloadResult> {
    this.write(yaml);
    return this.sidecar.reload('request');
  }

  get port(): number {
    return this.addresses.proxy.port;
  }

  get proxyUrl(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.addresses.admin.port}`;
  }

  /** The lines of exchanges, in the order in which they finished. */
  get exchanges(): LoggedExchange[] {
    return this.lines.filter((line) => line.includes('"msg":"exchange"')).map((line) => JSON.parse(line));
  }

  /** Resolves with the last of `count` exchange lines once there are as many. */
  async line(count = 1): Promise<LoggedExchange> {
    await until(
      () => this.lines.filter((line) => line.includes('"msg":"exchange"')).length >= count,
      `${count} log lines`,
    );
    return this.exchanges[count - 1] as LoggedExchange;
  }

  origin(key: string): OriginSnapshot | undefined {
    return this.sidecar.snapshot().origins.find((one) => one.origin === key);
  }

  stop(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
    return this.sidecar.stop();
  }
}
