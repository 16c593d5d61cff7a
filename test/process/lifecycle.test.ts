import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { type TestContext, test } from 'node:test';
import { call, RawCaller } from '../support/caller.ts';
import { answer, HttpOrigin, RawOrigin, type Script } from '../support/origin.ts';
import { SidecarProcess } from '../support/process.ts';
import { until } from '../support/until.ts';

async function start(t: TestContext, script?: Script): Promise<HttpOrigin> {
  const origin = await HttpOrigin.start(script);
  t.after(() => origin.close());
  return origin;
}

/** A caller that keeps its connections. */
function keeping(t: TestContext): Agent {
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  return agent;
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`after ${signal} readiness goes, a connected caller is served on, and the end is quiet once it has gone`, async (t) => {
    const origin = await start(t);
    const sidecar = await SidecarProcess.start(t, 'shutdown: { drainTimeout: 60s, quiet: 100ms }');
    const agent = keeping(t);
    assert.equal((await call(sidecar.port, `${origin.url}/before`, { agent })).status, 200);
    assert.equal((await sidecar.ask('/readyz')).status, 200);

    sidecar.signal(signal);
    assert.equal((await sidecar.line('draining'))['signal'], signal);
    const { status, body } = await sidecar.ask('/readyz');
    assert.equal(status, 503);
    const { config, ...rest } = JSON.parse(body);
    assert.deepEqual(Object.keys(config), ['at', 'hash', 'problem']);
    assert.deepEqual(rest, {
      ready: false,
      started: true,
      draining: true,
      exchangesInFlight: 0,
      tls: { insecure: [], stale: [], pinned: [] },
      secrets: { stale: [] },
    });
    assert.equal((await sidecar.ask('/livez')).status, 200);
    assert.equal((await call(sidecar.port, `${origin.url}/kept`, { agent })).status, 200);
    assert.equal((await call(sidecar.port, `${origin.url}/anew`)).status, 200);
    assert.equal(sidecar.running, true);

    const left = performance.now();
    agent.destroy();
    assert.deepEqual(await sidecar.end(), { code: 0, signal: null });
    t.diagnostic(`ended ${(performance.now() - left).toFixed(0)} ms after the last caller left`);
    assert.equal((await sidecar.line('stopped'))['end'], 'quiet');
    assert.deepEqual(
      sidecar.exchanges.map(({ path, outcome }) => `${path} ${outcome}`),
      ['/before completed', '/kept completed', '/anew completed'],
    );
  });
}

test('a caller that comes within the quiet time is served, and the quiet time begins anew', async (t) => {
  const origin = await start(t);
  const sidecar = await SidecarProcess.start(t, 'shutdown: { drainTimeout: 60s, quiet: 1s }');
  sidecar.signal('SIGTERM');
  await sidecar.line('draining');
  const agent = keeping(t);
  const began = performance.now();
  // For longer than the quiet time.
  while (performance.now() - began < 1_200) {
    assert.equal((await call(sidecar.port, origin.url, { agent })).status, 200);
  }
  agent.destroy();
  assert.deepEqual(await sidecar.end(), { code: 0, signal: null });
});

test('at the drain timeout what is left is cut and logged, each with one line, and the exit code is 3', async (t) => {
  const streaming = await start(t, (_request, response) => {
    response.writeHead(200, { 'Content-Length': '1000000' });
    response.write('the beginning');
  });
  const silent = await start(t, () => {});
  const echo = await RawOrigin.start((socket) => socket.pipe(socket));
  t.after(() => echo.close());
  const sidecar = await SidecarProcess.start(
    t,
    `{ shutdown: { drainTimeout: 300ms }, access: { tunnelPorts: [${echo.port}], tunnelProtocols: [other] } }`,
  );

  const download = await RawCaller.connect(sidecar.port);
  download.write(`GET ${streaming.url}/download HTTP/1.1\r\nHost: x\r\n\r\n`);
  await download.until((text) => text.includes('the beginning'));
  const tunnel = await RawCaller.connect(sidecar.port);
  tunnel.write(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await tunnel.until((text) => text.includes('\r\n\r\n'));
  tunnel.write('ping');
  await tunnel.until((text) => text.endsWith('ping'));
  const waiting = await RawCaller.connect(sidecar.port);
  waiting.write(`GET ${silent.url}/waiting HTTP/1.1\r\nHost: x\r\n\r\n`);
  await until(() => silent.seen.length === 1, 'the request at the origin');
  t.after(() => [download, tunnel, waiting].forEach((caller) => caller.leave()));

  const signalled = performance.now();
  sidecar.signal('SIGTERM');
  assert.deepEqual(await sidecar.end(), { code: 3, signal: null });
  t.diagnostic(`ended ${(performance.now() - signalled).toFixed(0)} ms after the signal`);

  assert.match(await waiting.untilEnd(), /^HTTP\/1\.1 503 [\s\S]*\r\nProxy-Status: outrigger; error=/);
  assert.match(await download.untilEnd(), /Content-Length: 1000000\r\n[\s\S]*\r\n\r\nthe beginning$/);
  await until(() => tunnel.closed, 'the end of the tunnel');
  assert.equal((await sidecar.line('stopped'))['end'], 'timeout');
  const ends = sidecar.exchanges.map(({ method, path, outcome }) => `${method} ${path ?? ''} ${outcome}`);
  assert.deepEqual(ends.toSorted(), ['CONNECT  truncated', 'GET /download truncated', 'GET /waiting failed']);
});

test('a download that is cut, chunked or by length, is seen by the caller as truncated', async (t) => {
  const origin = await start(t, (request, response) => {
    response.writeHead(200, request.url === '/length' ? { 'Content-Length': '1000000' } : {});
    response.write('the beginning');
  });
  const sidecar = await SidecarProcess.start(t, 'shutdown: { drainTimeout: 100ms }');
  const downloads = ['/length', '/chunked'].map((path) => call(sidecar.port, origin.url + path));
  const ends = Promise.allSettled(downloads);
  await until(() => origin.seen.length === 2, 'the requests at the origin');
  sidecar.signal('SIGTERM');
  for (const end of await ends) {
    assert.equal(end.status, 'rejected');
    assert.equal(end.reason.code, 'ECONNRESET');
  }
  assert.equal((await sidecar.end()).code, 3);
  assert.deepEqual(
    sidecar.exchanges.map(({ outcome }) => outcome),
    ['truncated', 'truncated'],
  );
});

test('a second signal ends at once, with exit code 1, and still logs what it cut', async (t) => {
  const origin = await start(t, () => {});
  const sidecar = await SidecarProcess.start(t, 'shutdown: { drainTimeout: 1h }');
  const caller = await RawCaller.connect(sidecar.port);
  t.after(() => caller.leave());
  caller.write(`GET ${origin.url}/waiting HTTP/1.1\r\nHost: x\r\n\r\n`);
  await until(() => origin.seen.length === 1, 'the request at the origin');
  sidecar.signal('SIGTERM');
  await sidecar.line('draining');
  const signalled = performance.now();
  sidecar.signal('SIGINT');
  assert.deepEqual(await sidecar.end(2_000), { code: 1, signal: null });
  t.diagnostic(`ended ${(performance.now() - signalled).toFixed(0)} ms after the second signal`);
  assert.equal((await sidecar.line('stopped'))['end'], 'signal');
  assert.deepEqual(
    sidecar.exchanges.map(({ path }) => path),
    ['/waiting'],
  );
});

test('the same signal twice in a moment, as Ctrl-C under npm sends it, is one wish to drain', async (t) => {
  const origin = await start(t);
  const sidecar = await SidecarProcess.start(t, 'shutdown: { drainTimeout: 1h, quiet: 100ms }');
  const caller = await RawCaller.connect(sidecar.port);
  t.after(() => caller.leave());
  sidecar.signal('SIGINT');
  await sidecar.line('draining');
  sidecar.signal('SIGINT');
  caller.write(`GET ${origin.url}/still HTTP/1.1\r\nHost: x\r\n\r\n`);
  assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 200 /);
  caller.leave();
  assert.deepEqual(await sidecar.end(5_000), { code: 0, signal: null });
  assert.equal((await sidecar.line('stopped'))['end'], 'quiet');
});

test('the admin listener tells of life, readiness, metrics and origins', async (t) => {
  const origin = await start(t);
  const sidecar = await SidecarProcess.start(t);
  await call(sidecar.port, origin.url);
  await call(sidecar.port, 'http://192.168.255.255/');
  assert.deepEqual(await sidecar.ask('/livez'), {
    status: 200,
    type: 'text/plain; charset=utf-8',
    body: 'ok\n',
  });
  const ready = await sidecar.ask('/readyz');
  assert.equal(ready.status, 200);
  assert.equal(JSON.parse(ready.body).ready, true);

  const metrics = await sidecar.ask('/metrics');
  assert.match(metrics.type, /^text\/plain; version=0\.0\.4/);
  const key = `http://127.0.0.1:${origin.port}`;
  for (const sample of [
    'outrigger_exchanges_total{route="default",method="GET",status="200",outcome="completed"} 1',
    'outrigger_exchanges_total{route="default",method="GET",status="403",outcome="refused"} 1',
    'outrigger_errors_total{route="default",error="destination_ip_prohibited"} 1',
    `outrigger_circuit_state{origin="${key}"} 0`,
    `outrigger_pool_queue{origin="${key}"} 0`,
    'outrigger_tunnels 0',
  ]) {
    assert.ok(metrics.body.includes(`\n${sample}\n`), `${sample} in ${metrics.body}`);
  }
  assert.match(metrics.body, /^outrigger_build_info\{.*version="\d+\.\d+\.\d+".*\} 1$/m);
  assert.match(metrics.body, /^process_resident_memory_bytes \d+$/m);

  const origins = JSON.parse((await sidecar.ask('/origins')).body).origins as Record<string, unknown>[];
  const one = origins.find((each) => each['origin'] === key);
  assert.deepEqual(
    [one?.['connections'], one?.['queue'], one?.['circuit'], one?.['limit']],
    [{ busy: 0, idle: 1, connecting: 0, closing: 0 }, 0, 'closed', 64],
  );
});

test('the telemetry listener has metrics, life and readiness, and nothing that tells of origins', async (t) => {
  const sidecar = await SidecarProcess.start(t, 'listen: { telemetry: "127.0.0.1:0" }');
  const port = sidecar.telemetryPort as number;
  for (const path of ['/metrics', '/livez', '/readyz'])
    assert.equal((await sidecar.ask(path, port)).status, 200);
  for (const path of ['/origins', '/']) assert.equal((await sidecar.ask(path, port)).status, 404);
  sidecar.signal('SIGTERM');
  await sidecar.line('draining');
  assert.equal((await sidecar.ask('/readyz', port)).status, 503);
});

test('a reader of the log that goes away stops neither traffic nor the end', async (t) => {
  const origin = await start(t);
  const sidecar = await SidecarProcess.start(t, 'shutdown: { quiet: 10ms }');
  const agent = keeping(t);
  await call(sidecar.port, origin.url, { agent });
  sidecar.child.stdout?.destroy();
  for (let n = 0; n < 50; n++) assert.equal((await call(sidecar.port, origin.url, { agent })).status, 200);
  await metric(sidecar, /^outrigger_log_lines_dropped_total [1-9]/m);
  assert.equal((await call(sidecar.port, origin.url, { agent })).status, 200);
  agent.destroy();
  sidecar.signal('SIGTERM');
  await once(sidecar.child, 'exit');
  assert.equal(sidecar.child.exitCode, 0);
  assert.equal(sidecar.stderr, '');
});

test('a reader of the log that stands still stops neither traffic nor the end', async (t) => {
  const origin = await start(t, answer(200, 'ok'));
  // Long lines, to fill whatever lies between.
  const path = `/${'x'.repeat(4_000)}`;
  const sidecar = await SidecarProcess.start(t, 'shutdown: { quiet: 10ms }');
  sidecar.child.stdout?.pause();
  const agent = keeping(t);
  for (let n = 0; n < 2_000; n++) {
    assert.equal((await call(sidecar.port, origin.url + path, { agent })).status, 200);
  }
  await metric(sidecar, /^outrigger_log_lines_dropped_total [1-9]/m);
  agent.destroy();
  const signalled = performance.now();
  sidecar.signal('SIGTERM');
  await once(sidecar.child, 'exit');
  t.diagnostic(`ended ${(performance.now() - signalled).toFixed(0)} ms after the signal`);
  assert.equal(sidecar.child.exitCode, 0);
});

/** Resolves once the metrics say so. */
async function metric(sidecar: SidecarProcess, pattern: RegExp): Promise<void> {
  let body = '';
  const end = performance.now() + 10_000;
  do {
    ({ body } = await sidecar.ask('/metrics'));
    if (pattern.test(body)) return;
  } while (performance.now() < end);
  throw new Error(`waited in vain for ${pattern} in ${body}`);
}
