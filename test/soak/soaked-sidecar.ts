/**
 * The sidecar of a soak: a process of its own with its log in a file, asked through its admin listener and looked at
 * through /proc. Signals go to its id and to nobody else's.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environment, MAIN } from '../support/process.ts';
import { residentBytesOf } from '../support/resident-memory.ts';

/** So small that what is kept by mistake ends the run. */
const HEAP_MB = 96;
const ASKING_MS = 4_000;
const NAMES = fileURLToPath(new URL('names.mjs', import.meta.url));

export interface Asked {
  readonly status: number;
  readonly body: string;
}

/** What the resolver of the sidecar says. */
export interface Names {
  readonly addresses: Record<string, string>;
  readonly faults: Record<string, string>;
}

/** Exchanged in one step: who reads has one or the other. */
export function exchangeFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

export class SoakedSidecar {
  readonly configPath: string;
  readonly namesPath: string;
  readonly logPath: string;
  readonly errorPath: string;
  readonly #child: ChildProcess;
  port = 0;
  adminPort = 0;
  exit: string | null = null;

  constructor(folder: string, configuration: string, names: Names) {
    this.configPath = join(folder, 'soak.yaml');
    this.namesPath = join(folder, 'names.json');
    this.logPath = join(folder, 'sidecar.log');
    this.errorPath = join(folder, 'sidecar.err');
    exchangeFile(this.configPath, configuration);
    exchangeFile(this.namesPath, JSON.stringify(names));
    const flags = [
      '--disable-sigusr1',
      '--disallow-code-generation-from-strings',
      `--max-old-space-size=${HEAP_MB}`,
    ];
    this.#child = spawn(
      process.execPath,
      [...flags, '--import', NAMES, MAIN, 'run', '--config', this.configPath],
      {
        env: environment({ SOAK_NAMES: this.namesPath }),
        stdio: ['ignore', openSync(this.logPath, 'a'), openSync(this.errorPath, 'a')],
      },
    );
    this.#child.once('exit', (code, signal) => (this.exit = `${code ?? signal}`));
    process.once('exit', () => this.#child.kill('SIGKILL'));
  }

  get id(): number {
    return this.#child.pid as number;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async ended(): Promise<void> {
    if (this.exit === null) await once(this.#child, 'exit');
  }

  configure(text: string): void {
    exchangeFile(this.configPath, text);
  }

  name(names: Names): void {
    exchangeFile(this.namesPath, JSON.stringify(names));
  }

  get errors(): string {
    return readFileSync(this.errorPath, 'utf8');
  }

  get residentBytes(): number {
    return residentBytesOf(this.id);
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.id}/fd`).length;
  }

  /** Asks the admin listener; rejects where there is no answer in time. */
  ask(path: string, method: 'GET' | 'POST' = 'GET'): Promise<Asked> {
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(ASKING_MS);
      const outgoing = request({
        host: '127.0.0.1',
        port: this.adminPort,
        path,
        method,
        agent: false,
        signal,
      });
      outgoing.on('error', reject);
      outgoing.on('response', (response) => {
        let body = '';
        response.on('data', (text: Buffer) => (body += text));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
      outgoing.end();
    });
  }
}
