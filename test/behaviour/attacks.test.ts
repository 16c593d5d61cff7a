import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { answer, onHead, RawOrigin } from '../support/origin.ts';
import { until } from '../support/until.ts';

test('a caller that resets while a CONNECT waits behind its GET ends its exchange, and nothing else', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(() => {});
    const caller = await cast.raw();
    caller.write(
      `GET ${origin.url}/ HTTP/1.1\r\nHost: a\r\n\r\nCONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: a\r\n\r\n`,
    );
    await until(() => origin.seen.length === 1, 'the request at the origin');
    caller.socket.resetAndDestroy();
    assert.equal((await cast.sidecar.line()).outcome, 'aborted');
    origin.script = answer(200, 'still here');
    assert.equal((await cast.call(`${origin.url}/`)).text, 'still here');
  }));

test('a large response with a CONNECT behind it comes whole, and the CONNECT is answered after it', () =>
  stage('', async (cast) => {
    const size = 8 << 20;
    const origin = await cast.origin((_request, response) => {
      response.writeHead(200, { 'Content-Length': String(size) });
      response.end(Buffer.alloc(size, 'a'));
    });
    const caller = await cast.raw(2);
    caller.write(
      `GET ${origin.url}/ HTTP/1.1\r\nHost: a\r\n\r\nCONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: a\r\n\r\n`,
    );
    const received = await caller.untilEnd();
    assert.ok(received.length > size, `${received.length} bytes`);
    assert.match(received.slice(size), /HTTP\/1.1 403 Forbidden/);
    assert.equal((await cast.sidecar.line(1)).outcome, 'completed');
  }));

for (const [what, status] of [
  ['good', '200 OK'],
  ['retriable', '503 Service Unavailable'],
] as const) {
  for (const leaving of ['a FIN', 'a reset', 'nothing until the idle timeout'] as const) {
    test(`a ${what} close-delimited response during an upload, then ${leaving}: one exchange ends, and nothing else`, () =>
      stage('policy: { timeouts: { idle: 150ms } }', async (cast) => {
        const origin = await cast.rawOrigin((socket) =>
          onHead(socket, () => socket.write(`HTTP/1.1 ${status}\r\n\r\nabc`)),
        );
        const caller = await cast.raw();
        caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc`);
        await caller.until((text) => text.includes('abc'));
        if (leaving === 'a FIN') caller.socket.end();
        else if (leaving === 'a reset') caller.socket.resetAndDestroy();
        const line = await cast.sidecar.line();
        assert.ok(['aborted', 'truncated'].includes(line.outcome), line.outcome);
        const healthy = await cast.origin(answer(200, 'still here'));
        assert.equal((await cast.call(`${healthy.url}/`)).text, 'still here');
      }));
  }
}

test('tunnels whose callers send a FIN and then a reset leave no connection behind', async () => {
  const origin = await RawOrigin.start((socket) => socket.pipe(socket));
  await stage(`access: { tunnelPorts: [${origin.port}] }`, async (cast) => {
    cast.atEnd(() => origin.close());
    for (let i = 0; i < 200; i++) {
      const caller = await cast.raw();
      caller.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await caller.until((text) => text.includes('\r\n\r\n'));
      caller.write(Buffer.alloc(i % 2 === 0 ? 1_000 : 200_000));
      caller.socket.end();
      const { socket } = caller;
      // Not from here in the same turn: the FIN must be on its way first.
      setTimeout(() => socket.destroyed || socket.destroy(), i % 3);
    }
    await until(() => cast.sidecar.sidecar.snapshot().connections === 0, 'the connections to be gone');
  });
});

test('a 101 that nobody asked for is a 502 of the origin, however incomplete', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    for (const fields of [
      '',
      'Upgrade: x\r\n',
      'Connection: upgrade\r\n',
      'Connection: upgrade\r\nUpgrade: x\r\n',
    ]) {
      const origin = await cast.rawOrigin((socket) =>
        onHead(socket, () => socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n`)),
      );
      const got = await cast.call(`${origin.url}/`);
      assert.equal(got.status, 502, fields);
      assert.match(String(got.headers['proxy-status']), /error=http_protocol_error/);
    }
  }));
