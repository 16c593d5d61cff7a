import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import type { Lookup } from '../../src/upstream/resolver.ts';
import { type Cast, stage } from '../support/cast.ts';
import { helloOfNode } from '../support/client-hello.ts';
import { DialWatch } from '../support/dial-watch.ts';
import { HttpOrigin, RawOrigin } from '../support/origin.ts';

/** As shipped: nothing special may be dialled. */
const DEFAULT = 'access: { addresses: { allow: [] }, tunnelPorts: [1, 443] }';

/** Answers by name; the last answer of a name stays. */
function resolver(names: Record<string, string[][]>): Lookup {
  return (host, callback) => {
    const answers = names[host] ?? [];
    const addresses = (answers.length > 1 ? answers.shift() : answers[0]) ?? [];
    setImmediate(() => callback(null, addresses));
  };
}

const SPELLINGS = [
  '127.0.0.1',
  'localhost',
  '[::1]',
  '169.254.169.254',
  '2130706433',
  '0x7f.1',
  '0177.0.0.1',
  '127.1',
  '[::ffff:127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '0',
  'LOCALHOST.',
  '10.0.0.1',
  '[fd00:ec2::254]',
];

for (const host of SPELLINGS) {
  test(`by default http://${host}/ is refused before anything is dialled, and the answer names the key`, () =>
    stage(DEFAULT, async (cast) => {
      const target = await cast.origin();
      const caller = await cast.raw();
      caller.write(`GET http://${host}:${target.port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const got = await caller.untilEnd();
      assert.match(got, /^HTTP\/1.1 403 /);
      assert.match(got, /Proxy-Status: outrigger; error=destination_ip_prohibited/);
      assert.match(got, /access\.addresses\.allow/);
      assert.equal(target.connections.total, 0);
      const line = await cast.sidecar.line();
      assert.equal(line.outcome, 'refused');
      assert.equal(line.attempts[0]?.connectMs, null);
      assert.equal(line.attempts[0]?.retry, 'not retried: would fail again');
    }));
}

for (const host of ['127.0.0.1', 'localhost', '[::1]', '169.254.169.254']) {
  test(`by default CONNECT ${host} is refused before anything is dialled`, () =>
    stage(DEFAULT, async (cast) => {
      const caller = await cast.raw();
      caller.write(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`);
      const got = await caller.untilEnd();
      assert.match(got, /^HTTP\/1.1 403 /);
      assert.match(got, /error=destination_ip_prohibited/);
      assert.equal((await cast.sidecar.line()).attempts[0]?.connectMs, null);
    }));
}

test('a name that resolves to a private address is refused', () =>
  stage(
    DEFAULT,
    async (cast) => {
      const target = await cast.origin();
      for (const name of ['loopback.test', 'metadata.test', 'mapped.test']) {
        const got = await cast.call(`http://${name}:${target.port}/`);
        assert.equal(got.status, 403, name);
        assert.equal(JSON.parse(got.text).error, 'destination_ip_prohibited');
      }
      assert.equal(target.connections.total, 0);
    },
    {
      lookup: resolver({
        'loopback.test': [['127.0.0.1']],
        'metadata.test': [['169.254.169.254']],
        'mapped.test': [['::ffff:127.0.0.1']],
      }),
    },
  ));

test('of mixed answers only the address that is allowed is dialled', () =>
  stage(
    'access: { addresses: { allow: [127.0.0.1/32] } }\npolicy: { pool: { idleTimeout: 1ms } }',
    async (cast) => {
      const target = await cast.origin();
      for (let i = 1; i <= 3; i++) {
        assert.equal((await cast.call(`http://mixed.test:${target.port}/`)).status, 200);
        assert.equal((await cast.sidecar.line(i)).attempts[0]?.address, '127.0.0.1');
      }
      assert.ok(cast.sidecar.exchanges.every((line) => line.attempts.length === 1));
    },
    { lookup: resolver({ 'mixed.test': [['127.0.0.9', '10.0.0.1', '127.0.0.1', '169.254.169.254']] }) },
  ));

test('a name whose answer changes is judged anew for every connection', () =>
  stage(
    'access: { addresses: { allow: [127.0.0.1/32] } }\npolicy: { retry: { attempts: 1 } }',
    async (cast) => {
      const target = await cast.origin((_request, response) => {
        response.writeHead(200, ['Connection', 'close']).end('ok');
      });
      const statuses: number[] = [];
      for (let i = 0; i < 3; i++)
        statuses.push((await cast.call(`http://changing.test:${target.port}/`)).status);
      assert.deepEqual(statuses, [200, 403, 200]);
      assert.equal(target.connections.total, 2);
    },
    { lookup: resolver({ 'changing.test': [['127.0.0.1'], ['127.0.0.2'], ['127.0.0.1']] }) },
  ));

test('our own listeners are refused though loopback is allowed, whatever the spelling', () =>
  stage('', async (cast) => {
    const { proxy, admin } = cast.sidecar.addresses;
    for (const { port } of [proxy, admin]) {
      for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', '127.1']) {
        const got = await cast.call(`http://${host}:${port}/livez`);
        assert.equal(got.status, 403, `${host}:${port}`);
        assert.match(got.text, /is a listener of this sidecar/);
      }
    }
    assert.equal(cast.sidecar.exchanges.length, 6);
  }));

test('a tunnel to our own listener is refused', async () => {
  const free = await HttpOrigin.start();
  const { port } = free;
  await free.close();
  await stage(`listen: { proxy: "127.0.0.1:${port}" }\naccess: { tunnelPorts: [${port}] }`, async (cast) => {
    const caller = await cast.raw();
    caller.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const got = await caller.untilEnd();
    assert.match(got, /^HTTP\/1.1 403 /);
    assert.match(got, /is a listener of this sidecar/);
  });
});

test('what access.addresses.deny names is refused though loopback is allowed', () =>
  stage('access: { addresses: { deny: [127.0.0.2/32] } }', async (cast) => {
    const target = await cast.origin();
    assert.equal((await cast.call(`http://127.0.0.2:${target.port}/`)).status, 403);
    assert.equal((await cast.call(`http://127.0.0.1:${target.port}/`)).status, 200);
    assert.equal(target.connections.total, 1);
  }));

test('a refusal by the guard is not held against the origin: its circuit stays closed', () =>
  stage(`${DEFAULT}\npolicy: { breaker: { minimumCalls: 2 } }`, async (cast) => {
    for (let i = 0; i < 10; i++) assert.equal((await cast.call('http://127.0.0.1:1/')).status, 403);
    assert.equal(cast.sidecar.origin('http://127.0.0.1:1')?.circuit, 'closed');
  }));

test('our listeners are refused by every way and at every address of this machine, though all is allowed', async () => {
  const free = await HttpOrigin.start();
  const { port } = free;
  await free.close();
  const local = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address);
  const watch = await DialWatch.start();
  try {
    await stage(
      `
listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:${port}", telemetry: "0.0.0.0:0" }
access: { addresses: { allow: [0.0.0.0/0, "::/0"] }, tunnelPorts: [443, ${port}] }
routes:
  - { name: loop, prefix: /loop, origin: "http://127.0.0.1:${port}", addresses: { allow: [127.0.0.1/32] } }
`,
      async (cast) => {
        const { admin, proxy, telemetry } = cast.sidecar.addresses;
        assert.ok(telemetry);
        const url = `http://localhost:${proxy.port}/loop/livez`;
        assert.match((await cast.call(url)).text, /is a listener of this sidecar/);
        for (const [host, at] of [
          ['127.0.0.1', admin.port],
          ['0.0.0.0', admin.port],
          ['[::ffff:127.0.0.1]', admin.port],
          ['[64:ff9b::7f00:1]', admin.port],
          ['admin.test', admin.port],
          ['127.0.0.1', telemetry.port],
          ['127.8.8.8', telemetry.port],
          ['[::ffff:127.0.0.1]', telemetry.port],
          ...local.map((address) => [address, telemetry.port] as const),
        ] as const) {
          const got = await cast.call(`http://${host}:${at}/livez`);
          assert.deepEqual([got.status, /is a listener of this sidecar/.test(got.text)], [403, true], host);
        }
        const caller = await cast.raw();
        caller.write(`CONNECT admin.test:${admin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
        assert.match(await caller.untilEnd(), /^HTTP\/1.1 403 [^]*is a listener of this sidecar/);
        assert.equal(watch.count(admin.port) + watch.count(telemetry.port), 0, 'nothing of it was dialled');
      },
      { lookup: (_host, callback) => setImmediate(callback, null, ['::ffff:127.0.0.1', '127.0.0.1']) },
    );
  } finally {
    await watch.stop();
  }
});

test('a server name that a caller made up brings no exception of the route that it names', async () => {
  const hello = await helloOfNode({ servername: 'private.test' });
  const origin = await RawOrigin.start(
    (socket) => void socket.on('error', () => {}).on('data', () => socket.end('hi')),
  );
  const yaml = (allowed: string): string => `
access: { addresses: { allow: ${allowed} }, tunnelPorts: [${origin.port}], tunnelServerName: any }
routes:
  - { name: private, match: { hosts: [private.test] }, addresses: { allow: [127.0.0.1/32], deny: [127.0.0.9] } }
`;
  const tunnel = async (cast: Cast, host: string): Promise<string> => {
    const caller = await cast.raw();
    const authority = `${host}:${origin.port}`;
    caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    await caller.until((text) => text.includes('\r\n\r\n'));
    caller.write(hello);
    await caller.untilEnd();
    return caller.received;
  };
  try {
    await stage(
      yaml('[]'),
      async (cast) => {
        await tunnel(cast, '127.0.0.1');
        const line = await cast.sidecar.line();
        assert.deepEqual([line.route, line.error], ['private', 'destination_ip_prohibited']);
        assert.equal(origin.connections.total, 0);
        assert.match(
          await tunnel(cast, 'private.test'),
          /hi$/,
          'by its own name, and the resolver, it is let in',
        );
      },
      { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) },
    );
    await stage(yaml('[127.0.0.0/8]'), async (cast) => {
      await tunnel(cast, '127.0.0.9');
      const line = await cast.sidecar.line();
      assert.match(line.reason ?? '', /addresses\.deny of the route/, 'its denials hold');
    });
  } finally {
    await origin.close();
  }
});
