import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import type { Http1Request } from '../../../src/upstream/http1-request.ts';
import { type Http1Home, Http1Session, StaleConnection } from '../../../src/upstream/http1-session.ts';
import { type BodyReader, ReplayBound, RequestBody } from '../../../src/upstream/replay-body.ts';
import type { StreamController, StreamHandler } from '../../../src/upstream/stream-handler.ts';
import { until } from '../../support/until.ts';

/** What is told, in its order. */
class Told implements StreamHandler {
  readonly interim: number[] = [];
  status = 0;
  reason: string | null = null;
  fields: readonly string[] = [];
  body = '';
  trailers: readonly string[] = [];
  error: (Error & { code?: string }) | null = null;
  ends = 0;
  begun = false;
  sent = 0;
  requestOut = false;
  paused = false;
  controller: StreamController | null = null;

  onRequestStart(controller: StreamController): void {
    assert.equal(this.ends, 0);
    this.controller = controller;
    this.begun = true;
  }

  onBodySent(bytes: number): void {
    this.sent += bytes;
  }

  onRequestSent(): void {
    this.requestOut = true;
  }

  onResponseStart(
    _controller: StreamController,
    status: number,
    fields: readonly string[],
    reason: string | null,
  ): void {
    assert.equal(this.ends, 0);
    if (status < 200) {
      this.interim.push(status);
      return;
    }
    assert.equal(this.status, 0, 'one head');
    this.status = status;
    this.fields = fields;
    this.reason = reason;
  }

  onResponseData(controller: StreamController, chunk: Buffer): void {
    assert.equal(this.ends, 0);
    this.body += chunk.toString('latin1');
    if (this.paused) controller.pause();
  }

  onResponseEnd(_controller: StreamController, trailers: readonly string[]): void {
    this.ends++;
    this.trailers = trailers;
  }

  onResponseError(_controller: StreamController | null, error: Error): void {
    this.ends++;
    this.error = error;
  }
}

class Line implements Http1Home {
  broken: NodeJS.ErrnoException | null = null;
  spoiled = 0;
  /** What the origin has received. */
  received = '';
  ended = false;
  readonly socket: Socket;
  readonly far: Socket;
  readonly session: Http1Session;

  constructor(socket: Socket, far: Socket) {
    this.socket = socket;
    this.far = far;
    socket.on('error', (error) => {
      this.broken ??= error;
    });
    far.on('error', () => {});
    far.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
    });
    far.on('end', () => {
      this.ended = true;
    });
    this.session = new Http1Session(socket, socket, 32_768, this);
  }

  sessionSpoiled(): void {
    this.spoiled++;
  }

  ask(request: Partial<Http1Request> = {}, payload: Buffer | BodyReader | null = null, reused = false): Told {
    const told = new Told();
    this.session.request(
      { method: 'GET', path: '/', headers: ['Host', 'a'], body: null, ...request },
      payload,
      told,
      reused,
    );
    return told;
  }

  /** Asks, and answers once the head has come. */
  async answered(text: string, request: Partial<Http1Request> = {}): Promise<Told> {
    const told = this.ask(request);
    await until(() => this.received.includes('\r\n\r\n'), 'the request');
    this.received = '';
    this.far.write(text, 'latin1');
    await until(() => told.ends > 0, 'the end');
    return told;
  }
}

async function line(t: TestContext): Promise<Line> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true });
  const [[far]] = (await Promise.all([once(server, 'connection'), once(socket, 'connect')])) as [
    [Socket],
    unknown,
  ];
  t.after(() => {
    socket.destroy();
    far.destroy();
    server.close();
  });
  return new Line(socket, far);
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('a request goes out byte for byte as it is, in one piece, and with no field of ours', async (t) => {
  const it = await line(t);
  const told = it.ask({
    path: "/a/../b//%2f?x=y'|[]",
    headers: ['Host', 'a:1', 'x-ODD', 'caf\xe9', 'X-Empty', ''],
  });
  assert.equal(told.begun && told.requestOut, true);
  await until(() => it.received !== '', 'the request');
  assert.equal(
    it.received,
    "GET /a/../b//%2f?x=y'|[] HTTP/1.1\r\nHost: a:1\r\nx-ODD: caf\xe9\r\nX-Empty: \r\n\r\n",
  );
});

test('a small body goes out with its head, at once', async (t) => {
  const it = await line(t);
  const body = Buffer.from('h\xe9llo', 'latin1');
  const told = it.ask(
    { method: 'POST', headers: ['Host', 'a', 'Content-Length', '5'], body: { length: 5, trailers: [] } },
    body,
  );
  assert.deepEqual([told.sent, told.requestOut], [5, true]);
  await until(() => it.received !== '', 'the request');
  assert.equal(it.received, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nh\xe9llo');
});

test('a body of unknown length goes out in chunks of ours, with the trailers that may go on', async (t) => {
  const it = await line(t);
  it.ask(
    {
      method: 'PUT',
      headers: ['Host', 'a'],
      body: { length: null, trailers: ['X-Sum', '1', 'Content-Length', '9', 'Authorization', 'x'] },
    },
    Buffer.from('hello'),
  );
  await until(() => it.received.includes('0\r\n'), 'the request');
  assert.equal(
    it.received,
    'PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n',
  );
});

test('a large body goes out at the pace of the origin, whole and once', async (t) => {
  const it = await line(t);
  it.far.pause();
  const length = 8 * 1_048_576;
  const told = it.ask(
    { method: 'PUT', headers: ['Host', 'a', 'Content-Length', `${length}`], body: { length, trailers: [] } },
    Buffer.alloc(length, 'x'),
  );
  await until(() => told.sent > 0 && it.socket.writableNeedDrain, 'the socket to be full');
  assert.ok(told.sent < length, `${told.sent} bytes are on their way, and no more`);
  assert.equal(told.requestOut, false);
  it.far.resume();
  await until(() => told.requestOut, 'all of it');
  assert.equal(told.sent, length);
  await until(() => it.received.length >= length, 'all of it to arrive');
  assert.equal(it.received.slice(it.received.indexOf('\r\n\r\n') + 4), 'x'.repeat(length));
});

for (const [what, pieces, error] of [
  ['shorter', ['abc'], true],
  ['longer', ['abc', 'defg'], true],
  ['as long', ['abc', 'def'], false],
] as const)
  test(`a body that comes ${what} than announced is ${error ? 'never whole to the origin' : 'sent'}`, async (t) => {
    const it = await line(t);
    const source = new Readable({ read() {} });
    const body = new RequestBody(
      source,
      null,
      { keepBytes: 0, once: false, maxBytes: null },
      new ReplayBound(0),
    );
    const told = it.ask(
      { method: 'PUT', headers: ['Host', 'a', 'Content-Length', '6'], body: { length: 6, trailers: [] } },
      body.open(),
    );
    for (const piece of pieces) source.push(piece);
    source.push(null);
    await until(() => told.ends > 0 || told.requestOut, 'an end of the request');
    assert.equal(told.error?.code, error ? 'H1_REQUEST_LENGTH' : undefined);
    assert.equal(it.session.open, !error);
    await until(() => it.received.includes('abc'), 'the beginning');
    assert.ok(!it.received.includes('defg'));
  });

for (const [what, request, payload] of [
  ['a field with CR LF', { headers: ['Host', 'a', 'X', 'a\r\nY: b'] }, null],
  ['a name that is no token', { headers: ['Host', 'a', 'X Y', 'b'] }, null],
  ['a path with a space', { path: '/a b' }, null],
  ['a path beyond ASCII', { path: '/\xe9' }, null],
  ['a method that is no token', { method: 'GET /' }, null],
  ['a length without a body', { headers: ['Host', 'a', 'Content-Length', '5'] }, null],
  ['two lengths', { headers: ['Content-Length', '0', 'content-length', '0'] }, null],
  ['a Transfer-Encoding of another', { headers: ['Transfer-Encoding', 'chunked'] }, null],
  [
    'a length beside chunks',
    { headers: ['Content-Length', '2'], body: { length: null, trailers: [] } },
    Buffer.from('ab'),
  ],
  [
    'a body of another length',
    { headers: ['Content-Length', '3'], body: { length: 3, trailers: [] } },
    Buffer.from('ab'),
  ],
] as const)
  test(`of a request with ${what} not a byte goes out`, async (t) => {
    const it = await line(t);
    const told = it.ask(request, payload);
    assert.ok(told.error !== null && !told.begun);
    assert.equal(it.session.open, false);
    assert.equal(it.socket.bytesWritten, 0);
  });

test('a Content-Length of 0 without a body goes on as it came', async (t) => {
  const it = await line(t);
  it.ask({ headers: ['Host', 'a', 'Content-Length', '0'] });
  await until(() => it.received !== '', 'the request');
  assert.equal(it.received, 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
});

for (const [what, text, told, keeps, method = 'GET'] of [
  ['a length', OK, [200, 'ok', null], true],
  ['no reason and a length of 0', 'HTTP/1.1 204\r\n\r\n', [204, '', null], true],
  [
    'chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n',
    [200, 'ok', null],
    true,
  ],
  [
    'nothing after HEAD, whatever it says',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    [200, '', null],
    true,
    'HEAD',
  ],
  [
    'a 304 that has a length',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n',
    [304, '', null],
    true,
  ],
  [
    'Connection: close',
    'HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 2\r\n\r\nok',
    [200, 'ok', null],
    false,
  ],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', [200, 'ok', null], false],
  [
    'HTTP/1.0 that is kept',
    'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok',
    [200, 'ok', null],
    true,
  ],
  [
    'HTTP/1.0 that says both',
    'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
    [200, 'ok', null],
    false,
  ],
  ['bytes behind it', `${OK}x`, [200, 'ok', null], false],
  ['another response behind it', OK + OK, [200, 'ok', null], false],
  ['bytes behind an answer to HEAD', OK, [200, '', null], false, 'HEAD'],
  ['bytes behind a 204', 'HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok', [204, '', null], false],
  [
    'both lengths',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok',
    [0, '', 'H1_MALFORMED'],
    false,
  ],
  [
    'chunks in HTTP/1.0',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    [0, '', 'H1_MALFORMED'],
    false,
  ],
  [
    'another coding',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    [0, '', 'H1_MALFORMED'],
    false,
  ],
  [
    'lengths that differ, after HEAD',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    [0, '', 'H1_MALFORMED'],
    false,
    'HEAD',
  ],
  ['a signed length', 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok', [0, '', 'H1_MALFORMED'], false],
  ['an empty line in front', `\r\n${OK}`, [0, '', 'H1_MALFORMED'], false],
  [
    'a 101',
    'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
    [0, '', 'H1_MALFORMED'],
    false,
  ],
  [
    'a bad chunk',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokx',
    [200, 'ok', 'H1_MALFORMED'],
    false,
  ],
  [
    'a head too large',
    `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`,
    [0, '', 'H1_HEAD_TOO_LARGE'],
    false,
  ],
  ['too many fields', `HTTP/1.1 200 OK\r\n${'X: a\r\n'.repeat(2_001)}\r\n`, [0, '', 'H1_HEAD_TOO_LARGE'], false],
  // biome-ignore format: one row per line reads as the table it is
] as const)
  test(`a response with ${what} is read as RFC 9112 says, and the connection is ${keeps ? 'kept' : 'not used again'}`, async (t) => {
    const it = await line(t);
    const got = await it.answered(text, { method });
    assert.deepEqual([got.status, got.body, got.error?.code ?? null], told);
    await until(() => it.session.open === keeps, 'the connection to be judged');
    if (!keeps) return;
    const next = await it.answered('HTTP/1.1 201 Next\r\nContent-Length: 0\r\n\r\n');
    assert.equal(next.status, 201);
  });

test('interim responses are told in their order, and none of them ends anything', async (t) => {
  const it = await line(t);
  const got = await it.answered(
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: <a>\r\nContent-Length: 5\r\n\r\n${OK}`,
  );
  assert.deepEqual([got.interim, got.status, got.body], [[100, 103], 200, 'ok']);
  assert.equal(it.session.open, true);
});

test('a body that only the connection delimits is whole with a FIN, and not with a reset', async (t) => {
  for (const reset of [false, true]) {
    const it = await line(t);
    const told = it.ask();
    await until(() => it.received !== '', 'the request');
    it.far.write('HTTP/1.1 200 OK\r\n\r\nall of it');
    await until(() => told.body !== '', 'the body');
    if (reset) it.far.resetAndDestroy();
    else it.far.end();
    await until(() => told.ends > 0, 'the end');
    assert.equal(told.error?.code, reset ? 'ECONNRESET' : undefined);
    assert.equal(it.session.open, false);
  }
});

for (const text of [
  '',
  'HTTP/1.1 200',
  'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n',
])
  test(`a FIN behind ${JSON.stringify(text.slice(0, 60))} is an error, once`, async (t) => {
    const it = await line(t);
    const told = it.ask();
    await until(() => it.received !== '', 'the request');
    it.far.end(text);
    await until(() => told.ends > 0, 'the end');
    assert.equal(told.error?.code, 'H1_CLOSED');
    it.socket.destroy();
    await until(() => it.socket.closed, 'the close');
    assert.equal(told.ends, 1);
  });

test('bytes on an idle connection spoil it, and it says so once', async (t) => {
  const it = await line(t);
  await it.answered(OK);
  it.far.write(OK);
  await until(() => it.spoiled > 0, 'it to be spoiled');
  it.far.write(OK);
  const next = it.ask({}, null, true);
  await until(() => next.ends > 0, 'the refusal');
  assert.ok(next.error instanceof StaleConnection && !next.begun);
  assert.equal(it.spoiled, 1);
});

test('an end that has come before the next request is seen before a byte goes out: the request is stale', async (t) => {
  const it = await line(t);
  await it.answered(OK);
  const written = it.socket.bytesWritten;
  it.far.end();
  const next = it.ask({ method: 'POST' }, null, true);
  await until(() => next.ends > 0 || next.begun, 'an outcome');
  if (!next.begun) {
    assert.ok(next.error instanceof StaleConnection);
    assert.equal(it.socket.bytesWritten, written);
  }
});

test('who stops while the request waits for its turn has it not sent', async (t) => {
  const it = await line(t);
  await it.answered(OK);
  const written = it.socket.bytesWritten;
  const next = it.ask({}, null, true);
  it.session.stop();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.deepEqual([next.begun, next.ends, it.socket.bytesWritten], [false, 0, written]);
});

test('a response is not read faster than its taker takes it, and the connection is read again once it is whole', async (t) => {
  const it = await line(t);
  const told = it.ask();
  told.paused = true;
  await until(() => it.received !== '', 'the request');
  const length = 4 * 1_048_576;
  it.far.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
  it.far.write(Buffer.alloc(length, 'x'));
  await until(() => told.body !== '' && it.far.writableNeedDrain, 'the origin to be held up');
  assert.ok(told.body.length < length / 2);
  told.paused = false;
  it.session.resume();
  await until(() => told.ends > 0, 'the end');
  assert.equal(told.body.length, length);
  assert.equal(it.socket.isPaused(), false);
});

for (const [what, head, goesOn] of [
  ['refuses', 'HTTP/1.1 413 Too Large\r\nContent-Length: 100\r\n\r\n', false],
  ['closes', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\n', false],
  ['reads on', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n', true],
] as const)
  test(`an early answer that ${what} is told, the upload ${goesOn ? 'goes on' : 'stops'}, and the connection is not used again`, async (t) => {
    const it = await line(t);
    const source = new Readable({ read() {} });
    const bounds = { keepBytes: 0, once: false, maxBytes: null };
    const body = new RequestBody(source, null, bounds, new ReplayBound(0));
    const told = it.ask({ method: 'PUT', body: { length: null, trailers: [] } }, body.open());
    source.push('first');
    await until(() => it.received.includes('first'), 'the beginning');
    it.far.write(head);
    await until(() => told.status > 0, 'the answer');
    source.push('second');
    await until(() => (goesOn ? it.received.includes('second') : body.received === 11), 'more of the body');
    it.far.write('x'.repeat(100));
    await until(() => told.ends > 0, 'the end');
    assert.equal(told.error, null);
    assert.equal(it.received.includes('second'), goesOn);
    assert.equal(told.requestOut, false);
    assert.deepEqual([it.session.open, it.session.doubtful], [false, true]);
  });
