/**
 * `npm run bench:limits`: 500 callers at once on 8 connections to a slow origin. What the origin sees, how
 * soon the surplus is shed, and what it does to the p99 of another origin, quiet and busy in turn.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { call, RawCaller } from '../support/caller.ts';
import { answer, HttpOrigin } from '../support/origin.ts';
import { median } from '../support/quantiles.ts';

const CALLERS = 500;
const CONNECTIONS = 8;
const SERVICE_MS = 50;
const ROUNDS = 5;
const ROUND_MS = 4_000;
/** The steady load on the other origin, exchanges per second. */
const RATE = 200;

const at = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;

async function startSidecar(queue: number): Promise<{ port: number; stop(): void }> {
  const child = spawn(process.execPath, [new URL('processes/sidecar.ts', import.meta.url).pathname], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      OUTRIGGER__POLICY__POOL__CONNECTIONS: String(CONNECTIONS),
      OUTRIGGER__POLICY__POOL__QUEUE: String(queue),
      OUTRIGGER__POLICY__POOL__QUEUETIMEOUT: '60s',
    },
  });
  // However this ends.
  process.once('exit', () => child.kill('SIGKILL'));
  const [data] = (await once(child.stdout, 'data')) as [Buffer];
  return { port: Number.parseInt(data.toString(), 10), stop: () => child.kill('SIGKILL') };
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const slow = await HttpOrigin.start((request, response, seen) => {
  setTimeout(() => answer(200, 'slow')(request, response, seen), SERVICE_MS);
});
const quick = await HttpOrigin.start(answer(200, 'quick'));

// A burst: 8 are served, 256 wait, the rest is shed.
const shedding = await startSidecar(256);
// On raw sockets that are connected already, so that what is timed is the answer and not the handshake or the
// client library of 500 callers.
const callers = await Promise.all(Array.from({ length: CALLERS }, () => RawCaller.connect(shedding.port)));
const burst = async (url: string): Promise<{ status: string; ms: number }[]> => {
  const request = Buffer.from(`GET ${url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  const began = performance.now();
  return Promise.all(
    callers.map(async ({ socket }) => {
      socket.write(request);
      const [text] = (await once(socket, 'data')) as [string];
      return { status: text.slice(9, 12), ms: performance.now() - began };
    }),
  );
};
await burst(quick.url);
for (let n = 1; n <= 3; n++) {
  const answers = await burst(slow.url);
  const shed = answers.filter((one) => one.status === '503').map((one) => one.ms);
  console.log(
    `burst ${n} of ${CALLERS}: ${answers.length - shed.length} served, ${shed.length} shed; shed after p50 ${at(shed, 0.5).toFixed(1)} ms, max ${at(shed, 0.999).toFixed(1)} ms; connections seen by the origin at most ${slow.connections.most}`,
  );
}
for (const caller of callers) caller.leave();
shedding.stop();

// A siege: all wait; another origin is called at a steady rate meanwhile.
const sidecar = await startSidecar(CALLERS);
const own = new Agent({ keepAlive: true });
async function steady(ms: number): Promise<number[]> {
  const latencies: number[] = [];
  const pending: Promise<unknown>[] = [];
  const end = performance.now() + ms;
  while (performance.now() < end) {
    pending.push(call(sidecar.port, `${quick.url}/`, { agent: own }).then((one) => latencies.push(one.ms)));
    await new Promise((resolve) => setTimeout(resolve, 1_000 / RATE));
  }
  await Promise.all(pending);
  return latencies;
}
const ratios: number[] = [];
await steady(1_000);
for (let round = 1; round <= ROUNDS; round++) {
  const quiet = await steady(ROUND_MS);
  const besiegers = new Agent({ keepAlive: true, maxSockets: CALLERS });
  const over = new AbortController();
  const siege = Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (!over.signal.aborted) await call(sidecar.port, `${slow.url}/`, { agent: besiegers });
    }),
  );
  await steady(500);
  const busy = await steady(ROUND_MS);
  over.abort();
  await siege;
  besiegers.destroy();
  ratios.push(at(busy, 0.99) / at(quiet, 0.99));
  console.log(
    `round ${round}: the other origin's p50 ${at(quiet, 0.5).toFixed(2)} -> ${at(busy, 0.5).toFixed(2)} ms, p99 ${at(quiet, 0.99).toFixed(2)} -> ${at(busy, 0.99).toFixed(2)} ms`,
  );
}
console.log(
  `the other origin's p99 under siege: ${median(ratios).toFixed(2)} of the quiet one (median of ${ROUNDS} rounds); connections seen by the slow origin at most ${slow.connections.most}`,
);
sidecar.stop();
own.destroy();
await slow.close();
await quick.close();
