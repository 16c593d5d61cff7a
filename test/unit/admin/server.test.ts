import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Operations } from '../../../src/admin/routes.ts';
import { AdminServer, type AdminServerOptions } from '../../../src/admin/server.ts';
import type { OriginSnapshot } from '../../../src/telemetry/snapshot.ts';
import { until } from '../../support/until.ts';

const TOKEN = 'aZ09-._~+/aZ09-._~+/==';

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
    ready: () => ({ ready: true, state: { draining: false }, detail: { exchanges: 0 } }),
    metrics: async () => ({ body: 'up 1\n', contentType: 'text/plain; version=0.0.4' }),
    origins: () => [origin],
    operations: null,
    paths: 'all',
    token: null,
    hosts: [],
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
  options: { method?: string; headers?: Record<string, string>; agent?: Agent; body?: string } = {},
): Promise<Got> {
  const { body: sent, ...rest } = options;
  const outgoing = request({ host: '127.0.0.1', port, path, ...rest });
  outgoing.end(sent);
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
  const readiness = () => ({ ready, state: { draining: !ready }, detail: { exchanges: 3 } });
  const { port } = await serve(t, { ready: readiness });
  assert.deepEqual(JSON.parse((await ask(port, '/readyz')).body), {
    ready: true,
    draining: false,
    exchanges: 3,
  });
  ready = false;
  const { status, headers, body } = await ask(port, '/readyz');
  assert.deepEqual([status, headers['content-type']], [503, 'application/json']);
  assert.deepEqual(JSON.parse(body), { ready: false, draining: true, exchanges: 3 });
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

test('where nothing is to be done no method but GET and HEAD is taken, CONNECT included', async (t) => {
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

test('the telemetry listener has three paths under every name, and its readiness is a yes or no', async (t) => {
  const { port } = await serve(t, { paths: 'telemetry' });
  const headers = { host: '10.1.2.3:9464' };
  const { status, body } = await ask(port, '/nothing', { headers });
  assert.equal(status, 404);
  const paths = [...body.matchAll(/^GET (\S+)/gm)].map(([, path]) => path);
  assert.deepEqual(paths, ['/livez', '/readyz', '/metrics']);
  for (const path of ['/metrics', '/livez', '/readyz']) {
    assert.equal((await ask(port, path, { headers })).status, 200);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'])
      assert.equal((await ask(port, path, { headers, method })).status, 405, `${method} ${path}`);
  }
  const elsewhere = [
    '/',
    '/origins',
    '/config',
    '/explain',
    '/exchanges',
    '/reload',
    '/drain',
    '/metrics/',
    '/debug/pprof',
  ];
  for (const path of elsewhere) {
    for (const method of ['GET', 'POST']) {
      const got = await ask(port, path, { headers, method });
      assert.equal(got.status, 404, `${method} ${path}`);
      assert.doesNotMatch(got.body, /origins/);
    }
  }
  assert.deepEqual(JSON.parse((await ask(port, '/readyz', { headers })).body), {
    ready: true,
    draining: false,
  });
});

test('with a token everything but the probes needs it, in the one header where it belongs', async (t) => {
  const { port } = await serve(t, { token: TOKEN });
  const wrong = [
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: 'Bearer ' },
    { authorization: TOKEN },
    { authorization: `Basic ${Buffer.from(`:${TOKEN}`).toString('base64')}` },
    { authorization: `Bearer ${TOKEN}x` },
    { authorization: `Bearer ${TOKEN.slice(0, -1)}` },
    { authorization: `Bearer ${TOKEN.toUpperCase()}` },
    { authorization: `Bearer ${TOKEN} ${TOKEN}` },
    { authorization: `Bearer ${TOKEN}, Bearer x` },
    { cookie: `token=${TOKEN}` },
    { 'proxy-authorization': `Bearer ${TOKEN}` },
  ];
  for (const path of ['/', '/metrics', '/origins', '/nothing', `/metrics?access_token=${TOKEN}`]) {
    for (const headers of wrong as Record<string, string>[]) {
      for (const method of ['GET', 'HEAD', 'POST']) {
        const got = await ask(port, path, { headers, method });
        assert.equal(got.status, 401, `${method} ${path} ${JSON.stringify(headers)}`);
        assert.match(got.headers['www-authenticate'] ?? '', /^Bearer realm="outrigger"/);
        assert.doesNotMatch(got.body, /a\.example|up 1|origins/);
      }
    }
    const headers = { authorization: `bearer  ${TOKEN}` };
    assert.notEqual((await ask(port, path, { headers })).status, 401, path);
  }
  assert.equal((await ask(port, '/livez')).status, 200);
  assert.deepEqual(JSON.parse((await ask(port, '/readyz')).body), { ready: true, draining: false });
  const known = await ask(port, '/readyz', { headers: { authorization: `Bearer ${TOKEN}` } });
  assert.deepEqual(JSON.parse(known.body), { ready: true, draining: false, exchanges: 0 });
});

test('a token opens nothing to DNS rebinding but under the listed names', async (t) => {
  const { port } = await serve(t, { token: TOKEN, hosts: ['outrigger.internal'] });
  const authorization = `Bearer ${TOKEN}`;
  const as = (host: string) => ask(port, '/origins', { headers: { host, authorization } });
  assert.equal((await as('evil.example')).status, 403);
  assert.equal((await as('outrigger.internal')).status, 200);
  assert.equal((await as(`outrigger.internal:${port}`)).status, 200);
});

test('what a browser sends for another site is refused, whatever it asks', async (t) => {
  const { port } = await serve(t);
  const foreign: Record<string, string>[] = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `http://localhost.evil.example:${port}` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', origin: `http://127.0.0.1:${port}` },
  ];
  for (const headers of foreign) {
    for (const [method, path] of [
      ['GET', '/origins'],
      ['POST', '/livez'],
      ['OPTIONS', '/'],
    ] as const)
      assert.equal((await ask(port, path, { method, headers })).status, 403, JSON.stringify(headers));
  }
  const own: Record<string, string>[] = [
    { origin: `http://127.0.0.1:${port}` },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'same-origin' },
  ];
  for (const headers of own) assert.equal((await ask(port, '/origins', { headers })).status, 200);
});

test('two Hosts or two Authorizations are refused, though one of them is right', async (t) => {
  const { port } = await serve(t, { token: TOKEN });
  for (const lines of [
    'Host: localhost\r\nHost: evil.example',
    'Host: evil.example\r\nHost: localhost',
    `Host: localhost\r\nAuthorization: Bearer ${TOKEN}\r\nAuthorization: Bearer x`,
  ]) {
    const { socket, heard } = await raw(
      t,
      port,
      `GET /livez HTTP/1.1\r\n${lines}\r\nConnection: close\r\n\r\n`,
    );
    await once(socket, 'close');
    assert.match(heard(), /^HTTP\/1\.1 400 /, lines);
  }
});

test('a request body is neither invited nor read', async (t) => {
  const { port } = await serve(t);
  for (const head of [
    'GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n',
    'GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n',
    'GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n',
  ]) {
    const { socket, heard } = await raw(t, port, head);
    await once(socket, 'close');
    assert.match(heard(), /^HTTP\/1\.1 413 [\s\S]*\r\nConnection: close\r\n/);
    assert.doesNotMatch(heard(), /100 Continue/);
  }
});

test('lenient framing is refused, whatever NODE_OPTIONS would allow', async (t) => {
  const { port } = await serve(t);
  for (const message of [
    'GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n',
    'GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n',
    'GET /livez HTTP/1.1\r\nHost: localhost\r\n X: folded\r\n\r\n',
    'GET /livez\r\n\r\n',
    'GET /livez HTTP/2.0\r\nHost: localhost\r\n\r\n',
  ]) {
    const { socket, heard } = await raw(t, port, message);
    await once(socket, 'close');
    assert.match(heard(), /^HTTP\/1\.1 400 /, JSON.stringify(message));
  }
});

test('who sends its head slowly, or does not read its answer, is cut within seconds', async (t) => {
  const page = 'x'.repeat(64 * 1024 * 1024);
  const { port } = await serve(t, { metrics: async () => ({ body: page, contentType: 'text/plain' }) });
  // The listener's own ends, in the order in which they came.
  const accepted: Socket[] = [];
  const accept = (message: unknown): void => void accepted.push((message as { socket: Socket }).socket);
  subscribe('net.server.socket', accept);
  t.after(() => unsubscribe('net.server.socket', accept));
  await raw(t, port, '');
  const slow = await raw(t, port, 'GET /livez HTTP/1.1\r\nX: ');
  const trickle = setInterval(() => slow.socket.write('x'), 200);
  t.after(() => clearInterval(trickle));
  const deaf = connect(port, '127.0.0.1');
  t.after(() => deaf.destroy());
  deaf.on('error', () => {});
  deaf.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n');
  deaf.pause();
  await until(() => accepted.length === 3, 'the three connections');
  await until(() => accepted.every((socket) => socket.destroyed), 'the end of all three', 15_000);
});

test('no answer may be stored, framed, sniffed or read by another site', async (t) => {
  const { port } = await serve(t);
  const answers = [
    await ask(port, '/origins', { headers: { origin: 'https://evil.example' } }),
    await ask(port, '/nothing'),
    await ask(port, '/livez', { method: 'POST' }),
    await ask(port, '/livez', { headers: { host: 'evil.example' } }),
    await ask((await serve(t, { token: TOKEN })).port, '/origins'),
    await ask((await serve(t, { paths: 'telemetry' })).port, '/metrics'),
  ];
  for (const { headers } of answers) {
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['content-security-policy'], "default-src 'none'; frame-ancestors 'none'");
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
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
    ready: () => ({ ready: true, state: {}, detail: {} }),
    metrics: async () => ({ body: '', contentType: '' }),
    origins: () => [],
    operations: null,
  };
  const server = new AdminServer({ ...sources, paths: 'all', token: null, hosts: [] });
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

const ID = '01a2058b/%<>';

/** What an operator did, in order. */
function operations(done: string[]): Operations {
  return {
    config: () => ({
      yaml: 'limits: {}\n',
      values: { limits: {} },
      from: { limits: 'default' },
      restart: ['log.format'],
    }),
    explain: (query) =>
      query === 'url=http%3A%2F%2Fa%2F'
        ? { status: 200, value: { route: 'a' } }
        : { status: 400, problem: 'url is missing' },
    exchanges: () => [],
    timelines: (id) => (id === ID ? [{ requestId: id }] : []),
    reload: async () => {
      done.push('reload');
      return done.length > 1
        ? { ok: false, problems: ['a.yaml:1:1: no'] }
        : { ok: true, changed: ['limits.exchanges'], restart: [], warnings: [] };
    },
    drain: () => void done.push('drain'),
    force: (key, state) => {
      if (key === 'http://b.example:80') return 'no circuit';
      if (key !== origin.origin) return 'unknown';
      done.push(`circuit ${state}`);
      return origin;
    },
  };
}

const JSON_BODY = { 'content-type': 'application/json' };
const CIRCUIT = `/origins/${encodeURIComponent(origin.origin)}/circuit`;

test('what an operator may do is done by POST, with JSON or without a body', async (t) => {
  const done: string[] = [];
  const { port } = await serve(t, { operations: operations(done) });
  const reloaded = await ask(port, '/reload', { method: 'POST' });
  assert.equal(reloaded.status, 200);
  assert.deepEqual(JSON.parse(reloaded.body), {
    reloaded: true,
    changed: ['limits.exchanges'],
    restart: [],
    warnings: [],
  });
  assert.equal((await ask(port, '/drain', { method: 'POST', headers: JSON_BODY })).status, 202);
  const refused = await ask(port, '/reload', { method: 'POST', headers: JSON_BODY, body: '{}' });
  assert.equal(refused.status, 422);
  assert.deepEqual(JSON.parse(refused.body), { reloaded: false, problems: ['a.yaml:1:1: no'] });
  const force = (path: string, body: string): Promise<Got> =>
    ask(port, path, { method: 'POST', headers: { 'content-type': 'application/json; charset=utf-8' }, body });
  for (const state of ['open', 'closed', 'auto']) {
    const { status, body } = await force(CIRCUIT, JSON.stringify({ state }));
    assert.deepEqual([status, JSON.parse(body)], [200, origin]);
  }
  assert.deepEqual(done, ['reload', 'drain', 'reload', 'circuit open', 'circuit closed', 'circuit auto']);
  const unknown = encodeURIComponent('http://c.example:80');
  assert.equal((await force(`/origins/${unknown}/circuit`, '{"state":"open"}')).status, 404);
  const without = encodeURIComponent('http://b.example:80');
  assert.equal((await force(`/origins/${without}/circuit`, '{"state":"open"}')).status, 409);
  for (const body of ['{"state":"ajar"}', '{}', '[]', 'null', '"open"', ''])
    assert.equal((await force(CIRCUIT, body)).status, 422, body);
  for (const body of ['{', 'state=open']) assert.equal((await force(CIRCUIT, body)).status, 400, body);
  assert.equal(done.length, 6);
});

test('nothing is done by GET, for another site, in another type, with a large body, or without the token', async (t) => {
  const done: string[] = [];
  const open = await serve(t, { operations: operations(done) });
  const guarded = await serve(t, { operations: operations(done), token: TOKEN });
  for (const path of ['/reload', '/drain', CIRCUIT]) {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await ask(open.port, path, { method });
      assert.deepEqual([status, headers.allow], [405, 'POST'], `${method} ${path}`);
    }
    const refused: readonly (readonly [number, Record<string, string>, string])[] = [
      [403, { ...JSON_BODY, origin: 'https://evil.example' }, '{"state":"open"}'],
      [403, { ...JSON_BODY, origin: 'null' }, '{"state":"open"}'],
      [403, { ...JSON_BODY, 'sec-fetch-site': 'cross-site' }, '{"state":"open"}'],
      [403, { ...JSON_BODY, 'sec-fetch-site': 'same-site' }, '{"state":"open"}'],
      [403, { ...JSON_BODY, host: 'evil.example' }, '{"state":"open"}'],
      // What a form or a simple request can send without being asked first.
      [415, { 'content-type': 'text/plain' }, '{"state":"open"}'],
      [415, { 'content-type': 'text/plain' }, ''],
      [415, { 'content-type': 'application/x-www-form-urlencoded' }, 'state=open'],
      [415, { 'content-type': 'multipart/form-data; boundary=x' }, '--x--'],
      [415, { 'content-type': 'application/jsonp' }, '{}'],
      [415, {}, '{"state":"open"}'],
      [413, { ...JSON_BODY, 'content-length': '65537' }, 'x'.repeat(65_537)],
      [413, { ...JSON_BODY, 'transfer-encoding': 'chunked' }, 'x'.repeat(65_537)],
    ];
    for (const [expected, headers, body] of refused) {
      const { status } = await ask(open.port, path, { method: 'POST', headers, body });
      assert.equal(status, expected, `${path} ${JSON.stringify(headers)}`);
    }
    for (const authorization of [{}, { authorization: `Bearer ${TOKEN}x` }]) {
      const headers = { ...JSON_BODY, ...authorization };
      const { status } = await ask(guarded.port, path, { method: 'POST', headers, body: '{"state":"open"}' });
      assert.equal(status, 401, path);
    }
    const telemetry = await serve(t, { operations: operations(done), paths: 'telemetry' });
    assert.equal((await ask(telemetry.port, path, { method: 'POST' })).status, 404);
  }
  assert.deepEqual(done, []);
  const headers = { ...JSON_BODY, authorization: `Bearer ${TOKEN}` };
  assert.equal((await ask(guarded.port, '/reload', { method: 'POST', headers })).status, 200);
});

test('the configuration is text, or JSON for who asks for it, and an exchange is found by its ID', async (t) => {
  const { port } = await serve(t, { operations: operations([]) });
  const { body, headers } = await ask(port, '/config');
  assert.equal(body, '# after a restart only: log.format\nlimits: {}\n');
  assert.equal(headers['content-type'], 'text/plain; charset=utf-8');
  assert.deepEqual(JSON.parse((await ask(port, '/config?format=json')).body), {
    config: { limits: {} },
    from: { limits: 'default' },
    restart: ['log.format'],
  });
  assert.deepEqual(JSON.parse((await ask(port, '/exchanges')).body), { exchanges: [] });
  const found = await ask(port, `/exchanges/${encodeURIComponent(ID)}`);
  assert.deepEqual(JSON.parse(found.body), { exchanges: [{ requestId: ID }] });
  for (const path of ['/exchanges/other', '/exchanges/', '/exchanges/%ff', '/exchanges/a/b', '/exchanges/*'])
    assert.equal((await ask(port, path)).status, 404, path);
});

test('a request is explained, or what is wrong with the question is', async (t) => {
  const { port } = await serve(t, { operations: operations([]) });
  const explained = await ask(port, '/explain?url=http://a/');
  assert.deepEqual([explained.status, JSON.parse(explained.body)], [200, { route: 'a' }]);
  const unclear = await ask(port, '/explain');
  assert.deepEqual([unclear.status, unclear.body], [400, 'url is missing\n']);
  assert.equal((await ask(port, '/explain?url=http://a/', { method: 'POST' })).status, 405);
});

test('a token that is exchanged counts from the next request on', async (t) => {
  const { port, server } = await serve(t, { token: TOKEN });
  const other = TOKEN.replace('aZ', 'bZ');
  const status = async (token: string): Promise<number> =>
    (await ask(port, '/origins', { headers: { authorization: `Bearer ${token}` } })).status;
  assert.deepEqual([await status(TOKEN), await status(other)], [200, 401]);
  server.setAskers(other, []);
  assert.deepEqual([await status(TOKEN), await status(other)], [401, 200]);
});
