/**
 * `npm run bench:cost`: where the time of a small GET goes. What each part costs, by a sidecar for each without
 * it (or with what is off by default) beside one as it ships, in interleaved rounds; what remains is beside a relay that
 * reads nothing. Then a profile of one as it ships, by file and by function.
 *
 * Options: --rounds N (7), --seconds S (2), --connections N (64), --only PART (several: what its name has in it),
 * --profile: the profile alone, --url PATH (/small).
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOptions } from '../support/options.ts';
import { median } from '../support/quantiles.ts';
import { Bench } from './bench-context.ts';
import { Ground } from './ground.ts';
import { runLoad } from './load.ts';
import { measure } from './measurement.ts';
import { startOrigin } from './origins.ts';
import { RELAY } from './peers/node-proxies.ts';
import { outrigger } from './peers/outrigger.ts';
import type { PeerKind } from './peers/peer.ts';
import { profileLoad, profileText } from './profile.ts';
import { render } from './request.ts';
import { CPU, type Row } from './result.ts';
import { interleave, shown } from './rounds.ts';

const USAGE =
  'npm run bench:cost -- [--rounds 7] [--seconds 2] [--connections 64] [--only PART]... [--profile] [--url /small]';
const values = readOptions(USAGE, {
  rounds: { type: 'string', default: '7' },
  seconds: { type: 'string', default: '2' },
  connections: { type: 'string', default: '64' },
  only: { type: 'string', multiple: true },
  profile: { type: 'boolean', default: false },
  url: { type: 'string', default: '/small' },
});

const AS_SHIPPED = 'as it ships';

const WITHOUT = {
  'the log': { log: { level: 'error' } },
  'the latest exchanges (/exchanges)': { admin: { exchanges: 0 } },
  'the breaker': { policy: { breaker: null } },
  retries: { policy: { retry: { attempts: 1 } } },
  'the rate of bodies': { policy: { limits: { minRate: null } } },
  'looking at the files': { reload: { watch: false } },
} as const;

const ALL = {
  log: { level: 'error' },
  admin: { exchanges: 0 },
  policy: { breaker: null, retry: { attempts: 1 }, limits: { minRate: null } },
  reload: { watch: false },
};

/** Off by default. */
const WITH = {
  'a deadline': { policy: { timeouts: { total: '30s' } } },
  'limits on bodies': { policy: { limits: { requestBytes: '10MiB', responseBytes: '10MiB' } } },
  'edits of both heads': {
    policy: { headers: { request: { set: { 'X-Tenant': 'blue' } }, response: { remove: ['Server'] } } },
  },
} as const;

const variants: readonly PeerKind[] = [
  outrigger({ name: AS_SHIPPED }),
  ...Object.entries(WITHOUT).map(([name, config]) => outrigger({ name: `without ${name}`, config })),
  outrigger({ name: 'without all of these', config: ALL }),
  ...Object.entries(WITH).map(([name, config]) => outrigger({ name: `with ${name}`, config })),
  RELAY,
];

const say = (line: string): void => console.log(line);
const ground = new Ground();
const plan = {
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  connections: Number(values.connections),
  quick: false,
};
const wanted = (name: string): boolean =>
  name === AS_SHIPPED || (values.only?.some((part) => name.includes(part)) ?? true);
const bench = new Bench(ground, plan, say, wanted);
const origin = await startOrigin(ground);
const ask = { method: 'GET', host: `127.0.0.1:${origin.port}`, path: values.url } as const;

const load = (port: number, absolute: boolean, seconds: number): ReturnType<typeof runLoad> =>
  runLoad(ground, { port, requests: [render(ask, absolute)], connections: plan.connections, seconds });

if (!values.profile) {
  const peers = await bench.startAll(variants, origin);
  const contestants = peers.map((peer) => ({
    name: peer.name,
    measure: (seconds: number) =>
      measure({ name: peer.name, peer }, () => load(peer.port, peer.way === 'forward', seconds)),
  }));
  const rows = await interleave(bench, values.url, contestants);
  await Promise.all(peers.map((peer) => peer.stop()));
  say(
    `\nCPU µs per exchange of GET ${values.url}; what the difference costs, median and from the least to the most of ${plan.rounds} rounds\n`,
  );
  for (const row of rows) say(lineOf(row, rows[0] as Row));
}

say('\nthe profile');
const whole = outrigger({
  flags: ['--cpu-prof', `--cpu-prof-dir=${ground.folder}`, '--cpu-prof-interval=250'],
});
const [profiled] = await bench.startAll([{ ...whole, name: AS_SHIPPED }], origin);
if (profiled) {
  const copy = join(tmpdir(), 'outrigger-bench.cpuprofile');
  const profile = await profileLoad(ground, profiled, copy, (seconds) => load(profiled.port, true, seconds));
  say(profileText(profile));
  say(`${copy}: for the profiler of a browser`);
}
process.exit(0);

function lineOf({ name, figures }: Row, base: Row): string {
  const cpu = figures[CPU] ?? [];
  const differences = cpu.map((value, i) => value - (base.figures[CPU]?.[i] ?? Number.NaN));
  const text = `${name.padEnd(44)} ${shown(median(cpu)).padStart(7)}`;
  if (name === base.name) return text;
  const [least, most] = [Math.min(...differences), Math.max(...differences)];
  return `${text}  ${signed(median(differences)).padStart(7)}  (${signed(least)}..${signed(most)})`;
}

function signed(value: number): string {
  return `${value > 0 ? '+' : ''}${shown(value)}`;
}
