/**
 * `npm run bench:slow`: a steady load through one sidecar with its defaults, by itself, while 10,000 slow callers keep
 * another sidecar on the same machine busy, and beside the same 10,000 at its own. How much of the load succeeds, what
 * its p99 becomes, and what a slow caller costs in memory. The second tells what the machine's share is: who drips ten
 * thousand bytes per second needs the processors that the load needs.
 *
 * Slow heads, slow bodies and slow chunked bodies go to the origin of the load; slow readers take 16 MiB from
 * another one, for who reads what keeps the connections of an origin busy is load of that origin.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../support/quantiles.ts';
import { residentBytesOf } from '../support/resident-memory.ts';

const [slow = '10000', rounds = '3', seconds = '20', kinds = 'head,body,chunked,reader'] =
  process.argv.slice(2);
const SLOW = Number(slow);
const RATE = 500;
/** Connections of the load. */
const LOADED = 64;
/** Processes of slow callers, each with an address of its own. */
const CROWDS = 5;
const SETTLE_MS = 4_000;

interface Steady {
  readonly done: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly failures: readonly string[];
}

interface Crowd {
  readonly turnedAway: Readonly<Record<string, number>>;
}

const scriptOf = (name: string): string => new URL(name, import.meta.url).pathname;

async function start(name: string): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(process.execPath, [scriptOf(name)], { stdio: ['ignore', 'pipe', 'inherit'] });
  // However this ends. The load and the crowds end with their channel.
  process.once('exit', () => child.kill('SIGKILL'));
  const [data] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, port: Number.parseInt(data.toString(), 10) };
}

async function ask<T>(child: ChildProcess): Promise<T> {
  child.send('tell');
  const [answer] = (await once(child, 'message')) as [T];
  return answer;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const small = await start('processes/patient-origin.ts');
const big = await start('processes/patient-origin.ts');
const sidecar = await start('processes/sidecar.ts');
const elsewhere = await start('processes/sidecar.ts');
const load = fork(scriptOf('processes/steady-load.ts'), [
  String(sidecar.port),
  String(small.port),
  String(RATE),
]);

const rssKib = (): number => residentBytesOf(sidecar.child.pid as number) / 1_024;

/** Established connections on a sidecar's side, the load's left out. */
function slowConnections(port: number): number {
  const at = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n');
  const established = lines.filter((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/);
    return state === '01' && local.endsWith(at);
  });
  return Math.max(0, established.length - (port === sidecar.port ? LOADED : 0));
}

async function measure(ms: number): Promise<Steady> {
  await ask<Steady>(load);
  await sleep(ms);
  return ask<Steady>(load);
}

const say = (what: string, { done, p50, p99, max, failures }: Steady): void => {
  const all = done + failures.length;
  const why = failures.length > 0 ? ` (${[...new Set(failures)].join(' ')})` : '';
  console.log(
    `${what.padEnd(34)} ${((100 * done) / all).toFixed(3)} % of ${all}${why}; p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, max ${max.toFixed(1)} ms; sidecar ${(rssKib() / 1_024).toFixed(0)} MiB`,
  );
};

/** Resolves once they are there and have settled. */
async function gather(port: number): Promise<ChildProcess[]> {
  const crowds = Array.from({ length: CROWDS }, (_, i) =>
    fork(scriptOf('processes/slow-crowd.ts'), [
      String(port),
      String(SLOW / CROWDS),
      `127.0.0.${i + 2}`,
      String(small.port),
      String(big.port),
      kinds,
    ]),
  );
  const deadline = performance.now() + 60_000;
  while (slowConnections(port) < SLOW * 0.95 && performance.now() < deadline) await sleep(200);
  await sleep(SETTLE_MS);
  return crowds;
}

async function scatter(crowds: readonly ChildProcess[]): Promise<void> {
  for (const crowd of crowds) crowd.disconnect();
  await Promise.all(crowds.map((crowd) => once(crowd, 'exit')));
  await sleep(SETTLE_MS);
}

const ratios: number[] = [];
const ratiosAlone: number[] = [];
let lost = 0;
await measure(3_000);
for (let round = 1; round <= Number(rounds); round++) {
  const alone = await measure(Number(seconds) * 1_000);
  say(`round ${round}: alone`, alone);
  const others = await gather(elsewhere.port);
  const apart = await measure(Number(seconds) * 1_000);
  say(`round ${round}: they are elsewhere`, apart);
  await scatter(others);
  const before = rssKib();
  await ask<Steady>(load);
  const crowds = await gather(sidecar.port);
  const arrival = await ask<Steady>(load);
  say(`round ${round}: while they come`, arrival);
  const beside = await measure(Number(seconds) * 1_000);
  const told = await Promise.all(crowds.map((crowd) => ask<Crowd>(crowd)));
  const connected = slowConnections(sidecar.port);
  say(`round ${round}: beside ${connected} slow callers`, beside);
  const away: Record<string, number> = {};
  for (const { turnedAway } of told)
    for (const [what, n] of Object.entries(turnedAway)) away[what] = (away[what] ?? 0) + n;
  const times = Object.entries(away).map(([what, n]) => `${what}: ${n}`);
  console.log(
    `  ${((rssKib() - before) / Math.max(1, connected)).toFixed(1)} KiB each; turned away: ${times.join(', ') || 'nobody'}`,
  );
  ratios.push(beside.p99 / apart.p99);
  ratiosAlone.push(beside.p99 / alone.p99);
  lost += [alone, apart, arrival, beside].reduce((sum, { failures }) => sum + failures.length, 0);
  await scatter(crowds);
}
console.log(
  `p99 beside slow callers: ${median(ratios).toFixed(2)} of that with the same callers elsewhere, ${median(ratiosAlone).toFixed(2)} of that without any (medians of ${rounds} rounds); ${lost} of the load lost`,
);
load.disconnect();
process.exit(lost === 0 ? 0 : 1);
