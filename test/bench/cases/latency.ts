/** What a proxy adds to the latency at a fixed rate, beside the same load straight to the origin. */
import { SMALL } from '../answers.ts';
import { type Case, type Plan, roundsOf } from '../bench-context.ts';
import { runPaced } from '../load.ts';
import { startOrigin } from '../origins.ts';
import { HAPROXY } from '../peers/haproxy.ts';
import { NGINX } from '../peers/nginx.ts';
import { HTTP_PROXY_AGENT } from '../peers/node-proxies.ts';
import { outrigger } from '../peers/outrigger.ts';
import type { PeerKind } from '../peers/peer.ts';
import { SQUID } from '../peers/squid.ts';
import { type Ask, render } from '../request.ts';
import { ADDED_P50, ADDED_P99, P50, P99, P999, RATE, type Row } from '../result.ts';
import { interleave } from '../rounds.ts';
import { validate } from '../validation.ts';

const kinds = ({ quick }: Plan): PeerKind[] =>
  quick ? [outrigger()] : [outrigger(), NGINX, HAPROXY, SQUID, HTTP_PROXY_AGENT];
const PER_SECOND = 2_000;
const DIRECT = 'direct';

export const LATENCY: Case = {
  name: 'latency',
  title: `GET of 700 bytes, ${PER_SECOND} per second`,
  estimate: (plan) => roundsOf({ ...plan, seconds: plan.seconds + 1 }, kinds(plan).length + 1),
  run: async (bench) => {
    const { ground, plan } = bench;
    const origin = await startOrigin(ground);
    const ask: Ask = { method: 'GET', host: `127.0.0.1:${origin.port}`, path: '/small' };
    const peers = await bench.startAll(kinds(plan), origin);
    const ways = [
      { name: DIRECT, port: origin.port, absolute: false },
      ...peers.map(({ name, port, way }) => ({ name, port, absolute: way === 'forward' })),
    ];
    const contestants = [];
    for (const { name, port, absolute } of ways) {
      const request = render(ask, absolute);
      await validate(name, port, request, { status: 200, body: SMALL });
      const spec = { port, requests: [request], connections: plan.connections, rate: PER_SECOND };
      contestants.push({
        name,
        measure: async (seconds: number) => {
          const load = await runPaced(ground, { ...spec, seconds });
          for (const peer of peers) peer.dropLog();
          if (load.refused + load.broken > load.exchanges / 1_000) throw new Error(`${name} fails`);
          return {
            [RATE]: load.exchanges / load.seconds,
            [P50]: load.p50,
            [P99]: load.p99,
            [P999]: load.p999,
          };
        },
      });
    }
    const rows = await interleave(bench, LATENCY.title, contestants);
    await Promise.all([origin, ...peers].map((one) => one.stop()));
    return { rows: withAdded(rows) };
  },
};

/** Round by round, over the direct way of the same round. */
function withAdded(rows: readonly Row[]): Row[] {
  const direct = rows.find(({ name }) => name === DIRECT)?.figures;
  const over = (figures: Row['figures'], name: string): number[] =>
    (figures[name] ?? []).map((value, i) => value - (direct?.[name]?.[i] ?? Number.NaN));
  return rows.map(({ name, figures }) =>
    name === DIRECT
      ? { name, figures }
      : { name, figures: { ...figures, [ADDED_P50]: over(figures, P50), [ADDED_P99]: over(figures, P99) } },
  );
}
