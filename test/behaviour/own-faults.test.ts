/** What becomes of a connection when a bug of ours throws while it is read: a clock that fails stands for the bug. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { RawCaller } from '../support/caller.ts';
import { messagesOf } from '../support/messages.ts';
import { HttpOrigin } from '../support/origin.ts';
import { TestSidecar } from '../support/sidecar.ts';
import { until } from '../support/until.ts';

/** The clock fails the next time that somebody asks it for the date. */
function failOnce(t: TestContext): void {
  const clock = t.mock.method(Date, 'now', () => {
    clock.mock.restore();
    throw new RangeError('the clock');
  });
}

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';

for (const [what, request] of [
  ['a request without a body', 'GET {url}/ HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a request with its body', 'POST {url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody'],
  ['a request that has begun its body', 'POST {url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbody'],
  ['two requests at once', 'GET {url}/ HTTP/1.1\r\nHost: x\r\n\r\nGET {url}/ HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a CONNECT', 'CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a CONNECT with what is inside', 'CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01'],
  [
    'a WebSocket',
    `GET {url}/ HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${UPGRADE}\r\n`,
  ],
] as const)
  test(`a bug of ours on the way of ${what} is answered, logged, and ends its connection and no other`, async (t) => {
    const sidecar = await TestSidecar.start();
    const origin = await HttpOrigin.start();
    t.after(async () => {
      await sidecar.stop();
      await origin.close();
    });
    const beside = await RawCaller.connect(sidecar.port);
    const caller = await RawCaller.connect(sidecar.port);
    t.after(() => {
      beside.leave();
      caller.leave();
    });
    await until(() => sidecar.sidecar.snapshot().callerConnections === 2, 'both callers');
    failOnce(t);
    caller.write(request.replaceAll('{url}', origin.url));
    await until(() => caller.closed || caller.ended, 'the end of the connection');
    const answers = messagesOf(caller.received);
    assert.equal(answers.length, 1);
    assert.match(caller.received, /^HTTP\/1\.1 500 /);
    assert.match(caller.received, /\r\nProxy-Status: outrigger; error=proxy_internal_error/);
    const line = await sidecar.line();
    assert.deepEqual([line.status, line.outcome, line.error], [500, 'failed', 'proxy_internal_error']);
    beside.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(() => messagesOf(beside.received)[0]?.whole === true, 'the answer to the other');
    assert.match(beside.received, /^HTTP\/1\.1 200 /);
    caller.leave();
    await until(() => sidecar.sidecar.snapshot().callerConnections === 1, 'the caller to be gone');
    assert.equal(sidecar.sidecar.snapshot().exchangesInFlight, 0);
    assert.equal(sidecar.exchanges.length, 2);
  });
