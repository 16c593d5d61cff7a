import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { always, eachHead, messagesOf, once } from '../support/messages.ts';
import { answer } from '../support/origin.ts';
import { until } from '../support/until.ts';

/** A flat raw list as it stands in a head. */
function fieldLines(list: readonly string[]): string[] {
  return list.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${list[i + 1]}`] : []));
}

test('a GET in absolute form reaches the origin in origin form, with its Host, and comes back whole', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'hello', ['X-Origin', 'yes']));
    const got = await cast.call(`${origin.url}/a/b?c=d%20e&f=`);
    assert.equal(got.status, 200);
    assert.equal(got.text, 'hello');
    assert.equal(got.headers['x-origin'], 'yes');
    assert.equal(origin.seen[0]?.url, '/a/b?c=d%20e&f=');
    assert.equal(origin.seen[0]?.headers.host, `127.0.0.1:${origin.port}`);
    assert.equal(got.headers['proxy-status'], 'outrigger; attempts=1; received-status=200');
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'completed');
    assert.equal(line.path, '/a/b');
    assert.equal(line.responseBytes, 5);
    assert.equal(got.headers['x-request-id'], line.requestId);
    assert.equal(origin.seen[0]?.headers['x-request-id'], line.requestId);
  }));

test('a POST of 8 KiB reaches the origin whole, with its length', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(201, 'made'));
    const body = Buffer.alloc(8_192, 'x');
    const got = await cast.call(`${origin.url}/`, { method: 'POST', body });
    assert.equal(got.status, 201);
    assert.deepEqual(origin.seen[0]?.body, body);
    assert.equal(origin.seen[0]?.headers['content-length'], '8192');
    assert.equal((await cast.sidecar.line()).requestBytes, 8_192);
  }));

test('a chunked POST stays chunked and a second one uses the same connection', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    for (let i = 1; i <= 2; i++) {
      const caller = await cast.raw();
      caller.write(
        `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n`,
      );
      assert.match(await caller.until((text) => text.includes('\r\nok\r\n')), /^HTTP\/1.1 200 OK\r\n/);
      await cast.sidecar.line(i);
    }
    assert.equal(origin.seen[0]?.body.toString(), 'abcdefg');
    assert.equal(origin.connections.total, 1);
  }));

for (const method of [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'PURGE',
  'PROPFIND',
  'QUERY',
])
  test(`${method} is forwarded as it is, and the connections on both sides are kept`, () =>
    stage('', async (cast) => {
      const origin = await cast.origin(answer(200, 'ok'));
      const caller = await cast.raw(2);
      for (let i = 1; i <= 2; i++) {
        caller.write(`${method} ${origin.url}/x HTTP/1.1\r\nHost: x\r\n\r\n`);
        await cast.sidecar.line(i);
      }
      const both = await caller.until((text) => text.split('HTTP/1.1 200 OK').length === 3);
      const got = messagesOf(both, method === 'HEAD');
      assert.deepEqual(
        origin.seen.map((seen) => seen.method),
        [method, method],
      );
      assert.equal(origin.connections.total, 1);
      assert.equal(got.length, 2);
      assert.equal(caller.ended, false);
    }));

for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'GET'])
  test(`a ${method} with a body reaches the origin with its body`, () =>
    stage('', async (cast) => {
      const origin = await cast.origin(answer(200, 'ok'));
      const lengthed = await cast.call(`${origin.url}/`, {
        method,
        headers: { 'Content-Length': '5' },
        body: 'hello',
      });
      const chunked = await cast.call(`${origin.url}/`, {
        method,
        headers: { 'Transfer-Encoding': 'chunked' },
        body: 'world',
      });
      assert.deepEqual([lengthed.status, chunked.status], [200, 200]);
      assert.deepEqual(
        origin.seen.map((seen) => seen.body.toString()),
        ['hello', 'world'],
      );
      assert.equal(origin.connections.total, 1);
    }));

test('a method that nobody knows is forwarded, its case kept', () =>
  stage('', async (cast) => {
    let head = '';
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, (came) => {
        head = came;
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      }),
    );
    const caller = await cast.raw();
    caller.write(`frOb-x ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal(messagesOf(await caller.until((text) => text.endsWith('ok')))[0]?.status, 200);
    assert.match(head, /^frOb-x \/ HTTP\/1\.1\r\n/);
    assert.equal((await cast.sidecar.line()).method, 'frOb-x');
  }));

test('a POST without a body keeps its Content-Length: 0, and a GET is given none', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    await cast.call(`${origin.url}/`, { method: 'POST', headers: { 'Content-Length': '0' } });
    await cast.call(`${origin.url}/`);
    assert.equal(origin.seen[0]?.headers['content-length'], '0');
    assert.equal(origin.seen[1]?.headers['content-length'], undefined);
    assert.equal(origin.seen[1]?.headers['transfer-encoding'], undefined);
  }));

test('the path and the query go on byte for byte', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const paths = ['/a/../b/./c', '//x//y', '/%2f%2F%7e~', '/?', '/;p=1?a=[]|^&b', '/a?b=http://c/d?e'];
    const caller = await cast.raw(paths.length + 2);
    for (const [i, path] of paths.entries()) {
      caller.write(`GET ${origin.url}${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await cast.sidecar.line(i + 1);
    }
    caller.write(`GET ${origin.url} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await cast.sidecar.line(paths.length + 1);
    caller.write(`GET ${origin.url}?q HTTP/1.1\r\nHost: x\r\n\r\n`);
    await cast.sidecar.line(paths.length + 2);
    assert.deepEqual(
      origin.seen.map((seen) => seen.url),
      [...paths, '/', '/?q'],
    );
  }));

test('the origin sees one Host, that of the target, whatever the caller sent', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    await cast.call(`${origin.url}/`, { headers: { Host: 'elsewhere.example' } });
    const hosts = origin.seen[0]?.rawHeaders.filter((_, i, all) => /^host$/i.test(all[i - 1] ?? ''));
    assert.deepEqual(hosts, [`127.0.0.1:${origin.port}`]);
  }));

test('duplicates, order, case and empty values of fields are kept, both ways', () =>
  stage('', async (cast) => {
    const sent = ['X-Twice', 'a', 'x-tWICE', 'b', 'X-Empty', '', 'X-Latin', 'caf\xe9', 'X-Twice', 'a, c'];
    const back = [
      'Set-Cookie',
      'a=1; Path=/',
      'set-cookie',
      'b=2',
      'X-eMPTY',
      '',
      'ETag',
      '"\xe9"',
      'X-D',
      '1',
    ];
    const text = (list: string[]): string => fieldLines(list).join('\r\n');
    let head = '';
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, (came) => {
        head = came;
        socket.write(`HTTP/1.1 200 Quite Fine\r\n${text(back)}\r\nContent-Length: 0\r\n\r\n`, 'latin1');
      }),
    );
    const caller = await cast.raw();
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n${text(sent)}\r\n\r\n`);
    const [got] = messagesOf(await caller.until((received) => received.includes('\r\n\r\n')));
    const among = (all: readonly string[], wanted: string[]): string[] =>
      all.filter((line) => fieldLines(wanted).includes(line));
    assert.deepEqual(among(head.split('\r\n'), sent), fieldLines(sent));
    assert.deepEqual(among(got?.lines ?? [], back), fieldLines(back));
    assert.equal(got?.first, 'HTTP/1.1 200 Quite Fine');
  }));

test('a thousand fields and more come through where they may, in both directions', () =>
  stage('limits: { headerFields: 2000 }', async (cast) => {
    const fields = Array.from({ length: 1_200 }, (_, i) => `x-${i}: ${i}`);
    let head = '';
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, (came) => {
        head = came;
        socket.write(`HTTP/1.1 200 OK\r\n${fields.join('\r\n')}\r\nContent-Length: 2\r\n\r\nok`);
      }),
    );
    const caller = await cast.raw();
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n${fields.join('\r\n')}\r\n\r\n`);
    const [got] = messagesOf(await caller.until((text) => text.endsWith('ok')));
    assert.equal(head.split('\r\n').filter((line) => line.startsWith('x-')).length, 1_200);
    assert.equal(got?.lines.filter((line) => line.startsWith('x-')).length, 1_200);
  }));

for (const [what, method, response, expected] of [
  ['204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204],
  ['204 with a Content-Length', 'GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', 204],
  ['304', 'GET', 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', 304],
  ['304 with a Content-Length', 'GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', 304],
  ['answer to HEAD with a length', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 200],
  ['answer to HEAD that is chunked', 'HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 200],
] as const)
  test(`a ${what} has no body, and the next exchange is not disturbed`, () =>
    stage('', async (cast) => {
      const origin = await cast.rawOrigin(always(response));
      const caller = await cast.raw(2);
      for (let i = 1; i <= 2; i++) {
        caller.write(`${method} ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
        assert.equal((await cast.sidecar.line(i)).outcome, 'completed');
      }
      const got = messagesOf(await caller.until((text) => text.split('HTTP/1.1').length > 2), true);
      assert.deepEqual(
        got.map(({ status }) => status),
        [expected, expected],
      );
      const lengths = response.includes('Length') && expected !== 204 ? ['5'] : [];
      assert.deepEqual(got[1]?.values('content-length'), lengths);
      assert.equal(origin.connections.total, 1);
      assert.equal(caller.ended, false);
    }));

test('a chunked response is chunked to a 1.1 caller, and ends with the connection for a 1.0 caller', () =>
  stage('', async (cast) => {
    const origin = await cast.origin((_request, response) => {
      response.write('hello ');
      response.end('world');
    });
    const modern = await cast.raw();
    modern.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const [chunked] = messagesOf(await modern.until((text) => text.endsWith('0\r\n\r\n')));
    assert.deepEqual(chunked?.values('transfer-encoding'), ['chunked']);
    assert.equal(chunked?.body, 'hello world');
    const old = await cast.raw();
    old.write(`GET ${origin.url}/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`);
    const [plain] = messagesOf(await old.untilEnd());
    assert.deepEqual(plain?.values('transfer-encoding'), []);
    assert.equal(plain?.body, 'hello world');
    assert.equal(origin.connections.total, 1);
  }));

test('a 1.0 caller is kept if it asks and the length is known, and is closed if it does not ask', () =>
  stage('', async (cast) => {
    const origin = await cast.origin((_request, response) => {
      response.setHeader('Content-Length', 2);
      response.end('ok');
    });
    const asking = await cast.raw(2);
    for (let i = 1; i <= 2; i++) {
      asking.write(`GET ${origin.url}/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`);
      await cast.sidecar.line(i);
    }
    const got = messagesOf(await asking.until((text) => text.split('\r\n\r\nok').length === 3));
    assert.match(got[1]?.values('connection')[0] ?? '', /keep-alive/i);
    const plain = await cast.raw();
    plain.write(`GET ${origin.url}/ HTTP/1.0\r\n\r\n`);
    assert.equal(messagesOf(await plain.untilEnd())[0]?.body, 'ok');
    assert.equal(origin.seen[2]?.headers.host, `127.0.0.1:${origin.port}`);
  }));

test('Connection: close of the caller closes its connection, and not that of the origin', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    for (let i = 1; i <= 2; i++) {
      const caller = await cast.raw();
      caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const [got] = messagesOf(await caller.untilEnd());
      assert.equal(got?.whole, true);
      assert.deepEqual(got?.values('connection'), ['close']);
      await cast.sidecar.line(i);
    }
    assert.equal(origin.connections.total, 1);
  }));

test('Connection: close of the origin closes its connection, and not that of the caller', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin(
      once('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'),
    );
    const caller = await cast.raw(2);
    for (let i = 1; i <= 2; i++) {
      caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      await cast.sidecar.line(i);
    }
    assert.equal(messagesOf(await caller.until((text) => text.split('\r\n\r\nok').length === 3)).length, 2);
    assert.equal(origin.connections.total, 2);
  }));

test('a response that ends with the connection is whole when the origin closes in good order', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin(once('HTTP/1.0 200 OK\r\n\r\nall of it'));
    const modern = await cast.call(`${origin.url}/`);
    assert.equal(modern.text, 'all of it');
    const old = await cast.raw();
    old.write(`GET ${origin.url}/ HTTP/1.0\r\n\r\n`);
    assert.equal(messagesOf(await old.untilEnd())[0]?.body, 'all of it');
    assert.equal((await cast.sidecar.line(2)).outcome, 'completed');
  }));

test('a response that ends with the connection is cut when the origin resets it', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      eachHead(socket, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\nhalf of it');
      }),
    );
    for (const [n, version] of [
      [1, '1.1'],
      [2, '1.0'],
    ] as const) {
      const caller = await cast.raw();
      let reset = false;
      caller.socket.on('error', () => {
        reset = true;
      });
      caller.write(`GET ${origin.url}/ HTTP/${version}\r\nHost: x\r\n\r\n`);
      await caller.until((text) => text.includes('half of it'));
      for (const socket of origin.connections.open) socket.resetAndDestroy();
      const line = await cast.sidecar.line(n);
      assert.equal(line.outcome, 'truncated');
      assert.equal(line.error, 'http_response_incomplete');
      await until(() => caller.closed || caller.ended, 'the cut');
      // 1.1: no last chunk. 1.0: only a reset tells.
      if (version === '1.1') assert.equal(messagesOf(caller.received)[0]?.whole, false);
      else assert.equal(reset, true);
    }
  }));

for (const [what, response] of [
  ['Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'],
  ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
] as const)
  test(`a ${what} response that the origin breaks off is cut for the caller, too`, () =>
    stage('', async (cast) => {
      const origin = await cast.rawOrigin(once(response));
      await assert.rejects(cast.call(`${origin.url}/`), { code: 'ECONNRESET' });
      const line = await cast.sidecar.line();
      assert.equal(line.outcome, 'truncated');
      assert.equal(line.error, 'http_response_incomplete');
      assert.equal(line.attempts[0]?.verdict, 'failure');
      assert.equal(line.status, 200);
    }));

for (const [framing, response] of [
  ['a Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
] as const)
  for (const how of ['a FIN', 'a reset'] as const)
    test(`a response with ${framing} that ${how} of the origin breaks off is a reset for the caller, which may take a FIN for its end`, () =>
      stage('', async (cast) => {
        const origin = await cast.rawOrigin((socket) => eachHead(socket, () => socket.write(response)));
        const caller = await cast.raw();
        let reset = false;
        caller.socket.on('error', ({ code }: NodeJS.ErrnoException) => (reset = code === 'ECONNRESET'));
        caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
        await caller.until((text) => text.includes('half'));
        for (const socket of origin.connections.open)
          if (how === 'a reset') socket.resetAndDestroy();
          else socket.end();
        await until(() => caller.closed || caller.ended, 'the cut');
        assert.equal(reset, true);
        assert.equal((await cast.sidecar.line()).outcome, 'truncated');
      }));

test('pipelined requests are sent up one at a time and answered in order', () =>
  stage('', async (cast) => {
    let underway = 0;
    let most = 0;
    const origin = await cast.origin((request, response) => {
      most = Math.max(most, ++underway);
      setImmediate(() => {
        underway--;
        response.end(request.url);
      });
    });
    const count = 100;
    const caller = await cast.raw(count);
    let requests = '';
    for (let i = 0; i < count; i++) requests += `GET ${origin.url}/${i}. HTTP/1.1\r\nHost: x\r\n\r\n`;
    caller.write(requests);
    await caller.until((text) => text.includes(`/${count - 1}.`));
    await cast.sidecar.line(count);
    assert.deepEqual(
      messagesOf(caller.received).map(({ body }) => body),
      Array.from({ length: count }, (_, i) => `/${i}.`),
    );
    assert.equal(most, 1);
  }));

test('garbage behind a good request does not spoil it, and gets its own 400', () =>
  stage('', async (cast) => {
    const held: ServerResponse[] = [];
    const origin = await cast.origin((_request, response) => void held.push(response));
    const caller = await cast.raw(2);
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\nTHIS IS NO REQUEST\r\n\r\n`);
    await until(() => origin.seen.length === 1, 'the good request');
    held[0]?.end('good');
    const got = messagesOf(await caller.untilEnd());
    assert.deepEqual(
      got.map(({ status }) => status),
      [200, 400],
    );
    assert.equal(got[0]?.body, 'good');
    assert.equal((await cast.sidecar.line(1)).outcome, 'completed');
  }));

test('a request that waits behind another in a pipeline is not begun when the caller leaves', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(() => {});
    const caller = await cast.raw(1);
    caller.write(
      `GET ${origin.url}/1 HTTP/1.1\r\nHost: x\r\n\r\nGET ${origin.url}/2 HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    await until(() => origin.seen.length === 1, 'the first request');
    caller.leave();
    assert.equal((await cast.sidecar.line()).outcome, 'aborted');
    await until(() => origin.connections.open.size === 0, 'the origin to be left alone');
    assert.equal(origin.seen.length, 1);
  }));
