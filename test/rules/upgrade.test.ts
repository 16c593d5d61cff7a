/** U: changing the protocol (RFC 9110, section 7.8; RFC 6455; RFC 8441). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { Http2Caller } from '../support/http2-caller.ts';
import { messagesOf } from '../support/messages.ts';
import { onHead } from '../support/origin.ts';
import { valuesOf } from '../support/reference-message.ts';
import { failsWith } from './origins.ts';
import { type Case, everyWay, passes, refusedOn, requestText } from './ways.ts';

const HANDSHAKE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const ACCEPTED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';

test('U01 a handshake goes up with its fields, the 101 comes back, then bytes, also those that came before', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      way.recorder.reply = ({ start }) =>
        start[1] === '/ws' ? `${ACCEPTED}hello` : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
      const peer = await way.open();
      peer.write(requestText(way, { path: '/ws', lines: HANDSHAKE }));
      const answer = await peer.answered();
      assert.equal(answer.status, 101, way.name);
      const seen = way.recorder.requests.at(-1)?.fields ?? [];
      assert.deepEqual([valuesOf(seen, 'upgrade'), valuesOf(seen, 'host')], [['websocket'], [way.authority]]);
      assert.match(valuesOf(seen, 'connection').join(), /upgrade/i);
      peer.leave();
    }
  }));

test('U02 a 101 that nobody asked for, or to something else, is a 502 and the end of its connection', async () => {
  for (const lines of ['', 'Connection: upgrade\r\nUpgrade: h2c\r\n', 'Upgrade: websocket\r\n'])
    for (const said of ['', 'Connection: upgrade\r\n', 'Connection: upgrade\r\nUpgrade: x\r\n'])
      await failsWith({ text: `HTTP/1.1 101 Switching Protocols\r\n${said}\r\n` }, 'http_protocol_error', {
        lines,
      });
});

test('U02 a 101 to another protocol than websocket opens nothing; a 200 is no upgrade', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    for (const [text, status] of [
      [ACCEPTED.replace('Upgrade: websocket', 'Upgrade: other'), 502],
      [ACCEPTED.replace('Connection: Upgrade', 'Connection: close'), 502],
      ['HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello', 200],
    ] as const) {
      const behind: string[] = [];
      const origin = await cast.rawOrigin((socket) =>
        onHead(socket, () => {
          socket.write(text);
          socket.on('data', (chunk: Buffer) => behind.push(chunk.toString('latin1')));
        }),
      );
      const caller = await cast.raw();
      caller.write(
        `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n${HANDSHAKE}\r\nGET http://evil.test/ HTTP/1.1\r\n\r\n`,
      );
      await caller.untilEnd();
      const [answer] = messagesOf(caller.received);
      assert.equal(answer?.status, status, text);
      assert.deepEqual(behind, [], 'nothing goes up behind what is no upgrade');
      await cast.sidecar.line(cast.expected);
      // What came behind the handshake may have been read as a request and refused; then it has a line.
      cast.expected = cast.sidecar.exchanges.length;
    }
  }));

test('U03 h2c and its settings never go up, and the answer is one of HTTP/1.1', () =>
  everyWay(async (ways) => {
    const h2c =
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n';
    for (const way of ways) {
      const { seen, answer } = await passes(way, requestText(way, { lines: h2c }));
      for (const name of ['upgrade', 'http2-settings'])
        assert.deepEqual(valuesOf(seen.fields, name), [], way.name);
      assert.match(answer.first, /^HTTP\/1\.1 200 /);
      const posted = await passes(
        way,
        requestText(way, { method: 'POST', lines: `${h2c}Content-Length: 5\r\n`, body: 'hello' }),
      );
      assert.equal(posted.seen.body.toString(), 'hello', way.name);
    }
  }));

test('U04 an upgrade with a body is refused or none, and its body is never a request', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const inner = requestText(way, { path: '/inner' });
      for (const [lines, body] of [
        [`Content-Length: ${inner.length}\r\n`, inner],
        ['Transfer-Encoding: chunked\r\n', `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`],
      ] as const) {
        const peer = await way.open();
        const answer = await peer.write(requestText(way, { lines: HANDSHAKE + lines, body })).answered();
        assert.ok(answer.status === 400 || answer.status === 200, `${answer.status}, ${way.name}`);
        if (answer.status === 200) {
          const seen = way.recorder.requests.at(-1);
          assert.deepEqual(valuesOf(seen?.fields ?? [], 'upgrade'), [], way.name);
          assert.equal(seen?.body.toString('latin1'), inner, way.name);
        }
        assert.equal(
          way.recorder.requests.some(({ start }) => start[1].includes('inner')),
          false,
          way.name,
        );
        peer.leave();
      }
    }
  }));

test('U05 an Upgrade in HTTP/1.0 is ignored, and one that the origin does not take is a plain answer', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const old = await passes(way, requestText(way, { version: 'HTTP/1.0', lines: HANDSHAKE }));
      assert.deepEqual(valuesOf(old.seen.fields, 'upgrade'), [], way.name);
      const { answer } = await passes(way, requestText(way, { path: '/plain', lines: HANDSHAKE }));
      assert.deepEqual([answer.status, answer.body], [200, 'GET /plain'], way.name);
    }
  }));

test('U06 extended CONNECT is not offered over HTTP/2, and not taken', () =>
  stage('', async (cast) => {
    const caller = await Http2Caller.connect(cast.sidecar.port);
    assert.notEqual(caller.session.remoteSettings.enableConnectProtocol, true);
    caller.leave();
  }));

test('U03 an Upgrade field whose protocol nobody knows goes nowhere, on any way', () =>
  everyWay(async (ways) => {
    for (const way of ways)
      for (const protocol of ['TLS/1.0', 'HTTP/2.0', 'x', '"']) {
        const { seen } = await passes(
          way,
          requestText(way, { lines: `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n` }),
        );
        assert.deepEqual(valuesOf(seen.fields, 'upgrade'), [], `${protocol}, ${way.name}`);
      }
    const bad: Case[] = [
      ['a control byte', (way) => requestText(way, { lines: 'Connection: Upgrade\r\nUpgrade: a\x01b\r\n' })],
    ];
    await refusedOn(ways, bad);
  }));
