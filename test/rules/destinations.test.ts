/** S: where a request may go. The whole table of addresses is in the tests of the guard; here is one of each kind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.ts';
import { stage } from '../support/cast.ts';
import { messagesOf } from '../support/messages.ts';
import { answer } from '../support/origin.ts';

/** As it is without the exception that tests make for loopback. */
const STRICT = 'access: { addresses: { allow: [] } }\npolicy: { retry: { attempts: 1 } }';

async function denied(hosts: readonly string[], resolves: Record<string, string[]> = {}): Promise<void> {
  const problems: string[] = [];
  await stage(
    STRICT,
    async (cast) => {
      for (const host of hosts)
        for (const text of [
          `GET http://${host}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
          `CONNECT ${host}:443 HTTP/1.1\r\nHost: x\r\n\r\n`,
        ]) {
          const caller = await cast.raw();
          caller.write(text);
          const [got] = messagesOf(await caller.untilEnd());
          const line = await cast.sidecar.line(cast.expected);
          const { error } = line;
          const right = got?.status === 403 ? error === 'destination_ip_prohibited' : got?.status === 400;
          const dialled = line.attempts.some(({ connectMs }) => connectMs !== null);
          if (!right || dialled) problems.push(`${text.split('\r')[0]}: ${got?.status} ${error}`);
        }
    },
    { lookup: (host, callback) => setImmediate(callback, null, resolves[host] ?? ['127.0.0.1']) },
  );
  assert.deepEqual(problems, []);
}

test('S01 loopback, private, link-local, shared, reserved and multicast addresses are not dialled', () =>
  denied([
    '127.0.0.1',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.0.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '192.0.0.1',
    '192.0.2.1',
    '192.88.99.1',
    '198.18.0.1',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '[::]',
    '[::1]',
    '[fc00::1]',
    '[fe80::1]',
    '[fec0::1]',
    '[ff02::1]',
    '[2001:db8::1]',
    '[100::1]',
    '[5f00::1]',
  ]));

test('S02 IPv4 that IPv6 carries is judged as IPv4', () =>
  denied([
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[64:ff9b:1::7f00:1]',
    '[2002:7f00:1::]',
    '[2001:0:0:0:0:0:80ff:fffe]',
    '[::ffff:a9fe:a9fe]',
    '[0:0:0:0:0:ffff:10.0.0.1]',
  ]));

test('S03 a name is what it resolves to, one bad address among good ones included', () =>
  denied(['private.test', 'metadata.test', 'mapped.test'], {
    'private.test': ['10.0.0.1', '192.168.1.1'],
    'metadata.test': ['169.254.169.254'],
    'mapped.test': ['::ffff:127.0.0.1'],
  }));

test('S04 an address in other numbers is the address', () =>
  denied([
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '127.1',
    '127.0.1',
    '0',
    '017700000001',
    '127.0.0.1.',
    '127.000000000000000.1',
  ]));

test('S05 a name has one spelling: case and final dot are nobody’s way round, and what is no name is refused', async () => {
  await denied(['localhost', 'LOCALHOST', 'localhost.', 'LocalHost.']);
  await denied(
    [
      'a%00b',
      'localho%73t',
      '%6c',
      '[fe80::1%25lo]',
      '[[::1]]',
      'a..b',
      '.a',
      'xn--',
      '\u2460'.normalize(),
    ].filter((host) => /^[\x21-\x7e]+$/.test(host)),
  );
  await stage('routes: [{ name: no, match: { hosts: [denied.test] }, access: deny }]', async (cast) => {
    for (const host of ['denied.test', 'DENIED.test', 'denied.test.', 'Denied.Test.'])
      assert.equal((await cast.call(`http://${host}/`)).status, 403, host);
  });
});

test('S06 neither the proxy nor its admin listener is reached through the proxy, whatever is allowed', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    for (const port of [cast.sidecar.port, cast.sidecar.addresses.admin.port])
      for (const host of [
        '127.0.0.1',
        'localhost',
        '127.1',
        '[::ffff:127.0.0.1]',
        '2130706433',
        'localhost.',
      ])
        assert.equal((await cast.call(`http://${host}:${port}/livez`)).status, 403, `${host}:${port}`);
  }));

test('S07 a redirect goes back as it is, and nothing else is fetched because of it', () =>
  stage('', async (cast) => {
    const other = await cast.origin();
    const location = `${other.url}/next`;
    const alternative = `h2="127.0.0.1:${other.port}"`;
    for (const status of [301, 302, 307, 308]) {
      const origin = await cast.origin(
        answer(status, '', [
          'Location',
          location,
          'Alt-Svc',
          alternative,
          'Link',
          `<${location}>; rel=preconnect`,
        ]),
      );
      const got = await cast.call(origin.url);
      assert.deepEqual(
        [got.status, got.headers.location, got.headers['alt-svc']],
        [status, location, alternative],
      );
    }
    assert.equal(other.connections.total, 0);
  }));

test('S08 ports of services that are no HTTP are out of reach, by CONNECT and by request', () => {
  const { deniedPorts } = loadConfig({ files: [], env: {} }).config.access;
  return stage(`access: { deniedPorts: [${deniedPorts.join()}] }`, async (cast) => {
    for (const port of [22, 25, 465, 587, 6379, 11211, 2375, 5432, 3306]) {
      const got = await cast.call(`http://127.0.0.1:${port}/`);
      assert.deepEqual([got.status, JSON.parse(got.text).error], [403, 'http_request_denied'], String(port));
      const caller = await cast.raw();
      caller.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
      assert.equal(messagesOf(await caller.untilEnd())[0]?.status, 403, String(port));
    }
  });
});

test('S09 nothing that a caller writes opens a socket of the file system', () =>
  stage(
    STRICT,
    async (cast) => {
      for (const target of [
        'unix:/var/run/docker.sock',
        'http+unix://%2Fvar%2Frun%2Fdocker.sock/info',
        'unix:///var/run/docker.sock:/info',
        'http://unix:/var/run/docker.sock:/info',
        'http://%2fvar%2frun%2fdocker.sock/',
        'file:///etc/passwd',
        'http:///var/run/docker.sock',
      ]) {
        const caller = await cast.raw();
        caller.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        const [got] = messagesOf(await caller.untilEnd());
        // `unix:` with an empty port is a host of that name, and found by its name.
        assert.equal(got?.status, target.includes('://unix:') ? 403 : 400, target);
        const { attempts } = await cast.sidecar.line(cast.expected);
        assert.ok(attempts.every(({ connectMs }) => connectMs === null));
      }
    },
    { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) },
  ));

test('S10 an IPv6 address is the same however it is written, and a range of IPv4 holds for IPv4 in it', () =>
  stage(
    'access: { addresses: { allow: ["2001:db8:7::/48"], deny: ["10.9.0.0/16"] } }\npolicy: { retry: { attempts: 1 }, timeouts: { connect: 50ms } }',
    async (cast) => {
      const spellings = [
        '[2001:db8:7::1]',
        '[2001:DB8:7::1]',
        '[2001:0db8:0007:0000:0000:0000:0000:0001]',
        '[2001:db8:7:0::0.0.0.1]',
      ];
      for (const host of spellings) await cast.call(`http://${host}:9/`);
      const keys = new Set(cast.sidecar.exchanges.map(({ host }) => host));
      assert.deepEqual([...keys], ['2001:db8:7::1']);
      for (const host of ['10.9.1.1', '[::ffff:10.9.1.1]', '[::ffff:a09:101]'])
        assert.equal((await cast.call(`http://${host}/`)).status, 403, host);
    },
  ));

test('S11 no parent proxy can be configured, and one that the environment names is not used', async () => {
  const before = { ...process.env };
  try {
    for (const name of ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'HTTPS_PROXY'])
      process.env[name] = 'http://127.0.0.1:9';
    await stage('policy: { retry: { attempts: 1 } }', async (cast) => {
      const origin = await cast.origin();
      assert.equal((await cast.call(origin.url)).status, 200);
    });
    const { problems } = ((): { problems: string } => {
      try {
        loadConfig({ files: [], env: { OUTRIGGER__UPSTREAM_PROXY: 'http://127.0.0.1:9' } });
        return { problems: '' };
      } catch (error) {
        return { problems: String(error) };
      }
    })();
    assert.match(problems, /unknown|UPSTREAM_PROXY/i);
  } finally {
    process.env = before;
  }
});
