import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import type { RawCaller } from '../support/caller.ts';
import { stage } from '../support/cast.ts';
import { bufferBytes } from '../support/memory.ts';
import { eachHead, messagesOf } from '../support/messages.ts';
import { answer, onHead, readBody } from '../support/origin.ts';
import { until, untilStill } from '../support/until.ts';

const MIB = 1_048_576;
const PIECE = Buffer.alloc(65_536, 'x');

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Less than 1 MiB is held for each of `count` exchanges, once what is rubbish has been swept away. */
function untilHeld(before: number, count: number): Promise<void> {
  return until(() => bufferBytes() - before < count * MIB, 'what is held to be less than 1 MiB each');
}

/** Writes as fast as the other side takes it, and no byte more than `bytes`. */
function flood(socket: Socket, bytes: number): void {
  let left = bytes;
  const push = (): void => {
    while (left > 0 && !socket.destroyed) {
      const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE;
      left -= piece.length;
      if (!socket.write(piece)) return;
    }
  };
  socket.on('drain', push);
  push();
}

/** The body bytes of one response with a Content-Length, counted as they come and not kept. */
function countBody(caller: RawCaller): { bytes: number } {
  const count = { bytes: 0 };
  caller.socket.removeAllListeners('data');
  let head = '';
  let inBody = false;
  caller.socket.on('data', (chunk: Buffer | string) => {
    if (inBody) {
      count.bytes += chunk.length;
      return;
    }
    head += chunk.toString();
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    inBody = true;
    count.bytes = head.length - end - 4;
  });
  return count;
}

test('a fast origin and callers that do not read: less than 1 MiB is held for each, and then it all comes', () =>
  stage('', async (cast) => {
    const size = 48 * MIB;
    const origin = await cast.rawOrigin((socket) =>
      onHead(socket, () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        flood(socket, size);
      }),
    );
    const callers: RawCaller[] = [];
    const before = bufferBytes();
    for (let i = 0; i < 8; i++) {
      const caller = await cast.raw();
      caller.socket.pause();
      caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      callers.push(caller);
    }
    const pushed = (): number => [...origin.connections.open].reduce((sum, one) => sum + one.bytesWritten, 0);
    await untilStill(pushed);
    assert.ok(pushed() < 8 * size, 'the origin was held back');
    await untilHeld(before, 8);
    const first = callers[0] as RawCaller;
    const count = countBody(first);
    first.socket.resume();
    await until(() => count.bytes === size, 'the whole body');
    assert.equal((await cast.sidecar.line(1)).outcome, 'completed');
    for (const caller of callers) caller.leave();
    await cast.sidecar.line(8);
  }));

test('fast callers and an origin that does not read: less than 1 MiB is held for each, and then it all comes', () =>
  stage('', async (cast) => {
    const size = 48 * MIB;
    const sockets: Socket[] = [];
    const origin = await cast.rawOrigin((socket) => {
      socket.pause();
      sockets.push(socket);
    });
    const callers: RawCaller[] = [];
    const before = bufferBytes();
    for (let i = 0; i < 8; i++) {
      const caller = await cast.raw();
      caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
      flood(caller.socket, size);
      callers.push(caller);
    }
    const pushed = (): number => callers.reduce((sum, one) => sum + one.socket.bytesWritten, 0);
    await untilStill(pushed);
    assert.ok(pushed() < 8 * size, 'the callers were held back');
    await untilHeld(before, 8);
    let received = 0;
    for (const socket of sockets)
      socket.on('data', (chunk) => {
        received += chunk.length;
      });
    for (const socket of sockets) socket.resume();
    await until(() => received > 8 * size, 'the whole bodies');
    for (const socket of sockets) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    for (const caller of callers) await caller.until((text) => text.endsWith('ok'));
    const line = await cast.sidecar.line(8);
    assert.equal(line.requestBytes, size);
    assert.equal(line.outcome, 'completed');
  }));

for (const [framing, headers] of [
  ['Content-Length', { 'Content-Length': String(8 * MIB) }],
  ['chunked', { 'Transfer-Encoding': 'chunked' }],
] as const)
  test(`8 MiB come up and go down intact (${framing})`, () =>
    stage('', async (cast) => {
      const body = randomBytes(8 * MIB);
      const origin = await cast.origin((request, response, seen) =>
        readBody(request, seen, () => {
          if (framing === 'Content-Length') response.setHeader('Content-Length', seen.body.length);
          response.end(seen.body);
        }),
      );
      const got = await cast.call(`${origin.url}/`, { method: 'PUT', headers, body });
      assert.equal(digest(got.body), digest(body));
      assert.equal(
        origin.seen[0]?.headers['transfer-encoding'],
        framing === 'chunked' ? 'chunked' : undefined,
      );
      const line = await cast.sidecar.line();
      assert.deepEqual([line.requestBytes, line.responseBytes], [body.length, body.length]);
    }));

test('trailers of a response reach a 1.1 caller, but for those that may not be trailers; a 1.0 caller gets none', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, () => {
        socket.write(
          'HTTP/1.1 200 OK\r\nTrailer: X-Sum, x-TWICE\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n' +
            '0\r\nX-Sum: 1\r\nx-TWICE: a\r\nx-TWICE: b\r\nSet-Cookie: evil=1\r\nHost: evil\r\n\r\n',
        );
      }),
    );
    const modern = await cast.raw();
    modern.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const [got] = messagesOf(await modern.until((text) => /0\r\n(.+\r\n)*\r\n$/.test(text)));
    assert.deepEqual(got?.trailers, ['X-Sum: 1', 'x-TWICE: a', 'x-TWICE: b']);
    assert.deepEqual(got?.values('trailer'), ['X-Sum, x-TWICE']);
    assert.equal(got?.body, 'abc');
    const old = await cast.raw();
    old.write(`GET ${origin.url}/ HTTP/1.0\r\n\r\n`);
    const [plain] = messagesOf(await old.untilEnd());
    assert.equal(plain?.body, 'abc');
    assert.deepEqual(plain?.values('trailer'), []);
  }));

test('an early answer reaches the caller while it still sends, and the connection of the origin is not used again', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      onHead(socket, (head) => {
        if (head.startsWith('GET')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext');
        else socket.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig');
      }),
    );
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\npart`);
    const [early] = messagesOf(await caller.until((text) => text.endsWith('big')));
    assert.equal(early?.status, 413);
    assert.equal((await cast.sidecar.line()).status, 413);
    // The rest is read and thrown away, and the connection of the caller is good for another request.
    caller.write('y'.repeat(499_996));
    cast.expected++;
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    await caller.until((text) => text.endsWith('next'));
    assert.equal(origin.connections.total, 2);
  }));

test('an answer before a body that may be too long to be read behind it says that the connection ends', () =>
  stage('access: { default: deny }', async (cast) => {
    const answers = async (framing: string): Promise<string[]> => {
      const caller = await cast.raw();
      caller.write(`POST http://a.test/ HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n4\r\npart`);
      await caller.until((text) => text.endsWith('}\n'));
      const [early] = messagesOf(caller.received);
      assert.equal(early?.status, 403);
      return early?.values('connection') ?? [];
    };
    assert.deepEqual(await answers('Content-Length: 500000'), ['keep-alive']);
    assert.deepEqual(await answers('Content-Length: 3000000'), ['close']);
    assert.deepEqual(await answers('Transfer-Encoding: chunked'), ['close']);
  }));

test('an answer whose request body was not read is whole, whatever the size of the body', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      onHead(socket, () => {
        socket.pause();
        socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok');
      }),
    );
    for (const size of [10, 300_000, 900_000]) {
      const got = await cast.call(`${origin.url}/`, { method: 'POST', body: Buffer.alloc(size, 'x') });
      assert.equal(got.text, 'ok');
    }
    for (let i = 1; i <= 3; i++) assert.equal((await cast.sidecar.line(i)).outcome, 'completed');
  }));

for (const [framing, head, part] of [
  ['Content-Length', 'Content-Length: 1000000', 'part'],
  ['chunked', 'Transfer-Encoding: chunked', '4\r\npart\r\n'],
] as const)
  test(`a ${framing} body that ends too soon is a 400 to a caller that still reads, and never a whole body to the origin`, () =>
    stage('', async (cast) => {
      let received = '';
      const origin = await cast.rawOrigin((socket) =>
        socket.on('data', (chunk) => {
          received += chunk.toString();
        }),
      );
      const caller = await cast.raw();
      caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n${part}`);
      await until(() => received.includes('part'), 'the first part');
      caller.socket.end();
      const [got] = messagesOf(await caller.untilEnd());
      assert.equal(got?.status, 400);
      assert.equal(JSON.parse(got?.body ?? '').type, 'urn:outrigger:error:request_body_incomplete');
      await until(() => origin.connections.open.size === 0, 'the connection to be closed');
      assert.equal(received.slice(received.indexOf('\r\n\r\n') + 4).includes('0\r\n\r\n'), false);
      const line = await cast.sidecar.line();
      assert.equal(line.outcome, 'aborted');
      assert.equal(line.reason, 'caller left while sending the body');
      assert.equal(line.attempts[0]?.verdict, 'ignored');
    }));

test('a second response in the same piece never answers the next request', () =>
  stage('', async (cast) => {
    let n = 0;
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, () => {
        const body = `own-${++n}`;
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n${body}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`,
        );
      }),
    );
    for (let i = 1; i <= 20; i++)
      assert.equal((await cast.call(`${origin.url}/`)).text, `own-${i}`.slice(0, 5));
    assert.equal(origin.connections.total, 20);
  }));

test('bytes that come on an idle connection never answer the next request', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown')),
    );
    assert.equal((await cast.call(`${origin.url}/`)).text, 'own');
    await until(() => cast.sidecar.origin(origin.url)?.connections.idle === 1, 'the idle connection');
    for (const socket of origin.connections.open)
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    assert.equal((await cast.call(`${origin.url}/`)).text, 'own');
  }));

test('more body than Content-Length says is cut off, and its connection is closed', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nownmore')),
    );
    for (let i = 0; i < 5; i++) assert.equal((await cast.call(`${origin.url}/`)).text, 'own');
    await until(() => origin.connections.open.size === 0, 'the connections to be closed');
    assert.equal(origin.connections.total, 5);
  }));

test('103 Early Hints reaches a 1.1 caller with all its fields, ahead of the answer, and never a 1.0 caller', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, () => {
        socket.write(
          'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>\r\nX-Hop: 1\r\nConnection: X-Hop\r\n\r\n' +
            'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
        );
      }),
    );
    const modern = await cast.raw();
    modern.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const got = messagesOf(await modern.until((text) => text.endsWith('ok')));
    assert.deepEqual(
      got.map(({ status }) => status),
      [103, 102, 200],
    );
    assert.deepEqual(got[0]?.values('link'), ['</a.css>; rel=preload', '</b.js>']);
    assert.deepEqual(got[0]?.values('x-hop'), []);
    assert.equal(got[2]?.body, 'ok');
    const old = await cast.raw();
    old.write(`GET ${origin.url}/ HTTP/1.0\r\n\r\n`);
    assert.deepEqual(
      messagesOf(await old.untilEnd()).map(({ status }) => status),
      [200],
    );
  }));

test('100 Continue for a body without a length is sent once the exchange has a connection, and then the body goes up', () =>
  stage('policy: { pool: { connections: 1 } }', async (cast) => {
    const origin = await cast.origin((request, response, seen) => {
      if (seen.url !== '/hold') answer(200, 'ok')(request, response, seen);
    });
    const first = await cast.raw();
    first.write(`GET ${origin.url}/hold HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(() => origin.seen.length === 1, 'the first request');
    const caller = await cast.raw();
    caller.write(
      `PUT ${origin.url}/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    await until(() => cast.sidecar.origin(origin.url)?.queue === 1, 'the queue');
    assert.equal(caller.received, '');
    first.leave();
    await caller.until((text) => text === 'HTTP/1.1 100 Continue\r\n\r\n', '100 Continue');
    caller.write('4\r\nbody\r\n0\r\n\r\n');
    const got = messagesOf(await caller.until((text) => text.includes('ok\r\n')));
    assert.deepEqual(
      got.map(({ status }) => status),
      [100, 200],
    );
    assert.equal(origin.seen[1]?.body.toString(), 'body');
    assert.equal(origin.seen[1]?.headers.expect, undefined);
    assert.equal(caller.ended, false);
    await cast.sidecar.line(2);
  }));

test('a caller that expects 100 Continue and is refused gets no 100, and its connection is closed', async () => {
  for (const [yaml, status, framing] of [
    ['access: { default: deny }', 403, 'Content-Length: 4'],
    ['policy: { limits: { requestBytes: 3B } }', 413, 'Content-Length: 4'],
    ['policy: { retry: { attempts: 1 } }', 502, 'Transfer-Encoding: chunked'],
  ] as const)
    await stage(yaml, async (cast) => {
      const caller = await cast.raw();
      caller.write(
        `PUT http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n${framing}\r\n\r\n`,
      );
      const got = messagesOf(await caller.untilEnd());
      assert.deepEqual(
        got.map((one) => one.status),
        [status],
      );
      assert.deepEqual(got[0]?.values('connection'), ['close']);
    });
});

test('Expect: 100-continue of a 1.0 caller is ignored, and one that sends its body at once is served', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const old = await cast.raw();
    old.write(`PUT ${origin.url}/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody`);
    const plain = messagesOf(await old.untilEnd());
    assert.deepEqual(
      plain.map(({ status }) => status),
      [200],
    );
    const eager = await cast.raw();
    eager.write(
      `PUT ${origin.url}/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody`,
    );
    await eager.until((text) => text.includes('ok\r\n'));
    assert.deepEqual(
      origin.seen.map((seen) => seen.body.toString()),
      ['body', 'body'],
    );
  }));

test('a caller that does not read the rest of what is whole upstream is cut after policy.timeouts.idle', () =>
  stage('policy: { timeouts: { idle: 200ms } }', async (cast) => {
    const body = 'x'.repeat(30_000);
    const origin = await cast.origin((_request, response) => {
      response.setHeader('Content-Length', body.length);
      response.end(body);
    });
    const caller = await cast.raw(0);
    caller.socket.pause();
    // Each answer is small; together they fill every buffer on the way to a caller that does not read.
    for (let i = 0; i < 1_000; i++) caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(() => cast.sidecar.exchanges.at(-1)?.outcome === 'truncated', 'the cut');
    const lines = cast.sidecar.exchanges;
    cast.expected = lines.length;
    assert.equal(lines.at(-1)?.error, 'connection_write_timeout');
    assert.equal(lines.at(-1)?.attempts[0]?.verdict, 'success');
    assert.ok((lines.at(-1)?.durationMs ?? 0) < 500);
    assert.ok(lines.slice(0, -1).every(({ outcome }) => outcome === 'completed'));
  }));

test('what a caller pipelines is read no further than a bound while it waits', () =>
  stage('', async (cast) => {
    const held: ServerResponse[] = [];
    const origin = await cast.origin((_request, response) => void held.push(response));
    const caller = await cast.raw(0);
    const request = Buffer.from(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(1_000));
    const push = (): void => {
      while (caller.socket.bytesWritten < 64 * MIB && caller.socket.write(request));
    };
    caller.socket.on('drain', push);
    push();
    await untilStill(() => caller.socket.bytesWritten);
    // What the kernel holds between the two, and not what the caller would send.
    assert.ok(caller.socket.bytesWritten < 16 * MIB, `${caller.socket.bytesWritten} bytes`);
    assert.equal(origin.seen.length, 1);
    caller.leave();
    origin.script = answer(200, 'ok');
    held[0]?.end();
    await until(() => cast.sidecar.sidecar.snapshot().callerConnections === 0, 'the caller to be gone');
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'the exchanges to be over');
    cast.expected = cast.sidecar.exchanges.length;
    assert.ok(cast.expected < 2_000, `${cast.expected} exchanges`);
  }));

test('timeouts.total ends an exchange whose caller does not read the rest', () =>
  stage('policy: { timeouts: { total: 300ms, idle: 20s } }', async (cast) => {
    // All of it is in the sidecar and the kernel long before the caller has read it.
    const origin = await cast.origin((_request, response) => {
      response.writeHead(200, { 'Content-Length': String(12 << 20) });
      response.end(Buffer.alloc(12 << 20));
    });
    const caller = await cast.raw();
    caller.socket.pause();
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'truncated');
    assert.equal(line.error, 'http_response_timeout');
    assert.ok(line.durationMs < 300 * 1.05 + 40, `${line.durationMs} ms`);
  }));
