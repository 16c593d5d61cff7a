/** Clients that close their connection as soon as they have all of an answer, as many tools do. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { WaysStage } from './ways.ts';

const TIMES = 60;

test('an answer that an intercepted client has whole is completed, however soon the client leaves', async (t) => {
  const stage = await WaysStage.start(t);
  if (stage === null) return;
  const ca = readFileSync(stage.env('intercept')['SSL_CERT_FILE'] ?? '');
  const { host, hostname } = new URL(stage.url('intercept'));
  for (let n = 0; n < TIMES; n++) {
    const socket = connect(stage.sidecar.port, '127.0.0.1');
    socket.write(`CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await once(socket, 'data');
    const tls = connectTls({ socket, servername: hostname, ca });
    await once(tls, 'secureConnect');
    tls.write(`GET /ok/${n} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    let text = '';
    for await (const piece of tls) {
      text += String(piece);
      if (/\r\n\r\n(?:hello|[^]*\r\n0\r\n\r\n)$/.test(text)) break;
    }
    socket.destroy();
  }
  const lines = await stage.lines('/ok', TIMES);
  assert.deepEqual(
    lines.map(({ outcome }) => outcome),
    Array.from({ length: TIMES }, () => 'completed'),
  );
});
