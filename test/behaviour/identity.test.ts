import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { always, messagesOf } from '../support/messages.ts';
import { answer, type Seen } from '../support/origin.ts';

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

test('a well-formed ID of the caller is kept: upstream, downstream and in the log', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const id = 'Order_42.a~b-C';
    const got = await cast.call(`${origin.url}/`, { headers: { 'x-request-id': id } });
    assert.equal(got.headers['x-request-id'], id);
    assert.equal(origin.seen[0]?.headers['x-request-id'], id);
    assert.equal((await cast.sidecar.line()).requestId, id);
  }));

test('without an ID, a UUIDv7 is made: the same upstream, downstream and in the log, and never twice', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const ids = new Set<string>();
    for (let i = 1; i <= 20; i++) {
      const got = await cast.call(`${origin.url}/`);
      const { requestId } = await cast.sidecar.line(i);
      assert.match(requestId, UUID_V7);
      assert.equal(got.headers['x-request-id'], requestId);
      assert.equal(origin.seen[i - 1]?.headers['x-request-id'], requestId);
      ids.add(requestId);
    }
    assert.equal(ids.size, 20);
  }));

test('an ID that is not well formed, too long, or sent twice is replaced', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    for (const value of ['a b', 'a,b', 'a/b', '"x"', 'caf\xe9', 'x'.repeat(129), '', ['one', 'two']]) {
      const got = await cast.call(`${origin.url}/`, { headers: { 'X-Request-Id': value } });
      assert.match(String(got.headers['x-request-id']), UUID_V7);
      assert.equal(origin.seen.at(-1)?.headers['x-request-id'], got.headers['x-request-id']);
    }
  }));

test('with requestId.accept: false, even a well-formed ID is replaced', () =>
  stage('requestId: { accept: false }', async (cast) => {
    const origin = await cast.origin();
    const got = await cast.call(`${origin.url}/`, { headers: { 'X-Request-Id': 'mine' } });
    assert.match(String(got.headers['x-request-id']), UUID_V7);
  }));

test('requestId.header names the field that is read, sent and returned', () =>
  stage('requestId: { header: X-Correlation-Id }', async (cast) => {
    const origin = await cast.origin();
    const got = await cast.call(`${origin.url}/`, {
      headers: { 'X-Correlation-Id': 'abc', 'X-Request-Id': 'other' },
    });
    assert.equal(got.headers['x-correlation-id'], 'abc');
    assert.equal(origin.seen[0]?.headers['x-correlation-id'], 'abc');
    assert.equal(origin.seen[0]?.headers['x-request-id'], 'other');
  }));

test("an origin's own X-Request-Id does not replace ours", () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok', ['X-Request-Id', 'theirs', 'x-request-id', 'too']));
    const got = await cast.call(`${origin.url}/`, { headers: { 'X-Request-Id': 'mine' } });
    assert.equal(got.headers['x-request-id'], 'mine');
  }));

test('every response carries the ID: refusals, failures, what the parser would not take, and tunnels', () =>
  stage('access: { tunnelPorts: [443] }', async (cast) => {
    const origin = await cast.origin(answer(500, 'theirs'));
    const heads = [
      `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nX-Request-Id: my-id\r\n\r\n`,
      'GET /origin-form HTTP/1.1\r\nHost: x\r\nX-Request-Id: my-id\r\n\r\n',
      'GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nX-Request-Id: my-id\r\n\r\n',
      'CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\nX-Request-Id: my-id\r\n\r\n',
      'NO REQUEST AT ALL\r\n\r\n',
    ];
    for (const [i, head] of heads.entries()) {
      const caller = await cast.raw();
      caller.write(head);
      const { requestId } = await cast.sidecar.line(i + 1);
      const [got] = messagesOf(await caller.until((text) => text.includes('\r\n\r\n')));
      assert.deepEqual(got?.values('x-request-id'), [requestId], head);
      if (i < 4) assert.equal(requestId, 'my-id');
      else assert.match(requestId, UUID_V7);
    }
  }));

test('a valid traceparent passes byte for byte, with its tracestate, and is in the log', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    await cast.call(`${origin.url}/`, {
      headers: { Traceparent: TRACEPARENT, Tracestate: 'a=1,b=2' },
    });
    assert.equal(origin.seen[0]?.headers.traceparent, TRACEPARENT);
    assert.equal(origin.seen[0]?.headers.tracestate, 'a=1,b=2');
    assert.equal((await cast.sidecar.line()).traceId, TRACE);
  }));

test('a traceparent of a later version passes as it came', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const later = `cc${TRACEPARENT.slice(2)}-more`;
    await cast.call(`${origin.url}/`, { headers: { traceparent: later } });
    assert.equal(origin.seen[0]?.headers.traceparent, later);
  }));

test('an invalid traceparent is dropped with its tracestate, and a trace is started', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const invalid: (string | string[])[] = [
      'nonsense',
      `ff${TRACEPARENT.slice(2)}`,
      `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
      `00-${TRACE}-${'0'.repeat(16)}-01`,
      `${TRACEPARENT}-more`,
      TRACEPARENT.toUpperCase(),
      [TRACEPARENT, TRACEPARENT],
    ];
    for (const [i, value] of invalid.entries()) {
      await cast.call(`${origin.url}/`, { headers: { traceparent: value, tracestate: 'a=1' } });
      const { headers } = origin.seen[i] as Seen;
      assert.match(String(headers.traceparent), /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
      assert.notEqual(String(headers.traceparent).slice(3, 35), TRACE);
      assert.equal(headers.tracestate, undefined);
      assert.equal((await cast.sidecar.line(i + 1)).traceId, String(headers.traceparent).slice(3, 35));
    }
  }));

test('all attempts of an exchange carry the same ID and the same trace', () =>
  stage('policy: { retry: { backoff: { initial: 1ms, max: 1ms } } }', async (cast) => {
    const origin = await cast.origin((_request, response) => {
      response.writeHead(origin.seen.length < 3 ? 503 : 200);
      response.end();
    });
    await cast.call(`${origin.url}/`);
    assert.equal(origin.seen.length, 3);
    for (const name of ['x-request-id', 'traceparent'])
      assert.equal(new Set(origin.seen.map((seen) => seen.headers[name])).size, 1);
  }));

test('no secret of a request or a response is in any line', () =>
  stage('access: { tunnelPorts: [443] }', async (cast) => {
    const canary = 'canary5ecret';
    const origin = await cast.origin(answer(200, canary, ['Set-Cookie', `s=${canary}`, 'X-Token', canary]));
    const bad = await cast.rawOrigin(always(`HTTP/1.1 200 OK\r\nBad ${canary}\r\n\r\n`));
    const headers = {
      Authorization: `Bearer ${canary}`,
      Cookie: `c=${canary}`,
      'Proxy-Authorization': `Basic ${canary}`,
      'X-Api-Key': canary,
    };
    const query = `?token=${canary}&q=%20${canary}`;
    for (const url of [origin.url, bad.url, 'http://127.0.0.1:1', 'http://none.invalid'])
      await cast.call(`${url}/path${query}`, { method: 'POST', headers, body: canary });
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    const raws = [
      `GET http://user:${canary}@127.0.0.1:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
      `GET /origin-form${query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      `GET ${origin.url}/${query}#${canary} HTTP/1.1\r\nHost: x\r\n\r\n`,
      `GET ${origin.url}/${query} HTTP/1.1\r\nHost: x\r\nBad ${canary}: x\r\n\r\n`,
      `CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n${canary}`,
      `CONNECT ${canary}@127.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n`,
    ];
    for (const text of raws) {
      const caller = await cast.raw();
      caller.write(text);
      await caller.untilEnd();
      assert.equal(caller.received.includes(canary), false, text);
    }
    await cast.sidecar.line(10);
    for (const line of cast.sidecar.lines) assert.equal(line.includes(canary), false, line);
  }));
