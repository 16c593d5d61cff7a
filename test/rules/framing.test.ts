/** M: where a message ends, in both directions (RFC 9112, sections 6 and 7; RFC 9110, section 8.6). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { Http2Caller } from '../support/http2-caller.ts';
import { messagesOf } from '../support/messages.ts';
import { Recorder } from '../support/recorder.ts';
import { valuesOf } from '../support/reference-message.ts';
import { until } from '../support/until.ts';
import { failsWith, hears } from './origins.ts';
import { type Case, everyWay, passes, refusedOn, requestText, type Way } from './ways.ts';

const post =
  (lines: string, body = '') =>
  (way: Way): string =>
    requestText(way, { method: 'POST', lines, body });
const cases = (lines: readonly string[], body = 'hello'): Case[] =>
  lines.map((line) => [JSON.stringify(line), post(`${line}\r\n`, body)]);

test('M01 a request with both lengths is refused, in either order, and its connection ends', () =>
  everyWay((ways) =>
    refusedOn(ways, [
      ['Content-Length first', post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
      ['Transfer-Encoding first', post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n')],
      ['a length of zero', post('Content-Length: 0\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
      [
        'on a GET',
        (way) =>
          requestText(way, {
            lines: 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
            body: '0\r\n\r\n',
          }),
      ],
    ]),
  ));

test('M02 a length is one number of digits; several that differ are refused', () =>
  everyWay(async (ways) => {
    const values = [
      '+5',
      '-1',
      '0x5',
      '5 5',
      '5,6',
      '5, 5',
      '',
      '1e3',
      '5.0',
      '99999999999999999999',
      '9007199254740993',
      '5;',
      '"5"',
      'five',
      '\xb2',
    ];
    await refusedOn(ways, cases(values.map((value) => `Content-Length: ${value}`)));
    await refusedOn(
      ways,
      cases(['Content-Length: 5\r\nContent-Length: 6', 'Content-Length: 5\r\ncontent-length: 0']),
    );
    // Equal ones may be refused or become one; never are there two.
    for (const way of ways) {
      const peer = await way.open();
      const { status } = await peer
        .write(post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello')(way))
        .answered();
      if (status === 200)
        assert.deepEqual(valuesOf(way.recorder.requests.at(-1)?.fields ?? [], 'content-length'), ['5']);
      else assert.equal(status, 400);
      peer.leave();
    }
  }));

test('M03 the only coding is chunked, once, and not in HTTP/1.0', () =>
  everyWay(async (ways) => {
    const values = [
      'gzip',
      'gzip, chunked',
      'chunked, gzip',
      'chunked, chunked',
      'identity',
      'identity, chunked',
      '',
      'chunked;q=1',
      '"chunked"',
      ',chunked',
      'chunked,',
      'xchunked',
      'chunke',
      '\x0bchunked',
      'cow',
    ];
    await refusedOn(
      ways,
      cases(
        values.map((value) => `Transfer-Encoding: ${value}`),
        '0\r\n\r\n',
      ),
    );
    await refusedOn(
      ways,
      cases(
        [
          'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
          'Transfer-Encoding: chunked\r\ntransfer-encoding: identity',
          'Transfer-Encoding : chunked',
        ],
        '0\r\n\r\n',
      ),
    );
    await refusedOn(ways, [
      [
        'HTTP/1.0',
        (way) =>
          requestText(way, {
            method: 'POST',
            version: 'HTTP/1.0',
            lines: 'Transfer-Encoding: chunked\r\n',
            body: '0\r\n\r\n',
          }),
      ],
    ]);
    for (const way of ways) {
      const { seen } = await passes(
        way,
        post('transfer-encoding: Chunked\r\n', '5\r\nhello\r\n0\r\n\r\n')(way),
      );
      assert.equal(seen.body.toString(), 'hello', way.name);
    }
  }));

/** A body that is wrong: whatever has gone up by then, no whole request has, and one answer comes back. */
async function brokenOn(ways: readonly Way[], bodies: readonly string[]): Promise<void> {
  const problems: string[] = [];
  for (const way of ways)
    for (const body of bodies) {
      const what = `${JSON.stringify(body.slice(0, 60))}, ${way.name}`;
      const peer = await way.open();
      const before = way.recorder.requests.length;
      peer.write(
        post('Transfer-Encoding: chunked\r\n', `${body}${requestText(way, { path: '/behind' })}`)(way),
      );
      const came = await peer.untilEnd().catch(() => `no end: ${peer.received}`);
      peer.leave();
      const [answer, ...more] = messagesOf(came);
      if (answer?.status !== 400 || more.length > 0) problems.push(`${what}: ${came.slice(0, 200)}`);
      await until(() => way.recorder.pending === 0, `the origin to be left, ${what}`);
      if (way.recorder.requests.length !== before) problems.push(`${what}: the origin has a whole request`);
      if (way.recorder.invalid.length > 0) problems.push(`${what}: ${way.recorder.invalid[0]?.why}`);
    }
  assert.deepEqual(problems, []);
}

// biome-ignore format: a list
const BAD_CHUNKS = ['xyz\r\n', '0x5\r\nhello\r\n0\r\n\r\n', '+5\r\nhello\r\n0\r\n\r\n', '-5\r\nhello\r\n0\r\n\r\n', ' 5\r\nhello\r\n0\r\n\r\n', '5 \r\nhello\r\n0\r\n\r\n', '\r\nhello\r\n0\r\n\r\n', ';x\r\nhello\r\n0\r\n\r\n', '5\nhello\r\n0\r\n\r\n', '5\r\nhello\n0\r\n\r\n', '5\r\nhelloX\r\n0\r\n\r\n', '3\r\nhello\r\n0\r\n\r\n', '5\r\nhello0\r\n\r\n', 'fffffffffffffffff\r\nhello\r\n', '10000000000000005\r\nhello\r\n', '5\r\nhello\r\n0\n\n', '5\r\nhello\r\n0\r\n\n', '5\r\nhello\r\n0\r\nX: a\n\r\n', '5\r\nhello\r\n0\r\nX : a\r\n\r\n', '5\r\nhello\r\n0\r\n: a\r\n\r\n', '5\r\nhello\r\n0\r\n X: a\r\n\r\n'];

test('M04 a chunk is what its size says, in hexadecimal digits and nothing else; extensions are bounded', () =>
  everyWay(async (ways) => {
    await brokenOn(ways, BAD_CHUNKS);
    const byLine = `5;${'a'.repeat(5_000)}\r\nhello\r\n0\r\n\r\n`;
    const byMessage = `${`1;${'a'.repeat(4_000)}\r\nx\r\n`.repeat(20)}0\r\n\r\n`;
    await brokenOn(ways, [byLine, byMessage]);
    for (const way of ways) {
      const { seen } = await passes(
        way,
        post('Transfer-Encoding: chunked\r\n', '5;a=b;c="d"\r\nhello\r\nA\r\n0123456789\r\n000\r\n\r\n')(way),
      );
      assert.equal(seen.body.toString(), 'hello0123456789', way.name);
    }
  }));

// biome-ignore format: a list
const NOT_IN_TRAILERS = ['Content-Length: 9', 'Transfer-Encoding: chunked', 'Host: evil.test', 'Authorization: x', 'Cookie: x', 'Set-Cookie: x', 'Content-Type: x', 'Trailer: x', 'Connection: close', 'Proxy-Authorization: x', 'Cache-Control: no-store', 'Via: 1.1 x', 'Expect: 100-continue', 'Range: bytes=0-', 'TE: trailers'];

test('M05 chunks are made anew without extensions; trailers go on but for those that would frame, route or authenticate', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const trailers = ['X-Sum: 1', ...NOT_IN_TRAILERS, 'X-Sum: 2'].map((one) => `${one}\r\n`).join('');
      const body = `5;secret=1\r\nhello\r\n0;secret=2\r\n${trailers}\r\n`;
      const { seen } = await passes(way, post('Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n', body)(way));
      assert.equal(seen.body.toString(), 'hello', way.name);
      assert.deepEqual(valuesOf(seen.fields, 'x-sum'), [], way.name);
      assert.deepEqual(valuesOf(seen.fields, 'host'), [way.authority], way.name);
      assert.deepEqual(
        seen.trailers.map((line) => line.join(': ')),
        ['X-Sum: 1', 'X-Sum: 2'],
        way.name,
      );
      assert.equal(valuesOf(seen.fields, 'content-length').length, 0);
    }
  }));

test('M06 a body of known length is sent to the byte; a caller that ends early leaves the origin no whole request', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const { seen } = await passes(way, post('Content-Length: 5\r\n', 'hello')(way));
      assert.deepEqual([seen.body.toString(), valuesOf(seen.fields, 'content-length')], ['hello', ['5']]);
      const peer = await way.open();
      const before = way.recorder.requests.length;
      peer.write(post('Content-Length: 50\r\n', 'hello')(way));
      await way.cast.sidecar.line(way.cast.expected - 1);
      await until(() => way.cast.sidecar.sidecar.snapshot().exchangesInFlight > 0, 'the exchange to begin');
      peer.leave();
      await way.cast.sidecar.line(way.cast.expected);
      await until(() => way.recorder.pending === 0, 'the origin to be left');
      assert.equal(way.recorder.requests.length, before, way.name);
      const { answer } = await passes(way, requestText(way, { path: '/after' }));
      assert.equal(answer.body, 'GET /after');
    }
  }));

const HEAD = 'HTTP/1.1 200 OK\r\n';

// biome-ignore format: a list
const BAD_RESPONSES = [`${HEAD}Content-Length: 5\r\nContent-Length: 3\r\n\r\nhello`, `${HEAD}Content-Length: +5\r\n\r\nhello`, `${HEAD}Content-Length: 5, 6\r\n\r\nhello`, `${HEAD}Content-Length:\r\n\r\nhello`, `${HEAD}Content-Length: 99999999999999999999\r\n\r\nhello`, `${HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, `${HEAD}Transfer-Encoding: gzip\r\n\r\nhello`, `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, `${HEAD}Transfer-Encoding: chunked, identity\r\n\r\nhello`, `${HEAD}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`, `${HEAD}X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello`, `${HEAD}X : a\r\nContent-Length: 5\r\n\r\nhello`, `${HEAD}X: a\0b\r\nContent-Length: 5\r\n\r\nhello`, `${HEAD}X: a\nContent-Length: 5\r\n\r\nhello`, `${HEAD}X: a\rY: b\r\nContent-Length: 5\r\n\r\nhello`, `${HEAD}: a\r\nContent-Length: 5\r\n\r\nhello`, `HTTP/1.1 200 OK\nContent-Length: 5\n\nhello`, `HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello`, `HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello`, `HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello`, `HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello`, `ICY 200 OK\r\n\r\nhello`, `\r\n${HEAD}Content-Length: 5\r\n\r\nhello`, `<html>hello</html>\r\n\r\n`];

test('M07 a response whose length is in doubt, or whose head is no head, is a 502; its connection is closed and carries nothing more', async () => {
  for (const text of BAD_RESPONSES) await failsWith({ text }, 'http_protocol_error');
});

// biome-ignore format: a list
const BAD_CHUNKS_DOWN = ['xyz\r\n', '0x5\r\nhello\r\n', '-5\r\nhello\r\n', '5 \r\nhello\r\n', '5\nhello\r\n', '5;a\rb\r\nhello\r\n', '3\r\nhello\r\n', '10000000000000005\r\nhello\r\n', `5;${'a'.repeat(5_000)}\r\nhello\r\n`];

test('M07 a response that goes wrong in its body is a 502 or is cut, and never looks whole', async () => {
  for (const bad of BAD_CHUNKS_DOWN) {
    const text = `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n${bad}0\r\n\r\n`;
    await hears({ text }, {}, async ({ answer, ended, line, origin }) => {
      const ours = answer?.status === 502 && answer.whole;
      assert.ok(ours || (answer?.whole === false && ended), `${JSON.stringify(bad)}: ${answer?.body}`);
      assert.deepEqual([line.error, ours ? 'failed' : 'truncated'], ['http_protocol_error', line.outcome]);
      await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    });
  }
});

test('M08 what has no body has none: HEAD, 204, 304; its length goes on where that says something, and more bytes answer nobody', async () => {
  const evil = `${HEAD}Content-Length: 4\r\n\r\nevil`;
  const rows: [method: string, text: string, status: number, lengths: string[]][] = [
    ['HEAD', `${HEAD}Content-Length: 5\r\n\r\n`, 200, ['5']],
    ['HEAD', `${HEAD}Content-Length: 5\r\n\r\nhello`, 200, ['5']],
    ['GET', `HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n`, 304, ['5']],
    ['GET', `HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello`, 304, ['5']],
    ['GET', `HTTP/1.1 204 No Content\r\n\r\n`, 204, []],
    ['GET', `HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello`, 204, []],
    ['GET', `HTTP/1.1 204 No Content\r\n\r\n${evil}`, 204, []],
    ['HEAD', `${HEAD}Content-Length: 5\r\n\r\n${evil}`, 200, ['5']],
  ];
  for (const [method, text, status, lengths] of rows)
    await hears({ text }, { method }, async ({ answer, cast, origin }) => {
      assert.equal(answer?.status, status, text);
      assert.deepEqual(answer?.values('content-length'), lengths, text);
      assert.equal(answer?.body, '', text);
      const next = await cast.call(`${origin.url}/next`);
      assert.equal(next.text, '/next', text);
    });
});

test('M09 a body that ends with its connection is whole after a FIN, and visibly cut after a reset', async () => {
  const text = `${HEAD}\r\nhello`;
  for (const version of ['HTTP/1.1', 'HTTP/1.0']) {
    const whole = await hears({ text, ending: 'fin' }, { version });
    assert.deepEqual([whole.answer?.body, whole.line.outcome], ['hello', 'completed'], version);
    const cut = await hears({ text, ending: 'reset' }, { version });
    assert.notEqual(cut.line.outcome, 'completed', version);
    // A 1.0 caller is told by a reset, or by an error of ours if nothing was on its way yet.
    if (version === 'HTTP/1.1' && cut.answer?.status === 200) assert.equal(cut.answer.whole, false);
  }
});

test('M10 bytes that nobody asked for end the connection, and answer no later request', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    for (const more of [`${HEAD}Content-Length: 4\r\n\r\nevil`, 'x', '\r\n', '\0']) {
      let first = true;
      const origin = await cast.rawOrigin((socket) => {
        socket.on('data', (chunk: Buffer) => {
          const path = chunk.toString('latin1').split(' ')[1] ?? '';
          socket.write(`${HEAD}Content-Length: ${path.length}\r\n\r\n${path}`);
          if (!first) return;
          first = false;
          setImmediate(() => socket.write(more, 'latin1'));
        });
      });
      assert.equal((await cast.call(`${origin.url}/1`)).text, '/1');
      await until(() => origin.connections.open.size === 0, 'the connection to be closed');
      assert.equal((await cast.call(`${origin.url}/2`)).text, '/2', JSON.stringify(more));
    }
  }));

test('M11 pipelined requests go up one at a time and are answered in order; a request inside a body is a body', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const peer = await way.open(4);
      const inner = requestText(way, { path: '/inner' });
      peer.write(
        requestText(way, { path: '/1' }) +
          requestText(way, {
            method: 'POST',
            path: '/2',
            lines: `Content-Length: ${inner.length}\r\n`,
            body: inner,
          }) +
          requestText(way, {
            method: 'PUT',
            path: '/3',
            lines: 'Transfer-Encoding: chunked\r\n',
            body: `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
          }) +
          requestText(way, { path: '/4' }),
      );
      await peer.answered(4);
      assert.deepEqual(
        messagesOf(peer.received).map(({ body }) => body),
        ['GET /1', 'POST /2', 'PUT /3', 'GET /4'],
        way.name,
      );
      assert.equal(
        way.recorder.requests.some(({ start }) => start[1].includes('inner')),
        false,
      );
      peer.leave();
    }
  }));

test('M12 a request without a body is given no length; Content-Length: 0 goes on where it was sent', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
        const { seen } = await passes(way, requestText(way, { method }));
        assert.deepEqual(
          [valuesOf(seen.fields, 'content-length'), valuesOf(seen.fields, 'transfer-encoding')],
          [[], []],
          `${method}, ${way.name}`,
        );
      }
      for (const method of ['GET', 'POST', 'PUT']) {
        const { seen } = await passes(way, requestText(way, { method, lines: 'Content-Length: 0\r\n' }));
        assert.deepEqual(valuesOf(seen.fields, 'content-length'), ['0'], `${method}, ${way.name}`);
      }
    }
  }));

test('M13 a chunked body of any method stays one', () =>
  everyWay(async (ways) => {
    for (const way of ways)
      for (const method of ['GET', 'DELETE', 'OPTIONS', 'PURGE']) {
        const lines = 'Transfer-Encoding: chunked\r\n';
        const { seen } = await passes(
          way,
          requestText(way, { method, lines, body: '5\r\nhello\r\n0\r\n\r\n' }),
        );
        assert.equal(seen.body.toString(), 'hello', `${method}, ${way.name}`);
        assert.equal(valuesOf(seen.fields, 'content-length').includes('0'), false);
      }
  }));

test('M14 an answer that comes before the body is done goes back, and its connection is not used again', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    const origin = await cast.rawOrigin((socket) => {
      socket.once('data', (chunk: Buffer) => {
        const path = chunk.toString('latin1').split(' ')[1] ?? '';
        socket.write(`HTTP/1.1 413 Too Large\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
      });
    });
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/big HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegun`);
    const [answer] = messagesOf(await caller.until((text) => text.endsWith('/big')));
    assert.equal(answer?.status, 413);
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    assert.equal((await cast.call(`${origin.url}/next`)).text, '/next');
    assert.equal(origin.connections.total, 2);
  }));

test('M15 what is left of a body whose answer has come is never a request', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const refused = await way.open();
      const inner = requestText(way, { path: '/inner' });
      refused.write(requestText(way, { method: 'TRACE', lines: `Content-Length: ${inner.length}\r\n` }));
      await refused.answered();
      refused.write(inner + inner);
      await refused.untilEnd();
      assert.equal(messagesOf(refused.received).length, 1, way.name);
      assert.equal(
        way.recorder.requests.some(({ start }) => start[1].includes('inner')),
        false,
        way.name,
      );
      refused.leave();
    }
  }, 'policy: { retry: { attempts: 1 } }'));

test('M02 M05 M06 M12 over HTTP/2 a body is what its frames say, and a length that disagrees reaches nobody whole', async () => {
  const recorder = await Recorder.start();
  await stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    cast.atEnd(() => recorder.close());
    const caller = await Http2Caller.connect(cast.sidecar.port);
    const url = `http://127.0.0.1:${recorder.port}/`;
    const good = await caller.call(url, { ':method': 'POST', 'content-length': '5' }, 'hello');
    assert.deepEqual([good.status, recorder.requests.at(-1)?.body.toString()], [200, 'hello']);
    await caller.call(url);
    assert.deepEqual(valuesOf(recorder.requests.at(-1)?.fields ?? [], 'content-length'), []);
    const seen = recorder.requests.length;
    for (const length of ['3', '50', 'x', '-1', '5, 5', '']) {
      const { status, code } = await caller.call(
        url,
        { ':method': 'POST', 'content-length': length },
        'hello',
      );
      assert.ok(code !== 0 || status === 400 || status === undefined, `${length}: ${status}`);
    }
    await until(() => recorder.pending === 0, 'the origin to be left');
    assert.equal(recorder.requests.length, seen);
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'all to be over');
    cast.expected = cast.sidecar.exchanges.length;
    caller.leave();
  });
});
