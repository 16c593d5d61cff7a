import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { answerOf, Http2Caller } from '../support/http2-caller.ts';
import { answer, readBody } from '../support/origin.ts';
import { grant, TokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

/** Asks the admin listener. */
async function ask(
  cast: Cast,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; body: string }> {
  const response = await fetch(cast.sidecar.adminUrl + path, {
    ...options,
    headers: { connection: 'close', ...options.headers },
  });
  return { status: response.status, body: await response.text() };
}

async function reload(
  cast: Cast,
  yaml: string,
): Promise<{ changed: readonly string[]; restart: readonly string[] }> {
  const result = await cast.sidecar.reload(yaml);
  assert.ok(result.ok, JSON.stringify(result));
  return result;
}

const route = (host: string, more: string): string =>
  `routes: [{ name: api, match: { hosts: [${host}] }, ${more} }]`;

test('the next request on a connection that is kept alive meets the new routes, the one under way its own', () =>
  stage(route('127.0.0.1', 'policy: { headers: { request: { set: { X-Was: before } } } }'), async (cast) => {
    const held: (() => void)[] = [];
    const origin = await cast.origin((request, response) => {
      const reply = () => response.end(String(request.headers['x-was'] ?? 'none'));
      if (request.url === '/held') held.push(reply);
      else reply();
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    cast.atEnd(() => agent.destroy());
    assert.equal((await cast.call(`${origin.url}/`, { agent })).text, 'before');
    const underway = cast.call(`${origin.url}/held`);
    await until(() => held.length === 1, 'the request at the origin');

    const { changed } = await reload(
      cast,
      route('127.0.0.1', 'policy: { headers: { request: { set: { X-Was: after } } } }').replace(
        'api',
        'other',
      ),
    );
    assert.deepEqual(
      changed.filter((path) => path.includes('name')),
      ['routes.api.name', 'routes.other.name'],
    );
    assert.equal((await cast.call(`${origin.url}/`, { agent })).text, 'after');
    held[0]?.();
    assert.equal((await underway).text, 'before');
    assert.deepEqual((await cast.sidecar.line(3), cast.sidecar.exchanges.map((line) => line.route)), [
      'api',
      'other',
      'api',
    ]);
    assert.equal(origin.connections.total, 2, 'the connection of the origin was kept, too');
  }));

test('connections, circuits and what an operator said of them live on where their policy is the same', () =>
  stage('policy: { breaker: { minimumCalls: 2, openFor: 60s }, retry: { attempts: 1 } }', async (cast) => {
    const [failing, good] = [await cast.origin(answer(500)), await cast.origin(answer(200))];
    await cast.call(failing.url);
    await cast.call(failing.url);
    await cast.call(good.url);
    await until(() => cast.sidecar.origin(failing.url)?.circuit === 'open', 'the circuit to open');
    const forced = await ask(cast, `/origins/${encodeURIComponent(good.url)}/circuit`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"state":"open"}',
    });
    assert.equal(forced.status, 200);
    assert.equal((await cast.call(good.url)).status, 503);

    const same =
      'policy: { breaker: { minimumCalls: 2, openFor: 60s }, retry: { attempts: 1 }, timeouts: { head: 7s } }';
    await reload(cast, same);
    assert.equal(cast.sidecar.origin(failing.url)?.circuit, 'open');
    assert.equal((await cast.call(failing.url)).status, 503);
    assert.equal(cast.sidecar.origin(good.url)?.connections.idle, 1);

    await reload(cast, same.replace('60s', '50s'));
    assert.equal((await cast.call(failing.url)).status, 500, 'another breaker begins closed');
    assert.equal((await cast.call(good.url)).status, 503, "an operator's word holds for it all the same");
    assert.equal(cast.sidecar.origin(failing.url)?.circuitOpenings, 1, 'a counter never goes back');
    assert.equal(failing.connections.total + good.connections.total, 2);
  }));

test('a request inside a tunnel that is open meets the new access when it comes', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'in'));
    const tunnels = `access: { tunnelPorts: [${origin.port}] }`;
    await reload(cast, tunnels);
    const raw = await cast.raw(3);
    raw.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await raw.until((text) => text.includes('\r\n\r\n'));
    const request = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n\r\n`;
    raw.write(request);
    await raw.until((text) => text.endsWith('in\r\n0\r\n\r\n'));
    await reload(cast, `{ ${tunnels}, ${route('127.0.0.1', 'access: deny')} }`);
    raw.write(request);
    await raw.until((text) => text.includes('http_request_denied'));
    assert.equal(origin.seen.length, 1);
  }));

test('a request inside a tunnel that is open is of nobody once what opened it is no longer right', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'in'));
    const settings = (password: string): string =>
      `{ access: { clients: known, tunnelPorts: [${origin.port}] }, ` +
      `clients: [{ name: job, username: job, password: ${password} }] }`;
    await reload(cast, settings('first'));
    const raw = await cast.raw(3);
    const shown = `Proxy-Authorization: Basic ${Buffer.from('job:first').toString('base64')}`;
    raw.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n${shown}\r\n\r\n`);
    await raw.until((text) => text.includes('\r\n\r\n'));
    const request = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n\r\n`;
    raw.write(request);
    await raw.until((text) => text.endsWith('in\r\n0\r\n\r\n'));
    await reload(cast, settings('second'));
    raw.write(request);
    await raw.until((text) => text.includes('http_request_denied'));
    assert.equal(origin.seen.length, 1);
  }));

test('an open tunnel, an upload and a wait for a retry go on, each by what it began with', () =>
  stage('policy: { retry: { attempts: 2, backoff: { initial: 50ms, max: 50ms } } }', async (cast) => {
    const origin = await cast.origin((request, response, seen) => {
      if (request.url === '/upload') readBody(request, seen, () => response.end(seen.body));
      else
        answer(origin.seen.filter(({ url }) => url === request.url).length > 1 ? 200 : 503)(
          request,
          response,
          seen,
        );
    });
    const echo = await cast.rawOrigin((socket) => socket.pipe(socket));
    const open = `access: { tunnelPorts: [${echo.port}], tunnelProtocols: [other] }`;
    await reload(
      cast,
      `{ ${open}, policy: { retry: { attempts: 2, backoff: { initial: 50ms, max: 50ms } } } }`,
    );
    const tunnel = await cast.raw();
    tunnel.write(`CONNECT 127.0.0.1:${echo.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await tunnel.until((text) => text.includes('\r\n\r\n'));
    tunnel.write('ping one.');
    await tunnel.until((text) => text.endsWith('ping one.'));
    const upload = await cast.raw();
    upload.write(
      `POST ${origin.url}/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`,
    );
    await until(() => origin.seen.length === 1, 'the upload at the origin');
    const retried = cast.call(`${origin.url}/twice`);
    await until(() => origin.seen.length === 2, 'the first attempt');

    await reload(
      cast,
      '{ access: { default: deny }, policy: { retry: { attempts: 1 } }, limits: { exchanges: 1 } }',
    );
    assert.equal((await cast.call(`${origin.url}/new`)).status, 403);
    assert.equal((await retried).status, 200);
    tunnel.write('ping two.');
    await tunnel.until((text) => text.endsWith('ping two.'));
    upload.write('3\r\ndef\r\n0\r\n\r\n');
    await upload.until((text) => text.includes('abcdef'));
  }));

test('an invalid file leaves everything as it is, and says so in the log, the metrics, readiness and the answer', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200));
    const config = async (): Promise<Record<string, unknown>> =>
      JSON.parse((await ask(cast, '/readyz')).body).config;
    const before = await config();
    cast.sidecar.write(
      '{ access: { default: deny }, limits: { exchange: 3 }, policy: { retry: { attempts: 0 } } }',
    );
    const { status, body } = await ask(cast, '/reload', { method: 'POST' });
    assert.equal(status, 422);
    const { reloaded, problems } = JSON.parse(body);
    assert.equal(reloaded, false);
    assert.equal(problems.length, 2);
    assert.match(
      problems[0],
      /test\.yaml:1:\d+: unknown key "exchange" in limits; did you mean "exchanges"\?/,
    );
    assert.match(problems[1], /test\.yaml:1:\d+: policy\.retry\.attempts must be/);

    assert.equal((await cast.call(origin.url)).status, 200);
    assert.deepEqual(await config(), { ...before, problem: problems.join('\n') });
    assert.equal((await ask(cast, '/readyz')).status, 200);
    const line = cast.sidecar.lines.find((one) => one.includes('was not reloaded'));
    assert.deepEqual(JSON.parse(line as string).problems, problems);
    const metrics = (await ask(cast, '/metrics')).body;
    assert.match(metrics, /^outrigger_config_reloads_total\{result="failure"\} 1$/m);

    await reload(cast, 'access: { default: deny }');
    assert.equal((await cast.call(origin.url)).status, 403);
    const after = await config();
    assert.equal(after['problem'], null);
    assert.notEqual(after['hash'], before['hash']);
  }));

test('what cannot change while it runs is named, and the rest counts', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200));
    const yaml =
      '{ listen: { proxy: "127.0.0.1:9", telemetry: "127.0.0.1:0" }, log: { format: pretty }, access: { default: deny } }';
    const { restart } = await reload(cast, yaml);
    assert.deepEqual(restart, ['listen.proxy', 'listen.telemetry', 'log.format']);
    assert.equal((await cast.call(origin.url)).status, 403);
    const again = await reload(cast, yaml);
    assert.deepEqual(again, { ...again, changed: [], restart }, 'until the restart it is said each time');
  }));

test('the limit on exchanges shrinks and grows while they are under way, and cuts none', () =>
  stage('limits: { exchanges: 2 }', async (cast) => {
    const held: (() => void)[] = [];
    const origin = await cast.origin((_request, response) => void held.push(() => response.end('done')));
    const first = [cast.call(origin.url), cast.call(origin.url)];
    await until(() => held.length === 2, 'both at the origin');
    await reload(cast, 'limits: { exchanges: 1 }');
    assert.equal((await cast.call(origin.url)).status, 503);
    held[0]?.();
    await Promise.race(first);
    assert.equal((await cast.call(origin.url)).status, 503, 'one is under way, as many as may be');
    await reload(cast, 'limits: { exchanges: 3 }');
    const more = [cast.call(origin.url), cast.call(origin.url)];
    await until(() => held.length === 4, 'two more at the origin');
    for (const end of held) end();
    for (const { status } of await Promise.all([...first, ...more])) assert.equal(status, 200);
  }));

test('a client keeps the count of what it has in flight', () =>
  stage('clients: [{ name: job, addresses: [127.0.0.1], exchanges: 1 }]', async (cast) => {
    const held: (() => void)[] = [];
    const origin = await cast.origin((_request, response) => void held.push(() => response.end('done')));
    const first = cast.call(origin.url);
    await until(() => held.length === 1, 'the first at the origin');
    await reload(
      cast,
      '{ clients: [{ name: job, addresses: [127.0.0.1], exchanges: 1 }], policy: { breaker: null } }',
    );
    assert.equal((await cast.call(origin.url)).status, 503);
    await reload(cast, 'clients: [{ name: job, addresses: [127.0.0.1], exchanges: 2 }]');
    const second = cast.call(origin.url);
    await until(() => held.length === 2, 'the second at the origin');
    for (const end of held) end();
    assert.deepEqual([(await first).status, (await second).status], [200, 200]);
  }));

test('an address that is denied now is not reached by a connection from before', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200));
    await cast.call(origin.url);
    assert.equal(cast.sidecar.origin(origin.url)?.connections.idle, 1);
    await reload(cast, 'access: { addresses: { allow: [], deny: [127.0.0.1/32] } }');
    assert.equal((await cast.call(origin.url)).status, 403);
  }));

test("exceptions of a route are another's no more once they changed, whatever its name", () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200));
    const lists = (list: string): string =>
      `{ access: { addresses: { allow: [10.0.0.0/8] } }, ${route('127.0.0.1', `addresses: { allow: [${list}] }`)} }`;
    await reload(cast, lists('127.0.0.0/8'));
    assert.equal((await cast.call(origin.url)).status, 200);
    const keys = (): string[] => cast.sidecar.sidecar.snapshot().origins.map((one) => one.origin);
    assert.deepEqual(keys(), [`${origin.url}@api~2`]);
    await reload(cast, `{ ${lists('127.0.0.0/8').slice(1, -1)}, limits: { origins: 99 } }`);
    assert.equal((await cast.call(origin.url)).status, 200);
    assert.equal(origin.connections.total, 1, 'equal lists share what they dialled');
    await reload(cast, lists('127.0.0.2/32'));
    assert.deepEqual(keys(), [], 'nobody can ask for it any more');
    assert.equal((await cast.call(origin.url)).status, 403);
  }));

test('a token is kept as long as what it was fetched by is the same', () =>
  stage('', async (cast) => {
    const server = await TokenServer.start(grant(3600));
    cast.atEnd(() => server.close());
    const origin = await cast.origin((request, response) => response.end(request.headers.authorization));
    const oauth2 = (id: string, more = ''): string =>
      `{ ${route('127.0.0.1', `match: { hosts: [127.0.0.1], ports: [${origin.port}] }, credentials: { oauth2: { tokenUrl: "${server.url}", clientId: ${id}, clientSecret: s3cret } }`).replace('match: { hosts: [127.0.0.1] }, ', '')} ${more} }`;
    await reload(cast, oauth2('me'));
    cast.expected++;
    assert.equal((await cast.call(origin.url)).text, 'Bearer t1');
    await reload(cast, oauth2('me', ', policy: { timeouts: { head: 9s } }'));
    assert.equal((await cast.call(origin.url)).text, 'Bearer t1');
    assert.equal(server.asked.length, 1);
    await reload(cast, oauth2('you'));
    cast.expected++;
    assert.equal((await cast.call(origin.url)).text, 'Bearer t2');
    assert.equal(server.asked.length, 2);
  }));

test('the next stream on a connection of HTTP/2 meets the new configuration, the one that is open its own', () =>
  stage('', async (cast) => {
    const held: (() => void)[] = [];
    const origin = await cast.origin((request, response) => {
      if (request.url === '/held') held.push(() => response.end('held'));
      else response.end('at once');
    });
    const caller = await Http2Caller.connect(cast.sidecar.port);
    cast.atEnd(() => caller.leave());
    cast.expected += 3;
    const open = answerOf(caller.open(`${origin.url}/held`, {}, true));
    await until(() => held.length === 1, 'the request at the origin');
    await reload(cast, '{ access: { default: deny }, limits: { targetBytes: 1KiB } }');
    assert.equal((await answerOf(caller.open(`${origin.url}/`, {}, true))).status, 403);
    const long = `${origin.url}/${'x'.repeat(2_000)}`;
    assert.equal((await answerOf(caller.open(long, {}, true))).status, 414);
    held[0]?.();
    assert.deepEqual([(await open).status, (await open).text], [200, 'held']);
  }));

test('reloads that are asked for at once happen one after the other, and the last state counts', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200));
    const asked = ['deny', 'allow', 'deny', 'allow', 'deny'].map((access) =>
      cast.sidecar.reload(`access: { default: ${access} }`),
    );
    for (const result of await Promise.all(asked)) assert.ok(result.ok);
    assert.equal((await cast.call(origin.url)).status, 403);
  }));
