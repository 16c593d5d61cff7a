import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  forwardRequestHeaders,
  forwardResponseHeaders,
  forwardTrailers,
  type RequestHeaderFacts,
  type ResponseHeaderFacts,
} from '../../../src/headers/hop-by-hop.ts';

const us = 'outrigger-0123abff';
const via = ['Via', `1.1 ${us}`];

function request(raw: string[]): { out: string[]; facts: RequestHeaderFacts } {
  const out: string[] = [];
  return { facts: forwardRequestHeaders(raw, out, 'x-request-id', us), out };
}

function response(raw: string[], status = 200): { out: string[]; facts: ResponseHeaderFacts } {
  const out: string[] = [];
  return { facts: forwardResponseHeaders(raw, out, status), out };
}

describe('a request', () => {
  test('keeps unknown fields, their order, their case and their duplicates', () => {
    const raw = [
      'ACCEPT',
      '*/*',
      'x-Odd_Name',
      'ü',
      '__proto__',
      '1',
      'Cookie',
      'a=1',
      'Cookie',
      'b=2',
      'accept',
      'text/html',
    ];
    assert.deepEqual(request(raw).out, [...raw, ...via]);
  });

  test('loses what is about the hop', () => {
    // biome-ignore format: a few to a line
    const raw = [
      'Connection', 'keep-alive', 'Keep-Alive', 'timeout=5', 'PROXY-CONNECTION', 'keep-alive', 'TE',
      'trailers', 'Trailer', 'X-Sum', 'Upgrade', 'h2c', 'HTTP2-Settings', 'AAMAAABk', 'Expect',
      '100-continue', 'host', 'a.example', 'Transfer-Encoding', 'chunked', 'Proxy-Authorization',
      'Basic eDp5', 'Proxy-Authenticate', 'Basic', 'A', '1',
    ];
    assert.deepEqual(request(raw).out, ['A', '1', ...via]);
  });

  test('loses what Connection names, on several lines and in any case', () => {
    const raw = [
      'X-Secret',
      '1',
      'connection',
      'close, X-SECRET',
      'Connection',
      ' , x-other',
      'x-Other',
      '2',
      'x-secret',
      '3',
    ];
    assert.deepEqual(request(raw).out, via);
  });

  test('keeps what the origin relies upon, though Connection names it', () => {
    // biome-ignore format: a few to a line
    const names = [
      'Content-Length', 'Authorization', 'Cookie', 'Content-Type', 'Content-Encoding', 'Cache-Control',
      'If-Match', 'Idempotency-Key', 'Forwarded', 'X-Forwarded-For', 'Origin', 'Range', 'Max-Forwards',
    ];
    const raw = [
      'Connection',
      `close, Host, Via, X-Request-Id, traceparent, tracestate, ${names.join(', ')}`,
    ];
    raw.push('Host', 'a.example', 'X-Request-Id', 'abc', 'traceparent', 't', 'tracestate', 's');
    for (const name of names) raw.push(name, '7');
    const { out, facts } = request(raw);
    assert.deepEqual(out, [...names.flatMap((name) => [name, '7']), ...via]);
    assert.equal(facts.requestId, 'abc');
    assert.equal(facts.traceparent, 't');
    assert.equal(facts.tracestate, 's');
    assert.equal(facts.contentLength, 7);
    assert.ok(facts.idempotencyKey);
  });

  test('is signed at the end of Via', () => {
    assert.deepEqual(request(['VIA', '1.0 fred', 'A', '1', 'via', '1.1 bob']).out, [
      'A',
      '1',
      'Via',
      `1.0 fred, 1.1 bob, 1.1 ${us}`,
    ]);
    const out: string[] = [];
    forwardRequestHeaders([], out, 'x-request-id', us, '1.0');
    assert.deepEqual(out, ['Via', `1.0 ${us}`]);
  });

  test('that has been here is a loop; one that passed another sidecar is not', () => {
    assert.ok(request(['Via', '1.1 a', 'Via', `1.1 ${us}`]).facts.loop);
    assert.ok(!request(['Via', '1.1 outrigger-ffffffff']).facts.loop);
    assert.ok(!request(['X-Via', `1.1 ${us}`]).facts.loop);
  });

  test('keeps its one request ID if it is well formed; the field itself is ours to add', () => {
    assert.equal(request(['X-REQUEST-ID', 'a.b_c~d-1']).facts.requestId, 'a.b_c~d-1');
    for (const raw of [
      ['X-Request-Id', 'a b'],
      ['X-Request-Id', ''],
      ['X-Request-Id', 'a', 'x-request-id', 'a'],
      [],
    ]) {
      const { out, facts } = request(raw);
      assert.equal(facts.requestId, null);
      assert.deepEqual(out, via);
    }
  });

  test('with several traceparents has none', () => {
    assert.equal(
      request(['traceparent', 'a', 'Traceparent', 'b', 'traceparent', 'c']).facts.traceparent,
      null,
    );
    assert.equal(request(['Tracestate', 'a=1', 'tracestate', 'b=2']).facts.tracestate, 'a=1,b=2');
  });

  test('has a body if its framing says so', () => {
    assert.deepEqual(
      [[], ['Content-Length', '0'], ['Content-Length', '1'], ['Transfer-Encoding', 'Chunked']].map(
        (raw) => request(raw).facts.hasBody,
      ),
      [false, false, true, true],
    );
    assert.deepEqual(request(['Content-Length', '0']).out, ['Content-Length', '0', ...via]);
  });

  test('of which two hops could read different lengths is invalid', () => {
    // biome-ignore format: a few to a line
    const invalid = {
      'Content-Length beside Transfer-Encoding': [['Content-Length', '5', 'Transfer-Encoding', 'chunked']],
      'a Transfer-Encoding other than chunked': [
        ['Transfer-Encoding', 'gzip, chunked'], ['Transfer-Encoding', 'identity'],
        ['Transfer-Encoding', ''], ['Transfer-Encoding', 'chunked', 'transfer-encoding', 'chunked'],
        ['Transfer-Encoding', 'chunked, chunked'], ['Transfer-Encoding', 'xchunked'],
        ['Transfer-Encoding', 'chunked\u000b'],
      ],
      'a Content-Length that is no number': [
        '+5',
        '-1',
        '0x5',
        '5 5',
        '5,6',
        '5, 5',
        '',
        '1e3',
        '9007199254740993',
        '٥',
      ].map((value) => ['Content-Length', value]),
      'Content-Lengths that differ': [['Content-Length', '5', 'content-length', '6']],
      'more than one Host': [['Host', 'a', 'host', 'a']],
    };
    for (const [reason, lists] of Object.entries(invalid)) {
      for (const raw of lists) assert.equal(request(raw).facts.invalid, reason, JSON.stringify(raw));
    }
  });

  test('that says the same length twice says it once upstream', () => {
    const { out, facts } = request(['Content-Length', '5', 'content-length', '05']);
    assert.deepEqual(out, ['Content-Length', '5', ...via]);
    assert.equal(facts.invalid, null);
  });

  test('may expect 100-continue, and nothing else', () => {
    assert.ok(request(['Expect', '100-Continue']).facts.expectContinue);
    assert.ok(!request(['Expect', '100-Continue']).facts.expectUnknown);
    assert.ok(request(['Expect', '200-ok']).facts.expectUnknown);
  });

  test('shows where its Max-Forwards stands', () => {
    const { out, facts } = request(['Host', 'a', 'A', '1', 'max-forwards', '3']);
    assert.equal(out[facts.maxForwardsAt], '3');
    assert.equal(request([]).facts.maxForwardsAt, -1);
  });

  test('has an Idempotency-Key if there is one to repeat', () => {
    assert.ok(request(['idempotency-key', '"k"']).facts.idempotencyKey);
    assert.ok(!request(['Idempotency-Key', '']).facts.idempotencyKey);
  });
});

describe('a response', () => {
  test('keeps unknown fields, and every Set-Cookie in its place', () => {
    const raw = [
      'Set-Cookie',
      'a=1',
      'X-A',
      '1',
      'set-cookie',
      'b=2',
      'Set-Cookie',
      'a=1',
      'WWW-Authenticate',
      'Basic',
      'Allow',
      'GET',
    ];
    assert.deepEqual(response(raw).out, raw);
  });

  test('loses what is about the hop, and what Connection names', () => {
    // biome-ignore format: a few to a line
    const raw = [
      'Connection', 'close, X-Hop', 'X-Hop', '1', 'Keep-Alive', 'timeout=7, max=3', 'Proxy-Connection',
      'close', 'Transfer-Encoding', 'chunked', 'Upgrade', 'h2c', 'TE', 'x', 'Proxy-Authenticate',
      'Basic realm="x"', 'Proxy-Authentication-Info', 'x', 'Proxy-Authorization', 'x', 'HTTP2-Settings',
      'x', 'A', '1',
    ];
    const { out, facts } = response(raw);
    assert.deepEqual(out, ['A', '1']);
    assert.equal(facts.upgrade, 'h2c');
    assert.equal(facts.keepAliveTimeoutMs, 7000);
    assert.ok(facts.chunked);
  });

  test('keeps what the caller relies upon, though Connection names it', () => {
    const raw = [
      'Set-Cookie',
      'a',
      'Content-Length',
      '5',
      'Cache-Control',
      'no-store',
      'Content-Type',
      'x/y',
    ];
    const { out } = response([
      'Connection',
      'set-cookie, content-length, cache-control, content-type',
      ...raw,
    ]);
    assert.deepEqual(out, raw);
  });

  test('keeps Trailer and the Proxy-Status lines of the origin', () => {
    const raw = ['Trailer', 'X-Sum', 'Proxy-Status', 'cdn; received-status=200', 'Proxy-Status', 'b'];
    const { out, facts } = response(raw);
    assert.deepEqual(out, raw);
    assert.ok(facts.trailer);
  });

  test('has no length where a status has none', () => {
    for (const status of [100, 103, 204])
      assert.deepEqual(response(['Content-Length', '5'], status).out, [], String(status));
    for (const status of [200, 205, 304, 404]) {
      assert.deepEqual(
        response(['Content-Length', '5'], status).out,
        ['Content-Length', '5'],
        String(status),
      );
    }
  });

  test('of which two hops could read different lengths is invalid', () => {
    for (const raw of [
      ['Content-Length', '5', 'Transfer-Encoding', 'chunked'],
      ['Transfer-Encoding', 'gzip, chunked'],
      ['Content-Length', '5', 'Content-Length', '6'],
      ['Content-Length', 'five'],
    ]) {
      assert.notEqual(response(raw).facts.invalid, null, JSON.stringify(raw));
    }
    assert.equal(response(['Content-Length', '5', 'Content-Length', '5']).facts.invalid, null);
  });

  test('shows its Retry-After', () => {
    const { out, facts } = response(['retry-after', '5']);
    assert.equal(facts.retryAfter, '5');
    assert.deepEqual(out, ['retry-after', '5']);
  });

  test('may lose the request ID of the origin to ours, and be signed', () => {
    const out: string[] = [];
    const raw = ['X-Request-Id', 'theirs', 'Via', '1.1 cdn', 'A', '1'];
    const facts = forwardResponseHeaders(raw, out, 200, 'x-request-id', us);
    assert.deepEqual(out, ['A', '1', 'Via', `1.1 cdn, 1.1 ${us}`]);
    assert.equal(facts.requestId, 'theirs');
  });

  test('hints at how long its connection stays only with a number, and at most a day', () => {
    const hints = {
      'timeout=5': 5000,
      'max=1, TIMEOUT = 5': 5000,
      'timeout=0': 0,
      'timeout=99999999': 86_400_000,
      timeout: null,
      'timeout=': null,
      'timeout=-1': null,
      'max=5': null,
      '': null,
    };
    for (const [value, ms] of Object.entries(hints)) {
      assert.equal(response(['Keep-Alive', value]).facts.keepAliveTimeoutMs, ms, value);
    }
  });
});

test('trailers say nothing of framing, routing, authentication or the format of a body', () => {
  const out: string[] = [];
  // biome-ignore format: a few to a line
  const forbidden = [
    'Content-Length', 'Transfer-Encoding', 'Host', 'Authorization', 'Cookie', 'Set-Cookie', 'Content-Type',
    'Content-Encoding', 'Content-Whatever', 'Trailer', 'Connection', 'Cache-Control', 'Location', 'TE',
    'Expect', 'Via', 'Proxy-Authorization', 'WWW-Authenticate', 'If-Match', 'Retry-After', 'Age',
    'Upgrade', 'Max-Forwards', 'Range',
  ];
  const raw = forbidden.flatMap((name) => [name.toUpperCase(), 'x']);
  forwardTrailers([...raw, 'Grpc-Status', '0', 'Server-Timing', 'a', 'grpc-status', '1'], out);
  assert.deepEqual(out, ['Grpc-Status', '0', 'Server-Timing', 'a', 'grpc-status', '1']);
});
