/** A storm of which nearly all is refused: what a refusal costs beside an exchange that is served. */
import { type Case, roundsOf } from '../bench-context.ts';
import { runLoad } from '../load.ts';
import { measure } from '../measurement.ts';
import { startOrigin, startRawOrigin } from '../origins.ts';
import { outrigger } from '../peers/outrigger.ts';
import { render } from '../request.ts';
import { interleave } from '../rounds.ts';
import { exchange, validate } from '../validation.ts';

export const SERVED = 'served';
export const SHED = 'shed: 503, no place in the queue';
export const DENIED = 'denied: 403, by its route';
export const OPEN = 'refused: 503, the circuit is open';

const SLOW_MS = 1_000;
/** Enough failures for a circuit to open. */
const FAILURES = 40;

export const STORM: Case = {
  name: 'shed',
  title: 'GETs that are refused beside some that are served',
  estimate: (plan) => roundsOf(plan, 4),
  run: async (bench) => {
    const { ground, plan } = bench;
    const [quick, slow] = await Promise.all([startOrigin(ground), startRawOrigin(ground, SLOW_MS)]);
    const nobody = await ground.freePort();
    const config = {
      routes: [
        { name: 'denied', match: { paths: ['/denied'] }, access: 'deny' },
        { name: 'slow', match: { ports: [slow.port] }, policy: { pool: { connections: 1, queue: 0 } } },
        {
          name: 'dead',
          match: { ports: [nobody] },
          policy: { retry: { attempts: 1 }, breaker: { openFor: '1h', openForMax: '1h' } },
        },
      ],
    };
    const storms = [
      { name: SERVED, port: quick.port, path: '/small', status: 200 },
      { name: SHED, port: slow.port, path: '/small', status: 503 },
      { name: DENIED, port: quick.port, path: '/denied', status: 403 },
      { name: OPEN, port: nobody, path: '/small', status: 503 },
    ];
    const contestants = [];
    const peers = [];
    for (const { name, port, path, status } of storms) {
      // A sidecar for each, so that none is the warmer for another.
      const [peer] = await bench.startAll([outrigger({ config })], quick);
      if (peer === undefined) continue;
      peers.push(peer);
      const request = render({ method: 'GET', host: `127.0.0.1:${port}`, path }, true);
      if (name === OPEN) for (let i = 0; i < FAILURES; i++) await exchange(peer.port, request);
      if (name !== SHED) await validate(name, peer.port, request, { status });
      const spec = { port: peer.port, requests: [request], connections: plan.connections };
      contestants.push({
        name,
        measure: (seconds: number) =>
          measure({ name, peer, refused: status !== 200 }, () => runLoad(ground, { ...spec, seconds })),
      });
    }
    const rows = await interleave(bench, STORM.title, contestants);
    await Promise.all([quick, slow, ...peers].map((one) => one.stop()));
    return { rows };
  },
};
