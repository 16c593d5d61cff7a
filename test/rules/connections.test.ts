/** K: connections, their reuse, and what is sent twice (RFC 9112, section 9; RFC 9110, section 9.2.2). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { messagesOf } from '../support/messages.ts';
import { until } from '../support/until.ts';
import { everyWay, requestText } from './ways.ts';

test('K01 a connection is kept for HTTP/1.1, ends where either side says close, and for HTTP/1.0 unless it asks', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      for (const [version, lines, kept] of [
        ['HTTP/1.1', '', true],
        ['HTTP/1.1', 'Connection: close\r\n', false],
        ['HTTP/1.1', 'Connection: x, Close\r\n', false],
        ['HTTP/1.0', '', false],
        ['HTTP/1.0', 'Connection: keep-alive\r\n', true],
        ['HTTP/1.0', 'Connection: keep-alive, close\r\n', false],
      ] as const) {
        const what = `${version} ${lines}${way.name}`;
        const peer = await way.open(kept ? 2 : 1);
        peer.write(requestText(way, { version, lines }));
        const answer = await peer.answered();
        if (kept) {
          peer.write(requestText(way, { path: '/again' }));
          assert.equal((await peer.answered(2)).body, 'GET /again', what);
        } else {
          await peer.untilEnd(what);
          assert.match(answer.values('connection').join(), /close/i, what);
        }
        peer.leave();
      }
    }
  }));

test('K01 what comes behind the last request of a connection is not read', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const peer = await way.open();
      const before = way.recorder.requests.length;
      peer.write(
        requestText(way, { lines: 'Connection: close\r\n' }) + requestText(way, { path: '/behind' }),
      );
      await peer.untilEnd();
      assert.equal(way.recorder.requests.length, before + 1, way.name);
      peer.leave();
    }
  }));

test('K02 a POST that may have arrived is sent once, a GET again', () =>
  stage('policy: { retry: { backoff: { initial: 1ms } } }', async (cast) => {
    const seen: string[] = [];
    const origin = await cast.rawOrigin((socket) =>
      socket.on('data', (chunk: Buffer) => {
        seen.push(chunk.toString('latin1').split(' ')[0] ?? '');
        socket.resetAndDestroy();
      }),
    );
    assert.equal((await cast.call(`${origin.url}/`, { method: 'POST', body: 'x' })).status, 502);
    assert.deepEqual(seen, ['POST']);
    assert.equal((await cast.call(`${origin.url}/`)).status, 502);
    assert.equal(seen.filter((method) => method === 'GET').length, 3);
  }));

test('K03 two origins, and two routes with limits of their own, share no connection', () =>
  everyWay(async (ways) => {
    const apart = ways.filter(({ name }) => name === 'absolute form' || name === 'interception');
    for (let i = 0; i < 3; i++)
      for (const way of apart) {
        const peer = await way.open();
        peer.write(requestText(way, { path: `/${i}` }));
        assert.equal((await peer.answered()).body, `GET /${i}`);
        peer.leave();
      }
    for (const { recorder, authority } of apart)
      assert.ok(
        recorder.requests.every(({ fields }) =>
          fields.some(([name, value]) => name === 'Host' && value === authority),
        ),
      );
  }));

test('K04 a connection on which somebody has authenticated by NTLM or Negotiate carries nobody else', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    for (const scheme of ['NTLM', 'Negotiate']) {
      const seen: string[][] = [];
      const origin = await cast.rawOrigin((socket) => {
        const mine: string[] = [];
        seen.push(mine);
        socket.on('end', () => socket.end());
        socket.on('data', (chunk: Buffer) => {
          const text = chunk.toString('latin1');
          mine.push(/^Authorization: (\w+)/im.exec(text)?.[1] ?? 'none');
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        });
      });
      await cast.call(`${origin.url}/mine`, { headers: { Authorization: `${scheme} TlRMTVNTUAAB` } });
      await cast.call(`${origin.url}/other`);
      assert.deepEqual(seen, [[scheme], ['none']]);
    }
  }));

test('K05 one more than a limit waits in order, and one more than may wait is shed with Retry-After', () =>
  stage('policy: { pool: { connections: 1, queue: 1 }, retry: { attempts: 1 } }', async (cast) => {
    const held: (() => void)[] = [];
    const origin = await cast.origin((request, response) => {
      held.push(() => response.end(request.url));
    });
    const first = cast.call(`${origin.url}/1`);
    await until(() => held.length === 1, 'the first');
    const second = cast.call(`${origin.url}/2`);
    await until(
      () => cast.sidecar.origin(`http://127.0.0.1:${origin.port}`)?.queue === 1,
      'the second in the queue',
    );
    const third = await cast.call(`${origin.url}/3`);
    assert.deepEqual([third.status, JSON.parse(third.text).error], [503, 'connection_limit_reached']);
    assert.match(String(third.headers['retry-after']), /^[0-9]+$/);
    held.shift()?.();
    assert.equal((await first).text, '/1');
    await until(() => held.length === 1, 'the second at the origin');
    held.shift()?.();
    assert.equal((await second).text, '/2');
    assert.equal(origin.connections.most, 1);
  }));

test('K06 an origin that says it keeps a connection for no time is asked on another', () =>
  stage('', async (cast) => {
    const origin = await cast.origin((_request, response) => {
      response.writeHead(200, { 'Keep-Alive': 'timeout=0', 'Content-Length': 0 });
      response.end();
    });
    await cast.call(origin.url);
    await cast.call(origin.url);
    assert.equal(origin.connections.total, 2);
  }));

test('K07 what fails for everybody is not tried three times for everybody', () =>
  stage(
    'policy: { retry: { backoff: { initial: 1ms, max: 1ms }, budget: { ratio: 20%, floor: 0 } }, breaker: null }',
    async (cast) => {
      const origin = await cast.origin((_request, response) => {
        response.writeHead(503, { 'Content-Length': 0 });
        response.end();
      });
      for (let i = 0; i < 50; i++) await cast.call(origin.url);
      assert.ok(origin.seen.length <= 61, `${origin.seen.length} requests`);
      const caller = await cast.raw();
      caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      assert.equal(messagesOf(await caller.untilEnd())[0]?.status, 503);
    },
  ));
