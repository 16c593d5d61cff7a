/** What slow callers may hold: little memory, no permit and no connection that somebody else needs. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { RawCaller } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import { bufferBytes } from '../support/memory.ts';
import { messagesOf } from '../support/messages.ts';
import { answer, type HttpOrigin, onHead, type RawOrigin } from '../support/origin.ts';
import { until, untilStill } from '../support/until.ts';

const MIB = 1_048_576;
const GIB = 1_024 * MIB;

function every(t: TestContext, ms: number, drip: () => unknown): void {
  const timer = setInterval(drip, ms);
  // Whether the sidecar left a timer behind is looked at before the end of the test.
  timer.unref();
  t.after(() => clearInterval(timer));
}

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const post = (url: string, framing: string): string =>
  `POST ${url}/ HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n`;

/** Answers /big with a head and a body that never ends, and everything else with `ok`. */
function floods(cast: Cast): Promise<RawOrigin> {
  return cast.rawOrigin((socket) => {
    const next = (): void =>
      onHead(socket, (head) => {
        if (!head.startsWith('GET /big ')) {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
          next();
          return;
        }
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${GIB}\r\n\r\n`);
        flood(socket);
      });
    next();
  });
}

function flood(socket: Socket): void {
  const piece = Buffer.alloc(65_536);
  const more = (): void => {
    while (socket.writable && socket.write(piece));
  };
  socket.on('drain', more);
  more();
}

/** Callers that ask for /big and read nothing, once nothing moves any more. */
async function stalled(cast: Cast, origin: RawOrigin, count: number): Promise<RawCaller[]> {
  const callers: RawCaller[] = [];
  for (let i = 0; i < count; i++) {
    const caller = await cast.raw();
    caller.socket.pause();
    caller.write(`GET ${origin.url}/big HTTP/1.1\r\nHost: x\r\n\r\n`);
    callers.push(caller);
  }
  await until(() => origin.connections.open.size >= count, 'the requests');
  await untilStill(() => [...origin.connections.open].reduce((sum, one) => sum + one.bytesWritten, 0));
  return callers;
}

test('L01 a slow body of known length holds no connection, no place in a queue and no permit', (t) =>
  stage('limits: { exchanges: 2 }\npolicy: { pool: { connections: 1, queue: 1 } }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const slow: RawCaller[] = [];
    for (let i = 0; i < 20; i++) slow.push((await cast.raw()).write(post(origin.url, 'Content-Length: 40')));
    let left = 40;
    every(t, 20, () => left-- > 0 && slow.forEach((caller) => caller.write('x')));
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 20, 'the slow bodies');
    for (let i = 0; i < 10; i++) assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    assert.equal(origin.connections.most, 1);
    // Each goes on once it is whole; what comes then at once is more than two permits and a queue of one hold.
    for (const caller of slow) await caller.until((text) => /^HTTP\/1.1 (200|503) /.test(text));
    const line = await cast.sidecar.line(30);
    assert.ok(line.durationMs > 500);
  }));

test('L01 a body that came with its head waits for nothing, and one of several pieces goes on once it is whole', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const caller = await cast.raw();
    caller.write(post(origin.url, 'Content-Length: 9'));
    for (const piece of ['one', 'two']) {
      caller.write(piece);
      await until(() => cast.sidecar.sidecar.snapshot().replayBytes > 0, 'a piece');
    }
    assert.equal(origin.seen.length, 0);
    caller.write('six');
    await caller.until((text) => text.includes('ok\r\n'));
    assert.equal(origin.seen[0]?.body.toString(), 'onetwosix');
    assert.equal(origin.seen[0]?.headers['content-length'], '9');
  }));

test('beyond limits.replayBytes a body of known length goes on as it comes', () =>
  stage('limits: { replayBytes: 4B }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const caller = await cast.raw();
    caller.write(`${post(origin.url, 'Content-Length: 9')}one`);
    await until(() => cast.sidecar.sidecar.snapshot().replayBytes === 3, 'the first piece');
    caller.write('two');
    await until(() => origin.seen.length === 1, 'the request');
    caller.write('six');
    await caller.until((text) => text.includes('ok\r\n'));
    assert.equal(origin.seen[0]?.body.toString(), 'onetwosix');
  }));

test('100 Continue for a small body is sent at once, and nothing is held while it comes', () =>
  stage('limits: { exchanges: 1 }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const caller = await cast.raw();
    caller.write(post(origin.url, 'Expect: 100-continue\r\nContent-Length: 4'));
    await caller.until((text) => text === 'HTTP/1.1 100 Continue\r\n\r\n', '100 Continue');
    assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    caller.write('body');
    const got = messagesOf(await caller.until((text) => text.includes('ok\r\n')));
    assert.deepEqual(
      got.map(({ status }) => status),
      [100, 200],
    );
    assert.equal(origin.seen.at(-1)?.body.toString(), 'body');
  }));

test('an open circuit answers before the body has come, and does not ask for it', () =>
  stage(
    'policy: { breaker: { minimumCalls: 1, failureRatio: 1%, openFor: 10m, openForMax: 10m }, retry: { attempts: 1 } }',
    async (cast) => {
      const origin = await cast.origin(answer(500));
      assert.equal((await cast.call(`${origin.url}/`)).status, 500);
      for (const more of ['', 'Expect: 100-continue\r\n']) {
        const caller = await cast.raw();
        caller.write(post(origin.url, `${more}Content-Length: 4`));
        assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 503 /);
        caller.leave();
      }
    },
  ));

test('L01 slow bodies without a length take up half of the connections to an origin, and the rest is there for others', (t) =>
  stage('policy: { pool: { connections: 4, queue: 4 }, limits: { minRateWindow: 1s } }', async (cast) => {
    const origin: HttpOrigin = await cast.origin((request, response, seen) =>
      answer(200, 'ok')(request, response, seen),
    );
    const slow: RawCaller[] = [];
    for (let i = 0; i < 12; i++)
      slow.push((await cast.raw()).write(post(origin.url, 'Transfer-Encoding: chunked')));
    const dripping = new Set(slow);
    every(t, 50, () => dripping.forEach((caller) => caller.socket.writable && caller.write(chunk('x'))));
    await until(() => origin.seen.length === 2, 'the first of them');
    for (let i = 0; i < 10; i++) {
      assert.equal((await cast.call(`${origin.url}/`)).status, 200);
      const headers = { 'Transfer-Encoding': 'chunked' };
      assert.equal((await cast.call(`${origin.url}/`, { method: 'POST', body: 'x', headers })).status, 200);
    }
    assert.equal(origin.seen.filter(({ complete }) => !complete).length, 2);
    assert.ok(origin.connections.most <= 4);
    // Those that found no place, and came too slowly to be worth one, are told so.
    const rest = slow.slice(2);
    for (const caller of rest) assert.match(await caller.untilEnd(), /^HTTP\/1.1 408 /);
    dripping.clear();
    for (const caller of slow.slice(0, 2)) caller.write('0\r\n\r\n');
    for (const caller of slow.slice(0, 2)) await caller.until((text) => text.includes('ok\r\n'));
    const yielded = cast.sidecar.exchanges.filter(({ reason }) => reason?.startsWith('request_body_yielded'));
    assert.equal(yielded.length, 10);
  }));

test('L01 a body without a length that waits for a place goes on with its end, or with the place', () =>
  stage('policy: { pool: { connections: 2 } }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const [first, second, third] = [await cast.raw(), await cast.raw(), await cast.raw()];
    first.write(post(origin.url, 'Transfer-Encoding: chunked'));
    await until(() => origin.seen.length === 1, 'the first');
    second.write(post(origin.url, 'Transfer-Encoding: chunked'));
    third.write(post(origin.url, 'Transfer-Encoding: chunked'));
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 3, 'the others');
    third.write(`${chunk('three')}0\r\n\r\n`);
    await third.until((text) => text.includes('ok\r\n'));
    assert.equal(origin.seen.at(-1)?.body.toString(), 'three');
    assert.equal(origin.seen.length, 2);
    first.write(`${chunk('one')}0\r\n\r\n`);
    await until(() => origin.seen.length === 3, 'the second');
    second.write(`${chunk('two')}0\r\n\r\n`);
    await second.until((text) => text.includes('ok\r\n'));
    assert.equal(origin.seen.at(-1)?.body.toString(), 'two');
  }));

test('L01 a body without a length that was answered keeps nobody out, and may be silent', () =>
  stage('policy: { pool: { connections: 4 }, limits: { minRateWindow: 300ms } }', async (cast) => {
    const origin = await cast.origin((request, response) => {
      request.resume();
      request.on('end', () => response.end());
      response.writeHead(200).flushHeaders();
    });
    const streams: RawCaller[] = [];
    for (let i = 0; i < 4; i++) {
      const caller = await cast.raw();
      caller.write(post(origin.url, 'Transfer-Encoding: chunked'));
      await caller.until((text) => text.includes('200 OK'));
      streams.push(caller);
    }
    // All connections are taken, by nobody who could be told to go.
    assert.equal((await cast.call(`${origin.url}/`)).status, 503);
    for (const caller of streams) {
      caller.write('0\r\n\r\n');
      await caller.until((text) => text.endsWith('0\r\n\r\n'));
    }
  }));

test('a caller that leaves while its body is received, or waits for a place, leaves nothing behind', () =>
  stage('policy: { pool: { connections: 1 } }', async (cast) => {
    const origin = await cast.origin(() => {});
    for (const framing of [
      'Content-Length: 10',
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: chunked',
    ]) {
      const caller = await cast.raw();
      caller.write(post(origin.url, framing));
      if (framing === 'Content-Length: 10') caller.write('x');
    }
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 3, 'all of them');
    await until(() => origin.connections.open.size === 1, 'the one that has a place');
  }));

test('L01 when limits.exchanges are in flight, one that its caller holds up makes place for the next', () =>
  stage('limits: { exchanges: 4 }\npolicy: { limits: { minRateWindow: 1s } }', async (cast) => {
    const origin = await floods(cast);
    await stalled(cast, origin, 4);
    const statuses: number[] = [];
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 4, 'all of them');
    // Until they have been looked at once more, nobody knows that they are slow.
    while (!statuses.includes(200)) statuses.push((await cast.call(`${origin.url}/`)).status);
    assert.deepEqual(
      statuses.filter((status) => status !== 503),
      [200],
    );
    const yielded = cast.sidecar.exchanges.filter(({ reason }) => reason?.startsWith('caller_yielded'));
    assert.deepEqual(
      yielded.map(({ outcome }) => outcome),
      ['truncated'],
    );
  }));

test('L03 where exchanges wait for connections, half of these may be held up by callers', () =>
  stage('policy: { pool: { connections: 4 }, limits: { minRateWindow: 1s } }', async (cast) => {
    const origin = await floods(cast);
    await stalled(cast, origin, 4);
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 200);
    assert.ok((await cast.sidecar.line(1)).reason?.startsWith('caller_yielded'));
    // The other three are nobody's concern as long as nobody waits.
    assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    assert.equal(cast.sidecar.exchanges.length, 3);
  }));

test('L03 100 callers that stop reading 1 GiB: little is held for each, and policy.timeouts.idle frees it', () =>
  stage('policy: { pool: { connections: 100 }, timeouts: { idle: 3s } }', async (cast) => {
    const origin = await floods(cast);
    const before = bufferBytes();
    await stalled(cast, origin, 100);
    const held = bufferBytes() - before;
    assert.ok(held < 100 * 0.5 * MIB, `${held} bytes are held`);
    await cast.sidecar.line(100);
    assert.deepEqual(
      [...new Set(cast.sidecar.exchanges.map(({ reason }) => reason?.split(':')[0]))],
      ['caller_stalled'],
    );
    await until(() => origin.connections.open.size === 0, 'the connections to be closed');
  }));

test('L01 300 slow callers of every kind beside a load: all of it succeeds, and they hold what they may', (t) =>
  stage('limits: { exchanges: 128 }\npolicy: { pool: { connections: 16, queue: 32 } }', async (cast) => {
    const origin = await cast.origin((request, response, seen) => answer(200, 'ok')(request, response, seen));
    const bulk = await floods(cast);
    const slow: RawCaller[] = [];
    const bytes: string[] = [];
    for (let i = 0; i < 300; i++) {
      const [opening, byte] = [
        [`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nX-Slow: `, 'x'],
        [post(origin.url, 'Content-Length: 100000'), 'x'],
        [post(origin.url, 'Transfer-Encoding: chunked'), chunk('x')],
        [`GET ${bulk.url}/big HTTP/1.1\r\nHost: x\r\n\r\n`, ''],
      ][i % 4] as [string, string];
      const caller = await cast.raw(0);
      if (byte === '') caller.socket.pause();
      slow.push(caller.write(opening));
      bytes.push(byte);
    }
    let turn = 0;
    every(t, 100, () => {
      turn++;
      slow.forEach(
        (caller, i) => (i + turn) % 10 === 0 && caller.socket.writable && caller.write(bytes[i] as string),
      );
    });
    const { sidecar } = cast.sidecar;
    const end = performance.now() + 5_000;
    const failed: number[] = [];
    let busiest = 0;
    while (performance.now() < end) {
      const calls = Array.from({ length: 4 }, (_, i) =>
        cast.call(`${origin.url}/`, i === 0 ? { method: 'POST', body: 'small' } : {}),
      );
      for (const { status } of await Promise.all(calls)) if (status !== 200) failed.push(status);
      const at = sidecar.snapshot().origins.find((one) => one.origin === origin.url);
      busiest = Math.max(busiest, at?.connections.busy ?? 0);
    }
    assert.deepEqual(failed, []);
    // Half of 16 for bodies without a length, and four for the load.
    assert.ok(busiest <= 12, `${busiest} connections were busy`);
    assert.ok(origin.connections.most <= 16);
    for (const caller of slow) caller.leave();
    // A head that broke off has its line, too.
    cast.expected += 300;
  }));
