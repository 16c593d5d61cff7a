/**
 * A program of a scenario: its process, and what it prints on standard output. One that works prints its figures last, as
 * one line of JSON; one that serves prints `{"port":N}` once it listens, and lives until its test ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import { endWith } from '../support/process.ts';
import { until } from '../support/until.ts';

/** The start of a virtual machine or an interpreter, on a machine that has much to do. */
const STARTED_MS = 30_000;
const WORKED_MS = 60_000;

export class ScenarioProgram {
  readonly #name: string;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #ended = false;

  constructor(
    t: TestContext,
    way: string,
    [path, ...args]: readonly [string, ...string[]],
    env: Readonly<Record<string, string>>,
  ) {
    this.#name = `${[path, ...args].join(' ')}, ${way}`;
    this.#child = spawn(path, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    endWith(t, this.#child);
    this.#child.stdout?.on('data', (text: Buffer) => (this.#stdout += text.toString()));
    this.#child.stderr?.on('data', (text: Buffer) => (this.#stderr += text.toString()));
    this.#child.on('error', (error) => (this.#stderr += error.message));
    this.#child.once('close', () => (this.#ended = true));
  }

  async figures(): Promise<unknown> {
    await until(() => this.#ended, `the end of ${this.#name}`, WORKED_MS);
    const last = this.#stdout.trimEnd().split('\n').at(-1) ?? '';
    if (this.#child.exitCode !== 0 || last === '') throw this.#failed('ended');
    return JSON.parse(last);
  }

  async port(): Promise<number> {
    const said = (): string | undefined => /^\{"port": ?(\d+)\}$/m.exec(this.#stdout)?.[1];
    await until(() => this.#ended || said() !== undefined, `the port of ${this.#name}`, STARTED_MS);
    if (said() === undefined) throw this.#failed('ended');
    return Number(said());
  }

  #failed(how: string): Error {
    return new Error(`${this.#name} ${how} with ${this.#child.exitCode}:\n${this.#stderr}${this.#stdout}`);
  }
}
