/**
 * A profile of V8 while a load runs, summarised: the time that each file and each function took by itself. Native code
 * that JavaScript called is on the account of its caller, unless V8 names it; what ran without JavaScript on the stack (the
 * kernel's part of reading, the loop) is `(program)`.
 */
import { copyFileSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ground } from './ground.ts';
import type { Load } from './load.ts';
import type { Peer } from './peers/peer.ts';

const WARM_S = 3;
const SECONDS = 6;
const FUNCTIONS = 25;
const FILES = 45;
const ROOT = new URL('../../', import.meta.url).href;

interface Frame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: Frame;
    readonly children?: readonly number[];
  }[];
  /** Microseconds of the monotonic clock. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface ProfileSummary {
  readonly microsPerExchange: number;
  /** Shares of the time that was not idle. */
  readonly files: ReadonlyMap<string, number>;
  readonly functions: ReadonlyMap<string, number>;
}

const clockMicros = (): number => Number(process.hrtime.bigint() / 1_000n);

export async function profileLoad(
  ground: Ground,
  peer: Peer,
  copy: string,
  load: (seconds: number) => Promise<Load>,
): Promise<ProfileSummary> {
  await load(WARM_S);
  const from = clockMicros();
  const before = peer.account.cpu();
  const { exchanges } = await load(SECONDS);
  const microsPerExchange = peer.account.microsSince(before) / exchanges;
  const to = clockMicros();
  await peer.end();
  const [name] = globSync('*.cpuprofile', { cwd: ground.folder });
  if (name === undefined) throw new Error('there is no profile');
  copyFileSync(join(ground.folder, name), copy);
  const profile = JSON.parse(readFileSync(copy, 'utf8')) as CpuProfile;
  return { microsPerExchange, ...summarise(profile, from, to) };
}

/** Only what was sampled between two moments. */
export function summarise(
  { nodes, startTime, samples, timeDeltas }: CpuProfile,
  from: number,
  to: number,
): Pick<ProfileSummary, 'files' | 'functions'> {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  /** Many native functions share a name; who called one tells them apart. */
  const callerOf = (id: number): string => {
    const parent = parents.get(id);
    const frame = parent === undefined ? undefined : frames.get(parent);
    if (parent === undefined || frame === undefined || frame.functionName === '(root)') return '';
    return frame.url === '' ? callerOf(parent) : ` < ${frame.functionName}  ${fileOf(frame.url, '')}`;
  };
  const files = new Map<string, number>();
  const functions = new Map<string, number>();
  let busy = 0;
  let at = startTime;
  for (const [i, id] of samples.entries()) {
    const delta = timeDeltas[i] ?? 0;
    at += delta;
    const frame = frames.get(id);
    if (at < from || at > to || frame === undefined || frame.functionName === '(idle)') continue;
    busy += delta;
    const file = fileOf(frame.url, frame.functionName);
    const place = frame.url === '' ? callerOf(id) : `  ${file}:${frame.lineNumber + 1}`;
    add(files, file, delta);
    add(functions, `${frame.functionName || '(anonymous)'}${place}`, delta);
  }
  for (const map of [files, functions]) for (const [key, value] of map) map.set(key, value / busy);
  return { files, functions };
}

function add(map: Map<string, number>, key: string, value: number): void {
  map.set(key, (map.get(key) ?? 0) + value);
}

function fileOf(url: string, functionName: string): string {
  if (url.startsWith(ROOT)) return url.slice(ROOT.length).replace(/^.*node_modules\//, '');
  if (url.includes('/node_modules/')) return url.replace(/^.*node_modules\//, '');
  if (url !== '') return url;
  return functionName.startsWith('(') ? functionName : '(native functions)';
}

export function profileText({ microsPerExchange, files, functions }: ProfileSummary): string {
  const line = ([name, share]: [string, number]): string =>
    `${(share * 100).toFixed(1).padStart(5)} %  ${(share * microsPerExchange).toFixed(2).padStart(6)} µs  ${name}`;
  const top = (map: ReadonlyMap<string, number>, count: number): string[] =>
    [...map]
      .toSorted((a, b) => b[1] - a[1])
      .slice(0, count)
      .map(line);
  const total = (name: string, belongs: (file: string) => boolean): string =>
    line([name, [...files].filter(([file]) => belongs(file)).reduce((sum, [, share]) => sum + share, 0)]);
  return [
    `${microsPerExchange.toFixed(1)} µs of CPU per exchange while it is profiled; shares of it, by the time that each took by itself`,
    '',
    total('src/', (file) => file.startsWith('src/')),
    total("Node's own JavaScript", (file) => file.startsWith('node:')),
    total('packages', (file) => !/^(?:src\/|node:|\()/.test(file)),
    total('collecting garbage', (file) => file === '(garbage collector)'),
    total('native, without JavaScript', (file) => file === '(program)'),
    total('native functions', (file) => file === '(native functions)'),
    '',
    'by file',
    ...top(files, FILES),
    '',
    'by function',
    ...top(functions, FUNCTIONS),
  ].join('\n');
}
