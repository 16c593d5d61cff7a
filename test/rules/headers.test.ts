/** H: header fields on their way (RFC 9110, sections 5, 7.6, 10.1 and 11; RFC 9112, section 9). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { stage } from '../support/cast.ts';
import { Http2Caller } from '../support/http2-caller.ts';
import { messagesOf } from '../support/messages.ts';
import { Recorder } from '../support/recorder.ts';
import { valuesOf } from '../support/reference-message.ts';
import { answering, failsWith, hears } from './origins.ts';
import { everyWay, passes, refusedOn, requestText } from './ways.ts';

const names = (fields: readonly (readonly [string, string])[]): string[] =>
  fields.map(([name]) => name.toLowerCase());

const HOP = [
  'Connection: close, X-Secret ,x-OTHER',
  'connection: X-Third',
  'X-Secret: 1',
  'x-other: 2',
  'X-Third: 3',
  'Proxy-Connection: keep-alive',
  'Keep-Alive: timeout=5',
  'TE: trailers, deflate;q=0.5',
  'Trailer: X-Sum',
  'Upgrade: h2c',
  'HTTP2-Settings: AAMA',
].map((one) => `${one}\r\n`);
const GONE = [
  'x-secret',
  'x-other',
  'x-third',
  'proxy-connection',
  'keep-alive',
  'upgrade',
  'http2-settings',
  'trailer',
];

test('H01 what Connection names, and what is for one hop, does not go up', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const { seen } = await passes(way, requestText(way, { lines: `${HOP.join('')}X-Kept: 1\r\n` }));
      const got = names(seen.fields);
      assert.deepEqual(
        GONE.filter((name) => got.includes(name)),
        [],
        way.name,
      );
      assert.ok(got.includes('x-kept'), way.name);
      assert.equal(valuesOf(seen.fields, 'connection').join().includes('ecret'), false, way.name);
    }
  }));

test('H01 nor does it come down', async () => {
  const lines = [...HOP.slice(1), 'Proxy-Authenticate: Basic realm=x\r\n'].join('');
  const { answer } = await hears({
    text: `HTTP/1.1 200 OK\r\nConnection: X-Secret, X-Other\r\n${lines}X-Kept: 1\r\nContent-Length: 0\r\n\r\n`,
  });
  for (const name of [
    'x-secret',
    'x-other',
    'x-third',
    'proxy-connection',
    'te',
    'upgrade',
    'http2-settings',
    'proxy-authenticate',
  ])
    assert.deepEqual(answer?.values(name), [], name);
  assert.deepEqual(answer?.values('x-kept'), ['1']);
});

test('H02 Connection takes away nothing that frames, routes, authenticates or names a request', () =>
  everyWay(async (ways) => {
    const kept = [
      'Cookie',
      'Authorization',
      'Idempotency-Key',
      'If-Match',
      'Content-Type',
      'Cache-Control',
      'Origin',
      'Max-Forwards',
      'X-Forwarded-For',
    ];
    const lines = `Connection: Host, Content-Length, X-Request-Id, Traceparent, Via, ${kept.join(', ')}\r\n${kept.map((name) => `${name}: 7\r\n`).join('')}Content-Length: 5\r\n`;
    for (const way of ways) {
      const { seen } = await passes(way, requestText(way, { method: 'POST', lines, body: 'hello' }));
      const got = names(seen.fields);
      for (const name of [...kept, 'Host', 'Content-Length', 'X-Request-Id', 'Traceparent', 'Via'])
        assert.ok(got.includes(name.toLowerCase()), `${name}, ${way.name}`);
      assert.equal(seen.body.toString(), 'hello');
    }
    const chunked = {
      method: 'POST',
      lines: 'Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n',
      body: '5\r\nhello\r\n0\r\n\r\n',
    };
    for (const way of ways)
      assert.equal((await passes(way, requestText(way, chunked))).seen.body.toString(), 'hello');
  }));

test('H03 Via is appended behind what is there, both ways; who has been here before is refused', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const first = await passes(
        way,
        requestText(way, { lines: 'Via: 1.0 before, 1.1 (comment)\r\nVia: 1.1 second\r\n' }),
      );
      const [via = ''] = valuesOf(first.seen.fields, 'via');
      assert.match(via, /^1\.0 before, 1\.1 \(comment\), 1\.1 second, 1\.1 outrigger-[0-9a-f]{8}$/, way.name);
      assert.match(first.answer.values('via')[0] ?? '', /^1\.1 outrigger-[0-9a-f]{8}$/, way.name);
      const own = via.split(' ').at(-1);
      const peer = await way.open();
      const before = way.recorder.requests.length;
      const loop = await peer.write(requestText(way, { lines: `Via: 1.1 other, 1.1 ${own}\r\n` })).answered();
      assert.deepEqual([loop.status, JSON.parse(loop.body).error], [508, 'proxy_loop_detected'], way.name);
      assert.equal(way.recorder.requests.length, before);
      peer.leave();
    }
  }));

test('H04 unknown fields go on with their order, case, duplicates and empty values; none is made up', () =>
  everyWay(async (ways) => {
    const lines = [
      'X-Twice: 1',
      'x-LOWER-upper: a',
      'X-Twice: 2',
      'X-Empty:',
      'X-Utf8: \xc3\xa9',
      'X-List: a, b',
      'Cookie: a=b',
      'Cookie: c=d',
      'X-Twice: 1',
    ];
    const ours = ['host', 'via', 'x-request-id', 'traceparent', 'connection'];
    for (const way of ways) {
      const { seen } = await passes(
        way,
        requestText(way, { lines: lines.map((one) => `${one}\r\n`).join('') }),
      );
      const got = seen.fields
        .filter(([name]) => !ours.includes(name.toLowerCase()))
        .map(([name, value]) => (value === '' ? `${name}:` : `${name}: ${value}`));
      assert.deepEqual(got, lines, way.name);
    }
    const { answer } = await hears({
      text: `HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nX-Case: 1\r\nset-cookie: c=d\r\nX-Utf8: \xc3\xa9\r\nContent-Length: 0\r\n\r\n`,
    });
    assert.deepEqual(answer?.values('set-cookie'), ['a=b', 'c=d']);
    assert.ok(answer?.lines.includes('X-Case: 1'));
    assert.deepEqual(answer?.values('x-utf8'), ['\xc3\xa9']);
  }));

test('H05 Proxy-Authorization ends here; Authorization, WWW-Authenticate and Allow pass', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const { seen } = await passes(
        way,
        requestText(way, { lines: 'Proxy-Authorization: Basic eDp5\r\nAuthorization: Bearer t\r\n' }),
      );
      assert.deepEqual(
        [valuesOf(seen.fields, 'proxy-authorization'), valuesOf(seen.fields, 'authorization')],
        [[], ['Bearer t']],
        way.name,
      );
    }
    const { answer } = await hears({
      text: 'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="a"\r\nAllow: GET\r\nContent-Length: 0\r\n\r\n',
    });
    assert.deepEqual(
      [answer?.values('www-authenticate'), answer?.values('allow')],
      [['Basic realm="a"'], ['GET']],
    );
  }));

test('H05 a 407 has a challenge, and comes as often as somebody asks on one connection', () =>
  stage(
    'clients: [{ name: app, username: app, password: right }]\naccess: { clients: known }',
    async (cast) => {
      const origin = await cast.origin();
      const caller = await cast.raw(3);
      const ask = (lines: string): void =>
        void caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n${lines}\r\n`);
      const answered = (count: number) =>
        caller.until((text) => messagesOf(text).filter(({ whole }) => whole).length === count);
      ask('');
      await answered(1);
      ask(`Proxy-Authorization: Basic ${Buffer.from('app:wrong').toString('base64')}\r\n`);
      await answered(2);
      ask(`Proxy-Authorization: Basic ${Buffer.from('app:right').toString('base64')}\r\n`);
      const [first, second, third] = messagesOf(await answered(3));
      for (const answer of [first, second]) {
        assert.equal(answer?.status, 407);
        assert.match(answer?.values('proxy-authenticate')[0] ?? '', /^Basic realm="/);
      }
      assert.equal(third?.status, 200);
      assert.equal(origin.seen.length, 1);
      assert.equal(origin.seen[0]?.headers['proxy-authorization'], undefined);
    },
  ));

test('H06 TE is only ever ours; Accept-Encoding and an encoded body go on as they are', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const { seen } = await passes(
        way,
        requestText(way, {
          lines: 'TE: deflate, gzip;q=0.3\r\nConnection: TE\r\nAccept-Encoding: zstd, x;q=0\r\n',
        }),
      );
      assert.deepEqual(valuesOf(seen.fields, 'accept-encoding'), ['zstd, x;q=0'], way.name);
      assert.ok(
        valuesOf(seen.fields, 'te').every((value) => value === 'trailers'),
        way.name,
      );
    }
    const zipped = gzipSync('a'.repeat(10_000)).toString('latin1');
    const { answer } = await hears({
      text: `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nCache-Control: no-transform\r\nContent-Length: ${zipped.length}\r\n\r\n${zipped}`,
    });
    assert.equal(answer?.body, zipped);
    assert.deepEqual(answer?.values('content-encoding'), ['gzip']);
  }));

test('H07 interim responses reach a 1.1 caller in order and a 1.0 caller never; too many are a 502', async () => {
  const interim = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n';
  const text = `${interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`;
  const modern = await hears({ text });
  assert.deepEqual(
    messagesOf(modern.received).map(({ status }) => status),
    [103, 102, 200],
  );
  const old = await hears({ text }, { version: 'HTTP/1.0' });
  assert.deepEqual(
    messagesOf(old.received).map(({ status }) => status),
    [200],
  );
  await failsWith(
    { text: `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(40)}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n` },
    'http_protocol_error',
  );
});

test('H08 an expectation that nobody knows is a 417, in HTTP/1.0 it is ignored', () =>
  everyWay(async (ways) => {
    await refusedOn(ways, [['200-maybe', (way) => requestText(way, { lines: 'Expect: 200-maybe\r\n' })]], {
      status: 417,
    });
    for (const way of ways) {
      const { answer } = await passes(
        way,
        requestText(way, {
          version: 'HTTP/1.0',
          method: 'POST',
          lines: 'Expect: 100-continue\r\nContent-Length: 5\r\n',
          body: 'hello',
        }),
      );
      assert.equal(answer.status, 200, way.name);
    }
  }));

test('H09 an answer of ours has its date, type and length, and is not to be stored', () =>
  stage('access: { default: deny }', async (cast) => {
    const caller = await cast.raw();
    caller.write('GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n');
    const [answer] = messagesOf(await caller.until((text) => messagesOf(text)[0]?.whole === true));
    assert.ok(Date.parse(answer?.values('date')[0] ?? '') > 0);
    assert.deepEqual(answer?.values('content-type'), ['application/problem+json']);
    assert.deepEqual(answer?.values('content-length'), [String(answer?.body.length)]);
    assert.deepEqual(answer?.values('cache-control'), ['no-store']);
  }));

test('H09 a Date is not put into what the origin answered', async () => {
  const { answer } = await hears({ text: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n' });
  assert.ok((answer?.values('date').length ?? 2) <= 1);
  const dated = await hears({
    text: 'HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n',
  });
  assert.deepEqual(dated.answer?.values('date'), ['Thu, 01 Jan 1970 00:00:00 GMT']);
});

test('H10 nothing tells the origin who called: what a caller says of itself passes, and nothing is added', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const plain = await passes(way, requestText(way));
      const telling = [
        'forwarded',
        'x-forwarded-for',
        'x-forwarded-host',
        'x-forwarded-proto',
        'x-real-ip',
        'client-ip',
      ];
      assert.deepEqual(
        telling.filter((name) => names(plain.seen.fields).includes(name)),
        [],
        way.name,
      );
      const own = await passes(way, requestText(way, { lines: 'X-Forwarded-For: 192.0.2.1\r\n' }));
      assert.deepEqual(valuesOf(own.seen.fields, 'x-forwarded-for'), ['192.0.2.1'], way.name);
    }
  }));

test('H11 a request ID is kept where it is well formed, replaced where it is not, and the same everywhere', () =>
  everyWay(async (ways) => {
    for (const way of ways)
      for (const [id, keeps] of [
        ['mine-1', true],
        ['a b', false],
        ['a'.repeat(129), false],
        ['<x>', false],
        [null, false],
      ] as const) {
        const { seen, answer, line } = await passes(
          way,
          requestText(way, { lines: id === null ? '' : `X-Request-Id: ${id}\r\n` }),
        );
        const [up = '', ...more] = valuesOf(seen.fields, 'x-request-id');
        assert.deepEqual([more, answer.values('x-request-id'), line.requestId], [[], [up], up], way.name);
        assert.equal(up === id, keeps, way.name);
      }
  }));

test('H12 a valid traceparent passes to the byte, any other is replaced and its tracestate dropped', () =>
  everyWay(async (ways) => {
    const good = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const bad = [
      '00-00000000000000000000000000000000-b7ad6b7169203331-01',
      'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'x',
      good.toUpperCase(),
    ];
    for (const way of ways) {
      const { seen } = await passes(
        way,
        requestText(way, { lines: `traceparent: ${good}\r\ntracestate: a=b\r\n` }),
      );
      assert.deepEqual(
        [valuesOf(seen.fields, 'traceparent'), valuesOf(seen.fields, 'tracestate')],
        [[good], ['a=b']],
        way.name,
      );
      for (const value of bad) {
        const other = await passes(
          way,
          requestText(way, { lines: `traceparent: ${value}\r\ntracestate: a=b\r\n` }),
        );
        assert.notEqual(valuesOf(other.seen.fields, 'traceparent')[0], value);
        assert.deepEqual(valuesOf(other.seen.fields, 'tracestate'), [], way.name);
      }
      const two = await passes(
        way,
        requestText(way, { lines: `traceparent: ${good}\r\ntraceparent: ${good}\r\n` }),
      );
      assert.notEqual(valuesOf(two.seen.fields, 'traceparent')[0], good);
    }
  }));

test('H01 H03 H05 H11 over HTTP/2 the same goes up', async () => {
  const recorder = await Recorder.start();
  await stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    cast.atEnd(() => recorder.close());
    const caller = await Http2Caller.connect(cast.sidecar.port);
    cast.expected++;
    const { headers } = await caller.call(`http://127.0.0.1:${recorder.port}/`, {
      te: 'trailers',
      'proxy-authorization': 'Basic eDp5',
      authorization: 'Bearer t',
      'x-request-id': 'mine-2',
      via: '1.1 before',
    });
    const fields = recorder.requests[0]?.fields ?? [];
    assert.match(valuesOf(fields, 'via')[0] ?? '', /^1\.1 before, 2\.0 outrigger-/);
    assert.deepEqual(
      [
        valuesOf(fields, 'proxy-authorization'),
        valuesOf(fields, 'authorization'),
        valuesOf(fields, 'x-request-id'),
      ],
      [[], ['Bearer t'], ['mine-2']],
    );
    assert.equal(headers['x-request-id'], 'mine-2');
    for (const name of ['connection', 'keep-alive', 'transfer-encoding'])
      assert.equal(headers[name], undefined);
    caller.leave();
  });
});

test('H04 a header of the origin that is more than a response has room for is its fault, and costs only its exchange', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    const origin = await answering(
      { text: `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\nContent-Length: 0\r\n\r\n` },
      cast,
    );
    const { status, text } = await cast.call(`${origin.url}/x`);
    assert.deepEqual([status, JSON.parse(text).error], [502, 'http_response_header_section_size']);
    assert.equal((await cast.call(`${origin.url}/next`)).text, '/next');
  }));
