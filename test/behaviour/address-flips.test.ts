/**
 * A resolver that changes its answers, over every way to an origin: what is forbidden is never dialled, which
 * is seen at the socket (every connect of this process, and listeners on the forbidden addresses).
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls';
import type { Lookup } from '../../src/upstream/resolver.ts';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { DialWatch } from '../support/dial-watch.ts';
import { Http2Origin } from '../support/http2-origin.ts';
import { HttpOrigin, type Script } from '../support/origin.ts';
import { until } from '../support/until.ts';
import { handshakeOf } from '../support/web-socket.ts';

const made = makeCertificates();
const skip = made === null ? 'it needs openssl' : false;
const certificates = made as Certificates;

/** Only 127.0.0.1 may be dialled, by either of its two names. */
const ALLOWED = ['127.0.0.1', '::ffff:127.0.0.1'];

const FLIPS: readonly (readonly string[])[] = [
  ['127.0.0.1'],
  ['127.0.0.2'],
  ['127.0.0.2', '127.0.0.1'],
  ['0.0.0.0'],
  ['127.0.0.1'],
  ['::'],
  ['::ffff:127.0.0.2'],
  ['127.0.0.1', '127.0.0.3', '::1', '169.254.169.254', '::ffff:127.0.0.2'],
  ['::1'],
  ['::ffff:127.0.0.1'],
  ['64:ff9b::7f00:2'],
  ['127.0.0.1'],
  ['10.0.0.1', '192.168.0.1'],
  ['::ffff:0:7f00:2', '2002:7f00:2::', '::127.0.0.2'],
  ['127.1', '2130706434', 'localhost', '127.0.0.02', '::1%lo'],
  ['::', '127.0.0.1', '0.0.0.0'],
];

const isGood = (answer: readonly string[]): boolean => answer.some((address) => ALLOWED.includes(address));

/** Each look-up of any name has the next answer. */
class FlippingResolver {
  asked = 0;
  readonly lookup: Lookup = (_host, callback) => {
    const answer = FLIPS[this.asked++ % FLIPS.length] as readonly string[];
    setImmediate(() => callback(null, answer));
  };
}

interface Play {
  readonly cast: Cast;
  readonly plain: HttpOrigin;
  readonly secure: HttpOrigin;
  readonly multiplexed: Http2Origin;
  readonly resolver: FlippingResolver;
}

/** Twice through all answers. */
const ROUNDS = FLIPS.length * 2;
const GOOD = FLIPS.filter(isGood).length * 2;

const closing: Script = (_request, response) => {
  response.writeHead(200, ['Connection', 'close']).end('here');
};

async function flipped(play: (play: Play) => Promise<void>, script: Script = closing): Promise<void> {
  const plain = await HttpOrigin.start(script);
  const secure = await HttpOrigin.start(script, 0, certificates.good);
  const multiplexed = await Http2Origin.start(certificates.good, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('here');
    stream.on('close', () => stream.session?.close());
  });
  const ports = [plain.port, secure.port, multiplexed.port];
  const watch = await DialWatch.start(...ports);
  const resolver = new FlippingResolver();
  try {
    await stage(
      `
access: { addresses: { allow: [127.0.0.1/32] }, tunnelPorts: [${ports.join(', ')}] }
policy: { breaker: null, retry: { attempts: 1 }, pool: { connections: 4 } }
routes:
  - { name: prefix, prefix: /vendor, origin: "http://prefix.vendor.test:${plain.port}" }
  - { name: originate, match: { hosts: [originate.vendor.test] }, https: originate }
  - { name: intercept, match: { hosts: [intercept.vendor.test] }, https: intercept }
  - { name: http2, match: { hosts: [http2.vendor.test] }, http2: true }
  - { name: retry, match: { hosts: [retry.vendor.test] }, policy: { retry: { attempts: 4, backoff: { initial: 1ms, max: 1ms }, budget: { floor: 1000 } } } }
`,
      (cast) => play({ cast, plain, secure, multiplexed, resolver }),
      {
        lookup: resolver.lookup,
        secureContext: createSecureContext({ ca: certificates.ca }),
        roots: [certificates.ca],
      },
    );
    // Callers of the test dial the sidecar, which is on 127.0.0.1, too.
    watch.prove(...ALLOWED);
    assert.ok(
      ports.some((port) => watch.count(port) > 0),
      'somebody was dialled',
    );
  } finally {
    await watch.stop();
    await Promise.all([plain.close(), secure.close(), multiplexed.close()]);
  }
}

/** Asks again and again; each time the answers say whether it may succeed. */
async function rounds(ask: () => Promise<number>): Promise<void> {
  const statuses: number[] = [];
  for (let i = 0; i < ROUNDS; i++) statuses.push(await ask());
  assert.deepEqual(
    [statuses.filter((status) => status === 200).length, statuses.filter((status) => status === 403).length],
    [GOOD, ROUNDS - GOOD],
    statuses.join(' '),
  );
}

test('the watch sees a dial and an arrival where none may be', async () => {
  const origin = await HttpOrigin.start();
  const watch = await DialWatch.start(origin.port);
  const socket = connect({ host: '127.0.0.2', port: origin.port }).on('error', () => {});
  await once(socket, 'close');
  await watch.stop();
  await origin.close();
  assert.deepEqual(watch.dials, [`127.0.0.2 ${origin.port}`]);
  assert.deepEqual(watch.arrivals, ['127.0.0.2']);
  assert.throws(() => watch.prove('127.0.0.1'));
});

test('absolute form: no flip of an answer leads to a forbidden address', { skip }, () =>
  flipped(({ cast, plain }) =>
    rounds(async () => (await cast.call(`http://absolute.vendor.test:${plain.port}/`)).status),
  ),
);

test('https:// in absolute form: no flip of an answer leads to a forbidden address', { skip }, () =>
  flipped(({ cast, secure }) =>
    rounds(async () => (await cast.call(`https://absolute.vendor.test:${secure.port}/`)).status),
  ),
);

test('a prefix: no flip of an answer leads to a forbidden address', { skip }, () =>
  flipped(({ cast }) =>
    rounds(async () => (await cast.call(`http://localhost:${cast.sidecar.port}/vendor/x`)).status),
  ),
);

test('originate: no flip of an answer leads to a forbidden address', { skip }, () =>
  flipped(({ cast, secure }) =>
    rounds(async () => (await cast.call(`http://originate.vendor.test:${secure.port}/`)).status),
  ),
);

test('an HTTP/2 origin: no flip of an answer leads to a forbidden address', { skip }, () =>
  flipped(({ cast, multiplexed }) =>
    rounds(async () => {
      const { status } = await cast.call(`https://http2.vendor.test:${multiplexed.port}/`);
      await until(() => multiplexed.sessions.size === 0, 'the session to end');
      const key = `https://http2.vendor.test:${multiplexed.port}#http2`;
      await until(() => {
        const { idle = 0, busy = 0, closing: leaving = 0 } = cast.sidecar.origin(key)?.connections ?? {};
        return idle + busy + leaving === 0;
      }, 'the connection to be gone');
      return status;
    }),
  ),
);

const statusOf = (text: string): number => Number(/^HTTP\/1.1 (\d{3})/.exec(text)?.[1]);

test('a tunnel: no flip of an answer leads to a forbidden address', { skip }, () =>
  flipped(({ cast, secure }) =>
    rounds(async () => {
      const caller = await cast.raw();
      const authority = `tunnel.vendor.test:${secure.port}`;
      caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
      const status = statusOf(await caller.until((text) => text.includes('\r\n\r\n')));
      caller.leave();
      return status;
    }),
  ),
);

test('plain HTTP in a tunnel: no flip of an answer leads to a forbidden address', { skip }, () =>
  flipped(async ({ cast, plain }) => {
    const seen = new Set<string>();
    for (let i = 0; i < ROUNDS; i++) {
      const caller = await cast.raw();
      const authority = `inside.vendor.test:${plain.port}`;
      caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
      const connected = statusOf(await caller.until((text) => text.includes('\r\n\r\n')));
      if (connected === 200) {
        cast.expected++;
        const { length } = caller.received;
        caller.write(`GET / HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`);
        await caller.untilEnd();
        seen.add(`${connected} ${statusOf(caller.received.slice(length))}`);
      } else seen.add(`${connected}`);
      caller.leave();
    }
    assert.deepEqual([...seen].toSorted(), ['200 200', '200 403', '403']);
  }),
);

test('the handshake of a WebSocket: no flip of an answer leads to a forbidden address', { skip }, () =>
  flipped(({ cast, plain }) =>
    rounds(async () => {
      const caller = await cast.raw();
      caller.write(handshakeOf(`http://upgrade.vendor.test:${plain.port}/`));
      return statusOf(await caller.untilEnd());
    }),
  ),
);

test(
  'interception: neither the verification nor a request inside leads to a forbidden address',
  { skip },
  () =>
    flipped(async ({ cast, secure }) => {
      const seen = new Set<number>();
      for (let i = 0; i < ROUNDS; i++) {
        const caller = await cast.raw(2);
        const authority = `intercept.vendor.test:${secure.port}`;
        caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
        await caller.until((text) => text.includes('\r\n\r\n'));
        const { socket } = caller;
        socket.removeAllListeners('data');
        socket.pause();
        const tls: TLSSocket = connectTls({
          socket,
          servername: 'intercept.vendor.test',
          rejectUnauthorized: false,
        });
        let text = '';
        tls
          .on('error', () => {})
          .on('data', (chunk: Buffer) => {
            text += chunk.toString('latin1');
          });
        await once(tls, 'secureConnect');
        tls.write(`GET / HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`);
        await until(() => text.includes('\r\n\r\n'), 'an answer');
        seen.add(statusOf(text));
        tls.destroy();
        await cast.sidecar.line(cast.expected);
      }
      assert.deepEqual(
        [...seen].toSorted((a, b) => a - b),
        [200, 403],
      );
    }),
);

test('a retry looks the name up again, and what it finds is judged anew', { skip }, () =>
  flipped(
    async ({ cast, plain, resolver }) => {
      for (let i = 0; i < ROUNDS; i++) await cast.call(`http://retry.vendor.test:${plain.port}/`);
      assert.ok(resolver.asked > ROUNDS, `${resolver.asked} look-ups`);
      const attempts = cast.sidecar.exchanges.flatMap((line) => line.attempts);
      assert.ok(attempts.some(({ n, error }) => n > 1 && error === 'destination_ip_prohibited'));
    },
    (_request, response) => {
      response.writeHead(503, ['Connection', 'close']).end();
    },
  ),
);

test('every further connection of a pool is judged by itself', { skip }, () =>
  flipped(
    async ({ cast, plain }) => {
      for (let i = 0; i < FLIPS.length; i++) {
        const url = `http://pool.vendor.test:${plain.port}/`;
        const statuses = await Promise.all([1, 2, 3, 4].map(async () => (await cast.call(url)).status));
        for (const status of statuses) assert.ok(status === 200 || status === 403, `${status}`);
      }
      assert.ok(plain.connections.total > FLIPS.length / 4);
    },
    (_request, response) => {
      setTimeout(() => response.writeHead(200, ['Connection', 'close']).end('here'), 5);
    },
  ),
);

test(
  'a kept-alive connection stays at the address that was judged, whatever the name says now',
  { skip },
  () =>
    flipped(
      async ({ cast, plain, resolver }) => {
        for (let i = 0; i < 20; i++)
          assert.equal((await cast.call(`http://kept.vendor.test:${plain.port}/`)).status, 200);
        assert.equal(resolver.asked, 1);
        assert.equal(plain.connections.total, 1);
      },
      (_request, response) => {
        response.end('here');
      },
    ),
);

/** An origin on an address that only some route may dial; null: this machine has none. */
async function elsewhere(): Promise<{ port: number; requests: () => number; close: () => Promise<void> }> {
  let requests = 0;
  const server = createServer((_request, response) => {
    requests++;
    response.end('elsewhere');
  });
  server.listen(0, '127.0.0.2');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    requests: () => requests,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

test('an exception of a route is for its exchanges alone: its idle connections are for nobody else', async () => {
  const origin = await elsewhere();
  try {
    await stage(
      `
access: { addresses: { allow: [] } }
routes:
  - { name: private, match: { hosts: [a.test], paths: ["/private/*"] }, addresses: { allow: [127.0.0.2/32] } }
  - { name: same, match: { hosts: [a.test], paths: ["/same/*"] }, addresses: { allow: [127.0.0.2/32] } }
  - { name: other, match: { hosts: [a.test], paths: ["/other/*"] }, addresses: { allow: [127.0.0.0/8], deny: [127.0.0.2] } }
`,
      async (cast) => {
        const ask = async (path: string): Promise<number> =>
          (await cast.call(`http://a.test:${origin.port}${path}`)).status;
        assert.equal(await ask('/public/x'), 403);
        for (let i = 0; i < 3; i++) {
          assert.equal(await ask('/private/x'), 200);
          assert.equal(await ask('/same/x'), 200);
          assert.equal(await ask('/public/x'), 403);
          assert.equal(await ask('/other/x'), 403);
        }
        assert.equal(origin.requests(), 6);
        const key = `http://a.test:${origin.port}`;
        assert.equal(cast.sidecar.origin(key)?.connections.idle, 0);
        assert.equal(cast.sidecar.origin(`${key}@private`)?.connections.idle, 1);
        const denied = cast.sidecar.exchanges.find(({ route }) => route === 'other');
        assert.match(denied?.reason ?? '', /addresses\.deny of the route/);
      },
      { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.2']) },
    );
  } finally {
    await origin.close();
  }
});

test('a denial of a route holds although all others may dial the address, tunnels included', () =>
  stage(
    `
access: { tunnelPorts: [443] }
routes:
  - { name: strict, match: { hosts: [a.test] }, addresses: { deny: [127.0.0.1/32] } }
`,
    async (cast) => {
      const origin = await cast.origin();
      assert.equal((await cast.call(`http://a.test:${origin.port}/`)).status, 403);
      assert.equal((await cast.call(`http://b.test:${origin.port}/`)).status, 200);
      const caller = await cast.raw();
      caller.write('CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n');
      assert.match(await caller.untilEnd(), /^HTTP\/1.1 403 [^]*destination_ip_prohibited/);
      assert.equal(origin.connections.total, 1);
    },
    { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) },
  ));
