import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { always, messagesOf } from '../support/messages.ts';
import { answer } from '../support/origin.ts';

/** A request with these lines, and the names that the origin saw, lower case. */
function namesSeen(lines: readonly string[]): Promise<string[]> {
  let names: string[] = [];
  return stage('', async (cast) => {
    const origin = await cast.origin();
    const caller = await cast.raw();
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n`);
    assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 200 /);
    names = Object.keys(origin.seen[0]?.headers ?? {});
  }).then(() => names);
}

/** A response with these lines, and the names that the caller saw, lower case. */
function namesReturned(lines: readonly string[]): Promise<string[]> {
  let names: string[] = [];
  return stage('', async (cast) => {
    const origin = await cast.rawOrigin(
      always(`HTTP/1.1 200 OK\r\n${lines.join('\r\n')}\r\nContent-Length: 2\r\n\r\nok`),
    );
    const caller = await cast.raw();
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const [got] = messagesOf(await caller.until((text) => text.endsWith('ok')));
    names = (got?.lines ?? []).map((line) => line.slice(0, line.indexOf(':')).toLowerCase());
  }).then(() => names);
}

test('what Connection names does not go up: any case, several lines, with commas', async () => {
  const names = await namesSeen([
    'Connection: keep-alive, X-Secret ,x-OTHER',
    'connection: X-Third',
    'X-Secret: 1',
    'x-other: 2',
    'X-Third: 3',
    'X-Fourth: 4',
  ]);
  for (const gone of ['x-secret', 'x-other', 'x-third']) assert.equal(names.includes(gone), false, gone);
  assert.equal(names.includes('x-fourth'), true);
});

test('what Connection names does not come down either', async () => {
  const names = await namesReturned(['Connection: X-Secret', 'X-Secret: 1', 'X-Open: 2']);
  assert.equal(names.includes('x-secret'), false);
  assert.equal(names.includes('x-open'), true);
});

test('Connection cannot take away what frames, routes or names a request', async () => {
  const names = await namesSeen([
    'Connection: Host, Cookie, Authorization, X-Request-Id, Traceparent, Via, Idempotency-Key',
    'Cookie: a=b',
    'Authorization: Basic eDp5',
    'Idempotency-Key: k',
  ]);
  for (const kept of [
    'host',
    'cookie',
    'authorization',
    'x-request-id',
    'traceparent',
    'via',
    'idempotency-key',
  ])
    assert.equal(names.includes(kept), true, kept);
});

test('what is for our hop stays on it: Proxy-Connection, Keep-Alive, TE, Upgrade, HTTP2-Settings, Proxy-Authorization', async () => {
  const names = await namesSeen([
    'Proxy-Connection: keep-alive',
    'Keep-Alive: timeout=5',
    'TE: trailers, deflate;q=0.5',
    'Connection: Upgrade, HTTP2-Settings',
    'Upgrade: h2c',
    'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
    'Proxy-Authorization: Basic eDp5',
  ]);
  for (const gone of [
    'proxy-connection',
    'keep-alive',
    'te',
    'upgrade',
    'http2-settings',
    'proxy-authorization',
  ])
    assert.equal(names.includes(gone), false, gone);
});

test('a request with Upgrade: h2c is answered over HTTP/1.1, and the connection stays good', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const caller = await cast.raw(2);
    for (let i = 1; i <= 2; i++) {
      caller.write(
        `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n`,
      );
      await caller.until((text) => text.split('HTTP/1.1 200 OK').length === i + 1);
    }
    await cast.sidecar.line(2);
  }));

test('what is for the hop of the origin stays on it: Keep-Alive, Proxy-Authenticate, Proxy-Connection, Upgrade', async () => {
  const names = await namesReturned([
    'Keep-Alive: timeout=100',
    'Proxy-Authenticate: Basic realm=x',
    'Proxy-Connection: keep-alive',
    'Upgrade: h2c',
    'X-Kept: 1',
  ]);
  for (const gone of ['proxy-authenticate', 'proxy-connection', 'upgrade'])
    assert.equal(names.includes(gone), false, gone);
  assert.equal(names.includes('x-kept'), true);
});

test('Via is added in both directions, behind what is there already', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok', ['Via', '1.1 theirs']));
    const got = await cast.call(`${origin.url}/`, { headers: { Via: '1.0 before, 1.1 (a comment)' } });
    assert.match(
      origin.seen[0]?.headers.via ?? '',
      /^1\.0 before, 1\.1 \(a comment\), 1\.1 outrigger-[0-9a-f]{8}$/,
    );
    assert.match(got.headers.via ?? '', /^1\.1 theirs, 1\.1 outrigger-[0-9a-f]{8}$/);
    const caller = await cast.raw();
    caller.write(`GET ${origin.url}/ HTTP/1.0\r\n\r\n`);
    await caller.untilEnd();
    assert.match(origin.seen[1]?.headers.via ?? '', /^1\.0 outrigger-/);
  }));

test('a request that has passed here before is refused with 508', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    await cast.call(`${origin.url}/`);
    const via = origin.seen[0]?.headers.via ?? '';
    const again = await cast.call(`${origin.url}/`, { headers: { Via: `1.1 other, ${via}` } });
    assert.equal(again.status, 508);
    assert.equal(JSON.parse(again.text).error, 'proxy_loop_detected');
    assert.equal(origin.seen.length, 1);
    const line = await cast.sidecar.line(2);
    assert.equal(line.outcome, 'refused');
    assert.equal(line.error, 'proxy_loop_detected');
  }));

test('traffic that is sent back to the sidecar by a detour ends after one round with 508', () =>
  stage('', async (cast) => {
    let back = 0;
    const detour = await cast.rawOrigin((socket: Socket) => {
      const onward = connect(back, '127.0.0.1');
      socket.pipe(onward).pipe(socket);
      onward.on('error', () => socket.destroy());
      socket.on('close', () => onward.destroy());
    });
    back = cast.sidecar.port;
    cast.expected++;
    const got = await cast.call(`${detour.url}/`);
    assert.equal(got.status, 508);
    // The inner one refused, the outer one passed that on.
    assert.equal((await cast.sidecar.line(1)).outcome, 'refused');
    assert.equal((await cast.sidecar.line(2)).outcome, 'completed');
  }));

test('the sidecar does not connect to its own listeners', () =>
  stage('', async (cast) => {
    for (const url of [cast.sidecar.proxyUrl, cast.sidecar.adminUrl]) {
      const got = await cast.call(`${url}/livez`);
      assert.equal(got.status, 403);
      assert.equal(JSON.parse(got.text).error, 'destination_ip_prohibited');
    }
  }));

test('trailers of a request are not merged into its head, nor is Trailer forwarded', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const caller = await cast.raw();
    caller.write(
      `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n`,
    );
    await cast.sidecar.line();
    assert.equal(origin.seen[0]?.body.toString(), 'abc');
    assert.equal(origin.seen[0]?.headers['x-sum'], undefined);
    assert.equal(origin.seen[0]?.headers.trailer, undefined);
    assert.equal(origin.seen[0]?.headers.host, `127.0.0.1:${origin.port}`);
  }));

test('Max-Forwards of an OPTIONS goes on one less, and that of a GET as it is', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    await cast.call(`${origin.url}/`, { method: 'OPTIONS', headers: { 'Max-Forwards': '7' } });
    await cast.call(`${origin.url}/`, { headers: { 'Max-Forwards': '7' } });
    assert.deepEqual(
      origin.seen.map((one) => one.headers['max-forwards']),
      ['6', '7'],
    );
  }));
