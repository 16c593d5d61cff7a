/**
 * `npm run bench:tunnel`: bulk bytes through a tunnel, beside HAProxy in TCP mode in one run. Each proxy
 * runs alone on one processor, origin and load on the other; rounds are interleaved. Compared are bytes per
 * second, and bytes per second of the proxy's CPU time.
 *
 * Options: --rounds N (5), --seconds S (3) per round, --connections N (4). HAProxy: package haproxy.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Contender, median, readBulk, startOrigin } from './contender.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '4' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const connections = Number(values.connections);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startHaproxy(originPort: number): Promise<Contender | null> {
  if (spawnSync('haproxy', ['-v']).status !== 0) return null;
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-bench-'));
  const port = await freePort();
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  nbthread 1
  log stderr local0
defaults
  mode tcp
  log global
  timeout connect 3s
  timeout client 60s
  timeout server 60s
listen tunnel
  bind 127.0.0.1:${port}
  server origin 127.0.0.1:${originPort}
`,
  );
  const child = spawn('taskset', ['-c', '0', 'haproxy', '-f', file, '-db'], { stdio: 'ignore' });
  await sleep(500);
  rmSync(folder, { recursive: true });
  return new Contender('HAProxy, TCP mode', child, port, originPort);
}

const origin = await startOrigin('bulk-origin.ts');
const contenders: { one: Contender; opening: string }[] = [];
try {
  const outrigger = await Contender.start('outrigger, CONNECT', 'outrigger.ts', origin.port);
  const connect = `CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n\r\ngo\n`;
  contenders.push({ one: outrigger, opening: connect });
  const haproxy = await startHaproxy(origin.port);
  if (haproxy) contenders.push({ one: haproxy, opening: 'go\n' });
  else console.log('HAProxy is missing (package haproxy)');
  const results = contenders.map((entry) => ({ ...entry, rate: [] as number[], perCpu: [] as number[] }));
  for (let round = 0; round <= rounds; round++) {
    for (const { one, opening, rate, perCpu } of results) {
      const before = one.cpuMicros();
      const bytes = await readBulk(one.port, opening, connections, round === 0 ? 1 : seconds);
      const cpuSeconds = (one.cpuMicros() - before) / 1e6;
      // The first round warms up.
      if (round === 0) continue;
      rate.push(bytes / seconds);
      perCpu.push(bytes / cpuSeconds);
      const mega = (value: number): string => `${(value / 1e6).toFixed(0)} MB`;
      console.log(
        `round ${round}: ${one.name}: ${mega(bytes / seconds)}/s, ${mega(bytes / cpuSeconds)} per CPU second`,
      );
    }
  }
  const [ours, theirs] = results;
  if (ours && theirs) {
    console.log(`\nbulk through a tunnel, ${connections} connections, medians of ${rounds} rounds`);
    console.log(
      `bytes per second: ${(median(ours.rate) / median(theirs.rate)).toFixed(2)} of ${theirs.one.name}`,
    );
    console.log(
      `bytes per CPU second: ${(median(ours.perCpu) / median(theirs.perCpu)).toFixed(2)} of ${theirs.one.name}`,
    );
  }
} finally {
  for (const { one } of contenders) one.stop();
  origin.stop();
}
