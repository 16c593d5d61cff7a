/** P: values that would be more than values, and parsers that would be made to disagree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { Http2Caller } from '../support/http2-caller.ts';
import { messagesOf } from '../support/messages.ts';
import { Recorder } from '../support/recorder.ts';
import { valuesOf } from '../support/reference-message.ts';
import { failsWith, hears } from './origins.ts';
import { type Case, everyWay, passes, refusedOn, requestText } from './ways.ts';

test('P02 a request ID, a trace and a Via of the caller break no head', () =>
  everyWay(async (ways) => {
    const broken = ['X-Request-Id: a\nb', 'traceparent: 00\rX: y', 'Via: 1.1 a\0b', 'tracestate: a\x0bb'];
    await refusedOn(
      ways,
      broken.map((line): Case => [JSON.stringify(line), (way) => requestText(way, { lines: `${line}\r\n` })]),
    );
  }));

test('P02 a configuration cannot put a line end into a head', async () => {
  const sets = ['"a\\r\\nX: y"', '"a\\nb"', '"a\\0b"', '"\u2028"'];
  for (const value of sets)
    await assert.rejects(
      stage(`policy: { headers: { request: { set: { X-Set: ${value} } } } }`, async () => {}),
      value,
    );
  await assert.rejects(stage('policy: { headers: { request: { set: { "X: y": a } } } }', async () => {}));
});

test('P03 lengths whose names differ in case are two lengths', () =>
  everyWay((ways) =>
    refusedOn(ways, [
      [
        'that differ',
        (way) =>
          requestText(way, {
            method: 'POST',
            lines: 'content-length: 5\r\nContent-Length: 6\r\n',
            body: 'hello',
          }),
      ],
      [
        'beside a coding',
        (way) =>
          requestText(way, {
            method: 'POST',
            lines: 'CONTENT-LENGTH: 5\r\ntransfer-encoding: chunked\r\n',
            body: '0\r\n\r\n',
          }),
      ],
    ]),
  ));

test('P04 __proto__, constructor and prototype are fields, paths and trailers like any other', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const lines =
        '__proto__: a\r\nconstructor: b\r\nprototype: c\r\nhasOwnProperty: d\r\nTransfer-Encoding: chunked\r\n';
      const body = '5\r\nhello\r\n0\r\n__proto__: t\r\n\r\n';
      const { seen, line } = await passes(
        way,
        requestText(way, { method: 'POST', path: '/__proto__?__proto__[x]=1', lines, body }),
      );
      assert.deepEqual(
        ['__proto__', 'constructor', 'prototype'].map((name) => valuesOf(seen.fields, name)[0]),
        ['a', 'b', 'c'],
        way.name,
      );
      assert.equal(line.path, '/__proto__');
    }
    assert.equal(({} as Record<string, unknown>)['x'], undefined);
    const { answer } = await hears({
      text: 'HTTP/1.1 200 OK\r\n__proto__: a\r\nconstructor: b\r\nContent-Length: 0\r\n\r\n',
    });
    assert.deepEqual(answer?.values('__proto__'), ['a']);
  }));

test('P05 a reason phrase or a field of the origin begins no line of the caller’s, nor one of the log', async () => {
  for (const text of [
    'HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 O\x1b[31mK\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n',
  ])
    await failsWith({ text }, 'http_protocol_error');
  const { answer } = await hears({ text: 'HTTP/1.1 200 Gr\xfcn\r\nX: \xe9\r\nContent-Length: 0\r\n\r\n' });
  assert.equal(answer?.status, 200);
  assert.deepEqual(answer?.values('x'), ['\xe9']);
});

test('P05 a value of HTTP/2 that would end a line reaches nobody', async () => {
  const recorder = await Recorder.start();
  await stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    cast.atEnd(() => recorder.close());
    const caller = await Http2Caller.connect(cast.sidecar.port);
    for (const fields of [{ ':path': '/a\r\nX: y' }, { ':path': '/a b' }, { ':path': '/\xe9' }]) {
      const { status, code } = await caller
        .call(`http://127.0.0.1:${recorder.port}/`, fields)
        .catch(() => ({ status: 400, code: 1 }));
      assert.ok(status === undefined || status === 400 || code !== 0, JSON.stringify(fields));
    }
    assert.equal(recorder.requests.length, 0);
    cast.expected = cast.sidecar.exchanges.length;
    caller.leave();
  });
});

test('P06 what made other proxies disagree is refused: commas, empty lengths and names, fragments, sizes beyond 32 bits', () =>
  everyWay((ways) =>
    refusedOn(ways, [
      ['a comma in Host', (way) => requestText(way, { host: `Host: ${way.authority},evil.test\r\n` })],
      [
        'an empty length',
        (way) => requestText(way, { method: 'POST', lines: 'Content-Length: \r\n', body: 'hello' }),
      ],
      ['an empty name', (way) => requestText(way, { lines: ': x\r\n' })],
      [
        'an empty name before a length',
        (way) => requestText(way, { method: 'POST', lines: ': x\r\nContent-Length: 5\r\n', body: 'hello' }),
      ],
      ['a fragment', (way) => requestText(way, { path: '/a#/../b' })],
      [
        'a length beyond 64 bits',
        (way) =>
          requestText(way, {
            method: 'POST',
            lines: 'Content-Length: 18446744073709551621\r\n',
            body: 'hello',
          }),
      ],
    ]),
  ));

test('P07 a line of a chunked body ends with CR LF and nothing else', () =>
  everyWay(async (ways) => {
    const problems: string[] = [];
    for (const way of ways)
      for (const body of [
        '5\nhello\r\n0\r\n\r\n',
        '5\r\nhello\n0\r\n\r\n',
        '5;a\nhello\r\n0\r\n\r\n',
        '5;a\rb\r\nhello\r\n0\r\n\r\n',
        '5\r\r\nhello\r\n0\r\n\r\n',
        '5 \t\r\nhello\r\n0\r\n\r\n',
        '5\r\nhello\r\n0\r\n\rX',
        '100000005\r\nhello\r\n0\r\n\r\n5;\x0b\r\n',
      ]) {
        const peer = await way.open();
        const before = way.recorder.requests.length;
        peer.write(requestText(way, { method: 'POST', lines: 'Transfer-Encoding: chunked\r\n', body }));
        // A chunk of 4 GiB is no mistake; it ends when its caller does.
        if (body.startsWith('1000')) await way.cast.sidecar.line(way.cast.expected - 1);
        else if (messagesOf(await peer.untilEnd().catch(() => ''))[0]?.status !== 400)
          problems.push(`${JSON.stringify(body)}, ${way.name}`);
        if (way.recorder.requests.length !== before)
          problems.push(`${JSON.stringify(body)}, ${way.name}: it arrived`);
        peer.leave();
      }
    assert.deepEqual(problems, []);
  }));

test('P08 a head ends with an empty line and not with half of one', () =>
  everyWay((ways) =>
    refusedOn(ways, [
      ['CR X', (way) => requestText(way).replace(/\r\n$/, '\rX')],
      ['CR CR LF', (way) => requestText(way).replace(/\r\n$/, '\r\r\n')],
      ['LF', (way) => requestText(way).replace(/\r\n$/, '\n')],
      ['LF CR LF', (way) => requestText(way).replace(/\r\n\r\n$/, '\n\r\n')],
      ['CR LF CR and a field', (way) => requestText(way).replace(/\r\n$/, '\rX: y\r\n\r\n')],
    ]),
  ));

test('P10 what is in doubt ends its connection, and the others go on', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const good = await way.open();
      good.write(requestText(way));
      await good.answered(1);
      const doubt: Case[] = [
        [
          'both lengths',
          (one) =>
            requestText(one, {
              method: 'POST',
              lines: 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
              body: '0\r\n\r\n',
            }),
        ],
      ];
      await refusedOn([way], doubt);
      way.cast.expected++;
      good.write(requestText(way, { path: '/still' }));
      assert.equal((await good.answered(2)).body, 'GET /still', way.name);
      good.leave();
    }
  }));
