/** O: one line each, of what was, and of nothing that is secret. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { messagesOf } from '../support/messages.ts';
import { everyWay, passes, requestText } from './ways.ts';

test('O01 whatever is in path, agent, host or reason, the line is one line of JSON in ASCII', () =>
  everyWay(async (ways, cast) => {
    for (const way of ways)
      await passes(
        way,
        requestText(way, {
          path: '/%0a%0d"\'{}`%1b[31m',
          lines: 'User-Agent: \x80\xff"\\\r\nReferer: \xe2\x80\xa8\r\n',
        }),
      );
    for (const target of [
      'http://\x1b[31m/',
      'http://a"b/',
      `http://${'a'.repeat(5_000)}/`,
      'http://\xe2\x80\xa8/',
    ]) {
      const caller = await cast.raw();
      caller.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      await caller.untilEnd();
    }
    await cast.sidecar.line(cast.expected);
    for (const line of cast.sidecar.lines) {
      assert.match(line, /^[\x20-\x7e]*\n$/);
      assert.ok(line.length < 8_192);
      JSON.parse(line);
    }
  }));

test('O02 no credential, cookie, query or body is in a line, on any way', () =>
  everyWay(async (ways, cast) => {
    const lines = [
      'Authorization: Bearer canary',
      'Proxy-Authorization: Basic canary',
      'Cookie: canary=1',
      'X-Api-Key: canary',
      'Referer: http://x/?canary',
    ];
    for (const way of ways) {
      way.recorder.reply = () =>
        'HTTP/1.1 200 canary\r\nSet-Cookie: canary=1\r\nWWW-Authenticate: canary\r\nContent-Length: 6\r\n\r\ncanary';
      const peer = await way.open();
      peer.write(
        requestText(way, {
          method: 'POST',
          path: '/a?token=canary',
          lines: `${lines.join('\r\n')}\r\nContent-Length: 6\r\n`,
          body: 'canary',
        }),
      );
      assert.equal((await peer.answered()).body, 'canary', way.name);
      peer.leave();
    }
    await cast.sidecar.line(cast.expected);
    assert.equal(cast.sidecar.lines.join('').includes('canary'), false);
  }));

test('O03 one line with the ID of the answer and of the origin, and the bytes that passed', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const body = 'x'.repeat(777);
      const { seen, answer, line } = await passes(
        way,
        requestText(way, { method: 'POST', lines: `Content-Length: ${body.length}\r\n`, body }),
      );
      const [id] = answer.values('x-request-id');
      assert.equal(line.requestId, id);
      assert.ok(seen.fields.some(([name, value]) => name === 'X-Request-Id' && value === id));
      assert.deepEqual(
        [line.requestBytes, line.responseBytes, line.status],
        [777, answer.body.length, 200],
        way.name,
      );
    }
  }));

test('O03 an exchange that its caller leaves has its line, and the class of its error is that of Proxy-Status', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    const origin = await cast.origin(() => {});
    const caller = await cast.raw();
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    while (origin.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    caller.leave();
    assert.equal((await cast.sidecar.line()).outcome, 'aborted');
    const cut = await cast.rawOrigin((socket) => socket.destroy());
    const other = await cast.raw();
    other.write(`GET ${cut.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const [answer] = messagesOf(await other.untilEnd());
    const { error } = await cast.sidecar.line(2);
    assert.ok(answer?.values('proxy-status')[0]?.startsWith(`outrigger; error=${error}`));
  }));
