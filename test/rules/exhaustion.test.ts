/** L: what nobody may use up. The large proofs are elsewhere; here each bound is met once. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { loadConfig } from '../../src/config/load.ts';
import type { Route } from '../../src/policy/policy.ts';
import { RouteTable } from '../../src/policy/route.ts';
import { stage } from '../support/cast.ts';
import { Http2Caller } from '../support/http2-caller.ts';
import { messagesOf } from '../support/messages.ts';
import { until } from '../support/until.ts';
import { everyWay, passes, requestText } from './ways.ts';

test('L01 a head that is not finished in time is a 408 on every way, and a body that stands still is ended', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const peer = await way.open();
      peer.write(`GET ${way.target('/slow')} HTTP/1.1\r\nHo`);
      await peer.untilEnd(`the end of a slow head, ${way.name}`);
      assert.equal(messagesOf(peer.received)[0]?.status, 408, way.name);
      const body = await way.open();
      body.write(requestText(way, { method: 'POST', lines: 'Content-Length: 100000\r\n', body: 'begun' }));
      await body.untilEnd(`the end of a slow body, ${way.name}`);
      assert.equal(messagesOf(body.received)[0]?.status, 408, way.name);
    }
  }, 'listen: { headTimeout: 200ms }\npolicy: { retry: { attempts: 1 }, timeouts: { idle: 200ms } }'));

test('L02 heads, targets, fields, interim responses, trailers and extensions have bounds, both ways', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    const { config } = loadConfig({ files: [], env: {} });
    assert.ok(config.limits.headerBytes <= 65_536);
    const chunked = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n`;
    for (const [text, want] of [
      [`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`, 502],
      [`HTTP/1.1 200 OK\r\n${'X: a\r\n'.repeat(6_000)}\r\n`, 502],
      ['HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(64), 502],
      [`${chunked}1\r\na\r\n0\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`, null],
      [`${chunked}1;${'a'.repeat(5_000)}\r\na\r\n0\r\n\r\n`, null],
    ] as const) {
      const origin = await cast.rawOrigin((socket) => socket.once('data', () => socket.write(text)));
      const caller = await cast.raw();
      caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const got = messagesOf(await caller.untilEnd()).find(({ status }) => status >= 200);
      // Behind a head that has gone on, only the cut can tell.
      assert.ok(got?.status === 502 || (want === null && got?.whole === false), text.slice(0, 80));
      await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    }
  }));

test('L04 what is compressed stays so, however large it would become', () =>
  stage('', async (cast) => {
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    const origin = await cast.origin((_request, response) => {
      response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': bomb.length });
      response.end(bomb);
    });
    const before = process.memoryUsage().rss;
    const got = await cast.call(origin.url);
    assert.ok(got.body.equals(bomb));
    assert.ok(process.memoryUsage().rss - before < 40_000_000);
    assert.equal((await cast.sidecar.line()).responseBytes, bomb.length);
  }));

const descriptors = (): number => readdirSync('/proc/self/fd').length;

test('L06 a thousand exchanges that end badly leave no descriptor, permit or timer behind', () => {
  let before = 0;
  return stage('policy: { retry: { attempts: 1 }, breaker: null }', async (cast) => {
    const origin = await cast.rawOrigin((socket) => {
      let n = 0;
      socket.on('data', () => {
        if (n++ % 2 === 0) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
        else socket.destroy();
        setImmediate(() => socket.destroy());
      });
    });
    const round = async (): Promise<void> => {
      for (let i = 0; i < 10; i++) {
        const callers = await Promise.all(Array.from({ length: 10 }, () => cast.raw(1)));
        for (const [k, caller] of callers.entries()) {
          if (k % 3 === 0) caller.write('nonsense\r\n\r\n');
          else caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
        }
        await Promise.all(
          callers.map((caller) => until(() => caller.received !== '' || caller.closed, 'an answer')),
        );
        for (const caller of callers) caller.leave();
      }
      const { sidecar } = cast.sidecar;
      await until(
        () => sidecar.snapshot().exchangesInFlight === 0 && sidecar.snapshot().callerConnections === 0,
        'quiet',
      );
      await until(
        () => sidecar.snapshot().connections === 0 && origin.connections.open.size === 0,
        'no connection',
      );
    };
    await round();
    before = descriptors();
    for (let i = 0; i < 9; i++) await round();
    await until(
      () => descriptors() <= before + 2,
      `descriptors to be gone: ${descriptors()} against ${before}`,
    );
  });
});

test('L07 a dial that finds no descriptor or port is a 503, and the next is served', () =>
  stage(
    'policy: { retry: { attempts: 1 } }',
    async (cast) => {
      const origin = await cast.origin();
      for (const code of ['EMFILE', 'ENFILE']) {
        const got = await cast.call(`http://${code.toLowerCase()}.test:${origin.port}/`);
        assert.ok(got.status === 503 || got.status === 502, `${code}: ${got.status}`);
        assert.equal((await cast.call(origin.url)).status, 200);
      }
    },
    {
      lookup: (host, callback) =>
        setImmediate(() =>
          callback(
            Object.assign(new Error('no descriptor'), { code: host.split('.')[0]?.toUpperCase() }),
            [],
          ),
        ),
    },
  ));

test('L08 a name that is never answered holds up nobody else', () =>
  stage(
    'policy: { retry: { attempts: 1 }, timeouts: { dns: 300ms } }',
    async (cast) => {
      const origin = await cast.origin();
      const slow = Array.from({ length: 8 }, (_, i) => cast.call(`http://silent-${i}.test/`));
      const began = performance.now();
      assert.equal((await cast.call(`http://quick.test:${origin.port}/`)).status, 200);
      assert.ok(performance.now() - began < 250);
      for (const got of await Promise.all(slow)) assert.equal(got.status, 504);
    },
    {
      lookup: (host, callback) =>
        void (host.startsWith('quick') && setImmediate(callback, null, ['127.0.0.1'])),
    },
  ));

test('L09 no pattern of a route takes longer than a moment, whatever host and path it meets', () => {
  const env = {
    OUTRIGGER__ROUTES:
      '[{ name: evil, match: { hosts: ["*.a.test"], paths: ["/a*", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/*"] } }]',
  };
  const { config } = loadConfig({ files: [], env });
  const table = new RouteTable(config.routes, config.routes[0] as Route);
  const host = `${'a'.repeat(5_000)}.test`;
  const path = `/${'a'.repeat(30_000)}!`;
  const target = { scheme: 'http', host, port: 80, authority: host, origin: `http://${host}:80` } as const;
  const began = performance.now();
  for (let i = 0; i < 100; i++) table.match('GET', target, path, null);
  assert.ok(performance.now() - began < 500, `${performance.now() - began} ms for a hundred`);
});

test('L10 Node is no older than what mended its parser, its TLS errors and its hashes', () => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  assert.ok(major > 24 || (major === 24 && minor >= 14), process.versions.node);
});

test('L11 whatever callers and origins send, no error is left to the process', async () => {
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);
  process.on('uncaughtException', note);
  process.on('unhandledRejection', note);
  try {
    await stage('policy: { retry: { attempts: 1 }, breaker: null }', async (cast) => {
      let n = 0;
      const origin = await cast.rawOrigin((socket) => {
        socket.on('data', () => {
          const how = n++ % 4;
          if (how === 0) socket.resetAndDestroy();
          else if (how === 1) socket.end('HTTP/1.1 200 OK\r\nContent-Le');
          else if (how === 2) socket.write('HTTP/1.1 101 X\r\n\r\n');
          else socket.write('\0\0\0');
        });
      });
      for (let i = 0; i < 100; i++) {
        const caller = await cast.raw(0);
        const text = `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789`;
        caller.write(text.slice(0, 1 + ((i * 7) % text.length)));
        if (i % 3 === 0) caller.socket.resetAndDestroy();
        else if (i % 3 === 1) caller.socket.end();
        else setImmediate(() => caller.leave());
        await until(() => caller.closed, 'the end of a caller');
      }
      const { sidecar } = cast.sidecar;
      await until(
        () => sidecar.snapshot().exchangesInFlight === 0 && sidecar.snapshot().callerConnections === 0,
        'quiet',
      );
      cast.expected += cast.sidecar.exchanges.length;
      const good = await cast.origin();
      assert.equal((await cast.call(good.url)).status, 200);
    });
  } finally {
    process.off('uncaughtException', note);
    process.off('unhandledRejection', note);
  }
  assert.deepEqual(uncaught, []);
});

test('L12 a thousand names that somebody made up leave no more state than limits.origins', () =>
  stage(
    'limits: { origins: 16 }\npolicy: { retry: { attempts: 1 }, breaker: null }',
    async (cast) => {
      for (let i = 0; i < 1_000; i += 20)
        await Promise.all(Array.from({ length: 10 }, (_, k) => cast.call(`http://name-${i + k}.test:9/`)));
      assert.ok(cast.sidecar.sidecar.snapshot().origins.length <= 16);
    },
    {
      lookup: (_host, callback) =>
        setImmediate(() => callback(Object.assign(new Error('none'), { code: 'ENOTFOUND' }), [])),
    },
  ));

test('L02 streams of HTTP/2 beyond listen.streams are not processed', () =>
  stage('listen: { streams: 4 }', async (cast) => {
    const caller = await Http2Caller.connect(cast.sidecar.port);
    assert.equal(caller.session.remoteSettings.maxConcurrentStreams, 4);
    caller.leave();
  }));

test('L03 L05 what is large passes in pieces on every way', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const body = 'x'.repeat(300_000);
      const { seen } = await passes(
        way,
        requestText(way, { method: 'POST', lines: `Content-Length: ${body.length}\r\n`, body }),
      );
      assert.equal(seen.body.length, body.length, way.name);
    }
  }));
