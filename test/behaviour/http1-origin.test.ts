import assert from 'node:assert/strict';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { createSecureContext, createServer } from 'node:tls';
import { stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { eachHead, messagesOf } from '../support/messages.ts';
import { onHead } from '../support/origin.ts';
import { until } from '../support/until.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('the origin sees what the caller sent of lengths, and no field that nobody sent', () =>
  stage('', async (cast) => {
    const heads: string[] = [];
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, (head) => {
        heads.push(head);
        socket.write(OK);
      }),
    );
    const caller = await cast.raw(4);
    const requests = ['GET', 'GET', 'POST', 'DELETE'].map(
      (method, i) =>
        `${method} ${origin.url}/${i} HTTP/1.1\r\nHost: x\r\n${i === 1 ? 'Content-Length: 0\r\n' : ''}\r\n`,
    );
    for (const [i, request] of requests.entries()) {
      caller.write(request);
      await cast.sidecar.line(i + 1);
    }
    assert.deepEqual(
      heads.map((head) =>
        head.split('\r\n').filter((one) => /^(content-length|transfer|te|connection)/i.test(one)),
      ),
      [[], ['Content-Length: 0'], [], []],
    );
    assert.match(heads[0] ?? '', /^GET \/0 HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/);
    assert.equal(origin.connections.total, 1);
  }));

test('a chunked body is chunked anew: no extension goes on, its trailers do, but for those that may not', () =>
  stage('', async (cast) => {
    let received = '';
    const origin = await cast.rawOrigin((socket) => {
      socket.on('end', () => socket.end());
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1');
        if (received.endsWith('\r\n\r\n') && received.includes('\r\n0\r\n')) socket.write(OK);
      });
    });
    const caller = await cast.raw();
    caller.write(
      `PUT ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n` +
        '3;secret=1\r\nabc\r\n0;x\r\nX-Sum: 6\r\nHost: evil\r\nContent-Length: 9\r\nCookie: a\r\n\r\n',
    );
    await caller.until((text) => text.endsWith('ok'));
    const headEnd = received.indexOf('\r\n\r\n') + 4;
    const head = received.slice(0, headEnd);
    const body = received.slice(headEnd);
    assert.match(head, /\r\nTransfer-Encoding: chunked/);
    assert.equal(body, '3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n');
  }));

test('an origin that closes exactly when its connection is used again, a thousand times: no POST twice, none fails', (t) =>
  stage('policy: { retry: { attempts: 1 }, breaker: null }', async (cast) => {
    const seen = new Map<string, number>();
    const latest: { socket: Socket | null } = { socket: null };
    const origin = await cast.rawOrigin((socket) => {
      eachHead(socket, (head) => {
        const path = head.split(' ')[1] ?? '';
        seen.set(path, (seen.get(path) ?? 0) + 1);
        socket.write(OK);
        latest.socket = socket;
      });
    });
    const caller = await cast.raw(1_000);
    const statuses: Record<string, number> = {};
    for (let i = 0; i < 1_000; i++) {
      caller.received = '';
      // In the same turn as the request: its end is on the way while the connection is taken.
      if (i % 3 === 0) latest.socket?.end();
      else if (i % 3 === 1) latest.socket?.resetAndDestroy();
      caller.write(`POST ${origin.url}/${i} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
      await caller.until((text) => messagesOf(text)[0]?.whole === true);
      const status = caller.received.slice(9, 12);
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
    t.diagnostic(JSON.stringify(statuses));
    assert.deepEqual(
      [...seen.values()].filter((times) => times > 1),
      [],
    );
    assert.deepEqual(statuses, { 200: 1_000 });
    await cast.sidecar.line(1_000);
    assert.ok(cast.sidecar.exchanges.every(({ attempts }) => attempts.length === 1));
  }));

test('a second response never answers the next request, whenever it comes', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    let n = 0;
    const origin = await cast.rawOrigin((socket) => {
      socket.on('end', () => socket.end());
      onHead(socket, () => {
        const own = `HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nown${n++ % 10}`;
        const other = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother';
        if (n % 2 === 0) socket.write(own + other);
        else socket.write(own, () => setImmediate(() => socket.destroyed || socket.write(other)));
      });
    });
    for (let i = 0; i < 20; i++) {
      const got = await cast.call(`${origin.url}/${i}`);
      assert.equal(got.text, `own${i % 10}`);
      await until(() => origin.connections.open.size === 0, 'the connection to be gone');
    }
  }));

test('an early refusal is relayed, the rest of the upload does not go up, and the connection is closed', () =>
  stage('policy: { pool: { connections: 1 }, retry: { attempts: 1, replayBytes: 0B } }', async (cast) => {
    let received = 0;
    const origin = await cast.rawOrigin((socket) => {
      socket.on('data', (chunk: Buffer) => {
        if (received === 0) socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 100\r\n\r\nno');
        received += chunk.length;
        if (received > 100_000) socket.write('x'.repeat(98));
      });
    });
    const caller = await cast.raw();
    caller.write(`PUT ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`);
    await caller.until((text) => text.includes('\r\n\r\nno'));
    const before = received;
    caller.write(`186a0\r\n${'x'.repeat(100_000)}\r\n`);
    for (const socket of origin.connections.open) socket.write('x'.repeat(98));
    await caller.until((text) => text.endsWith('x'));
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    assert.equal(received, before);
    caller.leave();
    assert.equal((await cast.sidecar.line()).status, 413);
  }));

const certificates = makeCertificates();

test('over TLS a body that ends with the connection is whole with a close_notify, and cut without one', {
  skip: certificates === null ? 'it needs openssl' : false,
}, () => {
  const { good, ca } = certificates as Certificates;
  return stage(
    '',
    async (cast) => {
      let honest = true;
      const beneath = new Set<Socket>();
      const server = createServer(good, (socket) => {
        socket.on('error', () => {});
        socket.on('data', () =>
          socket.write('HTTP/1.1 200 OK\r\n\r\nall of it', () => {
            if (honest) socket.end();
            else for (const one of beneath) one.end();
          }),
        );
      });
      const front = createTcpServer({ allowHalfOpen: true }, (socket) => {
        beneath.add(socket);
        socket.on('error', () => {}).on('close', () => beneath.delete(socket));
        server.emit('connection', socket);
      });
      await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
      cast.atEnd(() => {
        for (const socket of beneath) socket.destroy();
        return new Promise((resolve) => front.close(resolve));
      });
      const url = `https://127.0.0.1:${(front.address() as AddressInfo).port}/`;
      assert.equal((await cast.call(url)).text, 'all of it');
      honest = false;
      await assert.rejects(cast.call(url));
      const line = await cast.sidecar.line(2);
      assert.deepEqual([line.outcome, line.error], ['truncated', 'http_response_incomplete']);
    },
    { secureContext: createSecureContext({ ca }) },
  );
});
