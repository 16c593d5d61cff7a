/**
 * A process of the demo: started with a pipe as its standard input, so that it sees when we are gone, and in a group of
 * its own, so that Ctrl-C at the terminal is ours to handle.
 *
 * Rules: what it prints is read line by line; it is ended by its id, and none outlives this process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const END_MS = 5_000;

const groups = new Set<number>();
process.on('exit', () => {
  for (const group of groups) kill(group);
});

/** A whole group, which may be gone. */
function kill(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It is.
  }
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Lines of its standard output and error. */
  readonly onLine?: (line: string) => void;
  readonly onErrorLine?: (line: string) => void;
}

export class Child {
  readonly #process: ChildProcess;
  #lastWords = '';

  constructor(args: readonly string[], { env = {}, onLine, onErrorLine }: ChildOptions) {
    // What the user's shell says of proxies, of Node and of another sidecar is not meant for the demo.
    const own = Object.entries(process.env).filter(
      ([name]) => !/^(?:http_proxy|node_|outrigger)/i.test(name),
    );
    this.#process = spawn(process.execPath, args, {
      env: { ...Object.fromEntries(own), ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const { pid, stdin, stdout, stderr } = this.#process;
    if (pid !== undefined) groups.add(pid);
    stdin?.on('error', () => {});
    if (stdout !== null) createInterface(stdout).on('line', (line) => onLine?.(line));
    if (stderr === null) return;
    createInterface(stderr).on('line', (line) => {
      this.#lastWords = line;
      onErrorLine?.(line);
    });
  }

  /** Rejects when the process ends, which it should not by itself. */
  async unexpectedEnd(name: string): Promise<never> {
    const [code, signal] = await once(this.#process, 'exit');
    throw new Error(`${name} ended with ${signal ?? code}: ${this.#lastWords}`);
  }

  async end(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#process;
    if (pid === undefined) return;
    if (exitCode === null && signalCode === null) {
      const ended = once(this.#process, 'exit');
      const late = setTimeout(() => kill(pid), END_MS);
      this.#process.kill('SIGTERM');
      await ended;
      clearTimeout(late);
    }
    kill(pid);
    groups.delete(pid);
  }
}
