import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { loadConfig } from '../../src/config/load.ts';
import { Sidecar } from '../../src/sidecar.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { call } from '../support/caller.ts';
import { HttpOrigin, readBody } from '../support/origin.ts';
import { until } from '../support/until.ts';

/** 200,000 for the record (`MIXED_EXCHANGES=200000`); fewer in every run of the suite. */
const EXCHANGES = Number(process.env['MIXED_EXCHANGES'] ?? 20_000);
const AT_ONCE = 64;

const KINDS = [
  'good',
  'post',
  'unavailable',
  'refused',
  'reset',
  'slow',
  'aborted',
  'truncated',
  'tunnel',
  'malformed',
] as const;
type Kind = (typeof KINDS)[number];

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const ENV = {
  OUTRIGGER__LISTEN__PROXY: '127.0.0.1:0',
  OUTRIGGER__LISTEN__ADMIN: '127.0.0.1:0',
  OUTRIGGER__ACCESS__ADDRESSES__ALLOW: '[127.0.0.0/8]',
  OUTRIGGER__POLICY__TIMEOUTS__HEAD: '100ms',
  OUTRIGGER__POLICY__RETRY__ATTEMPTS: '2',
  OUTRIGGER__POLICY__BREAKER: 'null',
  OUTRIGGER__POLICY__RETRY__BACKOFF__INITIAL: '1ms',
  OUTRIGGER__POLICY__POOL__CONNECTIONS: '32',
};

/** Callers that leave when their request has arrived, by path. */
const arrivals = new Map<string, () => void>();

/** The origin of every kind: the path says what it does. */
function script(...[request, response, seen]: Parameters<HttpOrigin['script']>): void {
  const arrived = arrivals.get(request.url ?? '');
  if (arrived) {
    arrived();
    return;
  }
  switch (request.url) {
    case '/reset':
      request.socket.resetAndDestroy();
      return;
    case '/slow':
      return;
    case '/truncated':
      response.writeHead(200, { 'Content-Length': '100' });
      response.write('some', () => request.socket.destroy());
      return;
    default:
      readBody(request, seen, () => {
        response.statusCode = request.url === '/unavailable' ? 503 : 200;
        response.end('ok');
      });
  }
}

/** Sends raw bytes, and `inside` once a tunnel is open; resolves when the connection has closed. */
function raw(port: number, text: string, inside: () => string = () => ''): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('data', (data: Buffer) => {
      if (data.toString('latin1').includes('200 Connection')) socket.end(inside());
    });
    socket.write(text);
  });
}

test(`${EXCHANGES} mixed exchanges leave permits, sockets, timers and heap where they were, and one log line each`, {
  timeout: 900_000,
}, async (t) => {
  const outcomes = new Map<string, number>();
  let lines = 0;
  const destination = {
    write(text: string): void {
      const outcome = /"outcome":"(\w+)"/.exec(text)?.[1];
      if (!text.includes('"msg":"exchange"') || outcome === undefined) return;
      lines++;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    },
  };
  const origin = await HttpOrigin.start(script);
  const { config } = loadConfig({
    files: [],
    env: {
      ...ENV,
      OUTRIGGER__ACCESS__TUNNELPORTS: `[${origin.port}]`,
      OUTRIGGER__ACCESS__TUNNELPROTOCOLS: '[http, other]',
    },
  });
  const sidecar = new Sidecar(config, 'test', createLog({ level: 'info', format: 'json', destination }));
  const { proxy } = await sidecar.start();
  const closed = await HttpOrigin.start();
  const refusedUrl = closed.url;
  await closed.close();
  t.after(async () => {
    agent.destroy();
    await sidecar.stop();
    await origin.close();
  });
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

  const one = async (kind: Kind): Promise<void> => {
    switch (kind) {
      case 'tunnel':
        return raw(proxy.port, `CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`, () => {
          if (Math.random() < 0.5) return 'neither TLS nor HTTP\r\n\r\n';
          // A request that is told to be one is an exchange of its own.
          inside++;
          return `GET / HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\nConnection: close\r\n\r\n`;
        });
      case 'malformed':
        return raw(proxy.port, 'GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n');
      case 'aborted': {
        // Leaves once the origin has the request, so that there certainly was an exchange.
        const name = `/leave/${++leavers}`;
        const leaving = new AbortController();
        arrivals.set(name, () => {
          setTimeout(() => leaving.abort(), Math.random() * 20);
        });
        await call(proxy.port, `${origin.url}${name}`, { signal: leaving.signal }).catch(() => {});
        arrivals.delete(name);
        return;
      }
      case 'post':
        await call(proxy.port, `${origin.url}/post`, { method: 'POST', body: 'x'.repeat(2_000), agent });
        return;
      default: {
        const url = kind === 'refused' ? `${refusedUrl}/` : `${origin.url}/${kind}`;
        await call(proxy.port, url, { agent }).catch(() => {});
      }
    }
  };
  let begun = 0;
  let inside = 0;
  let leavers = 0;
  const run = async (until: number): Promise<void> => {
    const worker = async (): Promise<void> => {
      while (begun < until) {
        begun++;
        // Mostly good, as in life; each bad kind is one in twelve.
        const at = Math.floor(Math.random() * 12);
        await one(KINDS[at] ?? 'good');
        origin.seen.length = 0;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  };
  const quiet = async (): Promise<void> => {
    await until(() => {
      const { exchangesInFlight, tunnels, replayBytes, origins } = sidecar.snapshot();
      return (
        exchangesInFlight + tunnels + replayBytes === 0 &&
        origins.every(
          ({ connections, queue }) =>
            connections.busy + connections.connecting + connections.closing + queue === 0,
        )
      );
    }, 'the sidecar to be quiet');
  };
  const heap = (): number => {
    collect();
    collect();
    return process.memoryUsage().heapUsed;
  };

  // Warm first: code that is compiled on first use is no leak.
  await run(Math.min(EXCHANGES / 4, 20_000));
  await quiet();
  const before = heap();
  await run(EXCHANGES);
  await quiet();
  const grown = heap() - before;
  await until(() => lines >= begun + inside, 'the last lines');

  const { origins, connections } = sidecar.snapshot();
  const idle = origins.reduce((sum, one) => sum + one.connections.idle, 0);
  t.diagnostic(`outcomes: ${[...outcomes].map(([name, count]) => `${name} ${count}`).join(', ')}`);
  t.diagnostic(`heap ${(before / 1e6).toFixed(1)} MB before, ${(grown / 1e6).toFixed(2)} MB more after`);
  assert.equal(lines, begun + inside, 'one log line per exchange');
  assert.equal(connections, idle, 'every permit that is held belongs to an idle connection');
  assert.ok(idle <= 64, `${idle} idle connections`);
  assert.ok(grown < 4e6, `the heap grew by ${grown} bytes`);
  for (const outcome of ['completed', 'failed', 'refused', 'aborted', 'truncated'])
    assert.ok(outcomes.has(outcome), outcome);

  agent.destroy();
  await sidecar.stop();
  await until(() => sidecar.snapshot().connections === 0, 'the upstream connections to be closed');
  await until(() => origin.connections.open.size === 0, 'the origin to see them close');
  await origin.close();
  await until(
    () => !process.getActiveResourcesInfo().some((name) => name.startsWith('TCP')),
    'the sockets to be gone',
  );
});
