/** Plain HTTP inside a CONNECT has the whole policy, as if it had come in absolute form. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import type { Edges } from '../../src/sidecar.ts';
import type { RawCaller } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import { makeCertificates } from '../support/certificates.ts';
import { helloOfNode } from '../support/client-hello.ts';
import { type Message, messagesOf } from '../support/messages.ts';
import { answer, HttpOrigin, onHead, RawOrigin, type Script } from '../support/origin.ts';
import { until, untilStill } from '../support/until.ts';
import { handshakeOf, SWITCHING } from '../support/web-socket.ts';

const HERE: Edges = { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) };

interface Scene {
  readonly script?: Script;
  readonly yaml?: string;
  /** More keys of `access`. */
  readonly access?: string;
}

async function inside(
  play: (cast: Cast, origin: HttpOrigin) => Promise<void>,
  { script = answer(200, 'hello'), yaml = '', access = '' }: Scene = {},
): Promise<void> {
  const origin = await HttpOrigin.start(script);
  await stage(
    `access: { tunnelPorts: [443, ${origin.port}]${access} }\n${yaml}`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      await play(cast, origin);
    },
    HERE,
  );
}

const connect = (authority: string): string => `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`;
const get = (host: string, path = '/', more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;

/** The 200 to a CONNECT has no body, and no length. */
function parsed(text: string): Message[] {
  const end = text.indexOf('\r\n\r\n') + 4;
  return [...messagesOf(text.slice(0, end)), ...messagesOf(text.slice(end))];
}

/** The last that came is whole, and its body ends so. */
async function answered(caller: RawCaller, body: string): Promise<void> {
  await caller.until((text) => {
    const last = parsed(text).at(-1);
    return last?.whole === true && last.body.trimEnd().endsWith(body);
  }, body);
}

async function opened(cast: Cast, authority: string, exchanges: number): Promise<RawCaller> {
  const caller = await cast.raw(exchanges);
  caller.write(connect(authority));
  assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 200 /);
  return caller;
}

test('a request inside is retried after a 503, has an ID and a line of its own; the line of the CONNECT says what was inside', () => {
  let n = 0;
  return inside(
    async (cast, origin) => {
      const authority = `localhost:${origin.port}`;
      const caller = await opened(cast, authority, 2);
      caller.write(get(authority, '/v1/x?q=1'));
      await answered(caller, 'hello');
      const [, got] = parsed(caller.received);
      const [connected, line] = [await cast.sidecar.line(1), await cast.sidecar.line(2)];
      assert.deepEqual(
        [connected.method, connected.via, connected.status, connected.outcome, connected.reason],
        ['CONNECT', 'tunnel', 200, 'completed', 'plain HTTP inside'],
      );
      assert.deepEqual(
        [line.method, line.via, line.scheme, line.host, line.port, line.path, line.status],
        ['GET', 'forward', 'http', 'localhost', origin.port, '/v1/x', 200],
      );
      assert.equal(line.attempts.length, 2);
      assert.deepEqual(got?.values('x-request-id'), [line.requestId]);
      assert.notEqual(line.requestId, connected.requestId);
      assert.equal(origin.seen[1]?.headers['x-request-id'], line.requestId);
      assert.deepEqual([origin.seen[1]?.url, origin.seen[1]?.headers.host], ['/v1/x?q=1', authority]);
      // The connection that was dialled for the tunnel is closed, and carries nothing.
      await until(() => origin.connections.open.size === 1, 'the connection of the tunnel to be closed');
      assert.equal(origin.connections.total, 2);
      assert.equal(cast.sidecar.sidecar.snapshot().tunnels, 0);
    },
    {
      script: (request, response, seen) => answer(++n === 1 ? 503 : 200, 'hello')(request, response, seen),
      yaml: 'policy: { retry: { backoff: { initial: 1ms } } }',
    },
  );
});

test('a tunnel for plain HTTP gives its connection back: with a single one the request inside has it', () =>
  inside(
    async (cast, origin) => {
      const authority = `localhost:${origin.port}`;
      for (let i = 0; i < 3; i++) {
        const caller = await cast.raw(2);
        caller.write(connect(authority)).write(get(authority));
        await answered(caller, 'hello');
        caller.leave();
      }
      assert.equal(origin.connections.most, 1);
    },
    { yaml: 'limits: { connections: 1 }\npolicy: { pool: { connections: 1 } }' },
  ));

test('requests inside keep the connection, and pipelined ones are answered in order', () =>
  inside(
    async (cast, origin) => {
      const authority = `localhost:${origin.port}`;
      const caller = await opened(cast, authority, 7);
      for (const path of ['/1', '/2']) {
        caller.write(get(authority, path));
        await answered(caller, path);
      }
      caller.write(['/3', '/4', '/5', '/6'].map((path) => get(authority, path)).join(''));
      await answered(caller, '/6');
      assert.deepEqual(
        parsed(caller.received)
          .slice(1)
          .map(({ body }) => body),
        ['/1', '/2', '/3', '/4', '/5', '/6'],
      );
      assert.ok(!caller.ended);
    },
    { script: (request, response) => response.end(request.url) },
  ));

test('a body inside arrives whole, and a POST as such', () =>
  inside(
    async (cast, origin) => {
      const authority = `localhost:${origin.port}`;
      const caller = await opened(cast, authority, 2);
      caller.write(
        `POST /up HTTP/1.1\r\nHost: ${authority}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
      );
      await until(() => origin.seen.length === 1, 'the head at the origin');
      caller.write('6\r\n again\r\n0\r\n\r\n');
      await answered(caller, 'took it');
      assert.equal(origin.seen[0]?.body.toString(), 'hello again');
    },
    { script: answer(200, 'took it') },
  ));

test('what comes together with the CONNECT, whole or in single bytes, is one request', () =>
  inside(async (cast, origin) => {
    const authority = `localhost:${origin.port}`;
    const together = await cast.raw(2);
    together.write(connect(authority) + get(authority));
    await answered(together, 'hello');
    const apart = await cast.raw(2);
    for (const byte of connect(authority) + get(authority)) {
      apart.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await answered(apart, 'hello');
    assert.equal(origin.seen.length, 2);
  }));

for (const [what, head] of [
  ['a Host of somewhere else', 'GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n'],
  ['a Host of another port', 'GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n'],
  ['an absolute form of somewhere else', 'GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n'],
] as const)
  test(`${what} inside is misdirected and reaches nobody`, () =>
    inside(async (cast, origin) => {
      const caller = await opened(cast, `localhost:${origin.port}`, 2);
      caller.write(head);
      await caller.untilEnd();
      const [, got] = parsed(caller.received);
      assert.equal(got?.status, 421);
      assert.equal(origin.seen.length, 0);
      assert.equal((await cast.sidecar.line(2)).outcome, 'refused');
    }));

test('a CONNECT inside is meant for a proxy behind the tunnel, and is not obeyed here', () =>
  inside(async (cast, origin) => {
    const authority = `localhost:${origin.port}`;
    const other = await cast.origin();
    const caller = await opened(cast, authority, 2);
    caller.write(connect(`localhost:${other.port}`));
    await caller.untilEnd();
    assert.equal(parsed(caller.received)[1]?.status, 405);
    assert.equal(other.connections.total, 0);
  }));

test('what is malformed inside is a 400 with a line', () =>
  inside(async (cast, origin) => {
    const authority = `localhost:${origin.port}`;
    const caller = await opened(cast, authority, 2);
    caller.write(`GET / HTTP/1.1\r\nHost: ${authority}\r\nContent-Length: x\r\n\r\n`);
    await caller.untilEnd();
    assert.equal(parsed(caller.received)[1]?.status, 400);
    assert.equal(origin.seen.length, 0);
  }));

test('a head inside that is not finished is answered 408 after listen.headTimeout', () =>
  inside(
    async (cast, origin) => {
      const caller = await opened(cast, `localhost:${origin.port}`, 2);
      caller.write('GET / HTTP/1.1\r\nHo');
      await caller.untilEnd();
      assert.equal(parsed(caller.received)[1]?.status, 408);
    },
    { yaml: 'listen: { headTimeout: 100ms }' },
  ));

test('plain HTTP to port 80 needs no port of its own in access.tunnelPorts, and nothing is dialled for the CONNECT', () => {
  const asked: string[] = [];
  return stage(
    'policy: { retry: { attempts: 1 } }',
    async (cast) => {
      const caller = await opened(cast, 'plain.test:80', 2);
      assert.deepEqual(asked, []);
      caller.write(get('plain.test', '/x'));
      await answered(caller, '}');
      assert.equal(parsed(caller.received)[1]?.status, 502);
      assert.deepEqual(asked, ['plain.test']);
      const [connected, line] = [await cast.sidecar.line(1), await cast.sidecar.line(2)];
      assert.deepEqual([connected.attempts.length, connected.reason], [0, 'plain HTTP inside']);
      assert.deepEqual([line.host, line.port, line.via], ['plain.test', 80, 'forward']);
    },
    {
      lookup: (host, callback) => {
        asked.push(host);
        setImmediate(callback, Object.assign(new Error('none'), { code: 'ENOTFOUND' }), []);
      },
    },
  );
});

for (const [what, bytes] of [
  ['something else', 'SSH-2.0-OpenSSH\r\n'],
  ['TLS', null],
] as const)
  test(`${what} to port 80 is refused and nothing is dialled, unless the port is listed`, () =>
    stage(
      'access: { tunnelProtocols: [tls, http, other] }',
      async (cast) => {
        const caller = await opened(cast, 'plain.test:80', 1);
        caller.write(bytes ?? (await hello()));
        await until(() => caller.ended, 'the end');
        const line = await cast.sidecar.line();
        assert.deepEqual([line.outcome, line.attempts.length], ['refused', 0]);
        assert.match(String(line.reason), /^tunnel_port_denied/);
      },
      HERE,
    ));

test('TLS to port 80 of a route that intercepts is refused too', () =>
  stage(
    'routes: [{ name: vendor, match: { hosts: [plain.test] }, https: intercept }]',
    async (cast) => {
      const caller = await opened(cast, 'plain.test:80', 1);
      caller.write(await hello());
      await until(() => caller.ended, 'the end');
      const line = await cast.sidecar.line();
      assert.deepEqual([line.outcome, line.attempts.length], ['refused', 0]);
      assert.match(String(line.reason), /^tunnel_port_denied/);
    },
    HERE,
  ));

const hello = (): Promise<Buffer> => helloOfNode({ servername: 'plain.test' });

test('where http is not among access.tunnelProtocols, plain HTTP inside is cut off and reaches nobody', () =>
  inside(
    async (cast, origin) => {
      const authority = `localhost:${origin.port}`;
      const caller = await opened(cast, authority, 1);
      caller.write(get(authority));
      await caller.untilEnd();
      const line = await cast.sidecar.line();
      assert.deepEqual([line.status, line.outcome, line.error], [200, 'refused', 'http_request_denied']);
      assert.match(String(line.reason), /^tunnel_protocol_denied/);
      assert.equal(origin.seen.length, 0);
      const refused = await cast.raw();
      refused.write(connect('localhost:80'));
      assert.equal(messagesOf(await refused.untilEnd())[0]?.status, 403);
    },
    { access: ', tunnelProtocols: [tls]' },
  ));

test('a request inside has the route and the access that it would have in absolute form', () =>
  inside(
    async (cast, origin) => {
      const authority = `localhost:${origin.port}`;
      const caller = await opened(cast, authority, 3);
      caller.write(get(authority, '/open'));
      await answered(caller, 'hello');
      caller.write(get(authority, '/closed'));
      await answered(caller, '}');
      assert.deepEqual(
        parsed(caller.received).map(({ status }) => status),
        [200, 200, 403],
      );
      assert.deepEqual(
        cast.sidecar.exchanges.map(({ route }) => route),
        ['default', 'open', 'closed'],
      );
    },
    {
      yaml: `routes:
  - { name: open, match: { paths: [/open] } }
  - { name: closed, match: { paths: [/closed] }, access: deny }`,
    },
  ));

test('originate applies to what is inside', async (t: TestContext) => {
  const certificates = makeCertificates();
  if (!certificates) {
    t.skip('needs openssl');
    return;
  }
  const origin = await HttpOrigin.start(answer(200, 'over TLS'), 0, certificates.good);
  await stage(
    `access: { tunnelPorts: [${origin.port}] }
routes: [{ name: vendor, match: { hosts: [localhost] }, https: originate }]`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      const authority = `localhost:${origin.port}`;
      const caller = await opened(cast, authority, 2);
      caller.write(get(authority));
      await answered(caller, 'over TLS');
      const line = await cast.sidecar.line(2);
      assert.deepEqual([line.via, line.scheme, line.route], ['originate', 'https', 'vendor']);
    },
    { ...HERE, secureContext: createSecureContext({ ca: certificates.ca }) },
  );
});

test('a caller that leaves a request inside has a line, and the origin gets to know', () => {
  let left = false;
  return inside(
    async (cast, origin) => {
      const authority = `localhost:${origin.port}`;
      const caller = await opened(cast, authority, 2);
      caller.write(get(authority));
      await until(() => origin.seen.length === 1, 'the request');
      caller.leave();
      await until(() => left, 'the end at the origin');
      assert.equal((await cast.sidecar.line(2)).outcome, 'aborted');
    },
    {
      script: (request) => {
        request.socket.on('close', () => {
          left = true;
        });
      },
    },
  );
});

test('a drain ends what is inside like any other exchange', () =>
  inside(
    async (cast, origin) => {
      const authority = `localhost:${origin.port}`;
      const caller = await opened(cast, authority, 2);
      caller.write(get(authority));
      await until(() => origin.seen.length === 1, 'the request');
      await cast.sidecar.stop();
      await caller.untilEnd();
      assert.equal(parsed(caller.received)[1]?.status, 503);
      assert.match(String((await cast.sidecar.line(2)).reason), /^draining/);
    },
    { script: () => {} },
  ));

test('a WebSocket handshake inside goes to what the CONNECT named, with a line of its own', () =>
  inside(async (cast, origin) => {
    const authority = `localhost:${origin.port}`;
    const caller = await opened(cast, authority, 2);
    caller.write(
      get(
        authority,
        '/ws',
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n',
      ),
    );
    await caller.until((text) => (parsed(text).at(-1)?.status ?? 0) === 200 && parsed(text).length === 2);
    const line = await cast.sidecar.line(2);
    assert.deepEqual([line.method, line.path, line.port, line.via], ['GET', '/ws', origin.port, 'forward']);
    assert.equal(origin.seen[0]?.headers.host, authority);
  }));

test('a prefix of the sidecar is a mere path inside', () =>
  inside(
    async (cast, origin) => {
      const authority = `localhost:${origin.port}`;
      const caller = await opened(cast, authority, 2);
      caller.write(get(authority, '/fraud/x'));
      await answered(caller, '/fraud/x');
      assert.equal((await cast.sidecar.line(2)).route, 'default');
    },
    {
      script: (request, response) => response.end(request.url),
      yaml: 'routes: [{ name: fraud, prefix: /fraud, origin: "http://elsewhere.test" }]',
    },
  ));

const EARLY_BYTES = 67_108_864;

/** Everything comes before the 200, for the name of the far end takes its time. */
async function early(
  play: (cast: Cast, origin: RawOrigin, connected: () => void) => Promise<void>,
  onSocket: Parameters<typeof RawOrigin.start>[0],
): Promise<void> {
  const origin = await RawOrigin.start(onSocket);
  let waiting: (() => void)[] | null = [];
  const lookup: Edges['lookup'] = (_host, callback) => {
    const found = (): void => callback(null, ['127.0.0.1']);
    if (waiting === null) setImmediate(found);
    else waiting.push(found);
  };
  await stage(
    `access: { tunnelPorts: [443, ${origin.port}] }\npolicy: { retry: { attempts: 1 } }`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      await play(cast, origin, () => {
        for (const found of waiting ?? []) found();
        waiting = null;
      });
    },
    { lookup },
  );
}

test('what came before the 200 in several pieces is held back as ever while its first request is under way', () => {
  const sockets: Socket[] = [];
  return early(
    async (cast, origin, connected) => {
      const caller = await cast.raw(3);
      const authority = `localhost:${origin.port}`;
      const { socket } = caller;
      caller.write(connect(authority));
      await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 1, 'the CONNECT');
      caller.write(get(authority));
      for (let sent = 0; sent < EARLY_BYTES; sent += 65_536) caller.write(Buffer.alloc(65_536, 'x'));
      await untilStill(() => socket.writableLength, 'what is kept before the 200');
      connected();
      await caller.until((text) => text.startsWith('HTTP/1.1 200 '));
      await untilStill(() => socket.writableLength, 'what is taken of the rest');
      assert.ok(
        socket.writableLength > EARLY_BYTES / 2,
        `${EARLY_BYTES - socket.writableLength} bytes were taken`,
      );
      for (const one of sockets) one.destroy();
      // The rest is no request.
      await caller.until((text) => text.includes('HTTP/1.1 502 ') && text.includes('HTTP/1.1 414 '));
    },
    (socket) => sockets.push(socket.pause()),
  );
});

test('what came before the 200 behind the handshake of a WebSocket is delivered after its 101', () =>
  early(
    async (cast, origin, connected) => {
      const caller = await cast.raw(2);
      const authority = `localhost:${origin.port}`;
      caller.write(connect(authority));
      await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 1, 'the CONNECT');
      caller.write(handshakeOf('/').replace('Host: 127.0.0.1', `Host: ${authority}`));
      await sleep(50);
      caller.write('first ');
      await sleep(50);
      caller.write('second');
      await sleep(50);
      connected();
      await caller.until((text) => text.endsWith('first second'));
    },
    (socket) => {
      socket.on('end', () => socket.end());
      onHead(socket, (_head, rest) => {
        socket.write(SWITCHING);
        socket.write(rest);
        socket.on('data', (data) => socket.write(data));
      });
    },
  ));
