/** How large bodies may be: policy.limits.requestBytes and responseBytes, on every way; and that nothing expands one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Cast, stage } from '../support/cast.ts';
import { Http2Caller } from '../support/http2-caller.ts';
import { bufferBytes } from '../support/memory.ts';
import { messagesOf } from '../support/messages.ts';
import { answer, onHead, readBody } from '../support/origin.ts';
import { until } from '../support/until.ts';

const MIB = 1_048_576;

async function metric(cast: Cast, series: string): Promise<number> {
  const text = await (await fetch(`${cast.sidecar.adminUrl}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`outrigger_${series} `));
  return line === undefined ? 0 : Number(line.split(' ').at(-1));
}

async function http2(cast: Cast, exchanges: number): Promise<Http2Caller> {
  cast.expected += exchanges;
  const caller = await Http2Caller.connect(cast.sidecar.port);
  cast.atEnd(() => caller.leave());
  return caller;
}

const upTo = (bytes: string, more = ''): string => `policy: { limits: { requestBytes: ${bytes} }${more} }`;
const downTo = (bytes: string, more = ''): string => `policy: { limits: { responseBytes: ${bytes} }${more} }`;

test('L02 a request body announced as larger than it may be is a 413 before anything is dialled', () =>
  stage(upTo('10B'), async (cast) => {
    const origin = await cast.origin();
    const got = await cast.call(`${origin.url}/`, { method: 'POST', body: 'x'.repeat(11) });
    assert.equal(got.status, 413);
    assert.equal(JSON.parse(got.text).type, 'urn:outrigger:error:request_too_large');
    assert.match(got.headers['proxy-status'] as string, /error=http_request_error/);
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'refused');
    assert.deepEqual(line.attempts, []);
    assert.equal(origin.connections.total, 0);
    assert.equal(await metric(cast, 'limited_total{route="default",limit="request_too_large"}'), 1);
  }));

test('L02 a request body of as much as it may be passes, with a length and without', () =>
  stage(upTo('10B'), async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    for (const headers of [{}, { 'Transfer-Encoding': 'chunked' }]) {
      const got = await cast.call(`${origin.url}/`, { method: 'POST', body: 'x'.repeat(10), headers });
      assert.equal(got.status, 200);
      assert.equal(origin.seen.at(-1)?.body.toString(), 'xxxxxxxxxx');
    }
  }));

test('L02 a request body without a length is counted: a 413, and the connection of the origin ends', () =>
  stage(upTo('10B'), async (cast) => {
    let broken = false;
    const origin = await cast.origin((request, _response, seen) => {
      request.on('error', () => {
        broken = true;
      });
      readBody(request, seen, () => {});
    });
    const caller = await cast.raw();
    caller.write(
      `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    );
    await until(() => origin.seen.length === 1, 'the request');
    caller.write('6\r\nworld!\r\n');
    const [got] = messagesOf(await caller.untilEnd());
    assert.equal(got?.status, 413);
    assert.deepEqual(got?.values('connection'), ['close']);
    await until(() => broken && origin.connections.open.size === 0, 'the origin to see a broken body');
    assert.equal(origin.seen[0]?.complete, false);
    const line = await cast.sidecar.line();
    assert.equal(line.attempts[0]?.verdict, 'ignored');
    assert.equal(line.attempts[0]?.delivery, 'maybe sent');
    assert.equal(line.requestBytes, 5);
  }));

test('L02 a request body without a length that is all here and too large is a 413 of which the origin sees nothing', () =>
  stage(upTo('10B'), async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const headers = { 'Transfer-Encoding': 'chunked' };
    const got = await cast.call(`${origin.url}/`, { method: 'POST', body: 'x'.repeat(11), headers });
    assert.equal(got.status, 413);
    assert.equal(
      origin.seen.some(({ complete }) => complete),
      false,
    );
  }));

test('L02 a request body that becomes too large once the answer has begun cuts it', () =>
  stage(upTo('10B'), async (cast) => {
    const origin = await cast.origin((request, response) => {
      request.resume();
      response.writeHead(200).flushHeaders();
    });
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n`);
    await caller.until((text) => text.includes('200 OK'));
    caller.write('a\r\n0123456789\r\n');
    const [got] = messagesOf(await caller.untilEnd());
    assert.equal(got?.whole, false);
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'truncated');
    assert.equal(line.reason?.split(':')[0], 'request_too_large');
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
  }));

test('L02 HTTP/2: a request body that is too large is a 413, announced or counted, and takes no other stream along', () =>
  stage(upTo('10B'), async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const caller = await http2(cast, 3);
    const method = { ':method': 'POST' };
    const announced = await caller.call(
      `${origin.url}/`,
      { ...method, 'content-length': '11' },
      'x'.repeat(11),
    );
    assert.equal(announced.status, 413);
    assert.equal(origin.connections.total, 0);
    assert.equal((await caller.call(`${origin.url}/`, method, 'x'.repeat(11))).status, 413);
    assert.equal((await caller.call(`${origin.url}/`, method, 'x'.repeat(10))).status, 200);
  }));

test('L02 the bounds of a route are its own', () =>
  stage(
    'routes: [{ name: small, match: { paths: ["/small"] }, policy: { limits: { requestBytes: 1B, responseBytes: 1B } } }]',
    async (cast) => {
      const origin = await cast.origin(answer(200, 'ok', ['Content-Length', '2']));
      const post = { method: 'POST', body: 'xx' };
      assert.equal((await cast.call(`${origin.url}/small`, post)).status, 413);
      assert.equal((await cast.call(`${origin.url}/small`)).status, 502);
      assert.equal((await cast.call(`${origin.url}/large`, post)).status, 200);
      assert.equal(await metric(cast, 'limited_total{route="small",limit="response_too_large"}'), 1);
    },
  ));

test('L02 a response body announced as larger than it may be is a 502, and says nothing of the origin', () =>
  stage(downTo('10B'), async (cast) => {
    const origin = await cast.origin(answer(200, 'x'.repeat(11), ['Content-Length', '11']));
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 502);
    assert.match(got.headers['proxy-status'] as string, /error=http_response_body_size/);
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'failed');
    assert.deepEqual(
      line.attempts.map(({ status, delivery, verdict }) => ({ status, delivery, verdict })),
      [{ status: 200, delivery: 'answered', verdict: 'ignored' }],
    );
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
  }));

test('L02 a length that announces no body is none: HEAD and 304', () =>
  stage(downTo('10B'), async (cast) => {
    const origin = await cast.rawOrigin((socket) => {
      onHead(socket, (head) => {
        const status = head.startsWith('HEAD') ? '200 OK' : '304 Not Modified';
        socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 1000\r\n\r\n`);
      });
    });
    assert.equal((await cast.call(`${origin.url}/`, { method: 'HEAD' })).status, 200);
    assert.equal((await cast.call(`${origin.url}/`)).status, 304);
  }));

for (const [framing, head, piece] of [
  ['chunked', 'Transfer-Encoding: chunked', (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`],
  ['that ends with the connection', 'Connection: close', (text: string) => text],
] as const)
  test(`L02 a response body without a length is counted (${framing}): it is cut, and not sent again`, () =>
    stage(downTo('10B'), async (cast) => {
      const origin = await cast.rawOrigin((socket) => {
        onHead(socket, () => {
          socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${piece('hello')}`);
          go = () => socket.write(piece('world!'));
        });
      });
      let go = (): unknown => null;
      const caller = await cast.raw();
      caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      await caller.until((text) => text.includes('hello'));
      go();
      const text = await caller.untilEnd();
      assert.equal(text.includes('world'), false);
      assert.equal(text.endsWith('0\r\n\r\n'), false);
      const line = await cast.sidecar.line();
      assert.equal(line.outcome, 'truncated');
      assert.equal(line.reason?.split(':')[0], 'response_too_large');
      assert.equal(line.attempts[0]?.verdict, 'ignored');
      assert.equal(line.responseBytes, 5);
      await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    }));

test('L02 a bound on responses opens no circuit', () =>
  stage(
    downTo('10B', ', breaker: { minimumCalls: 2, failureRatio: 10% }, retry: { attempts: 1 }'),
    async (cast) => {
      const origin = await cast.origin((request, response, seen) => {
        const body = 'x'.repeat(seen.url === '/small' ? 10 : 11);
        answer(200, body, ['Content-Length', String(body.length)])(request, response, seen);
      });
      for (let i = 0; i < 5; i++) assert.equal((await cast.call(`${origin.url}/`)).status, 502);
      assert.equal((await cast.call(`${origin.url}/small`)).status, 200);
    },
  ));

test('L04 a body that would expand a thousandfold passes byte for byte, both ways, and is never expanded', () =>
  stage('', async (cast) => {
    const bomb = gzipSync(Buffer.alloc(256 * MIB), { level: 9 });
    assert.ok(bomb.length < MIB);
    const origin = await cast.origin((request, response, seen) => {
      readBody(request, seen, () => {
        response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': bomb.length });
        response.end(bomb);
      });
    });
    const before = bufferBytes();
    for (const encodings of ['gzip, br;q=0.5, *;q=0', null]) {
      const headers: Record<string, string> = { 'Content-Encoding': 'gzip' };
      if (encodings !== null) headers['Accept-Encoding'] = encodings;
      const got = await cast.call(`${origin.url}/`, { method: 'POST', body: bomb, headers });
      assert.ok(got.body.equals(bomb), 'the response');
      assert.equal(got.headers['content-encoding'], 'gzip');
      const seen = origin.seen.at(-1);
      assert.ok(seen?.body.equals(bomb), 'the request');
      assert.equal(seen?.headers['accept-encoding'] ?? null, encodings);
    }
    // The test itself holds some of them.
    assert.ok(bufferBytes() - before < 16 * MIB);
  }));
