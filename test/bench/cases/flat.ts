/** Two million exchanges, and whether memory grows with them: after each part, at rest. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Case, Plan } from '../bench-context.ts';
import { runLoad } from '../load.ts';
import { startOrigin } from '../origins.ts';
import { outrigger } from '../peers/outrigger.ts';
import { render } from '../request.ts';
import { RESIDENT } from '../result.ts';

const REST_MS = 1_000;
const PART_S = 10;
const wanted = ({ quick }: Plan): number => (quick ? 50_000 : 2_000_000);
/** Not fewer; of how fast the machine is nothing is known before. */
const GUESS_PER_SECOND = 14_000;

export const FLAT: Case = {
  name: 'flat',
  title: 'memory at rest after each part of many exchanges',
  estimate: (plan) => wanted(plan) / GUESS_PER_SECOND,
  run: async (bench) => {
    const { ground, plan, say } = bench;
    const origin = await startOrigin(ground);
    const [peer] = await bench.startAll([outrigger()], origin);
    if (peer === undefined) return { rows: [] };
    const requests = [render({ method: 'GET', host: `127.0.0.1:${origin.port}`, path: '/small' }, true)];
    const resident: number[] = [];
    let done = 0;
    const seconds = plan.quick ? 3 : PART_S;
    while (done < wanted(plan)) {
      const load = { port: peer.port, requests, connections: plan.connections, seconds };
      done += (await runLoad(ground, load)).exchanges;
      peer.dropLog();
      await sleep(REST_MS);
      resident.push(peer.account.residentBytes() / 1e6);
      say(`${FLAT.title}: ${done} exchanges, ${resident.at(-1)?.toFixed(1)} MB`);
    }
    await Promise.all([origin, peer].map((one) => one.stop()));
    return {
      rows: [
        {
          name: plan.quick ? `${peer.name}, too short to judge` : peer.name,
          figures: { [RESIDENT]: resident },
        },
      ],
      notes: [`${done} exchanges; MB after each part: ${resident.map((mb) => mb.toFixed(0)).join(' ')}`],
    };
  },
};
