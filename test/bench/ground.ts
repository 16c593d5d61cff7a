/**
 * What a benchmark stands on: a folder for its files, free ports, and processes, each pinned to one processor
 * where there is `taskset`: proxies to the first, all else to the last. Whatever becomes of the benchmark, none
 * of it outlives it.
 *
 * It does not know what the processes do.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { treeOf } from './process-account.ts';

export const PINNED = spawnSync('taskset', ['-V']).status === 0 && availableParallelism() > 1;
const CPU = { proxy: 0, load: availableParallelism() - 1 };
const START_MS = 20_000;

export interface Program {
  readonly name: string;
  readonly on: keyof typeof CPU;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where its standard output goes, appended to; a pipe where it is left out. */
  readonly logFile?: string;
}

export class Ground {
  readonly folder = mkdtempSync(join(tmpdir(), 'outrigger-bench-'));
  readonly #children = new Set<ChildProcess>();
  #files = 0;

  constructor() {
    // Programs that give up root write here, too.
    chmodSync(this.folder, 0o777);
    process.once('exit', () => this.end());
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => process.exit(130));
  }

  /** Its path. */
  file(name: string, text: string): string {
    const path = join(this.folder, `${++this.#files}-${name}`);
    writeFileSync(path, text, { mode: 0o644 });
    return path;
  }

  async freePort(): Promise<number> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }

  spawn({ name, on, command, env = {}, logFile }: Program): ChildProcess {
    const pinned = PINNED ? ['taskset', '-c', String(CPU[on]), ...command] : [...command];
    const out = logFile === undefined ? 'pipe' : openSync(logFile, 'a');
    const errorFile = this.file(`${name.replaceAll(/\W+/g, '-')}.err`, '');
    const err = openSync(errorFile, 'a');
    const child = spawn(pinned[0] as string, pinned.slice(1), {
      stdio: ['ignore', out, err],
      // The same Node for all, also for those that look for it.
      env: { PATH: `${dirname(process.execPath)}:${process.env['PATH']}`, HOME: this.folder, ...env },
    });
    for (const fd of [out, err]) if (typeof fd === 'number') closeSync(fd);
    this.#children.add(child);
    child.once('error', (error) => writeFileSync(errorFile, String(error)));
    child.once('exit', (code, signal) => {
      this.#children.delete(child);
      if (code === 0 || signal === 'SIGKILL' || signal === 'SIGTERM') return;
      process.stderr.write(
        `${name} ended with ${code ?? signal}: ${readFileSync(errorFile, 'utf8').slice(-2_000)}\n`,
      );
    });
    return child;
  }

  /** Resolves with what the program printed, once it has ended well. */
  async output(program: Program): Promise<string> {
    const child = this.spawn(program);
    let text = '';
    child.stdout?.on('data', (data: Buffer) => {
      text += data.toString();
    });
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    if (code !== 0) throw new Error(`${program.name} ended with ${code}`);
    return text;
  }

  /** Starts it, and resolves once something listens on the port. */
  async serve(program: Program, port: number): Promise<ChildProcess> {
    const child = this.spawn(program);
    const end = performance.now() + START_MS;
    while (!(await listens(port))) {
      if (child.exitCode !== null || child.pid === undefined)
        throw new Error(`${program.name} does not start`);
      if (performance.now() > end) throw new Error(`${program.name} does not listen`);
      await sleep(20);
    }
    return child;
  }

  /** Resolves once it has ended, and all that it had started. */
  async stop(child: ChildProcess): Promise<void> {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    killTree(child.pid);
    await gone;
  }

  /** Ends all that is still running. */
  clear(): void {
    for (const { pid } of this.#children) if (pid !== undefined) killTree(pid);
  }

  end(): void {
    this.clear();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function killTree(root: number): void {
  for (const pid of treeOf(root)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It was faster.
    }
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
