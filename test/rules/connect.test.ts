/** C: CONNECT and what is inside (RFC 9110, section 9.3.6; RFC 9112, section 3.2.3). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { helloOfNode } from '../support/client-hello.ts';
import { messagesOf } from '../support/messages.ts';
import { RawOrigin } from '../support/origin.ts';
import { until } from '../support/until.ts';

const connectTo = (authority: string, more = ''): string =>
  `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${more}\r\n`;

/** A stage with an origin that sends back what it gets; any bytes may be inside. */
async function tunnelled(
  play: (cast: Cast, origin: RawOrigin, got: () => string) => Promise<void>,
): Promise<void> {
  let got = '';
  const origin = await RawOrigin.start((socket) => {
    socket.on('data', (chunk: Buffer) => {
      got += chunk.toString('latin1');
      socket.write(chunk);
    });
    socket.on('end', () => socket.end());
  });
  await stage(
    `access: { tunnelPorts: [${origin.port}], tunnelProtocols: [tls, http, other] }`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      await play(cast, origin, () => got);
    },
  );
}

// biome-ignore format: a list
const BAD = ['h', 'h:', 'h:0', 'h:65536', 'h:99999999999', 'h:44a', 'h:+443', 'h: 443', ':443', 'h:443/', 'h:443/x', 'h:443?x', 'h:443#x', 'u@h:443', 'u:p@h:443', 'https://h:443', 'http://h', '/h:443', '*', '::1:443', '[::1:443', '[]:443', 'h,g:443', 'h\\g:443', 'a%00b:443', 'h:443:443', '[::1%25lo]:443', '-', ''];

test('C01 what is not host and port is refused, with the end of the connection', () =>
  stage('', async (cast) => {
    const problems: string[] = [];
    for (const target of BAD) {
      const caller = await cast.raw();
      caller.write(`CONNECT ${target} HTTP/1.1\r\nHost: h:443\r\n\r\n`);
      const got = messagesOf(await caller.untilEnd().catch(() => ''));
      const line = await cast.sidecar.line(cast.expected);
      if (got.length !== 1 || got[0]?.status !== 400 || line.attempts.length > 0)
        problems.push(`${target}: ${caller.received.slice(0, 200)}`);
    }
    assert.deepEqual(problems, []);
  }));

test('C02 the 200 has neither length nor body, and there is none where nothing could be reached', () =>
  tunnelled(async (cast, origin) => {
    const caller = await cast.raw();
    caller.write(connectTo(`127.0.0.1:${origin.port}`));
    const head = await caller.until((text) => text.includes('\r\n\r\n'));
    assert.match(head, /^HTTP\/1\.1 200 /);
    assert.doesNotMatch(head, /content-length|transfer-encoding/i);
    assert.ok(head.endsWith('\r\n\r\n'));
    caller.leave();
    await origin.close();
    const late = await cast.raw();
    late.write(connectTo(`127.0.0.1:${origin.port}`));
    const [answer] = messagesOf(await late.untilEnd());
    assert.equal(answer?.status, 502);
    assert.equal(answer?.whole, true);
  }));

test('C03 HTTP/1.0, no Host, Connection: close, and lengths of what cannot have one are no matter', () =>
  tunnelled(async (cast, origin) => {
    const authority = `127.0.0.1:${origin.port}`;
    for (const head of [
      `CONNECT ${authority} HTTP/1.0\r\n\r\n`,
      `CONNECT ${authority} HTTP/1.0\r\nProxy-Authorization: Basic eDp5\r\n\r\n`,
      connectTo(authority, 'connection: close\r\nproxy-connection: keep-alive\r\n'),
      connectTo(authority, 'Proxy-Connection: close\r\nUser-Agent: x\r\n'),
    ]) {
      const caller = await cast.raw();
      caller.write(head);
      await caller.until((text) => text.includes('\r\n\r\n'));
      assert.match(caller.received, /^HTTP\/1\.[01] 200 /, head);
      caller.write('\x01ping');
      await caller.until((text) => text.endsWith('\x01ping'));
      assert.equal(caller.ended, false, head);
      caller.leave();
    }
    for (const more of ['Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n']) {
      const caller = await cast.raw();
      caller.write(connectTo(authority, more));
      const text = await caller.until((received) => received.includes('\r\n\r\n'));
      // Refused or ignored; a body it is not.
      assert.match(text, /^HTTP\/1\.1 (200|400) /, more);
      caller.leave();
    }
  }));

test('C04 after a failed CONNECT comes the end, and nothing behind it is read or sent', () =>
  stage('', async (cast) => {
    const other = await cast.origin();
    const behind = `GET ${other.url}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n`;
    for (const [target, status] of [
      ['127.0.0.1:1', 403],
      ['bad', 400],
      ['169.254.169.254:443', 403],
    ] as const) {
      const caller = await cast.raw();
      caller.write(connectTo(target) + behind + behind);
      const got = messagesOf(await caller.untilEnd());
      assert.deepEqual(
        got.map((one) => one.status),
        [status],
        target,
      );
      assert.ok((got[0]?.values('content-length').length ?? 0) === 1);
    }
    assert.equal(other.connections.total, 0);
  }));

test('C05 what comes with the CONNECT is delivered once, in order, after the connection', () =>
  tunnelled(async (cast, origin, got) => {
    const caller = await cast.raw();
    caller.write(`${connectTo(`127.0.0.1:${origin.port}`)}\x01early`).write('-and-late');
    await caller.until((text) => text.endsWith('\x01early-and-late'));
    assert.equal(got(), '\x01early-and-late');
  }));

test('C06 after a FIN of one side the other says all it has', () =>
  tunnelled(async (cast, origin) => {
    const caller = await cast.raw();
    caller.write(connectTo(`127.0.0.1:${origin.port}`));
    await caller.until((text) => text.includes('\r\n\r\n'));
    const data = '\x01'.repeat(500_000);
    caller.write(data);
    caller.socket.end();
    const received = await caller.untilEnd();
    assert.equal(received.slice(received.indexOf('\r\n\r\n') + 4).length, data.length);
  }));

test('C07 a tunnel counts what passes, and ends after its idle time', async () => {
  const origin = await RawOrigin.start((socket) => socket.pipe(socket));
  const yaml = `access: { tunnelPorts: [${origin.port}], tunnelProtocols: [other] }\npolicy: { timeouts: { idle: 200ms } }`;
  await stage(yaml, async (cast) => {
    cast.atEnd(() => origin.close());
    const caller = await cast.raw();
    caller.write(`${connectTo(`127.0.0.1:${origin.port}`)}\x01abc`);
    await caller.until((text) => text.endsWith('\x01abc'));
    const line = await cast.sidecar.line();
    assert.deepEqual([line.requestBytes, line.responseBytes, line.error], [4, 4, 'connection_read_timeout']);
    await until(() => origin.connections.open.size === 0, 'the origin to be left');
  });
});

test('C08 a CONNECT may go where access.tunnelPorts says, and where a request may', () =>
  stage(
    'access: { tunnelPorts: [443, 8443] }\nroutes: [{ name: no, match: { hosts: [denied.test] }, access: deny }]',
    async (cast) => {
      for (const target of [
        'allowed.test:22',
        'allowed.test:25',
        'allowed.test:8080',
        'denied.test:443',
        'denied.test:8443',
        'DENIED.test.:443',
      ]) {
        const caller = await cast.raw();
        caller.write(connectTo(target));
        const [answer] = messagesOf(await caller.untilEnd());
        assert.equal(answer?.status, 403, target);
        assert.match(
          answer?.values('proxy-status')[0] ?? '',
          /^outrigger; error=http_request_denied/,
          target,
        );
        assert.equal((await cast.sidecar.line(cast.expected)).attempts.length, 0);
      }
      const { status } = await cast.call('http://denied.test/');
      assert.equal(status, 403);
    },
    { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) },
  ));

test('C10 a server name that is not the host of its CONNECT reaches nobody', async () => {
  let reached = 0;
  const origin = await RawOrigin.start((socket) => socket.on('data', () => void reached++));
  await stage(
    `access: { tunnelPorts: [${origin.port}] }`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      const caller = await cast.raw();
      caller.write(connectTo(`vendor.test:${origin.port}`));
      await caller.until((text) => text.includes('\r\n\r\n'));
      caller.write(await helloOfNode({ servername: 'evil.test' }));
      await until(() => caller.ended || caller.closed, 'the end');
      const line = await cast.sidecar.line();
      assert.deepEqual([line.outcome, line.serverName, reached], ['refused', 'evil.test', 0]);
    },
    { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) },
  );
});
