import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { eachHead, messagesOf, once } from '../support/messages.ts';
import { until } from '../support/until.ts';

/** The sidecar still serves the next caller. */
async function proveServing(cast: Cast): Promise<void> {
  const origin = await cast.origin();
  assert.equal((await cast.call(`${origin.url}/`)).status, 200);
}

const GOOD = 'GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n';
const POST = 'POST http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n';

const REQUESTS: readonly (readonly [what: string, text: string, status: number, detail: RegExp])[] = [
  // Targets
  ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n', 405, /OPTIONS \*/],
  [
    'OPTIONS with Max-Forwards: 0',
    'OPTIONS http://x/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n',
    405,
    /Max-Forwards/,
  ],
  ['ftp:', 'GET ftp://h/x HTTP/1.1\r\nHost: h\r\n\r\n', 400, /neither http nor https/],
  ['file:', 'GET file:///etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n', 400, /neither http nor https/],
  ['user information', 'GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n', 400, /user information/],
  ['a fragment', 'GET http://h/x#y HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['a backslash', 'GET http://h\\x HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['an empty host', 'GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['a comma in the host', 'GET http://a,b/ HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['a percent in the host', 'GET http://a%00b/ HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['port 0', 'GET http://h:0/ HTTP/1.1\r\nHost: h\r\n\r\n', 400, /port/],
  ['port 65536', 'GET http://h:65536/ HTTP/1.1\r\nHost: h\r\n\r\n', 400, /port/],
  ['a port that is no number', 'GET http://h:8a/ HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['a space in the target', 'GET http://h/a b HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['raw UTF-8 in the target', 'GET http://h/\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['a method that is no token', 'G@T http://h/ HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['TRACE', 'TRACE http://h/ HTTP/1.1\r\nHost: h\r\n\r\n', 405, /TRACE/],
  // Versions
  ['HTTP/2.0', 'GET http://h/ HTTP/2.0\r\nHost: h\r\n\r\n', 400, /./],
  ['HTTP/1.2', 'GET http://h/ HTTP/1.2\r\nHost: h\r\n\r\n', 400, /HTTP\/1\.0 or HTTP\/1\.1/],
  ['http/1.1 in lower case', 'GET http://h/ http/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['RTSP/1.0', 'GET http://h/ RTSP/1.0\r\nHost: h\r\n\r\n', 400, /./],
  ['RTSP/1.0 and a method of RTSP', 'DESCRIBE rtsp://h/ RTSP/1.0\r\nHost: h\r\n\r\n', 400, /./],
  ['two spaces behind the method', 'GET  http://h/ HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['two spaces in front of the version', 'GET http://h/  HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['a space behind the version', 'GET http://h/ HTTP/1.1 \r\nHost: h\r\n\r\n', 400, /./],
  ['a tab in the request line', 'GET\thttp://h/ HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  [
    'empty lines without end',
    `${'\r\n'.repeat(20)}GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n`,
    400,
    /empty lines/,
  ],
  ['HTTP/0.9', 'GET http://h/\r\n\r\n', 400, /./],
  ['another preface than that of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nTM\r\n\r\n', 400, /./],
  ['the hello of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400, /./],
  // Host
  ['no Host', 'GET http://h/ HTTP/1.1\r\n\r\n', 400, /no Host/],
  ['two Hosts', 'GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n', 400, /more than one Host/],
  ['an empty Host', 'GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n', 400, /Host/],
  ['a Host with user information', 'GET http://h/ HTTP/1.1\r\nHost: u@h\r\n\r\n', 400, /Host/],
  ['a Host with a path', 'GET http://h/ HTTP/1.1\r\nHost: h/x\r\n\r\n', 400, /Host/],
  ['two hosts in one Host', 'GET http://h/ HTTP/1.1\r\nHost: h, h\r\n\r\n', 400, /Host/],
  ['a Host with a space', 'GET http://h/ HTTP/1.1\r\nHost: h h\r\n\r\n', 400, /Host/],
  ['a Host with a port that is none', 'GET http://h/ HTTP/1.1\r\nHost: h:8a\r\n\r\n', 400, /Host/],
  ['a Host that is none, in HTTP/1.0', 'GET http://h/ HTTP/1.0\r\nHost: u@h\r\n\r\n', 400, /Host/],
  ['a Host that is none, in a CONNECT', 'CONNECT h:443 HTTP/1.1\r\nHost: h/x\r\n\r\n', 400, /Host/],
  // Framing
  [
    'Content-Length and Transfer-Encoding',
    `${POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
    /./,
  ],
  ['two Content-Lengths', `${POST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`, 400, /./],
  ['Content-Length: +3', `${POST}Content-Length: +3\r\n\r\nabc`, 400, /./],
  ['Content-Length: 3,3', `${POST}Content-Length: 3,3\r\n\r\nabc`, 400, /./],
  ['Content-Length: -1', `${POST}Content-Length: -1\r\n\r\n`, 400, /./],
  ['an empty Content-Length', `${POST}Content-Length:\r\n\r\n`, 400, /./],
  ['a Content-Length beyond every number', `${POST}Content-Length: 99999999999999999999\r\n\r\n`, 400, /./],
  ['Transfer-Encoding: gzip', `${POST}Transfer-Encoding: gzip\r\n\r\n`, 400, /./],
  ['Transfer-Encoding: gzip, chunked', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 400, /./],
  [
    'Transfer-Encoding twice',
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
    /./,
  ],
  [
    'Transfer-Encoding in HTTP/1.0',
    'POST http://127.0.0.1:9/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
    /./,
  ],
  ['a chunk size that is no number', `${POST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`, 400, /./],
  [
    'a chunk longer than its size',
    `${POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n`,
    400,
    /./,
  ],
  ['a bare LF behind a chunk size', `${POST}Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n`, 400, /./],
  // Fields
  ['a folded field', `${GOOD}X: a\r\n b\r\n\r\n`, 400, /./],
  ['a bare LF in the head', 'GET http://h/ HTTP/1.1\nHost: h\n\n', 400, /./],
  ['a bare CR in a value', `${GOOD}X: a\rb\r\n\r\n`, 400, /./],
  ['a NUL in a value', `${GOOD}X: a\0b\r\n\r\n`, 400, /./],
  ['a space before the colon', `${GOOD}X : a\r\n\r\n`, 400, /./],
  ['a name that is no token', `${GOOD}X@Y: a\r\n\r\n`, 400, /./],
  ['an empty name', `${GOOD}: a\r\n\r\n`, 400, /./],
  ['a space before the first field', 'GET http://h/ HTTP/1.1\r\n Host: h\r\n\r\n', 400, /./],
  ['a head beyond limits.headerBytes', `${GOOD}X: ${'a'.repeat(33_000)}\r\n\r\n`, 431, /./],
  [
    'a request line beyond limits.targetBytes',
    `GET http://h/${'a'.repeat(16_384)} HTTP/1.1\r\nHost: h\r\n\r\n`,
    414,
    /16384 bytes/,
  ],
  ['more fields than limits.headerFields', `${GOOD}${'X: a\r\n'.repeat(200)}\r\n`, 431, /200 fields/],
  ['an expectation that nobody knows', `${GOOD}Expect: miracle\r\n\r\n`, 417, /./],
  // CONNECT
  ['CONNECT without a port', 'CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n', 400, /host:port/],
  ['CONNECT with an empty port', 'CONNECT h: HTTP/1.1\r\nHost: h\r\n\r\n', 400, /host:port/],
  ['CONNECT to port 0', 'CONNECT h:0 HTTP/1.1\r\nHost: h\r\n\r\n', 400, /host:port/],
  ['CONNECT to port 65536', 'CONNECT h:65536 HTTP/1.1\r\nHost: h\r\n\r\n', 400, /host:port/],
  ['CONNECT to a port with a letter', 'CONNECT h:44a HTTP/1.1\r\nHost: h\r\n\r\n', 400, /host:port|./],
  ['CONNECT without a host', 'CONNECT :443 HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['CONNECT with a path', 'CONNECT h:443/x HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['CONNECT with a scheme', 'CONNECT https://h:443 HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['CONNECT with user information', 'CONNECT u@h:443 HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['CONNECT to IPv6 without brackets', 'CONNECT ::1:443 HTTP/1.1\r\nHost: h\r\n\r\n', 400, /./],
  ['CONNECT with two Hosts', 'CONNECT h:443 HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n', 400, /./],
];

test('every malformed request gets its 4xx with the reason, one log line, and the end of its connection', () =>
  stage('', async (cast) => {
    for (const [i, [what, text, status, detail]] of REQUESTS.entries()) {
      const caller = await cast.raw();
      caller.write(`${text}GET http://127.0.0.1:9/next HTTP/1.1\r\nHost: x\r\n\r\n`);
      const got = messagesOf(await caller.untilEnd());
      assert.equal(got.length, 1, `${what}: one answer, and not ${caller.received}`);
      const [answer] = got;
      assert.equal(answer?.status, status, what);
      assert.equal(answer?.whole, true, what);
      assert.deepEqual(answer?.values('content-type'), ['application/problem+json'], what);
      const problem = JSON.parse(answer?.body ?? '');
      assert.equal(problem.status, status, what);
      assert.equal(problem.error, 'http_request_error', what);
      assert.match(`${problem.detail} ${problem.title}`, detail, what);
      assert.match(answer?.values('proxy-status')[0] ?? '', /^outrigger; error=http_request_error/, what);
      const line = await cast.sidecar.line(i + 1);
      assert.equal(line.requestId, problem.requestId, what);
      assert.equal(line.status, status, what);
      assert.equal(line.error, 'http_request_error', what);
      assert.notEqual(line.outcome, 'completed', what);
    }
    await proveServing(cast);
  }));

test('a body found wrong on its way is answered with 400, and the origin never sees a whole one', () =>
  stage('', async (cast) => {
    const received: string[] = [];
    const origin = await cast.rawOrigin((socket) =>
      socket.on('data', (chunk) => received.push(chunk.toString('latin1'))),
    );
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`);
    await until(() => received.join('').includes('abc'), 'the first chunk');
    caller.write('this is no chunk size\r\n');
    const [got] = messagesOf(await caller.untilEnd());
    assert.equal(got?.status, 400);
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    assert.equal(received.join('').includes('0\r\n\r\n'), false);
    const line = await cast.sidecar.line();
    assert.equal(line.error, 'http_request_error');
    assert.equal(line.attempts[0]?.verdict, 'ignored');
    await proveServing(cast);
  }));

test('a wrong body behind a response that has begun cuts the connection', () =>
  stage('', async (cast) => {
    const origin = await cast.origin((_request, response) => {
      response.writeHead(200, { 'Content-Length': 100 });
      response.write('begun');
    });
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`);
    await caller.until((text) => text.includes('begun'));
    caller.write('xyz\r\n');
    await until(() => caller.closed || caller.ended, 'the cut');
    assert.equal(messagesOf(caller.received).length, 1);
    assert.equal((await cast.sidecar.line()).outcome, 'truncated');
    await proveServing(cast);
  }));

test('a head that does not come in time gets a 408', () =>
  stage('listen: { headTimeout: 200ms }', async (cast) => {
    const caller = await cast.raw();
    caller.write('GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    const [got] = messagesOf(await caller.untilEnd());
    assert.equal(got?.status, 408);
    assert.match(JSON.parse(got?.body ?? '').hint, /listen\.headTimeout/);
    assert.equal((await cast.sidecar.line()).status, 408);
    await proveServing(cast);
  }));

test('a slow second head does not spoil the first exchange, which still runs', () =>
  stage('listen: { headTimeout: 100ms }', async (cast) => {
    let end = 0;
    const origin = await cast.origin((_request, response) => {
      end = setTimeout(() => response.end('late but whole'), 400)[Symbol.toPrimitive]();
    });
    const caller = await cast.raw(2);
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\nGET http://`);
    const got = messagesOf(await caller.untilEnd());
    assert.notEqual(end, 0);
    assert.deepEqual(
      got.map(({ status }) => status),
      [200, 408],
    );
    assert.equal((await cast.sidecar.line(1)).outcome, 'completed');
  }));

test('a connection that never says a word leaves no line', () =>
  stage('listen: { headTimeout: 100ms }', async (cast) => {
    const caller = await cast.raw(0);
    await until(() => caller.closed || caller.ended, 'the end');
    assert.equal(caller.received, '');
  }));

test('a head that breaks off has one line', () =>
  stage('', async (cast) => {
    const caller = await cast.raw();
    caller.write('GET http://127.0.0.1:9/ HT');
    caller.socket.end();
    assert.equal((await cast.sidecar.line()).status, 400);
    await proveServing(cast);
  }));

test('a caller that sends much more behind a malformed head still gets to read its 400', () =>
  stage('', async (cast) => {
    const caller = await cast.raw(1);
    for (let i = 0; i < 16; i++) caller.write('x'.repeat(65_536));
    const [got] = messagesOf(await caller.untilEnd());
    assert.equal(got?.status, 414, caller.received);
    assert.equal(got?.whole, true);
    await cast.sidecar.line();
  }));

test('a body behind a refused head is read no further than a bound, and never as a request', () =>
  stage('access: { default: deny }', async (cast) => {
    const caller = await cast.raw();
    caller.write(`POST http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n`);
    await caller.until((text) => text.includes('\r\n\r\n'));
    let sent = 0;
    const piece = Buffer.alloc(65_536, 'GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n');
    const push = (): void => {
      while (!caller.closed && caller.socket.writable && sent < 1_000_000_000) {
        sent += piece.length;
        if (!caller.socket.write(piece)) return;
      }
    };
    caller.socket.on('drain', push);
    push();
    await until(() => caller.closed, 'the connection to be closed');
    assert.ok(sent < 32 * 1_048_576, `${sent} bytes`);
    assert.equal(messagesOf(caller.received)[0]?.status, 403);
  }));

const RESPONSES: readonly (readonly [what: string, text: string, token: string])[] = [
  ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n', 'http_protocol_error'],
  ['a status line without a status', 'HTTP/1.1 OK\r\n\r\n', 'http_protocol_error'],
  ['status 099', 'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n', 'http_protocol_error'],
  [
    'a control character in the reason',
    'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n',
    'http_protocol_error',
  ],
  ['a field without a colon', 'HTTP/1.1 200 OK\r\nBad field\r\n\r\n', 'http_protocol_error'],
  ['a NUL in a value', 'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n', 'http_protocol_error'],
  ['a folded field', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n', 'http_protocol_error'],
  ['bare LFs', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n', 'http_protocol_error'],
  [
    'a Content-Length that is no number',
    'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n',
    'http_protocol_error',
  ],
  [
    'Content-Lengths that differ',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    'http_protocol_error',
  ],
  [
    'Content-Length beside Transfer-Encoding',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'http_protocol_error',
  ],
  [
    'a Transfer-Encoding that is not chunked',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc',
    'http_protocol_error',
  ],
  [
    'a 101 that nobody asked for',
    'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
    'http_protocol_error',
  ],
  [
    'interim responses without end',
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(40),
    'http_protocol_error',
  ],
  [
    'a head beyond limits.headerBytes',
    `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`,
    'http_response_header_section_size',
  ],
  ['nothing but a FIN', '', 'connection_terminated'],
  ['half a head', 'HTTP/1.1 200 OK\r\nX: a', 'connection_terminated'],
];

for (const [what, text, token] of RESPONSES)
  test(`a response with ${what} is a 502 ${token}, and its connection is closed`, () =>
    stage('policy: { retry: { attempts: 1 } }', async (cast) => {
      const origin = await cast.rawOrigin((socket) => {
        if (text === '' || text.endsWith('X: a')) once(text)(socket);
        else eachHead(socket, () => void socket.write(text, 'latin1'));
      });
      const got = await cast.call(`${origin.url}/`);
      assert.equal(got.status, 502, got.text);
      assert.equal(JSON.parse(got.text).error, token);
      await until(() => origin.connections.open.size === 0, 'the connection to be closed');
      const line = await cast.sidecar.line();
      assert.equal(line.outcome, 'failed');
      assert.equal(line.error, token);
      assert.equal(line.attempts[0]?.verdict, 'failure');
      await proveServing(cast);
    }));

test('a response that turns malformed in its body is cut', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      eachHead(
        socket,
        () => void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n'),
      ),
    );
    await assert.rejects(cast.call(`${origin.url}/`));
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'truncated');
    assert.equal(line.error, 'http_protocol_error');
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
  }));
