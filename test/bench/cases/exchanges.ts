/** Requests and their answers through every proxy: small and large, up and down, with a connection each or kept. */
import { LARGE, RECEIPT, SMALL } from '../answers.ts';
import { type Bench, type Case, type Plan, roundsOf } from '../bench-context.ts';
import { runLoad } from '../load.ts';
import { measure } from '../measurement.ts';
import { type Origin, startOrigin, startRawOrigin } from '../origins.ts';
import { HAPROXY } from '../peers/haproxy.ts';
import { NGINX } from '../peers/nginx.ts';
import { HTTP_PROXY_3, HTTP_PROXY_AGENT, HTTP_PROXY_BARE, PROXY_CHAIN } from '../peers/node-proxies.ts';
import { outrigger } from '../peers/outrigger.ts';
import type { PeerKind, Target } from '../peers/peer.ts';
import { SQUID } from '../peers/squid.ts';
import { type Ask, render } from '../request.ts';
import type { Row } from '../result.ts';
import { interleave } from '../rounds.ts';
import { validate } from '../validation.ts';

/** With which of them it is compared at least. */
const small = [outrigger(), NGINX, SQUID, HTTP_PROXY_BARE, PROXY_CHAIN];
const all = [...small, HAPROXY, HTTP_PROXY_AGENT, HTTP_PROXY_3];
const few = [outrigger(), NGINX, HAPROXY, HTTP_PROXY_AGENT];

interface Shape {
  readonly name: string;
  readonly title: string;
  readonly peers: (plan: Plan) => readonly PeerKind[];
  readonly ask: Omit<Ask, 'host'>;
  readonly body: string;
  readonly origin: (bench: Bench) => Promise<Origin>;
}

const nginxOrigin = ({ ground }: Bench): Promise<Origin> => startOrigin(ground);

const SHAPES: readonly Shape[] = [
  {
    name: 'small',
    title: 'GET of 700 bytes, connections kept',
    peers: ({ quick }) => (quick ? small : all),
    ask: { method: 'GET', path: '/small' },
    body: SMALL,
    origin: nginxOrigin,
  },
  {
    name: 'large',
    title: 'GET of 64 KiB, connections kept',
    peers: ({ quick }) => (quick ? [outrigger(), HAPROXY] : [...few, SQUID]),
    ask: { method: 'GET', path: '/large' },
    body: LARGE,
    origin: nginxOrigin,
  },
  {
    name: 'post',
    title: 'POST of 8 KiB, connections kept',
    peers: ({ quick }) => (quick ? [outrigger(), NGINX] : few),
    ask: { method: 'POST', path: '/post', body: 'x'.repeat(8_192) },
    body: RECEIPT,
    // nginx answers before it has read the body, which no origin of a POST does.
    origin: ({ ground }) => startRawOrigin(ground),
  },
  {
    name: 'connect',
    title: 'GET of 700 bytes, a connection of the caller for each',
    peers: ({ quick }) => (quick ? [outrigger(), NGINX] : few),
    ask: { method: 'GET', path: '/small', last: true },
    body: SMALL,
    origin: nginxOrigin,
  },
];

export const EXCHANGES: readonly Case[] = SHAPES.map(({ name, title, peers, ask, body, origin }) => ({
  name,
  title,
  estimate: (plan) => roundsOf(plan, peers(plan).length),
  run: async (bench) => {
    const behind = await origin(bench);
    const rows = await compare(
      bench,
      title,
      peers(bench.plan),
      behind,
      { ...ask, host: `127.0.0.1:${behind.port}` },
      body,
    );
    await behind.stop();
    return { rows };
  },
}));

/** All of them with one request; the answers are checked before. */
export async function compare(
  bench: Bench,
  what: string,
  kinds: readonly PeerKind[],
  target: Target,
  ask: Ask,
  body: string,
): Promise<Row[]> {
  const { ground, plan } = bench;
  const peers = await bench.startAll(kinds, target);
  const contestants = await Promise.all(
    peers.map(async (peer) => {
      const request = render(ask, peer.way === 'forward');
      await validate(peer.name, peer.port, request, { status: 200, body });
      const spec = { port: peer.port, requests: [request], connections: plan.connections };
      return {
        name: peer.name,
        measure: (seconds: number) =>
          measure({ name: peer.name, peer }, () => runLoad(ground, { ...spec, seconds })),
      };
    }),
  );
  const rows = await interleave(bench, what, contestants);
  await Promise.all(peers.map((peer) => peer.stop()));
  return rows;
}
