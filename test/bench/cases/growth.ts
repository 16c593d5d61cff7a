/**
 * What an exchange costs as origins and routes become many. The same requests go through a sidecar with few and one with many
 * of them, each warmed up right before it is measured, so that its connections are there.
 */
import { SMALL } from '../answers.ts';
import { type Bench, type Case, type Plan, roundsOf } from '../bench-context.ts';
import { runLoad } from '../load.ts';
import { measure } from '../measurement.ts';
import { startOrigin } from '../origins.ts';
import { outrigger } from '../peers/outrigger.ts';
import type { PeerKind } from '../peers/peer.ts';
import { SQUID } from '../peers/squid.ts';
import { render } from '../request.ts';
import type { Row } from '../result.ts';
import { interleave } from '../rounds.ts';
import { validate } from '../validation.ts';

const ORIGINS = 2_000;
const ROUTES = 500;
/** Right before each round, seconds. */
const AGAIN_S = 1;

export const FEW_ORIGINS = 'outrigger, 1 origin';
export const MANY_ORIGINS = `outrigger, ${ORIGINS} origins`;
export const ONE_ROUTE = `1 route for ${ROUTES} hosts`;
export const ROUTES_BY_HOST = `${ROUTES} routes, by host`;
export const ONE_ROUTE_FOR_PATHS = `1 route for ${ROUTES} paths`;
export const ROUTES_BY_PATH = `${ROUTES} routes, by path`;

/** Every one of them is this machine. */
const addressOf = (i: number): string => `127.1.${i >> 8}.${i & 255}`;
const LIMITS = { limits: { connections: 4_096, origins: 4_096 } };
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

interface Growing {
  readonly kind: PeerKind;
  readonly name: string;
  readonly requests: (port: number) => string[];
}

const small = (host: string, port: number, path = '/small'): string =>
  render({ method: 'GET', host: `${host}:${port}`, path }, true);
const byHost = (count: number) => (port: number) => numbers(count).map((i) => small(addressOf(i), port));
const byPath = (port: number): string[] =>
  numbers(ROUTES).map((i) => small(addressOf(0), port, `/vendor-${i}/small`));
const withRoutes = (name: string, routes: readonly object[]): PeerKind =>
  outrigger({ name: `outrigger, ${name}`, config: { ...LIMITS, routes } });

const BY_ORIGINS: readonly Growing[] = [
  { name: FEW_ORIGINS, kind: outrigger({ config: LIMITS }), requests: byHost(1) },
  { name: MANY_ORIGINS, kind: outrigger({ config: LIMITS }), requests: byHost(ORIGINS) },
];

/** For what becomes of the machine, and not of the sidecar. */
const BESIDE: readonly Growing[] = [
  { name: 'Squid, 1 origin', kind: SQUID, requests: byHost(1) },
  { name: `Squid, ${ORIGINS} origins`, kind: SQUID, requests: byHost(ORIGINS) },
];

const BY_ROUTES: readonly Growing[] = [
  { name: ONE_ROUTE, kind: withRoutes('1', [{ name: 'all' }]), requests: byHost(ROUTES) },
  {
    name: ROUTES_BY_HOST,
    kind: withRoutes(
      'hosts',
      numbers(ROUTES).map((i) => ({ name: `vendor-${i}`, match: { hosts: [addressOf(i)] } })),
    ),
    requests: byHost(ROUTES),
  },
  { name: ONE_ROUTE_FOR_PATHS, kind: withRoutes('1', [{ name: 'all' }]), requests: byPath },
  {
    name: ROUTES_BY_PATH,
    kind: withRoutes(
      'paths',
      numbers(ROUTES).map((i) => ({ name: `vendor-${i}`, match: { paths: [`/vendor-${i}/*`] } })),
    ),
    requests: byPath,
  },
];

const growth = (name: string, title: string, all: (plan: Plan) => readonly Growing[]): Case => ({
  name,
  title,
  estimate: (plan) => roundsOf({ ...plan, seconds: plan.seconds + AGAIN_S }, all(plan).length),
  run: async (bench) => ({ rows: await grow(bench, title, all(bench.plan)) }),
});

export const GROWTH: readonly Case[] = [
  growth('origins', `GET of 700 bytes, from 1 to ${ORIGINS} origins`, ({ quick }) =>
    quick ? BY_ORIGINS : [...BY_ORIGINS, ...BESIDE],
  ),
  growth('routes', `GET of 700 bytes, from 1 to ${ROUTES} routes`, () => BY_ROUTES),
];

async function grow(bench: Bench, title: string, all: readonly Growing[]): Promise<Row[]> {
  const { ground, plan } = bench;
  const origin = await startOrigin(ground, true);
  const peers = [];
  const contestants = [];
  for (const { name, kind, requests } of all) {
    const [peer] = await bench.startAll([kind], origin);
    if (peer === undefined) continue;
    peers.push(peer);
    const sent = requests(origin.port);
    await validate(name, peer.port, sent.at(-1) ?? '', { status: 200, body: SMALL });
    const spec = { port: peer.port, requests: sent, connections: plan.connections };
    contestants.push({
      name,
      measure: async (seconds: number) => {
        await runLoad(ground, { ...spec, seconds: AGAIN_S });
        return measure({ name, peer }, () => runLoad(ground, { ...spec, seconds }));
      },
    });
  }
  const rows = await interleave(bench, title, contestants);
  await Promise.all([origin, ...peers].map((one) => one.stop()));
  return rows;
}
