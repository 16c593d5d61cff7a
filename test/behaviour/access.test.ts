/** What may be asked for: paths in every spelling, ports by every way, and denials that are only reported. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { DialWatch } from '../support/dial-watch.ts';
import { HttpOrigin } from '../support/origin.ts';
import { handshakeOf } from '../support/web-socket.ts';

/** Byte for byte, as no URL of Node's would leave it. */
async function ask(cast: Cast, url: string): Promise<number> {
  const caller = await cast.raw();
  caller.write(`GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  return Number(/^HTTP\/1.1 (\d+)/.exec(await caller.untilEnd())?.[1]);
}

const DENIED = [
  '/admin/x',
  '/Admin/x',
  '/%61dmin/x',
  '/%2561dmin/x',
  '//admin/x',
  '/v1/../admin/x',
  '/v1/%2e%2e/admin/x',
  '/v1/%252e%252e/admin/x',
  '/v1/..%2fadmin/x',
  '/v1/..;/admin/x',
  '/admin;x=y/z',
  '/v1/..%5cadmin%5cx',
  '/admin%2fx',
  '/v1/%c0%ae%c0%ae/admin/x',
];

test('a denied path is denied in every spelling, and what passes goes on byte for byte', () =>
  stage('routes: [{ name: admin, match: { paths: ["/admin/*"] }, access: deny }]', async (cast) => {
    const origin = await cast.origin();
    for (const path of DENIED) assert.equal(await ask(cast, origin.url + path), 403, path);
    assert.equal(origin.seen.length, 0);
    const passing = [
      '/v1/x',
      '/v1/%7e//./x;y?z=%2e%2e/admin/',
      '/x/../v1%2F',
      '/V1/admin/x',
      '/administrator',
    ];
    for (const path of passing) assert.equal(await ask(cast, origin.url + path), 200, path);
    assert.deepEqual(
      origin.seen.map(({ url }) => url),
      passing,
    );
    assert.ok(cast.sidecar.exchanges.slice(0, DENIED.length).every(({ route }) => route === 'admin'));
  }));

for (const [how, yaml] of [
  ['where all else is denied by default', 'access: { default: deny }\nroutes: [OPEN]'],
  ['where a later route denies the rest', 'routes: [OPEN, { name: rest, access: deny }]'],
] as const) {
  test(`nothing climbs out of an allowed path ${how}`, () =>
    stage(yaml.replace('OPEN', '{ name: open, match: { paths: ["/open/*"] } }'), async (cast) => {
      const origin = await cast.origin();
      for (const path of DENIED) {
        const climbing = `/open${path.replace(/^\/v1/, '')}`;
        const inside = !/\.\.|%(25)?2e|%c0%ae/i.test(climbing);
        assert.equal(await ask(cast, origin.url + climbing), inside ? 200 : 403, climbing);
      }
      for (const path of ['/Open/x', '/%6fpen/x', '//open/x', '/x/../open/x', '/open'])
        assert.equal(await ask(cast, origin.url + path), 403, path);
      assert.ok(origin.seen.every(({ url }) => url.startsWith('/open/')));
    }));
}

/** Of the default list; nothing listens there in tests, and nothing may even try. */
const PORTS = [22, 25, 2375, 3306, 5432, 6379, 11_211, 27_017];

/** The list as shipped: the test's base lifts it. */
const SHIPPED = `[${[...PORTS, 6000, 6667].join(', ')}]`;

test('to a denied port nothing goes, by any way, and nothing is dialled', async () => {
  const watch = await DialWatch.start();
  try {
    await stage(
      `
access: { deniedPorts: ${SHIPPED}, tunnelPorts: [443, 22, 6379] }
routes:
  - { name: originate, match: { hosts: [localhost] }, https: originate }
  - { name: strict, prefix: /redis, origin: "http://127.0.0.1:6379", match: { hosts: [127.0.0.1], ports: [80] } }
`,
      async (cast) => {
        for (const port of PORTS) {
          for (const host of ['127.0.0.1', 'localhost', '0x7f.1'])
            assert.equal(await ask(cast, `http://${host}:${port}/`), 403, `${host}:${port}`);
        }
        for (const authority of ['127.0.0.1:22', '127.0.0.1:6379', '127.0.0.1:25']) {
          const caller = await cast.raw();
          caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
          assert.match(
            await caller.untilEnd(),
            /^HTTP\/1.1 403 [^]*urn:outrigger:error:port_denied/,
            authority,
          );
        }
        const upgrade = await cast.raw();
        upgrade.write(handshakeOf('http://127.0.0.1:6379/'));
        assert.match(await upgrade.untilEnd(), /^HTTP\/1.1 403 [^]*urn:outrigger:error:port_denied/);
        const { text } = await cast.call('http://127.0.0.1:6379/');
        assert.match(text, /"error":"http_request_denied"/);
        assert.match(text, /access\.deniedPorts/);
        assert.match(text, /match\.ports/);
      },
    );
    assert.deepEqual(
      PORTS.map((port) => watch.count(port)),
      PORTS.map(() => 0),
    );
  } finally {
    await watch.stop();
  }
});

test('a route that names a denied port opens it for what it matches, and so does its origin', async () => {
  const origin = await HttpOrigin.start();
  const other = await HttpOrigin.start();
  try {
    await stage(
      `
access: { deniedPorts: [${origin.port}, ${other.port}] }
routes:
  - { name: named, match: { hosts: [localhost], ports: [${origin.port}] } }
  - { name: prefixed, prefix: /other, origin: "${other.url}" }
  - { name: everything, match: { hosts: [127.0.0.1] } }
`,
      async (cast) => {
        assert.equal(await ask(cast, `http://localhost:${origin.port}/`), 200);
        assert.equal(await ask(cast, `${origin.url}/`), 403);
        assert.equal(await ask(cast, `http://localhost:${other.port}/`), 403);
        assert.equal(await ask(cast, `http://localhost:${cast.sidecar.port}/other/x`), 200);
      },
      { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) },
    );
  } finally {
    await origin.close();
    await other.close();
  }
});

test('a denial that is only reported lets through, and the log and a metric say what it would have refused', async () => {
  const origin = await HttpOrigin.start();
  try {
    await stage(
      `
access: { default: deny, report: true, clients: known, deniedPorts: [${origin.port}], tunnelPorts: [443] }
clients: [{ name: here, addresses: [127.0.0.1] }]
routes:
  - { name: admin, match: { paths: ["/admin/*"] }, access: deny }
  - { name: open, match: { paths: ["/open/*"], ports: [${origin.port}] } }
  - { name: all-ports, match: { methods: [CONNECT] } }
  - { name: all-ports-of-paths, match: { paths: ["/ports/*"] } }
`,
      async (cast) => {
        for (const path of ['/x', '/admin/x', '/open/x', '/ports/x'])
          assert.equal(await ask(cast, origin.url + path), 200, path);
        const caller = await cast.raw();
        caller.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
        assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 200 /);
        caller.leave();
        await cast.sidecar.line(5);
        assert.deepEqual(
          cast.sidecar.exchanges.map(({ route, outcome, wouldRefuse }) => [route, outcome, wouldRefuse]),
          [
            ['default', 'completed', 'access_denied: route default'],
            ['admin', 'completed', 'access_denied: route admin'],
            ['open', 'completed', null],
            ['all-ports-of-paths', 'completed', `port_denied: port ${origin.port}`],
            ['all-ports', 'completed', `port_denied: port ${origin.port}`],
          ],
        );
        const page = await (await fetch(`${cast.sidecar.adminUrl}/metrics`)).text();
        assert.match(page, /^outrigger_access_reported_total\{route="admin"\} 1$/m);
        // Addresses are not among what is only reported.
        assert.equal(await ask(cast, 'http://169.254.169.254/'), 403);
      },
    );
  } finally {
    await origin.close();
  }
});

test('who is not known is let through where that is only reported, but not with wrong credentials', () =>
  stage(
    'access: { clients: known, report: true }\nclients: [{ name: far, username: far, password: secret }]',
    async (cast) => {
      const origin = await cast.origin();
      assert.equal(await ask(cast, `${origin.url}/`), 200);
      const wrong = await cast.call(`${origin.url}/`, {
        headers: { 'Proxy-Authorization': 'Basic ZmFyOng=' },
      });
      assert.equal(wrong.status, 407);
      assert.equal((await cast.sidecar.line(2), cast.sidecar.exchanges[0])?.wouldRefuse, 'client_unknown');
    },
  ));

test('report of a route is about its own denial, and about nothing else', () =>
  stage(
    `
routes:
  - { name: trial, match: { paths: ["/trial/*"] }, access: deny, report: true }
  - { name: admin, match: { paths: ["/admin/*"] }, access: deny }
`,
    async (cast) => {
      const origin = await cast.origin();
      assert.equal(await ask(cast, `${origin.url}/trial/x`), 200);
      assert.equal(await ask(cast, `${origin.url}/admin/x`), 403);
      assert.equal(await ask(cast, `${origin.url}/x`), 200);
      assert.deepEqual(
        cast.sidecar.exchanges.map(({ wouldRefuse }) => wouldRefuse),
        ['access_denied: route trial', null, null],
      );
    },
  ));

test('a trailing dot slips past no route and no denial', () =>
  stage(
    'routes: [{ name: closed, match: { hosts: [api.test, "*.below.test"] }, access: deny }]',
    async (cast) => {
      for (const host of ['api.test', 'api.test.', 'API.TEST.', 'x.below.test.'])
        assert.equal(await ask(cast, `http://${host}/`), 403, host);
      assert.equal(await ask(cast, 'http://api.test../'), 400);
      for (const authority of ['api.test:443', 'api.test.:443', 'API.test.:443']) {
        const caller = await cast.raw();
        caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
        assert.match(await caller.untilEnd(), /^HTTP\/1.1 403 [^]*access_denied/, authority);
      }
    },
    { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) },
  ));
