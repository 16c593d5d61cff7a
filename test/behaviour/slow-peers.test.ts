/**
 * Peers that drip: policy.limits.minRate, judged while bytes are owed and by who owes them, and never of a stream
 * that has nothing to say; and what is slow in other ways, on both sides.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { stage } from '../support/cast.ts';
import {
  CONTINUATION,
  END_HEADERS,
  fieldBlock,
  frame,
  HEADERS,
  Http2Caller,
  PREFACE,
  RawHttp2Caller,
  requestFields,
  SETTINGS,
} from '../support/http2-caller.ts';
import { messagesOf } from '../support/messages.ts';
import { answer, onHead, readBody } from '../support/origin.ts';
import type { LoggedExchange } from '../support/sidecar.ts';
import { until } from '../support/until.ts';

const MIB = 1_048_576;

/** Judged over 300 ms; the idle timeout is far away. */
const paced = (rate: string, more = ''): string =>
  `policy: { limits: { minRate: ${rate}, minRateWindow: 300ms }, retry: { attempts: 1 }${more} }`;

/** Does it every so many milliseconds, until the test is over. */
function every(t: TestContext, ms: number, drip: () => unknown): void {
  const timer = setInterval(drip, ms);
  // Whether the sidecar left a timer behind is looked at before the end of the test.
  timer.unref();
  t.after(() => clearInterval(timer));
}

/** What the line says of the error, and of the rate that it was for. */
function assertTooSlow(line: LoggedExchange, error: string): void {
  assert.match(line.reason ?? '', new RegExp(`^${error}: [0-9.]+ bytes per second of [0-9]+ over [0-9]+ ms`));
}

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

for (const [what, length] of [
  ['is received before it goes on', 1_000],
  ['goes on as it comes', 1_000_000],
] as const)
  test(`L01 a request body of known length that drips is a 408 (it ${what})`, (t) =>
    stage(paced('1KiB'), async (cast) => {
      const origin = await cast.origin(() => {});
      const caller = await cast.raw();
      caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`);
      every(t, 20, () => caller.write('x'));
      const [got] = messagesOf(await caller.untilEnd());
      assert.equal(got?.status, 408);
      assert.deepEqual(got?.values('connection'), ['close']);
      const line = await cast.sidecar.line();
      assertTooSlow(line, 'request_body_stalled');
      assert.equal(line.attempts.length, length > 262_144 ? 1 : 0);
      assert.equal(origin.connections.total, line.attempts.length);
      await until(() => origin.connections.open.size === 0, 'the connection of the origin to end');
    }));

test('L01 a request body that comes at more than the rate is not cut, however long it takes', (t) =>
  stage(paced('100B'), async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n`);
    let sent = 0;
    every(t, 20, () => (sent++ < 50 ? caller.write('0123456789') : null));
    const text = await caller.until((it) => it.includes('ok\r\n'));
    assert.equal(messagesOf(text)[0]?.status, 200);
    assert.ok((await cast.sidecar.line()).durationMs > 900);
  }));

test('L01 a request body without a length may take its time, and so may a stream of the origin', (t) =>
  stage(paced('1KiB'), async (cast) => {
    const origin = await cast.origin((request, response, seen) => {
      readBody(request, seen, () => {
        response.writeHead(200).write('.');
        let left = 50;
        every(t, 20, () => (left-- > 0 ? response.write('.') : response.end()));
      });
    });
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
    let left = 50;
    every(t, 20, () => (left-- > 0 ? caller.write(chunk('x')) : left === -1 && caller.write('0\r\n\r\n')));
    const text = await caller.until((it) => it.endsWith('0\r\n\r\n'));
    assert.equal(messagesOf(text)[0]?.body, '.'.repeat(51));
    assert.equal((await cast.sidecar.line()).outcome, 'completed');
  }));

test('L01 silence is no matter of the rate but of policy.timeouts.idle', () =>
  stage(paced('1KiB', ', timeouts: { idle: 1500ms }'), async (cast) => {
    const origin = await cast.origin(() => {});
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx`);
    assert.match(await caller.untilEnd(), /^HTTP\/1.1 408 /);
    const line = await cast.sidecar.line();
    assert.equal(line.reason, 'request_body_stalled: after 1500 ms');
    assert.ok(line.durationMs > 1_400);
  }));

test('policy.timeouts.total counts while a request body is received', () =>
  stage('policy: { timeouts: { total: 300ms } }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx`);
    await caller.until((text) => text.includes('\r\n\r\n'));
    const line = await cast.sidecar.line();
    assert.equal(line.error, 'http_response_timeout');
    assert.equal(line.reason, 'total_timeout: 300 ms, while receiving the body');
    assert.equal(origin.connections.total, 0);
  }));

test('policy.timeouts.total counts while a body without a length waits for a place', () => {
  const patient =
    'routes: [{ name: patient, match: { paths: [/patient] }, policy: { timeouts: { total: null } } }]';
  const yaml = `${patient}\npolicy: { pool: { connections: 2 }, timeouts: { total: 300ms } }`;
  return stage(yaml, async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const post = (path: string): string =>
      `POST ${origin.url}${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
    (await cast.raw()).write(post('/patient'));
    await until(() => origin.seen.length === 1, 'who has the place');
    const caller = (await cast.raw()).write(post('/'));
    await caller.until((text) => text.includes('\r\n\r\n'));
    const line = await cast.sidecar.line();
    assert.equal(line.reason, 'total_timeout: 300 ms, while receiving the body');
    assert.equal(origin.connections.total, 1);
  });
});

test('L01 HTTP/2: DATA that drips is a 408, and takes no other stream along', (t) =>
  stage(paced('1KiB'), async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    cast.expected += 2;
    const caller = await Http2Caller.connect(cast.sidecar.port);
    cast.atEnd(() => caller.leave());
    const stream = caller.open(`${origin.url}/`, { ':method': 'POST', 'content-length': '1000' });
    let status: number | undefined;
    stream.on('response', (head) => {
      status = head[':status'];
    });
    stream.resume();
    every(t, 20, () => stream.writable && stream.write('x'));
    await until(() => status !== undefined, 'an answer');
    assert.equal(status, 408);
    assertTooSlow(await cast.sidecar.line(), 'request_body_stalled');
    assert.equal((await caller.call(`${origin.url}/`)).status, 200);
  }));

test('L01 HTTP/2: a head that goes on in CONTINUATION, a byte at a time, is given up after listen.headTimeout', (t) =>
  stage('listen: { headTimeout: 400ms }', async (cast) => {
    const caller = await RawHttp2Caller.connect(
      cast.sidecar.port,
      Buffer.concat([PREFACE, frame(SETTINGS, 0, 0)]),
    );
    cast.atEnd(() => void caller.socket.destroy());
    const block = fieldBlock(requestFields('http://127.0.0.1:1/'));
    caller.write(frame(HEADERS, 0, 1, block.subarray(0, 1)));
    let at = 1;
    every(t, 40, () =>
      caller.write(frame(CONTINUATION, at > 100_000 ? END_HEADERS : 0, 1, [block[at++] ?? 0])),
    );
    await caller.ended();
    assert.deepEqual(cast.sidecar.exchanges, []);
  }));

test('L01 a response body of known length that drips is cut, and logged as the fault of the origin', (t) =>
  stage(paced('1KiB'), async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      onHead(socket, () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n');
        every(t, 20, () => socket.writable && socket.write('x'));
      }),
    );
    await assert.rejects(cast.call(`${origin.url}/`));
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'truncated');
    assertTooSlow(line, 'body_timeout');
    assert.equal(line.attempts[0]?.verdict, 'failure');
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
  }));

/** Reads so little at a time that it can only be too slow for 64 MiB per second. */
function readSlowly(t: TestContext, socket: Socket): void {
  socket.pause();
  every(t, 20, () => socket.read(65_536));
}

test('L01 a caller that takes a response too slowly is cut, and the origin is left', (t) =>
  stage(paced('64MiB'), async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      onHead(socket, () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${256 * MIB}\r\n\r\n`);
        const piece = Buffer.alloc(MIB);
        const flood = (): void => {
          while (socket.writable && socket.write(piece));
        };
        socket.on('drain', flood);
        flood();
      }),
    );
    const caller = await cast.raw();
    readSlowly(t, caller.socket);
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'truncated');
    assertTooSlow(line, 'caller_stalled');
    assert.equal(line.attempts[0]?.verdict, 'ignored');
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
  }));

test('L03 an origin that takes a request body too slowly is left, and the caller gets a 504', (t) =>
  stage(paced('64MiB'), async (cast) => {
    const origin = await cast.rawOrigin((socket) => readSlowly(t, socket));
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${256 * MIB}\r\n\r\n`);
    const piece = Buffer.alloc(MIB);
    const flood = (): void => {
      while (caller.socket.writable && !caller.received && caller.socket.write(piece));
    };
    caller.socket.on('drain', flood);
    flood();
    const text = await caller.until((it) => it.includes('\r\n\r\n'));
    assert.equal(messagesOf(text)[0]?.status, 504);
    const line = await cast.sidecar.line();
    assertTooSlow(line, 'write_timeout');
    assert.equal(line.attempts[0]?.verdict, 'failure');
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
  }));

const endless: readonly (readonly [string, string, string, (socket: Socket, t: TestContext) => void])[] = [
  [
    'whose bytes drip',
    'head_timeout',
    'policy: { timeouts: { head: 400ms }, retry: { attempts: 1 } }',
    (socket, t) => {
      socket.write('HTTP/1.1 200 OK\r\nX-Slow: ');
      every(t, 20, () => socket.writable && socket.write('x'));
    },
  ],
  [
    'behind interim responses that drip',
    'head_timeout',
    'policy: { timeouts: { head: 400ms }, retry: { attempts: 1 } }',
    (socket, t) => {
      let left = 25;
      every(t, 20, () => left-- > 0 && socket.write('HTTP/1.1 102 Processing\r\n\r\n'));
    },
  ],
  [
    'behind a flood of interim responses',
    'response_malformed',
    'policy: { retry: { attempts: 1 } }',
    (socket) => socket.write('HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n'.repeat(1_000)),
  ],
  [
    'without end',
    'response_head_too_large',
    'policy: { retry: { attempts: 1 } }',
    (socket) => {
      const line = `X-Filler: ${'x'.repeat(1_000)}\r\n`.repeat(64);
      socket.write('HTTP/1.1 200 OK\r\n');
      const flood = (): void => {
        while (socket.writable && socket.write(line));
      };
      socket.on('drain', flood);
      flood();
    },
  ],
  [
    'of which one line has no end',
    'response_head_too_large',
    'policy: { retry: { attempts: 1 } }',
    (socket) => {
      const piece = 'x'.repeat(65_536);
      socket.write('HTTP/1.1 200 ');
      const flood = (): void => {
        while (socket.writable && socket.write(piece));
      };
      socket.on('drain', flood);
      flood();
    },
  ],
];
for (const [how, error, yaml, play] of endless)
  test(`L02 a response head ${how} is a ${error}, and its connection ends`, (t) =>
    stage(yaml, async (cast) => {
      const origin = await cast.rawOrigin((socket) => onHead(socket, () => play(socket, t)));
      const got = await cast.call(`${origin.url}/`);
      assert.equal(JSON.parse(got.text).type, `urn:outrigger:error:${error}`);
      assert.equal((await cast.sidecar.line()).attempts.length, 1);
      await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    }));

for (const [what, head, early] of [
  ['that drips', 'GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nX-Slow: ', 50],
  ['that drips from its first byte on', 'GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nX-Slow: ', 0],
] as const)
  for (const inside of [false, true])
    test(`L01 a head ${what} is a 408 after listen.headTimeout${inside ? ', inside a tunnel' : ''}`, (t) =>
      stage('listen: { headTimeout: 400ms }', async (cast) => {
        const caller = await cast.raw(inside ? 2 : 1);
        if (inside) {
          caller.write('CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n');
          await caller.until((text) => text.includes('\r\n\r\n'));
          caller.received = '';
        }
        caller.write(head.slice(0, early));
        let at: number = early;
        every(t, 20, () => caller.socket.writable && caller.write(head[at++] ?? 'x'));
        assert.match(await caller.untilEnd(), /^HTTP\/1.1 408 /);
        const line = await cast.sidecar.line(inside ? 2 : 1);
        assert.equal(line.reason, 'request_head_timeout: after 400 ms');
      }));
