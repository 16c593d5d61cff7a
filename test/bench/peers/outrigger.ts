/**
 * The sidecar as its users run it: the command, from the sources, everything switched on, its log in a file. What a
 * case needs beside the defaults is laid over them.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Ground } from '../ground.ts';
import { Peer, type PeerKind, type Target } from './peer.ts';

const ROOT = new URL('../../../', import.meta.url).pathname;
/** As in package.json. */
export const NODE_FLAGS = ['--disable-sigusr1', '--disallow-code-generation-from-strings'];
export const SOURCE = join(ROOT, 'src/main.ts');

/** How the package is started, built from the sources as they are now. */
export async function packageCommand(): Promise<string[]> {
  await promisify(execFile)(join(ROOT, '.ci/build'));
  const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    bin: { outrigger: string };
  };
  return [join(ROOT, bin.outrigger)];
}

export interface OutriggerOptions {
  readonly name?: string;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Of Node, beside its own. */
  readonly flags?: readonly string[];
}

export const OUTRIGGER = 'outrigger';

export function outrigger({ name = OUTRIGGER, config = {}, flags = [] }: OutriggerOptions = {}): PeerKind {
  const kind: PeerKind = {
    name,
    way: 'forward',
    start: async (ground: Ground, _target: Target) => {
      const port = await ground.freePort();
      const logFile = ground.file('outrigger.log', '');
      const file = ground.file('outrigger.yaml', outriggerConfig(port, config));
      const command = [process.execPath, ...NODE_FLAGS, ...flags, SOURCE, 'run', '--config', file];
      const env = { NODE_COMPILE_CACHE: join(ground.folder, 'compiled') };
      const child = await ground.serve({ name, on: 'proxy', command, env, logFile }, port);
      return new Peer(ground, kind, port, child, logFile);
    },
  };
  return kind;
}

/** Origins on this machine are denied unless they are allowed. The text is JSON, which is YAML. */
export function outriggerConfig(port: number, config: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    listen: { proxy: `127.0.0.1:${port}`, admin: '127.0.0.1:0' },
    access: { addresses: { allow: ['127.0.0.0/8'] } },
    ...config,
  });
}
