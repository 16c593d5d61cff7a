/**
 * The parts of a benchmark: processes of their own, pinned where `taskset` is there, told apart by their
 * id and ended by it; and a load of keep-alive GETs on raw sockets, which costs little beside what it measures.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

const PINNED = spawnSync('taskset', ['-V']).status === 0;
const TICKS = Number(spawnSync('getconf', ['CLK_TCK']).stdout?.toString() || '100');

function spawnPinned(script: string, cpu: number, ...args: string[]): ChildProcess {
  const file = new URL(script, import.meta.url).pathname;
  const command = PINNED ? ['taskset', '-c', String(cpu), process.execPath] : [process.execPath];
  return spawn(command[0] as string, [...command.slice(1), file, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
}

/** Starts a script beside this file; it prints its port as its first line. */
async function startScript(
  script: string,
  cpu: number,
  ...args: string[]
): Promise<{ child: ChildProcess; port: number }> {
  const child = spawnPinned(script, cpu, ...args);
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${script} ended with ${code}`)));
    child.stdout?.once('data', (data: Buffer) => resolve(Number.parseInt(data.toString(), 10)));
  });
  child.stdout?.resume();
  child.removeAllListeners('exit');
  return { child, port };
}

export async function startOrigin(script = 'origin.ts'): Promise<{ port: number; stop(): void }> {
  const { child, port } = await startScript(script, 1);
  return { port, stop: () => child.kill() };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export class Contender {
  readonly name: string;
  readonly port: number;
  readonly originPort: number;
  readonly #child: ChildProcess;

  constructor(name: string, child: ChildProcess, port: number, originPort: number) {
    this.name = name;
    this.#child = child;
    this.port = port;
    this.originPort = originPort;
  }

  static async start(name: string, script: string, originPort: number): Promise<Contender> {
    const { child, port } = await startScript(script, 0, String(originPort));
    return new Contender(name, child, port, originPort);
  }

  /** User and system time of the process so far, microseconds. */
  cpuMicros(): number {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6;
  }

  residentKiB(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8'))?.[1]);
  }

  /** Absolute form serves a forward proxy and a reverse one alike. */
  get request(): Buffer {
    return Buffer.from(
      `GET http://127.0.0.1:${this.originPort}/ HTTP/1.1\r\nHost: 127.0.0.1:${this.originPort}\r\nUser-Agent: bench/1\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\n\r\n`,
    );
  }

  async validate(): Promise<void> {
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1');
      let got = '';
      socket.on('error', reject);
      socket.on('data', (data) => {
        got += data.toString('latin1');
        if (got.includes('"end"}')) socket.destroy();
      });
      socket.on('close', () => resolve(got));
      socket.write(this.request);
    });
    if (!text.startsWith('HTTP/1.1 200 ') || !text.includes('"end"}'))
      throw new Error(`${this.name} answers badly: ${text}`);
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

/** What a round of load did; latencies are milliseconds. */
export interface Load {
  readonly exchanges: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
}

export async function runLoad(to: Contender, connections: number, seconds: number): Promise<Load> {
  const child = spawnPinned(
    'load.ts',
    1,
    String(to.port),
    to.request.toString('base64'),
    `${connections}`,
    `${seconds}`,
  );
  let text = '';
  child.stdout?.on('data', (data: Buffer) => {
    text += data.toString();
  });
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`the load ended with ${code}`))));
  });
  const [exchanges = 0, p50 = 0, p99 = 0] = text.split(' ').map(Number);
  return { exchanges, seconds, p50, p99 };
}

/** Bytes that came in so many seconds. */
export async function readBulk(
  port: number,
  opening: string,
  connections: number,
  seconds: number,
): Promise<number> {
  const opened = Buffer.from(opening).toString('base64');
  const child = spawnPinned('bulk-load.ts', 1, `${port}`, opened, `${connections}`, `${seconds}`);
  let text = '';
  child.stdout?.on('data', (data: Buffer) => {
    text += data.toString();
  });
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`the load ended with ${code}`))));
  });
  return Number(text);
}
