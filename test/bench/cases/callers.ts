/** Ten thousand callers that have each been served once, and keep their connections. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Case, Plan } from '../bench-context.ts';
import { scriptOf } from '../load.ts';
import { startOrigin } from '../origins.ts';
import { HAPROXY } from '../peers/haproxy.ts';
import { NGINX } from '../peers/nginx.ts';
import { HTTP_PROXY_AGENT } from '../peers/node-proxies.ts';
import { outrigger } from '../peers/outrigger.ts';
import type { Peer, PeerKind } from '../peers/peer.ts';
import { SQUID } from '../peers/squid.ts';
import { render } from '../request.ts';
import { PER_CALLER, RESIDENT, type Row } from '../result.ts';

const kinds = ({ quick }: Plan): PeerKind[] =>
  quick ? [outrigger()] : [outrigger(), NGINX, HAPROXY, SQUID, HTTP_PROXY_AGENT];
const WANTED = 10_000;
/** Sent by callers that leave again, so that what is compiled and allocated once is there. */
const FIRST = 500;
const SETTLE_MS = 3_000;
const GATHER_MS = 60_000;

/** Each caller is a file of whoever holds it, and one of the proxy. */
function possible(): number {
  const limit = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return limit === undefined ? WANTED : Math.min(WANTED, Number(limit) - 500);
}

export const CALLERS: Case = {
  name: 'callers',
  title: `${WANTED} idle callers, connections kept`,
  estimate: (plan) => kinds(plan).length * 10,
  run: async (bench) => {
    const count = possible();
    const origin = await startOrigin(bench.ground);
    const rows: Row[] = [];
    for (const peer of await bench.startAll(kinds(bench.plan), origin)) {
      await gather(bench, peer, origin.port, FIRST);
      const before = peer.account.residentBytes();
      const leave = await gather(bench, peer, origin.port, count, true);
      const after = peer.account.residentBytes();
      await leave();
      await peer.stop();
      const each = (after - before) / count / 1e3;
      rows.push({ name: peer.name, figures: { [PER_CALLER]: [each], [RESIDENT]: [after / 1e6] } });
      bench.say(`${CALLERS.title}: ${peer.name}: ${each.toFixed(2)} KB per caller`);
    }
    await origin.stop();
    const notes = count < WANTED ? [`${count} callers: the limit on open files allows no more`] : [];
    return { rows, notes };
  },
};

/** Resolves once all are served, and all has settled. They leave at once unless they are to stay. */
async function gather(
  { ground }: Bench,
  peer: Peer,
  origin: number,
  count: number,
  stay = false,
): Promise<() => Promise<void>> {
  const request = render(
    { method: 'GET', host: `127.0.0.1:${origin}`, path: '/small' },
    peer.way === 'forward',
  );
  const command = [process.execPath, scriptOf('idle-callers.ts'), String(peer.port), String(count), request];
  const child = ground.spawn({ name: 'idle callers', on: 'load', command });
  const signal = AbortSignal.timeout(GATHER_MS);
  if (child.stdout) await once(child.stdout, 'data', { signal });
  if (!stay) await ground.stop(child);
  await sleep(SETTLE_MS);
  if (stay && child.exitCode !== null) throw new Error(`${peer.name} does not keep ${count} callers`);
  return () => ground.stop(child);
}
