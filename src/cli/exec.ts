/**
 * `outrigger exec -- COMMAND...`: a sidecar in this process, and COMMAND as its child with the environment
 * by which applications find it. It lives as long as COMMAND: a Job ends by itself.
 *
 * Rules: COMMAND has standard input and output to itself, and the log goes to standard error; COMMAND gets
 * every signal, and decides what comes of it; its exit code is ours, and 128 + n after signal n, as in a
 * shell; it is not started where the sidecar cannot be, and what it leaves open is served on before the end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { applicationEnvironment } from './application-environment.ts';
import { FAILED, INVALID } from './exit-code.ts';
import { type Serving, type ServingOptions, serve } from './serving.ts';

/** As POSIX shells say it. */
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;
const BY_SIGNAL = 128;

/** What somebody sends to a service; the others are about a terminal, or cannot be caught. */
const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
/** What ends a program that says nothing of them. */
const ENDING: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'];
/** What the keys of a terminal send to COMMAND as well as to us. */
const OF_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT'];

/** Its connections are closed when it has ended, and we see that a moment later, milliseconds. */
const LAST_LOOK_MS = 10;

export interface ExecOptions extends ServingOptions {
  readonly command: readonly string[];
}

/** Resolves with the exit code once COMMAND has ended, and the sidecar after it. */
export async function exec({ command, ...options }: ExecOptions): Promise<number> {
  const signals = new Signals();
  const serving = await serve({ ...options, logFd: 2 });
  if (serving === null) return INVALID;
  // Nobody who wanted the end wants a beginning.
  const early = signals.pending;
  if (early !== null) {
    await serving.end({ signal: early }, signals.hurry(), LAST_LOOK_MS);
    return codeOf(null, early);
  }
  const [file = '', ...args] = command;
  const added = Object.fromEntries(applicationEnvironment(serving.config, options.env));
  const ended = begin(file, args, { ...options.env, ...added }, (child) => {
    signals.forwardTo(child);
    void giveUp(serving, child);
  });
  const { code, problem } = await ended;
  if (problem !== null) options.err.write(`outrigger: ${file}: ${problem}\n`);
  const served = await serving.end({ command: file, code }, signals.hurry(), LAST_LOOK_MS);
  // What the sidecar could not end well is its own failure only where the command has none.
  return code === 0 && served === FAILED ? served : code;
}

/** A sidecar that does not trust itself any more takes COMMAND with it, which has no way out without it. */
async function giveUp(serving: Serving, child: ChildProcess): Promise<void> {
  await serving.tooMany;
  serving.log.error({ reason: 'unhandled errors' }, 'the command is told to end');
  child.kill('SIGTERM');
  await sleep(serving.config.shutdown.drainTimeoutMs, undefined, { ref: false });
  child.kill('SIGKILL');
}

const codeOf = (code: number | null, signal: NodeJS.Signals | null): number =>
  code ?? BY_SIGNAL + (signal === null ? 0 : constants.signals[signal]);

interface End {
  readonly code: number;
  /** Why it could not be started. */
  readonly problem: string | null;
}

function unstarted({ code, name }: NodeJS.ErrnoException): End {
  if (code === 'ENOENT') return { code: NOT_FOUND, problem: 'command not found' };
  if (code === 'EACCES') return { code: NOT_EXECUTABLE, problem: 'may not be executed' };
  return { code: NOT_EXECUTABLE, problem: `cannot be started: ${code ?? name}` };
}

/** Resolves when it has ended. `begun` is not called where it could not be started. */
function begin(
  file: string,
  args: readonly string[],
  env: ExecOptions['env'],
  begun: (child: ChildProcess) => void,
): Promise<End> {
  const { promise, resolve } = Promise.withResolvers<End>();
  try {
    const child = spawn(file, args, { stdio: 'inherit', env });
    child.once('exit', (code, signal) => resolve({ code: codeOf(code, signal), problem: null }));
    child.on('error', (error) => {
      // With an ID it is a signal that could not be delivered.
      if (child.pid === undefined) resolve(unstarted(error));
    });
    if (child.pid !== undefined) begun(child);
  } catch (error) {
    // Node raises some of the reasons at once.
    resolve(unstarted(error as NodeJS.ErrnoException));
  }
  return promise;
}

/** Ours to pass on: none ends this process while COMMAND lives. */
class Signals {
  /** The first that came before COMMAND and would have ended it. */
  pending: NodeJS.Signals | null = null;
  #child: ChildProcess | null = null;
  #hurry: (() => void) | null = null;

  constructor() {
    for (const signal of FORWARDED) process.on(signal, () => this.#on(signal));
  }

  forwardTo(child: ChildProcess): void {
    this.#child = child;
  }

  /** From now on the next one that ends programs ends us at once: COMMAND is no more. */
  hurry(): Promise<'signal'> {
    this.#child = null;
    return new Promise((resolve) => {
      this.#hurry = () => resolve('signal');
    });
  }

  #on(signal: NodeJS.Signals): void {
    if (this.#child !== null) {
      // At a terminal its keys reach the whole group, COMMAND included, and twice is often another wish.
      if (!OF_TERMINAL.includes(signal) || !isatty(0)) this.#child.kill(signal);
    } else if (ENDING.includes(signal)) {
      this.pending ??= signal;
      this.#hurry?.();
    }
  }
}
