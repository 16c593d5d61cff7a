import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { call, RawCaller } from '../support/caller.ts';
import { HttpOrigin, RawOrigin, readBody } from '../support/origin.ts';
import { TestSidecar } from '../support/sidecar.ts';
import { until } from '../support/until.ts';

/** 1,000 for the record (`RELOADS=1000`); fewer in every run of the suite. */
const RELOADS = Number(process.env['RELOADS'] ?? 100);
const AT_ONCE = 16;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heap(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

/** Two configurations that differ in routes, limits, retries, breaker, access, headers, listeners' bounds and secrets. */
function yaml(n: number, ports: readonly number[]): string {
  const odd = n % 2 === 1;
  const common = `log: { level: warn }, access: { default: allow, tunnelPorts: [${ports.join()}], tunnelProtocols: [http, other], deniedPorts: [], addresses: { allow: [127.0.0.0/8${n % 10 === 1 ? ', 10.9.0.0/16' : ''}] } }`;
  return odd
    ? `{ ${common}, policy: { breaker: { window: 5s }, retry: { attempts: 2 }, pool: { connections: 32 } }, limits: { exchanges: 900, connections: 400, headerBytes: 16KiB },
        listen: { idleTimeout: 60s, connections: 900, connectionsPerClient: 800, streams: 50 }, requestId: { header: X-Trace-Name },
        routes: [{ name: a, match: { hosts: [127.0.0.1], paths: ["/a/*"] }, addresses: { allow: [127.0.0.1/32] }, policy: { timeouts: { total: 20s } } },
                 { name: closed, match: { hosts: [127.0.0.1], paths: [/never] }, access: deny }] }`
    : `{ ${common}, policy: { breaker: null, retry: { attempts: 3 }, pool: { connections: 64 } }, limits: { exchanges: 1000, connections: 500 },
        clients: [{ name: me, addresses: [127.0.0.1], exchanges: 500 }],
        routes: [{ name: b, match: { hosts: [127.0.0.1], paths: ["/a/*"], clients: [me] }, policy: { headers: { request: { set: { X-Even: "${n % 10}" } } } } },
                 { name: a, match: { hosts: [127.0.0.1] }, addresses: { allow: [127.0.0.0/24] } }] }`;
}

test(`${RELOADS} reloads under load fail no exchange, leak no socket or timer, and leave memory flat`, {
  timeout: 900_000,
}, async (t) => {
  const origin = await HttpOrigin.start((request, response, seen) => {
    readBody(request, seen, () => response.end(`${seen.body.length}`));
    origin.seen.length = 0;
  });
  const echo = await RawOrigin.start((socket) => socket.pipe(socket));
  const ports = [origin.port, echo.port];
  const sidecar = await TestSidecar.start(yaml(0, ports));
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const raws: RawCaller[] = [];
  t.after(async () => {
    agent.destroy();
    for (const raw of raws) raw.leave();
    await sidecar.stop();
    await Promise.all([origin.close(), echo.close()]);
  });

  const run = { going: true };
  let exchanges = 0;
  const keepAlive = async (n: number): Promise<void> => {
    const body = 'x'.repeat(n * 500);
    while (run.going) {
      const { status, text } = await call(sidecar.port, `${origin.url}/a/${n}`, {
        method: 'POST',
        body,
        agent,
      });
      assert.deepEqual([status, text], [200, `${body.length}`]);
      exchanges++;
    }
  };
  const raw = async (): Promise<RawCaller> => {
    const caller = await RawCaller.connect(sidecar.port);
    raws.push(caller);
    return caller;
  };
  /** Opaque: it lives through all of it. */
  const tunnel = async (): Promise<void> => {
    const caller = await raw();
    caller.write(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await caller.until((text) => text.includes('\r\n\r\n'));
    for (let n = 0; run.going; n++) {
      caller.received = '';
      caller.write(`ping ${n}.`);
      await caller.until((text) => text === `ping ${n}.`);
    }
    caller.leave();
  };
  /** Requests inside a tunnel, each by the configuration of its moment. */
  const inside = async (): Promise<void> => {
    const caller = await raw();
    caller.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await caller.until((text) => text.includes('\r\n\r\n'));
    while (run.going) {
      caller.received = '';
      caller.write(`GET /a/in HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n\r\n`);
      const text = await caller.until((it) => it.endsWith('\r\n\r\n0'));
      assert.match(text, /^HTTP\/1\.1 200 /);
      exchanges++;
    }
    caller.leave();
  };
  /** Uploads that span several reloads. */
  const upload = async (): Promise<void> => {
    while (run.going) {
      const caller = await raw();
      caller.write(
        `POST ${origin.url}/up HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      for (let n = 0; n < 10; n++) {
        caller.write('4\r\nabcd\r\n');
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      caller.write('0\r\n\r\n');
      assert.match(await caller.untilEnd(), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\n40$/);
      caller.leave();
      exchanges++;
    }
  };
  let failure: unknown = null;
  const workers = [
    ...Array.from({ length: AT_ONCE }, (_, n) => keepAlive(n)),
    tunnel(),
    inside(),
    upload(),
  ].map((worker) => worker.catch((error: unknown) => (failure ??= error)));
  const reloads = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) {
      const before = exchanges;
      const result = await sidecar.reload(yaml(n, ports));
      assert.ok(result.ok, JSON.stringify(result));
      // Each configuration sees traffic of its own.
      await until(() => exchanges >= before + 20 || failure !== null, 'traffic');
      assert.equal(failure, null);
    }
  };
  const resources = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

  // Warm first: code that is compiled on first use is no leak.
  const warm = Math.max(60, Math.floor(RELOADS / 5));
  await reloads(1, warm);
  const before = heap();
  const timers = resources();
  await reloads(warm, warm + RELOADS);
  const grown = heap() - before;
  const moreTimers = resources() - timers;
  run.going = false;
  await Promise.all(workers);
  if (failure !== null) throw failure;

  t.diagnostic(
    `${exchanges} exchanges; heap ${(before / 1e6).toFixed(1)} MB before, ${(grown / 1e6).toFixed(2)} MB more after`,
  );
  t.diagnostic(`${moreTimers} timers more; origin connections ${origin.connections.total}`);
  assert.ok(grown < 3e6, `the heap grew by ${grown} bytes`);
  assert.ok(moreTimers < 30, `${moreTimers} timers more`);
  const bad = sidecar.exchanges.filter(({ outcome }) => outcome !== 'completed');
  assert.deepEqual(bad, []);
  const { origins } = sidecar.sidecar.snapshot();
  assert.ok(origins.length <= 6, JSON.stringify(origins.map((one) => one.origin)));

  agent.destroy();
  await sidecar.stop();
  await until(() => sidecar.sidecar.snapshot().connections === 0, 'the upstream connections to be closed');
  await until(() => origin.connections.open.size === 0, 'the origin to see them close');
  await Promise.all([origin.close(), echo.close()]);
  await until(
    () => !process.getActiveResourcesInfo().some((name) => name.startsWith('TCP')),
    'the sockets to be gone',
  );
});
