/**
 * A proxy that is measured: which way requests take to it, and the process that is accounted for. Each kind of peer
 * knows how to start one in front of a target; a kind whose program is missing is left out and named.
 */
import type { ChildProcess } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { truncateSync } from 'node:fs';
import type { Ground } from '../ground.ts';
import { ProcessAccount } from '../process-account.ts';

export interface Target {
  readonly port: number;
  /** A file of certificates: the target speaks TLS, and is verified by them. */
  readonly ca?: string;
}

/** forward: the request names its origin; reverse: the proxy knows it; relay: bytes, whatever they are. */
export type Way = 'forward' | 'reverse' | 'relay';

export interface PeerKind {
  readonly name: string;
  readonly way: Way;
  /** What must be installed, and the package of Debian that has it. */
  readonly program?: string;
  start(ground: Ground, target: Target): Promise<Peer>;
}

export class Peer {
  readonly name: string;
  readonly way: Way;
  readonly port: number;
  readonly account: ProcessAccount;
  readonly #ground: Ground;
  readonly #child: ChildProcess;
  readonly #logFile: string | null;

  constructor(
    ground: Ground,
    kind: Pick<PeerKind, 'name' | 'way'>,
    port: number,
    child: ChildProcess,
    logFile: string | null,
  ) {
    this.#ground = ground;
    this.name = kind.name;
    this.way = kind.way;
    this.port = port;
    this.account = new ProcessAccount(child.pid as number);
    this.#child = child;
    this.#logFile = logFile;
  }

  /** Logs grow by megabytes per second. */
  dropLog(): void {
    if (this.#logFile !== null) truncateSync(this.#logFile);
  }

  /** In its own time: it writes what it has to write. */
  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await ended;
  }

  stop(): Promise<void> {
    return this.#ground.stop(this.#child);
  }
}

export function installed({ program }: PeerKind): boolean {
  return program === undefined || spawnSync(program, ['-v']).error === undefined;
}
