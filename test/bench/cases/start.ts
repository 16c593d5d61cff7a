/** From the command to the line that says ready, and the memory of who has nothing to do. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Case, Plan } from '../bench-context.ts';
import type { Ground } from '../ground.ts';
import { startOrigin } from '../origins.ts';
import { HAPROXY } from '../peers/haproxy.ts';
import { NGINX } from '../peers/nginx.ts';
import { HTTP_PROXY_BARE, PROXY_CHAIN } from '../peers/node-proxies.ts';
import { NODE_FLAGS, outriggerConfig, packageCommand, SOURCE } from '../peers/outrigger.ts';
import { SQUID } from '../peers/squid.ts';
import { ProcessAccount } from '../process-account.ts';
import { RESIDENT, START } from '../result.ts';
import { interleave } from '../rounds.ts';

export const FROM_SOURCE = 'outrigger, from source';
export const FROM_PACKAGE = 'outrigger, from the package';
const FROM_IMAGE = 'outrigger, from the package with a compile cache, as the image has it';
const PEERS = [NGINX, HAPROXY, SQUID, HTTP_PROXY_BARE, PROXY_CHAIN];

/** For what a start leaves behind to be collected. */
const REST_MS = 3_000;
const START_MS = 10_000;
const times = ({ quick }: Plan): number => (quick ? 3 : 7);

interface Form {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

async function forms(ground: Ground): Promise<Form[]> {
  const cached = (name: string): Record<string, string> => ({
    NODE_COMPILE_CACHE: join(ground.folder, `compiled-${name}`),
  });
  const command = await packageCommand();
  return [
    { name: FROM_SOURCE, command: [process.execPath, ...NODE_FLAGS, SOURCE], env: cached('source') },
    { name: FROM_PACKAGE, command, env: {} },
    { name: FROM_IMAGE, command, env: cached('package') },
  ];
}

interface Started {
  readonly ms: number;
  readonly account: ProcessAccount;
  readonly end: () => Promise<void>;
}

async function start({ ground }: Bench, { name, command, env }: Form): Promise<Started> {
  const port = await ground.freePort();
  const config = ground.file('outrigger.yaml', outriggerConfig(port));
  const began = performance.now();
  const child = ground.spawn({ name, on: 'proxy', command: [...command, 'run', '--config', config], env });
  const ms = await new Promise<number>((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`${name} is not ready: ${text}`)), START_MS);
    child.stdout?.on('data', (data: Buffer) => {
      text += data.toString();
      if (!text.includes('"msg":"ready"')) return;
      clearTimeout(timer);
      resolve(performance.now() - began);
    });
  });
  const end = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    // In its own time: Node writes what it has compiled at its end.
    child.kill('SIGTERM');
    await ended;
  };
  return { ms, account: new ProcessAccount(child.pid as number), end };
}

export const STARTING: Case = {
  name: 'start',
  title: 'from the command to ready',
  estimate: (plan) => 3 * (times(plan) + 1) * 0.6 + 5,
  run: async (bench) => {
    const contestants = (await forms(bench.ground)).map((form) => ({
      name: form.name,
      measure: async () => {
        const { ms, end } = await start(bench, form);
        await end();
        return { [START]: ms };
      },
    }));
    const plan = { ...bench.plan, rounds: times(bench.plan) };
    return { rows: await interleave(bench, STARTING.title, contestants, plan) };
  },
};

export const IDLE: Case = {
  name: 'idle',
  title: `at rest, ${REST_MS / 1_000} s after the start`,
  estimate: ({ quick }) => (quick ? 1 : 3) * 6 + 10,
  run: async (bench) => {
    const [source, packaged] = await forms(bench.ground);
    const figures = new Map<string, number[]>();
    const note = (name: string, account: ProcessAccount): void => {
      const samples = figures.get(name) ?? [];
      samples.push(account.residentBytes() / 1e6);
      figures.set(name, samples);
    };
    const origin = await startOrigin(bench.ground);
    for (let round = 0; round < (bench.plan.quick ? 1 : 3); round++) {
      const ours = await Promise.all(
        [source, packaged].map(async (form) => ({ form, started: await start(bench, form as Form) })),
      );
      const peers = await bench.startAll(PEERS, origin);
      await sleep(REST_MS);
      for (const { form, started } of ours) note((form as Form).name, started.account);
      for (const peer of peers) note(peer.name, peer.account);
      await Promise.all([...ours.map(({ started }) => started.end()), ...peers.map((peer) => peer.stop())]);
    }
    await origin.stop();
    return { rows: [...figures].map(([name, samples]) => ({ name, figures: { [RESIDENT]: samples } })) };
  },
};
