/** What requests of a route show of who they are: secrets from files, and what becomes of the caller's own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Lookup } from '../../src/upstream/resolver.ts';
import { type Cast, stage } from '../support/cast.ts';
import { makeCertificates } from '../support/certificates.ts';
import { answerOf, Http2Caller } from '../support/http2-caller.ts';
import { answer, HttpOrigin, readBody } from '../support/origin.ts';
import { folder } from '../support/process.ts';
import { until } from '../support/until.ts';
import { callerOf, closed, opened, WebSocketOrigin } from '../support/web-socket.ts';

const certificates = makeCertificates();
const HERE: Lookup = (_host, callback) => setImmediate(callback, null, ['127.0.0.1']);

async function readiness(cast: Cast): Promise<{ secrets: { stale: string[] } }> {
  return (await (await fetch(`${cast.sidecar.adminUrl}/readyz`)).json()) as { secrets: { stale: string[] } };
}

test('a secret that is rotated under load is the old one or the new one in every request, and soon the new', async (t) => {
  const directory = folder(t);
  // As Kubernetes mounts a Secret: a symlink to a directory, which is exchanged.
  for (const [name, secret] of [
    ['v1', 'one'],
    ['v2', 'two'],
  ] as const) {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, 'x'), `${secret}\n`);
  }
  symlinkSync('v1', join(directory, 'now'));
  await stage(
    `policy: { headers: { request: { set: { Authorization: "Bearer \${file:${directory}/now/x}" } }, response: { set: { X-Who: "\${file:${directory}/now/x}" } } } }`,
    async (cast) => {
      const origin = await cast.origin();
      const traffic = { on: true };
      const load = async (): Promise<void> => {
        while (traffic.on) assert.equal((await cast.call(origin.url)).status, 200);
      };
      const loads = Promise.all(Array.from({ length: 8 }, load));
      await until(() => origin.seen.length > 50, 'some load');
      symlinkSync('v2', join(directory, 'next'));
      renameSync(join(directory, 'next'), join(directory, 'now'));
      await until(() => origin.seen.at(-1)?.headers.authorization === 'Bearer two', 'the new secret');
      const renewedAt = origin.seen.length;
      await until(() => origin.seen.length > renewedAt + 50, 'more load');
      traffic.on = false;
      await loads;
      const sent = origin.seen.map(({ headers }) => headers.authorization);
      assert.deepEqual(new Set(sent), new Set(['Bearer one', 'Bearer two']));
      const first = sent.indexOf('Bearer two');
      assert.ok(!sent.slice(first + 16).includes('Bearer one'), 'the old one never comes back');
      assert.equal((await cast.call(origin.url)).headers['x-who'], 'two');
      assert.ok(!cast.sidecar.lines.join('').includes('two'));
    },
    { secretLookMs: 10 },
  );
});

test('a file that cannot be used is one line and a detail of /readyz; what it held goes on being sent', async (t) => {
  const secret = join(folder(t), 'x');
  writeFileSync(secret, 'good');
  await stage(
    `policy: { headers: { request: { set: { X-Key: "\${file:${secret}}" } } } }`,
    async (cast) => {
      const origin = await cast.origin();
      writeFileSync(secret, 'c4n4ry\r\nX-Evil: 1');
      const told = (): string[] => cast.sidecar.lines.filter((line) => line.includes('the file of a secret'));
      await until(() => told().length > 0, 'the line');
      const { secrets } = await readiness(cast);
      assert.equal(secrets.stale.length, 1);
      assert.ok(secrets.stale[0]?.startsWith(`${secret} holds what a header field cannot`));
      assert.equal((await cast.call(origin.url)).status, 200);
      assert.equal(origin.seen[0]?.headers['x-key'], 'good');
      assert.equal(origin.seen[0]?.headers['x-evil'], undefined);
      writeFileSync(secret, 'better');
      await until(() => cast.sidecar.lines.some((line) => line.includes('secrets were renewed')), 'the cure');
      assert.deepEqual((await readiness(cast)).secrets, { stale: [] });
      await cast.call(origin.url);
      assert.equal(origin.seen[1]?.headers['x-key'], 'better');
      assert.equal(told().length, 1);
      assert.equal(JSON.parse(told()[0] ?? '').level, 'error');
      assert.ok(!cast.sidecar.lines.join('').includes('c4n4ry'));
    },
    { secretLookMs: 10 },
  );
});

type Fields = Readonly<Record<string, string>>;

/** One request on a way, with these fields; what came back, and what the origin saw. */
interface Ask {
  (headers: Fields): Promise<{ readonly status: number; readonly text: string }>;
}

interface Scene {
  readonly name: string;
  /** More keys of the route. */
  readonly route: string;
  readonly secure?: boolean;
  /** Exchanges of the way to the requests. */
  readonly extra?: number;
  readonly open: (cast: Cast, port: number, bundle: string) => Promise<Ask>;
}

async function tunnel(cast: Cast, authority: string): Promise<import('node:net').Socket> {
  const connecting = request({ port: cast.sidecar.port, method: 'CONNECT', path: authority, agent: false });
  connecting.end();
  const [response, socket] = await once(connecting, 'connect');
  assert.equal(response.statusCode, 200);
  cast.atEnd(() => socket.destroy());
  return socket;
}

async function secured(cast: Cast, port: number, bundle: string, protocol: string): Promise<TLSSocket> {
  const socket = connectTls({
    socket: await tunnel(cast, `localhost:${port}`),
    servername: 'localhost',
    ca: readFileSync(bundle, 'utf8'),
    ALPNProtocols: [protocol],
  });
  await once(socket, 'secureConnect');
  cast.atEnd(() => void socket.destroy());
  return socket;
}

/** Requests in origin form over a connection that is there. */
const over =
  (socket: import('node:net').Socket, host: string): Ask =>
  (headers) =>
    new Promise((resolve, reject) => {
      const asked = request(
        { createConnection: () => socket, headers: { Host: host, ...headers } },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        },
      );
      asked.on('error', reject).end();
    });

const SCENES: readonly Scene[] = [
  {
    name: 'in absolute form',
    route: '',
    open: async (cast, port) => (headers) => cast.call(`http://localhost:${port}/`, { headers }),
  },
  {
    name: 'to a prefix',
    route: 'prefix: /vendor',
    open: async (cast) => async (headers) => {
      cast.expected++;
      const response = await fetch(`${cast.sidecar.proxyUrl}/vendor/x`, {
        headers: { ...headers, Connection: 'close' },
      });
      return { status: response.status, text: await response.text() };
    },
  },
  {
    name: 'to an origin of HTTPS that is originated',
    route: 'https: originate',
    secure: true,
    open: async (cast, port) => (headers) => cast.call(`http://localhost:${port}/`, { headers }),
  },
  {
    name: 'inside an intercepted tunnel',
    route: 'https: intercept',
    secure: true,
    extra: 1,
    open: async (cast, port, bundle) => {
      const socket = await secured(cast, port, bundle, 'http/1.1');
      return over(socket, `localhost:${port}`);
    },
  },
  {
    name: 'in plain HTTP inside a tunnel',
    route: '',
    extra: 1,
    open: async (cast, port) => over(await tunnel(cast, `localhost:${port}`), `localhost:${port}`),
  },
  {
    name: 'by HTTP/2 inside an intercepted tunnel',
    route: 'https: intercept',
    secure: true,
    extra: 1,
    open: async (cast, port, bundle) => {
      const caller = await Http2Caller.over(await secured(cast, port, bundle, 'h2'));
      return async (headers) => {
        const fields = Object.fromEntries(
          Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
        );
        const result = await answerOf(
          caller.session.request({
            ':path': '/',
            ':authority': `localhost:${port}`,
            ':scheme': 'https',
            ...fields,
          }),
        );
        return { status: result.status ?? 0, text: String(result.body) };
      };
    },
  },
];

const OWN: Fields = {
  Authorization: 'Basic c4n4ry',
  Cookie: 'session=c4n4ry',
  'X-Vendor-Key': 'c4n4ry',
  'X-Other': 'stays',
};

for (const caller of ['keep', 'remove', 'refuse'] as const) {
  for (const { name, route, secure = false, extra = 0, open } of SCENES) {
    test(`credentials.caller: ${caller} holds ${name}`, {
      skip: certificates === null && 'needs openssl',
    }, async (t) => {
      if (certificates === null) return;
      const directory = folder(t);
      const key = join(directory, 'key');
      writeFileSync(key, 'ours');
      const bundle = join(directory, 'bundle.pem');
      const origin = await HttpOrigin.start(answer(200, 'hello'), 0, secure ? certificates.good : null);
      await stage(
        `
access: { tunnelPorts: [${origin.port}] }
intercept: { bundle: ${bundle} }
routes:
  - name: vendor
    match: { hosts: [localhost] }
    ${route}
    ${route.startsWith('prefix') ? `origin: "http://localhost:${origin.port}"` : ''}
    credentials: { caller: ${caller} }
    policy: { headers: { request: { set: { X-Vendor-Key: "\${file:${key}}" } } } }`,
        async (cast) => {
          cast.atEnd(() => origin.close());
          const ask = await open(cast, origin.port, bundle);
          if (extra > 0) cast.expected += extra + 1;
          const { status, text } = await ask(OWN);
          const seen = origin.seen.at(-1)?.headers;
          if (caller === 'refuse') {
            assert.equal(status, 403);
            const problem = JSON.parse(text);
            assert.equal(problem.error, 'http_request_denied');
            assert.equal(problem.type, 'urn:outrigger:error:credentials_denied');
            assert.equal(problem.detail, 'authorization, by route vendor');
            assert.equal(origin.seen.length, 0);
            assert.ok(!text.includes('c4n4ry'));
          } else {
            assert.equal(status, 200);
            assert.equal(seen?.authorization, caller === 'keep' ? 'Basic c4n4ry' : undefined);
            assert.equal(seen?.cookie, caller === 'keep' ? 'session=c4n4ry' : undefined);
            assert.equal(seen?.['x-vendor-key'], 'ours');
            assert.equal(seen?.['x-other'], 'stays');
          }
          assert.ok(!cast.sidecar.lines.join('').includes('c4n4ry'));
        },
        { lookup: HERE, roots: [certificates.ca] },
      );
    });
  }
}

test('a handshake of WebSocket is no way round: what is removed is removed, what is refused is refused', async () => {
  for (const caller of ['remove', 'refuse']) {
    await stage(
      `routes: [{ name: vendor, match: { hosts: [127.0.0.1] }, credentials: { caller: ${caller} } }]`,
      async (cast) => {
        const origin = await WebSocketOrigin.start(cast);
        cast.expected++;
        const it = callerOf(cast.sidecar.port, `http://127.0.0.1:${origin.port}/`, {
          headers: { Cookie: 'c4n4ry=1' },
        });
        if (caller === 'refuse') {
          await assert.rejects(opened(it), /403/);
          return;
        }
        await opened(it);
        assert.equal(origin.heads[0]?.headers.cookie, undefined);
        await closed(it);
      },
    );
  }
});

test('a request without credentials passes where they are refused; each field that is one is named alone', async () => {
  const credentials = `{ caller: refuse, oauth2: { tokenUrl: "http://127.0.0.1:1/t", clientId: a, clientSecret: b, header: X-Token } }`;
  await stage(
    `
policy: { retry: { attempts: 1 } }
routes: [{ name: vendor, match: { hosts: [127.0.0.1] }, credentials: ${credentials} }]`,
    async (cast) => {
      const origin = await cast.origin();
      for (const field of ['authorization', 'cookie', 'x-token']) {
        const { status, text } = await cast.call(origin.url, { headers: { [field]: 'c4n4ry' } });
        assert.equal(status, 403);
        assert.equal(JSON.parse(text).detail, `${field}, by route vendor`);
      }
      assert.equal((await cast.call(origin.url)).status, 502, 'it is let in, and there is no token');
      cast.expected++;
    },
  );
});

test('what a route sets goes by the target alone: a Host, a path or a field that names it gets nothing', async (t) => {
  const key = join(folder(t), 'key');
  writeFileSync(key, 's3cret');
  await stage(
    `routes: [{ name: vendor, match: { hosts: [vendor.test] }, policy: { headers: { request: { set: { X-Key: "\${file:${key}}" } } } } }]`,
    async (cast) => {
      const origin = await cast.origin();
      const url = `http://other.test:${origin.port}`;
      await cast.call(`${url}/`, { headers: { Host: `vendor.test:${origin.port}` } });
      await cast.call(`${url}/?http://vendor.test/`, { headers: { 'X-Forwarded-Host': 'vendor.test' } });
      await cast.call(`http://vendor.test.other.test:${origin.port}/`);
      await cast.call(`http://vendor.test:${origin.port}/`, {
        headers: { Host: `other.test:${origin.port}` },
      });
      assert.deepEqual(
        origin.seen.map(({ headers }) => headers['x-key']),
        [undefined, undefined, undefined, 's3cret'],
      );
    },
    { lookup: HERE },
  );
});

test('the connection of one route and the next carry what is their own, over one socket', async (t) => {
  const key = join(folder(t), 'key');
  writeFileSync(key, 's3cret');
  await stage(
    `routes: [{ name: vendor, match: { hosts: [127.0.0.1], paths: ["/in/*"] }, policy: { headers: { request: { set: { X-Key: "\${file:${key}}" } } } } }]`,
    async (cast) => {
      const origin = await cast.origin();
      for (const path of ['/in/1', '/out', '/in/2', '/out']) await cast.call(`${origin.url}${path}`);
      assert.deepEqual(
        origin.seen.map(({ headers }) => headers['x-key']),
        ['s3cret', undefined, 's3cret', undefined],
      );
      assert.equal(origin.connections.total, 1);
    },
  );
});

for (const [how, whole] of [
  ['with the head', true],
  ['later', false],
] as const)
  test(`trailers that come ${how} are no way round what the route sets, removes or keeps back`, async (t) => {
    const key = join(folder(t), 'key');
    writeFileSync(key, 's3cret');
    await stage(
      `routes: [{ name: vendor, match: { hosts: [127.0.0.1] }, credentials: { caller: refuse }, policy: { headers: { request: { remove: [X-Debug], set: { X-Tenant: ours, X-Key: "\${file:${key}}" } } } } }]`,
      async (cast) => {
        const origin = await cast.origin((request, response, seen) => {
          readBody(request, seen, () => response.end(JSON.stringify(request.rawTrailers)));
        });
        const caller = await cast.raw();
        caller.write(
          `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`,
        );
        if (!whole) await until(() => origin.seen.length > 0, 'the head at the origin');
        caller.write('3\r\nabc\r\n0\r\nx-KEY: mine\r\nX-Debug: 1\r\nx-tenant: theirs\r\nX-Sum: 7\r\n\r\n');
        assert.match(await caller.untilEnd(), /\["X-Sum","7"\]/);
      },
    );
  });
