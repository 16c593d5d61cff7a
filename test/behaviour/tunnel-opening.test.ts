/** The first bytes of a tunnel: what may be inside, by which name, in which time; and nothing else reaches the far end. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Edges } from '../../src/sidecar.ts';
import type { RawCaller } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import {
  extension,
  helloBody,
  helloOfNode,
  message,
  records,
  serverNameExtension,
} from '../support/client-hello.ts';
import { RawOrigin } from '../support/origin.ts';
import { folder } from '../support/process.ts';
import { until } from '../support/until.ts';

/** Hosts that were asked for: nothing is dialled without. */
class Names {
  readonly asked: string[] = [];
  readonly edges: Edges = {
    lookup: (host, callback) => {
      this.asked.push(host);
      setImmediate(callback, null, ['127.0.0.1']);
    },
  };
}

interface Scene {
  readonly script?: (socket: Socket) => void;
  /** More keys of `access`. */
  readonly access?: string;
  readonly yaml?: string;
}

interface Play {
  readonly cast: Cast;
  readonly origin: RawOrigin;
  /** Everything that any connection brought to the origin. */
  readonly got: () => Buffer;
}

async function tunnels(play: (play: Play) => Promise<void>, scene: Scene = {}): Promise<void> {
  const pieces: Buffer[] = [];
  const origin = await RawOrigin.start((socket) => {
    socket.on('data', (chunk) => pieces.push(chunk));
    (scene.script ?? echo)(socket);
  });
  await stage(
    `access: { tunnelPorts: [443, ${origin.port}]${scene.access ?? ''} }\n${scene.yaml ?? ''}`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      await play({ cast, origin, got: () => Buffer.concat(pieces) });
    },
    new Names().edges,
  );
}

function echo(socket: Socket): void {
  socket.on('data', (chunk) => socket.write(chunk));
  socket.on('end', () => socket.end());
}

const OTHER = ', tunnelProtocols: [tls, http, other]';
const ANY_NAME = ', tunnelServerName: any';

const connect = (authority: string): string => `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`;

async function opened(cast: Cast, authority: string): Promise<RawCaller> {
  const caller = await cast.raw();
  caller.write(connect(authority));
  assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 200 /);
  caller.received = caller.received.slice(caller.received.indexOf('\r\n\r\n') + 4);
  return caller;
}

const bytes = (caller: RawCaller): Buffer => Buffer.from(caller.received, 'latin1');

/** A fatal alert (RFC 8446, section 6). */
const alert = (description: number): Buffer => Buffer.from([0x15, 3, 1, 0, 2, 2, description]);
const UNRECOGNIZED_NAME = alert(112);
const DECODE_ERROR = alert(50);
const ACCESS_DENIED = alert(49);

const helloFor = (...names: string[]): Buffer =>
  records(message(helloBody({ extensions: names.length === 0 ? [] : [serverNameExtension(...names)] })));

for (const [what, hello, serverName] of [
  ['the host', helloFor('vendor.test'), 'vendor.test'],
  ['the host in another case', helloFor('VENDOR.Test'), 'vendor.test'],
  ['the host with a final dot', helloFor('vendor.test.'), 'vendor.test'],
  ['nobody', helloFor(), null],
] as const)
  test(`a ClientHello that names ${what} passes byte for byte, and the line tells the name`, () =>
    tunnels(async ({ cast, origin, got }) => {
      const caller = await opened(cast, `Vendor.test.:${origin.port}`);
      caller.write(hello);
      await until(() => got().length === hello.length, 'the ClientHello at the origin');
      assert.deepEqual(got(), hello);
      await caller.until((text) => text.length === hello.length);
      caller.socket.end();
      const line = await cast.sidecar.line();
      assert.deepEqual(
        [line.via, line.serverName, line.outcome, line.requestBytes, line.responseBytes],
        ['tunnel', serverName, 'completed', hello.length, hello.length],
      );
    }));

for (const name of ['evil.test', 'a.vendor.test', 'vendor.test.evil.test', 'vendor', '127.0.0.1'])
  test(`a ClientHello that names ${name} inside a CONNECT to vendor.test is refused with an alert, and reaches nobody`, () =>
    tunnels(async ({ cast, origin, got }) => {
      const caller = await opened(cast, `vendor.test:${origin.port}`);
      caller.write(helloFor(name));
      await caller.untilEnd();
      const line = await cast.sidecar.line();
      assert.deepEqual(bytes(caller), UNRECOGNIZED_NAME);
      assert.deepEqual(
        [line.status, line.outcome, line.error, line.serverName, line.reason],
        [200, 'refused', 'http_request_denied', name, `server_name_denied: ${name} inside vendor.test`],
      );
      assert.equal(got().length, 0);
      await until(() => origin.connections.open.size === 0, 'the far end to be closed');
    }));

test('with access.tunnelServerName: any, another name passes, and the line tells it', () =>
  tunnels(
    async ({ cast, origin }) => {
      const hello = helloFor('front.test');
      const caller = await opened(cast, `vendor.test:${origin.port}`);
      caller.write(hello);
      await caller.until((text) => text.length === hello.length);
      caller.socket.end();
      assert.equal((await cast.sidecar.line()).serverName, 'front.test');
    },
    { access: ANY_NAME },
  ));

const BY_NAME = {
  access: `${ANY_NAME}, default: deny`,
  yaml: 'routes: [{ name: vendor, match: { hosts: [vendor.test] } }, { name: never, match: { hosts: [127.0.0.9] }, access: deny }]',
};

test('with it a CONNECT to an address is routed by the server name', () =>
  tunnels(async ({ cast, origin }) => {
    const hello = helloFor('vendor.test');
    const caller = await opened(cast, `127.0.0.1:${origin.port}`);
    assert.equal(origin.connections.total, 0, 'not before the name is known');
    caller.write(hello);
    await caller.until((text) => text.length === hello.length);
    caller.socket.end();
    const line = await cast.sidecar.line();
    assert.deepEqual([line.route, line.host, line.outcome], ['vendor', '127.0.0.1', 'completed']);
  }, BY_NAME));

for (const [what, first, reply] of [
  ['a name that no route allows', helloFor('evil.test'), ACCESS_DENIED],
  ['no name', helloFor(), ACCESS_DENIED],
  ['something else inside', Buffer.from('SSH-2.0-x\r\n'), Buffer.alloc(0)],
] as const)
  test(`and with ${what} it is refused as it would be by its address, and nothing is dialled`, () =>
    tunnels(
      async ({ cast, origin }) => {
        const caller = await opened(cast, `127.0.0.1:${origin.port}`);
        caller.write(first);
        await caller.untilEnd();
        assert.deepEqual(bytes(caller), reply);
        const line = await cast.sidecar.line();
        assert.deepEqual([line.outcome, line.error], ['refused', 'http_request_denied']);
        assert.match(String(line.reason), /^access_denied/);
        assert.equal(origin.connections.total, 0);
      },
      { ...BY_NAME, access: `${BY_NAME.access}${OTHER}` },
    ));

test('a denied port stays denied to the route that the server name finds, unless that names the port', () =>
  tunnels(
    async ({ cast }) => {
      for (const [name, port, reason] of [
        ['vendor.test', 443, /^port_denied: port 443$/],
        ['opener.test', 443, /^connection_refused/],
      ] as const) {
        const caller = await opened(cast, `127.0.0.1:${port}`);
        caller.write(helloFor(name));
        await caller.untilEnd();
        assert.match(String((await cast.sidecar.line(cast.expected)).reason), reason, name);
      }
    },
    {
      access: `${BY_NAME.access}, deniedPorts: [443]`,
      yaml: `${BY_NAME.yaml.slice(0, -1)}, { name: opener, match: { hosts: [opener.test], ports: [443] } }]`,
    },
  ));

test('a CONNECT to an address counts for its client while the server name decides, and after', () =>
  tunnels(
    async ({ cast, origin }) => {
      const first = await opened(cast, `127.0.0.1:${origin.port}`);
      const second = await cast.raw();
      second.write(connect(`127.0.0.1:${origin.port}`));
      assert.match(await second.untilEnd(), /^HTTP\/1.1 503 [^]*urn:outrigger:error:client_limit/);
      const hello = helloFor('vendor.test');
      first.write(hello);
      await first.until((text) => text.length === hello.length);
      const third = await cast.raw();
      third.write(connect(`127.0.0.1:${origin.port}`));
      assert.match(await third.untilEnd(), /^HTTP\/1.1 503 [^]*urn:outrigger:error:client_limit/);
      first.socket.end();
      await cast.sidecar.line(3);
      const fourth = await opened(cast, `127.0.0.1:${origin.port}`);
      fourth.leave();
    },
    {
      ...BY_NAME,
      yaml: `${BY_NAME.yaml}\nclients: [{ name: one, addresses: [127.0.0.0/8], exchanges: 1 }]`,
    },
  ));

test('an address that a route denies is denied whatever the server name says', () =>
  tunnels(async ({ cast, origin }) => {
    const caller = await cast.raw();
    caller.write(connect(`127.0.0.9:${origin.port}`)).write(helloFor('vendor.test'));
    assert.match(await caller.untilEnd(), /^HTTP\/1.1 403 /);
    assert.equal((await cast.sidecar.line()).route, 'never');
  }, BY_NAME));

test('a ClientHello in single bytes, and over many records, passes as it came', async () => {
  const body = message(
    helloBody({ extensions: [serverNameExtension('vendor.test'), extension(21, Buffer.alloc(300))] }),
  );
  await tunnels(async ({ cast, origin, got }) => {
    const caller = await opened(cast, `vendor.test:${origin.port}`);
    const hello = records(body, ...Array.from({ length: 60 }, () => 7));
    for (const byte of hello) {
      caller.socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => got().length === hello.length, 'all of it at the origin');
    assert.deepEqual(got(), hello);
    caller.socket.end();
    assert.equal((await cast.sidecar.line()).serverName, 'vendor.test');
  });
});

test('bytes that come together with the CONNECT are looked at like any other', () =>
  tunnels(async ({ cast, origin, got }) => {
    const good = await cast.raw();
    good.write(Buffer.concat([Buffer.from(connect(`vendor.test:${origin.port}`)), helloFor('vendor.test')]));
    await until(() => got().length > 0, 'the ClientHello');
    const before = got().length;
    const bad = await cast.raw();
    bad.write(Buffer.concat([Buffer.from(connect(`vendor.test:${origin.port}`)), helloFor('evil.test')]));
    await bad.untilEnd();
    assert.ok(bytes(bad).subarray(-7).equals(UNRECOGNIZED_NAME));
    assert.equal(got().length, before);
  }));

for (const together of [false, true])
  test(`a ClientHello that is never finished is cut after listen.headTimeout${together ? ', also one that came with the CONNECT' : ''}`, () =>
    tunnels(
      async ({ cast, origin, got }) => {
        const began = performance.now();
        const half = helloFor('vendor.test').subarray(0, 40);
        if (together) {
          const caller = await cast.raw();
          caller.write(Buffer.concat([Buffer.from(connect(`vendor.test:${origin.port}`)), half]));
          await caller.untilEnd();
        } else {
          const caller = await opened(cast, `vendor.test:${origin.port}`);
          caller.write(half);
          await caller.untilEnd();
        }
        assert.ok(performance.now() - began < 5_000);
        const line = await cast.sidecar.line();
        assert.deepEqual([line.outcome, line.error], ['refused', 'http_request_error']);
        assert.match(String(line.reason), /^tunnel_hello_timeout/);
        assert.equal(got().length, 0);
        await until(() => origin.connections.open.size === 0, 'the far end to be closed');
      },
      { yaml: 'listen: { headTimeout: 100ms }' },
    ));

const SOUND = message(helloBody({ extensions: [serverNameExtension('vendor.test')] }));

for (const [what, broken] of [
  ['another handshake message', records(message(helloBody(), 2))],
  [
    'a length that runs over its end',
    records(Buffer.concat([SOUND.subarray(0, 38), Buffer.from([0xff]), SOUND.subarray(39)])),
  ],
  ['an empty record', Buffer.from([0x16, 3, 1, 0, 0])],
  ['two names', helloFor('vendor.test', 'evil.test')],
] as const)
  test(`a ClientHello that is broken (${what}) gets an alert, and the origin not a byte`, () =>
    tunnels(async ({ cast, origin, got }) => {
      const caller = await opened(cast, `vendor.test:${origin.port}`);
      caller.write(broken);
      await caller.untilEnd();
      assert.deepEqual(bytes(caller), DECODE_ERROR);
      assert.match(String((await cast.sidecar.line()).reason), /^tunnel_hello_malformed/);
      assert.equal(got().length, 0);
    }));

for (const [what, first] of [
  ['garbage', Buffer.from([0, 1, 2, 3])],
  ['SSH', Buffer.from('SSH-2.0-OpenSSH_9\r\n')],
  ['a SOCKS greeting', Buffer.from([5, 1, 0])],
  ['a TLS alert', alert(80)],
] as const) {
  test(`${what} inside is denied, and the origin gets not a byte`, () =>
    tunnels(async ({ cast, origin, got }) => {
      const caller = await opened(cast, `vendor.test:${origin.port}`);
      caller.write(first);
      assert.equal(await caller.untilEnd(), '');
      const line = await cast.sidecar.line();
      assert.deepEqual([line.outcome, line.error], ['refused', 'http_request_denied']);
      assert.match(String(line.reason), /^tunnel_protocol_denied/);
      assert.equal(got().length, 0);
    }));
  test(`${what} inside passes where access.tunnelProtocols has other`, () =>
    tunnels(
      async ({ cast, origin }) => {
        const caller = await opened(cast, `vendor.test:${origin.port}`);
        caller.write(first);
        await caller.until((text) => text.length === first.length);
        assert.deepEqual(bytes(caller), first);
      },
      { access: OTHER },
    ));
}

test('an origin that speaks first is heard where access.tunnelProtocols has other, and else the tunnel is refused', async () => {
  const script = (socket: Socket): void => {
    socket.write('220 ready\r\n');
    echo(socket);
  };
  await tunnels(
    async ({ cast, origin }) => {
      const caller = await opened(cast, `vendor.test:${origin.port}`);
      await caller.until((text) => text === '220 ready\r\n');
      caller.write('EHLO me\r\n');
      await caller.until((text) => text.endsWith('EHLO me\r\n'));
    },
    { access: OTHER, script },
  );
  await tunnels(
    async ({ cast, origin }) => {
      const caller = await opened(cast, `vendor.test:${origin.port}`);
      assert.equal(await caller.untilEnd(), '');
      assert.match(
        String((await cast.sidecar.line()).reason),
        /^tunnel_protocol_denied: the far end speaks first/,
      );
    },
    { script },
  );
});

test('a tunnel in which nobody says anything is closed after policy.timeouts.idle', () =>
  tunnels(
    async ({ cast, origin }) => {
      const began = performance.now();
      const caller = await opened(cast, `vendor.test:${origin.port}`);
      await caller.untilEnd();
      assert.ok(performance.now() - began >= 95);
      const line = await cast.sidecar.line();
      assert.deepEqual(
        [line.status, line.outcome, line.error],
        [200, 'truncated', 'connection_read_timeout'],
      );
      await until(() => origin.connections.open.size === 0, 'the far end to be closed');
    },
    { yaml: 'policy: { timeouts: { idle: 100ms } }' },
  ));

test('a caller that half-closes before it has said anything hears what the origin has to say', () =>
  tunnels(
    async ({ cast, origin }) => {
      const caller = await opened(cast, `vendor.test:${origin.port}`);
      caller.socket.end();
      assert.equal(await caller.untilEnd(), 'bye');
      const line = await cast.sidecar.line();
      assert.deepEqual([line.outcome, line.requestBytes, line.responseBytes], ['completed', 0, 3]);
    },
    { script: (socket) => socket.on('end', () => socket.end('bye')).resume() },
  ));

test('a caller that half-closes in the middle of a ClientHello gets an alert', () =>
  tunnels(async ({ cast, origin, got }) => {
    const caller = await opened(cast, `vendor.test:${origin.port}`);
    caller.socket.end(helloFor('vendor.test').subarray(0, 30));
    await caller.untilEnd();
    assert.deepEqual(bytes(caller), DECODE_ERROR);
    assert.equal(got().length, 0);
  }));

for (const access of ['', OTHER])
  test(`an origin that ends before anybody has said anything ends the tunnel${access && ', with other, too'}`, () =>
    tunnels(
      async ({ cast, origin }) => {
        const caller = await opened(cast, `vendor.test:${origin.port}`);
        await caller.untilEnd();
        caller.socket.end();
        const line = await cast.sidecar.line();
        assert.deepEqual([line.outcome, line.responseBytes], ['completed', 0]);
        assert.ok(line.durationMs < 5_000);
      },
      { access, script: (socket) => socket.end() },
    ));

test('an origin that resets before anybody has said anything is a reset for the caller', () => {
  const sockets: Socket[] = [];
  return tunnels(
    async ({ cast, origin }) => {
      const caller = await opened(cast, `vendor.test:${origin.port}`);
      let code = '';
      caller.socket.on('error', (error: NodeJS.ErrnoException) => {
        code = error.code ?? '';
      });
      await until(() => sockets.length === 1, 'the connection');
      sockets[0]?.resetAndDestroy();
      await until(() => caller.closed, 'the end');
      assert.equal(code, 'ECONNRESET');
      const line = await cast.sidecar.line();
      assert.deepEqual([line.outcome, line.reason], ['truncated', 'origin reset the tunnel']);
    },
    { script: (socket) => sockets.push(socket) },
  );
});

for (const [where, access, host] of [
  ['connected', '', 'vendor.test'],
  ['not yet dialled', ANY_NAME, '127.0.0.1'],
] as const)
  for (const [when, sent] of [
    ['before its first byte', Buffer.alloc(0)],
    ['in the middle of its ClientHello', helloFor('vendor.test').subarray(0, 50)],
  ] as const)
    for (const how of ['reset', 'close'] as const)
      test(`a caller that leaves (${how}) ${when}, far end ${where}, leaves nothing behind`, () =>
        tunnels(
          async ({ cast, origin, got }) => {
            const caller = await opened(cast, `${host}:${origin.port}`);
            if (sent.length > 0) {
              caller.write(sent);
              await new Promise((resolve) => setImmediate(resolve));
            }
            if (how === 'reset') caller.socket.resetAndDestroy();
            else caller.leave();
            const line = await cast.sidecar.line();
            assert.ok(['aborted', 'completed', 'refused'].includes(line.outcome), line.outcome);
            assert.equal(got().length, 0);
            await until(() => origin.connections.open.size === 0, 'the far end to be closed');
          },
          { access },
        ));

for (const [where, access, host] of [
  ['connected', '', 'vendor.test'],
  ['not yet dialled', ANY_NAME, '127.0.0.1'],
] as const)
  test(`a stop while the first bytes are awaited, far end ${where}, cuts the tunnel and says so`, () =>
    tunnels(
      async ({ cast, origin }) => {
        const caller = await opened(cast, `${host}:${origin.port}`);
        await cast.sidecar.stop();
        await caller.untilEnd();
        const line = await cast.sidecar.line();
        assert.deepEqual([line.outcome, line.error], ['truncated', 'proxy_internal_response']);
      },
      { access },
    ));

test('a name inside a CONNECT to an address is refused where they must agree, and no name is fine', () =>
  tunnels(async ({ cast, origin, got }) => {
    const named = await opened(cast, `127.0.0.1:${origin.port}`);
    named.write(helloFor('vendor.test'));
    await named.untilEnd();
    assert.deepEqual(bytes(named), UNRECOGNIZED_NAME);
    assert.equal(got().length, 0);
    const nameless = await opened(cast, `127.0.0.1:${origin.port}`);
    nameless.write(helloFor());
    await nameless.until((text) => text.length > 0);
  }));

test('a thousand openings at once, whole, half, broken, silent and reset, leave nothing behind', async () => {
  const real = await helloOfNode({ servername: 'vendor.test' });
  await tunnels(
    async ({ cast, origin }) => {
      const callers = await Promise.all(
        Array.from({ length: 1_000 }, async (_, i) => {
          const caller = await cast.raw();
          caller.write(connect(`${i % 2 === 0 ? 'vendor.test' : '127.0.0.1'}:${origin.port}`));
          const first = [real, real.subarray(0, 20), Buffer.from('\0'), Buffer.alloc(0), Buffer.from('GE')][
            i % 5
          ];
          caller.write(first as Buffer);
          return caller;
        }),
      );
      await until(
        () => callers.every(({ received, closed }) => closed || received.includes('\r\n\r\n')),
        'all',
      );
      for (const [i, caller] of callers.entries()) {
        if (i % 3 === 0) caller.socket.resetAndDestroy();
        else caller.leave();
      }
      await cast.sidecar.line(1_000);
      await until(() => origin.connections.open.size === 0, 'the far ends to be closed', 20_000);
    },
    {
      access: ANY_NAME,
      yaml: 'policy: { pool: { connections: 600, queue: 1000, queueTimeout: 20s }, breaker: null }\nlimits: { connections: 1000 }',
    },
  );
});

test('a CONNECT to an address is no way round the interception of the name that its TLS asks for', async (t) => {
  const bundle = join(folder(t), 'bundle.pem');
  await tunnels(
    async ({ cast, origin, got }) => {
      const caller = await opened(cast, `127.0.0.1:${origin.port}`);
      caller.write(helloFor('secret.test'));
      assert.equal(await caller.untilEnd(), '\x15\x03\x01\x00\x02\x02\x70', 'unrecognized_name');
      assert.equal(got().length, 0);
      const { reason } = await cast.sidecar.line();
      assert.match(String(reason), /^server_name_denied: secret\.test is intercepted/);
    },
    {
      access: ANY_NAME,
      yaml: `intercept: { bundle: ${bundle} }\nroutes: [{ name: i, match: { hosts: [secret.test] }, https: intercept }]`,
    },
  );
});

test('where only routes pass, plain HTTP inside a CONNECT to port 80 is asked about request by request', () =>
  tunnels(
    async ({ cast, origin }) => {
      const caller = await opened(cast, 'vendor.test:80');
      cast.expected += 2;
      const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: vendor.test\r\n\r\n`;
      caller.write(get('/closed'));
      await caller.until((text) => text.includes('}'), 'the refusal');
      assert.match(caller.received, /^HTTP\/1\.1 403 /);
      caller.received = '';
      caller.write(get('/open'));
      // Nobody listens there, or somebody who is none of ours: it has passed, which is what counts.
      await cast.sidecar.line(3);
      const [connect, closed, open] = cast.sidecar.exchanges;
      assert.deepEqual([connect?.status, connect?.reason], [200, 'plain HTTP inside']);
      assert.deepEqual([closed?.error, closed?.route], ['http_request_denied', 'default']);
      assert.equal(open?.route, 'vendor');
      assert.notEqual(open?.error, 'http_request_denied');
      assert.equal(origin.connections.total, 0);
    },
    {
      access: ', default: deny',
      yaml: 'policy: { retry: { attempts: 1 } }\nroutes: [{ name: vendor, match: { hosts: [vendor.test], paths: ["/open"] } }]',
    },
  ));

test('where only routes pass, TLS inside a CONNECT to port 80 is cut', () =>
  tunnels(
    async ({ cast }) => {
      const caller = await opened(cast, 'vendor.test:80');
      caller.write(helloFor('vendor.test'));
      await caller.untilEnd();
      assert.equal((await cast.sidecar.line()).error, 'http_request_denied');
    },
    { access: ', default: deny' },
  ));
