/** Bytes without end through a tunnel, beside a relay that has no CONNECT to read. */
import { type Bench, type Case, type Plan, roundsOf } from '../bench-context.ts';
import { scriptOf } from '../load.ts';
import { startBulkOrigin } from '../origins.ts';
import { HAPROXY_RELAY } from '../peers/haproxy.ts';
import { PROXY_CHAIN } from '../peers/node-proxies.ts';
import { outrigger } from '../peers/outrigger.ts';
import type { Peer, PeerKind } from '../peers/peer.ts';
import { SQUID } from '../peers/squid.ts';
import { CPU_PER_MEGABYTE, RESIDENT, SPEED } from '../result.ts';
import { interleave } from '../rounds.ts';

const CONNECTIONS = 4;

const kinds = ({ quick }: Plan, origin: number): PeerKind[] => [
  outrigger({
    config: {
      access: {
        addresses: { allow: ['127.0.0.0/8'] },
        tunnelPorts: [origin],
        tunnelProtocols: ['tls', 'http', 'other'],
      },
    },
  }),
  HAPROXY_RELAY,
  ...(quick ? [] : [SQUID, PROXY_CHAIN]),
];

export const BULK: Case = {
  name: 'bulk',
  title: `bytes through a tunnel, ${CONNECTIONS} connections`,
  estimate: (plan) => roundsOf(plan, kinds(plan, 0).length),
  run: async (bench) => {
    const origin = await startBulkOrigin(bench.ground);
    const peers = await bench.startAll(kinds(bench.plan, origin.port), origin);
    const contestants = peers.map((peer) => ({
      name: peer.name,
      peer,
      measure: (seconds: number) => read(bench, peer, origin.port, seconds),
    }));
    const rows = await interleave(bench, BULK.title, contestants);
    await Promise.all([origin, ...peers].map((one) => one.stop()));
    return { rows };
  },
};

async function read(
  { ground }: Bench,
  peer: Peer,
  origin: number,
  seconds: number,
): Promise<Record<string, number>> {
  const host = `127.0.0.1:${origin}`;
  const opening = peer.way === 'forward' ? `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n` : '';
  const command = [
    process.execPath,
    scriptOf('bulk-load.ts'),
    `${peer.port}`,
    opening,
    `${CONNECTIONS}`,
    `${seconds}`,
  ];
  const before = peer.account.cpu();
  const bytes = Number(await ground.output({ name: 'bulk load', on: 'load', command }));
  const micros = peer.account.microsSince(before);
  return {
    [CPU_PER_MEGABYTE]: micros / (bytes / 1e6),
    [SPEED]: bytes / 1e6 / seconds,
    [RESIDENT]: peer.account.residentBytes() / 1e6,
  };
}
