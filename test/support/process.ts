/**
 * The sidecar as an operator runs it: a child process, its standard streams, its signals, its exit code.
 *
 * Rules: a child sees none of this process's environment but PATH and HOME; it is ended by its id when its
 * test is over, however the test went, and with this process at the latest. For what happens inside the
 * sidecar there is sidecar.ts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { residentBytesOf } from './resident-memory.ts';
import type { LoggedExchange } from './sidecar.ts';
import { until } from './until.ts';

export const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** For every child of a test that must not outlive it. */
export function endWith(t: TestContext, child: ChildProcess): void {
  children.add(child);
  child.once('exit', () => children.delete(child));
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
}

/** A folder of the test's own. */
export function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'outrigger-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A file of the test's own with this content; returns its path. */
export function file(t: TestContext, content: string, name = 'outrigger.yaml'): string {
  const path = join(folder(t), name);
  writeFileSync(path, content);
  return path;
}

/** What a child process sees, and `more`. */
export function environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { PATH = '', HOME = tmpdir() } = process.env;
  return { PATH, HOME, ...more };
}

export interface Launch {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What is run, in the place of the sources by this Node. */
  readonly program?: readonly [path: string, ...args: string[]];
}

/** How a process ended; `signal` when something else ended it. */
export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `outrigger ARGS`, whatever comes of it. */
export class OutriggerProcess {
  readonly child: ChildProcess;
  readonly startedAt = performance.now();
  stdout = '';
  stderr = '';
  #end: End | null = null;

  constructor(t: TestContext, args: readonly string[], { env, cwd, program }: Launch = {}) {
    const [path, ...first] = program ?? [process.execPath, MAIN];
    this.child = spawn(path, [...first, ...args], {
      env: environment(env),
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
    });
    endWith(t, this.child);
    this.child.stdout?.on('data', (text: Buffer) => (this.stdout += text));
    this.child.stderr?.on('data', (text: Buffer) => (this.stderr += text));
    this.child.once('exit', (code, signal) => (this.#end = { code, signal }));
  }

  get id(): number {
    return this.child.pid as number;
  }

  get running(): boolean {
    return this.#end === null;
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Resolves once the process has ended and its streams are read to their end. */
  async end(withinMs = 30_000): Promise<End> {
    await until(
      () => this.#end !== null && (this.child.stdout?.readableEnded ?? true),
      `the end of the process; so far: ${this.stdout}${this.stderr}`,
      withinMs,
    );
    return this.#end as End;
  }

  /** The lines of the log so far. */
  get log(): readonly Record<string, unknown>[] {
    const whole = this.stdout.slice(0, this.stdout.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }

  /** Resolves with the first log line with this message. */
  async line(msg: string): Promise<Record<string, unknown>> {
    const found = (): Record<string, unknown> | undefined => this.log.find((line) => line['msg'] === msg);
    const needle = `"msg":"${msg}"`;
    await until(
      () => !this.running || this.stdout.includes(`${needle}}`) || found() !== undefined,
      `the line ${needle}`,
    );
    const line = found();
    if (line === undefined) throw new Error(`ended without ${needle}: ${this.stdout}${this.stderr}`);
    return line;
  }
}

/** Runs `outrigger ARGS` to its end. */
export async function outrigger(
  t: TestContext,
  args: readonly string[],
  launch: Launch = {},
): Promise<End & { stdout: string; stderr: string }> {
  const run = new OutriggerProcess(t, args, launch);
  const end = await run.end();
  return { ...end, stdout: run.stdout, stderr: run.stderr };
}

/** Free ports, and loopback may be dialled: that is where the origins of tests live. */
const BASE = `
listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:0" }
access: { addresses: { allow: [127.0.0.0/8, "::1/128"] } }
log: { format: json }
`;

/** `outrigger run` on free ports, once it is ready. */
export class SidecarProcess extends OutriggerProcess {
  /** From the start of the process to its line `ready`, as its parent sees it. */
  readyMs = 0;
  port = 0;
  adminPort = 0;
  telemetryPort: number | null = null;

  /** `yaml` overrides the base key by key. */
  static async start(t: TestContext, yaml = '', launch: Launch = {}): Promise<SidecarProcess> {
    const files = [file(t, BASE, 'base.yaml'), file(t, yaml, 'test.yaml')];
    const sidecar = new SidecarProcess(t, ['run', ...files.flatMap((name) => ['--config', name])], launch);
    sidecar.listening(await sidecar.line('ready'));
    sidecar.readyMs = performance.now() - sidecar.startedAt;
    return sidecar;
  }

  /** Takes the ports from the line `ready`. */
  listening(ready: Record<string, unknown>): void {
    this.port = portOf(ready['proxy']) as number;
    this.adminPort = portOf(ready['admin']) as number;
    this.telemetryPort = portOf(ready['telemetry']);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The lines of exchanges, in the order in which they finished. */
  get exchanges(): LoggedExchange[] {
    return this.log.filter((line) => line['msg'] === 'exchange') as unknown as LoggedExchange[];
  }

  /** Resolves with the first `count` lines of exchanges. */
  async exchangeLines(count: number): Promise<LoggedExchange[]> {
    await until(
      () => this.stdout.split('"msg":"exchange"').length > count,
      `${count} lines of exchanges; so far: ${this.stdout}`,
    );
    return this.exchanges.slice(0, count);
  }

  /** `GET path` of the admin listener, or of the one at `port`. */
  async ask(path: string, port = this.adminPort): Promise<{ status: number; type: string; body: string }> {
    const outgoing = request({ host: '127.0.0.1', port, path, agent: false });
    outgoing.end();
    const [response] = await once(outgoing, 'response');
    let body = '';
    for await (const chunk of response) body += chunk;
    return { status: response.statusCode, type: response.headers['content-type'], body };
  }

  /** Resident memory of this moment, bytes. */
  get residentBytes(): number {
    return residentBytesOf(this.id);
  }

  /** Processor time so far, all threads together, milliseconds. */
  get processorMs(): number {
    // After the name of the program, which may hold anything: state is field 3, utime 14, stime 15.
    const fields = readFileSync(`/proc/${this.id}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }
}

function portOf(address: unknown): number | null {
  return typeof address === 'string' ? Number(address.slice(address.lastIndexOf(':') + 1)) : null;
}

/** Linux counts processor time in hundredths of a second, whatever its own clock does. */
const TICK_MS = 10;
const SAMPLE_MS = 10;

/** Runs `work` and tells by how much the resident memory of the sidecar grew meanwhile, at its peak. */
export async function memoryGrowth(sidecar: SidecarProcess, work: () => Promise<void>): Promise<number> {
  const before = sidecar.residentBytes;
  let peak = before;
  const sample = (): void => {
    peak = Math.max(peak, sidecar.residentBytes);
  };
  const timer = setInterval(sample, SAMPLE_MS);
  try {
    await work();
    sample();
  } finally {
    clearInterval(timer);
  }
  return peak - before;
}
