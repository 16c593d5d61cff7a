/**
 * `npm run bench`: what an exchange costs, side by side with peers in one run. Each proxy runs alone on
 * one processor, origin and load on the other; rounds are interleaved, and what is compared is the CPU
 * time of the proxy's process as the kernel accounts for it, per exchange. Answers are checked first.
 *
 * Options: --rounds N (5), --seconds S (4) per round, --connections N (64).
 */
import { parseArgs } from 'node:util';
import { Contender, median, runLoad, startOrigin } from './contender.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '64' },
    only: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const connections = Number(values.connections);

const origin = await startOrigin();
const contenders = (
  await Promise.all([
    Contender.start('outrigger', 'outrigger.ts', origin.port),
    Contender.start('http-proxy 1.18.1, bare', 'http-proxy-bare.ts', origin.port),
    Contender.start('http-proxy 1.18.1, keep-alive agent', 'http-proxy-agent.ts', origin.port),
  ])
).filter((one) => values.only === undefined || one.name.startsWith(values.only));

try {
  for (const one of contenders) {
    await one.validate();
    console.log(`${one.name}: answers well; ${(one.residentKiB() / 1024).toFixed(1)} MiB resident at rest`);
  }
  const results = new Map(contenders.map((one) => [one, { cpu: [] as number[], rate: [] as number[] }]));
  for (let round = 0; round <= rounds; round++) {
    for (const one of contenders) {
      const before = one.cpuMicros();
      const load = await runLoad(one, connections, round === 0 ? 1 : seconds);
      const cpu = (one.cpuMicros() - before) / load.exchanges;
      // The first round warms up.
      if (round === 0) continue;
      results.get(one)?.cpu.push(cpu);
      results.get(one)?.rate.push(load.exchanges / load.seconds);
      console.log(
        `round ${round}: ${one.name}: ${cpu.toFixed(1)} µs/exchange, ${(load.exchanges / load.seconds).toFixed(0)}/s, p50 ${load.p50.toFixed(2)} ms, p99 ${load.p99.toFixed(2)} ms`,
      );
    }
  }
  const base = median(results.get(contenders[0] as Contender)?.cpu ?? []);
  console.log(`\nsmall keep-alive GET, ${connections} connections, medians of ${rounds} rounds`);
  for (const [one, { cpu, rate }] of results) {
    console.log(
      `${one.name.padEnd(40)} ${median(cpu).toFixed(1).padStart(7)} µs CPU/exchange ${median(rate).toFixed(0).padStart(7)}/s   outrigger costs ${(base / median(cpu)).toFixed(2)} of it   ${(one.residentKiB() / 1024).toFixed(0)} MiB`,
    );
  }
} finally {
  for (const one of contenders) one.stop();
  origin.stop();
}
