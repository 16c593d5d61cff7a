import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminServer, type AdminServerOptions } from '../../../src/admin/server.ts';
import type { OriginSnapshot } from '../../../src/telemetry/snapshot.ts';

const origin: OriginSnapshot = {
  origin: 'http://a.example:80',
  connections: { busy: 1, idle: 2, connecting: 0, closing: 0 },
  streams: 1,
  protocol: 'http/1.1',
  limit: 64,
  queue: 0,
  circuit: 'closed',
  circuitOpenings: 0,
  lastUsedMs: 12,
};

async function serve(
  t: TestContext,
  options: Partial<AdminServerOptions> = {},
): Promise<{ port: number; server: AdminServer }> {
  const server = new AdminServer({
    ready: () => ({ ready: true, detail: { exchanges: 0 } }),
    metrics: async () => ({ body: 'up 1\n', contentType: 'text/plain; version=0.0.4' }),
    origins: () => [origin],
    paths: 'all',
    ...options,
  });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  return { port, server };
}

interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function ask(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; agent?: Agent } = {},
): Promise<Got> {
  const outgoing = request({ host: '127.0.0.1', port, path, ...options });
  outgoing.end();
  const [response] = await once(outgoing, 'response');
  let body = '';
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode, headers: response.headers, body };
}

/** A connection that says what it is told to and nothing else. */
async function raw(
  t: TestContext,
  port: number,
  text: string,
): Promise<{ socket: Socket; heard: () => string }> {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  let heard = '';
  socket.on('data', (chunk) => (heard += chunk));
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(text);
  return { socket, heard: () => heard };
}

test('every path of the list answers', async (t) => {
  const { port } = await serve(t);
  const list = await ask(port, '/');
  assert.equal(list.status, 200);
  const paths = [...list.body.matchAll(/^GET (\S+)/gm)].map(([, path]) => path as string);
  assert.deepEqual(paths, ['/livez', '/readyz', '/metrics', '/origins', '/']);
  for (const path of paths) assert.equal((await ask(port, path)).status, 200, path);
  assert.equal((await ask(port, '/livez')).body, 'ok\n');
  const metrics = await ask(port, '/metrics?name=up');
  assert.deepEqual([metrics.body, metrics.headers['content-type']], ['up 1\n', 'text/plain; version=0.0.4']);
  assert.deepEqual(JSON.parse((await ask(port, '/origins')).body), { origins: [origin] });
});

test('readiness is told by status and in detail', async (t) => {
  let ready = true;
  const { port } = await serve(t, { ready: () => ({ ready, detail: { draining: !ready } }) });
  assert.deepEqual(JSON.parse((await ask(port, '/readyz')).body), { ready: true, draining: false });
  ready = false;
  const { status, headers, body } = await ask(port, '/readyz');
  assert.deepEqual([status, headers['content-type']], [503, 'application/json']);
  assert.deepEqual(JSON.parse(body), { ready: false, draining: true });
});

test('HEAD has the headers of GET and no body', async (t) => {
  const { port } = await serve(t);
  const got = await ask(port, '/metrics', { method: 'HEAD' });
  assert.deepEqual([got.status, got.headers['content-length'], got.body], [200, '5', '']);
});

test('an unknown path is answered with the list', async (t) => {
  const { port } = await serve(t);
  for (const path of ['/nothing', '/livez/', '//livez', '/%6civez', '/__proto__', 'http://127.0.0.1/livez']) {
    const { status, body } = await ask(port, path);
    assert.equal(status, 404, path);
    assert.match(body, /^GET \/livez/m);
  }
});

test('no method but GET and HEAD is taken, CONNECT included', async (t) => {
  const { port } = await serve(t);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) {
    const { status, headers } = await ask(port, '/livez', { method });
    assert.deepEqual([status, headers.allow], [405, 'GET, HEAD'], method);
  }
  const { socket, heard } = await raw(
    t,
    port,
    'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n',
  );
  await once(socket, 'close');
  assert.match(heard(), /^HTTP\/1\.1 405 [\s\S]*\r\nAllow: GET, HEAD\r\n/);
});

test('a page of another name cannot ask, though its name points here', async (t) => {
  const { port } = await serve(t);
  for (const host of ['evil.example', `evil.example:${port}`, 'localhost.evil.example', '10.0.0.1']) {
    for (const path of ['/', '/metrics', '/origins', '/livez', '/nothing']) {
      const { status, body } = await ask(port, path, { headers: { host } });
      assert.equal(status, 403, host + path);
      assert.doesNotMatch(body, /a\.example:80|up 1/);
    }
  }
  assert.equal((await ask(port, '/livez', { headers: { host: `localhost:${port}` } })).status, 200);
});

test('the telemetry listener answers under every name, and only what Prometheus and the kubelet need', async (t) => {
  const { port } = await serve(t, { paths: 'telemetry' });
  const headers = { host: '10.1.2.3:9464' };
  for (const path of ['/metrics', '/livez', '/readyz'])
    assert.equal((await ask(port, path, { headers })).status, 200);
  for (const path of ['/', '/origins', '/config']) {
    const { status, body } = await ask(port, path, { headers });
    assert.equal(status, 404, path);
    assert.doesNotMatch(body, /origins/);
  }
});

test('no answer may be stored, framed, sniffed or read by another site', async (t) => {
  const { port } = await serve(t);
  const answers = [
    await ask(port, '/origins', { headers: { origin: 'https://evil.example' } }),
    await ask(port, '/nothing'),
    await ask(port, '/livez', { method: 'POST' }),
    await ask(port, '/livez', { headers: { host: 'evil.example' } }),
  ];
  for (const { headers } of answers) {
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['content-security-policy'], "default-src 'none'; frame-ancestors 'none'");
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.ok(!Object.keys(headers).some((name) => name.startsWith('access-control-')));
  }
});

test('what cannot be answered says so without saying why', async (t) => {
  const { port } = await serve(t, { metrics: () => Promise.reject(new Error('c4n4ry')) });
  const { status, body } = await ask(port, '/metrics');
  assert.equal(status, 500);
  assert.doesNotMatch(body, /c4n4ry/);
  assert.equal((await ask(port, '/livez')).status, 200);
});

test('a head that is too large is refused', async (t) => {
  const { port } = await serve(t);
  const { socket, heard } = await raw(
    t,
    port,
    `GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(10_000)}\r\n\r\n`,
  );
  await once(socket, 'close');
  assert.match(heard(), /^HTTP\/1\.1 431 /);
});

test('there are at most 64 connections, and room again once one has gone', async (t) => {
  const { port } = await serve(t);
  const sockets = await Promise.all(Array.from({ length: 64 }, () => raw(t, port, '')));
  const tooMany = connect(port, '127.0.0.1');
  tooMany.on('error', () => {});
  await once(tooMany, 'close');
  sockets[0]?.socket.destroy();
  await sleep(50);
  assert.equal((await ask(port, '/livez')).status, 200);
});

test('close ends idle and silent connections at once', async (t) => {
  const { port, server } = await serve(t);
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  await ask(port, '/livez', { agent });
  await raw(t, port, '');
  await raw(t, port, 'GET /livez HTTP/1.1\r\nHost: loc');
  const startedAt = performance.now();
  await server.close();
  assert.ok(performance.now() - startedAt < 500);
  await assert.rejects(ask(port, '/livez'), { code: 'ECONNREFUSED' });
});

test('close lets an answer under way be finished, and does not wait for one that never is', async (t) => {
  const slow = await serve(t, { metrics: () => sleep(200, { body: 'up 1\n', contentType: 'text/plain' }) });
  const answer = ask(slow.port, '/metrics');
  await sleep(50);
  const closed = slow.server.close();
  assert.equal((await answer).body, 'up 1\n');
  await closed;

  const stuck = await serve(t, { metrics: () => new Promise(() => {}) });
  ask(stuck.port, '/metrics').catch(() => {});
  await sleep(50);
  const startedAt = performance.now();
  await stuck.server.close();
  assert.ok(performance.now() - startedAt < 3000);
});

test('close is harmless before listen and a second time', async () => {
  const sources = {
    ready: () => ({ ready: true, detail: {} }),
    metrics: async () => ({ body: '', contentType: '' }),
    origins: () => [],
  };
  const server = new AdminServer({ ...sources, paths: 'all' });
  await server.close();
  await server.close();
});

test('an address that is taken rejects with the plain error of Node', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const { server } = await serve(t);
  await server.close();
  await assert.rejects(server.listen({ host: '127.0.0.1', port }), {
    code: 'EADDRINUSE',
    port,
    address: '127.0.0.1',
  });
});
