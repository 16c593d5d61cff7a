import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { createSecureContext } from 'node:tls';
import type { Edges } from '../../src/sidecar.ts';
import type { Answer, Call } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import { type KeyPair, makeCertificates } from '../support/certificates.ts';
import { always, eachHead, once } from '../support/messages.ts';
import { answer } from '../support/origin.ts';
import { until } from '../support/until.ts';

interface Row {
  readonly what: string;
  readonly type: string;
  readonly token: string;
  readonly status: number;
  readonly outcome: 'refused' | 'failed';
  readonly retryable: boolean;
  /** What the hint must name. */
  readonly hint: RegExp;
  readonly attempts: number;
  readonly retryAfter?: boolean;
  readonly yaml?: string;
  readonly edges?: Edges;
  /** Sets the scene and says what to ask for; asked once with GET and once with HEAD. */
  scene(cast: Cast): Promise<string> | string;
}

const ONCE = 'policy: { retry: { attempts: 1 } }';
const DEAD = 'http://127.0.0.1:1/';

function silent(socket: Socket): void {
  socket.resume().on('end', () => socket.end());
}

/** Takes the only connection of the origin until the end of the test. */
async function occupy(cast: Cast, url: string): Promise<void> {
  const caller = await cast.raw();
  caller.write(`GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await until(
    () => cast.sidecar.sidecar.snapshot().origins.some((one) => one.connections.busy > 0),
    'the first',
  );
}

// biome-ignore format: one row reads as the table it is
const ROWS: readonly Row[] = [
  { what: 'a route that denies', type: 'access_denied', token: 'http_request_denied', status: 403, outcome: 'refused', retryable: false, hint: /access/, attempts: 0, yaml: 'routes: [{ name: closed, match: { paths: ["/closed*"] }, access: deny }]', scene: () => 'http://127.0.0.1:9/closed?x' },
  { what: 'an address that is not allowed', type: 'address_denied', token: 'destination_ip_prohibited', status: 403, outcome: 'refused', retryable: false, hint: /access\.addresses\.allow/, attempts: 1, scene: () => 'http://169.254.169.254/latest' },
  { what: 'a name that resolves to an address that is not allowed', type: 'address_denied', token: 'destination_ip_prohibited', status: 403, outcome: 'refused', retryable: false, hint: /access\.addresses\.allow/, attempts: 1, edges: { lookup: (_host, callback) => setImmediate(callback, null, ['10.0.0.1', '192.168.1.1']) }, scene: () => 'http://inside.test/' },
  { what: 'a name that does not resolve', type: 'dns_error', token: 'dns_error', status: 502, outcome: 'failed', retryable: true, hint: /resolver/, attempts: 1, yaml: ONCE, edges: { lookup: (_host, callback) => setImmediate(callback, Object.assign(new Error('no'), { code: 'ENOTFOUND' }), []) }, scene: () => 'http://none.test/' },
  { what: 'a resolver that is too slow', type: 'dns_timeout', token: 'dns_timeout', status: 504, outcome: 'failed', retryable: true, hint: /policy\.timeouts\.dns/, attempts: 1, yaml: 'policy: { retry: { attempts: 1 }, timeouts: { dns: 50ms } }', edges: { lookup: () => {} }, scene: () => 'http://slow.test/' },
  { what: 'a connection that is refused', type: 'connection_refused', token: 'connection_refused', status: 502, outcome: 'failed', retryable: true, hint: /origin is up/, attempts: 1, yaml: ONCE, scene: () => DEAD },
  { what: 'a connection that is refused three times', type: 'connection_refused', token: 'connection_refused', status: 502, outcome: 'failed', retryable: true, hint: /origin is up/, attempts: 3, yaml: 'policy: { retry: { backoff: { initial: 1ms, max: 1ms } } }', scene: () => DEAD },
  { what: 'a connection closed before the head', type: 'connection_terminated', token: 'connection_terminated', status: 502, outcome: 'failed', retryable: true, hint: /policy\.retry/, attempts: 1, yaml: ONCE, scene: async (cast) => (await cast.rawOrigin(once(''))).url + '/' },
  { what: 'a connection reset before the head', type: 'connection_terminated', token: 'connection_terminated', status: 502, outcome: 'failed', retryable: true, hint: /policy\.retry/, attempts: 1, yaml: ONCE, scene: async (cast) => (await cast.rawOrigin((socket) => eachHead(socket, () => socket.resetAndDestroy()))).url + '/' },
  { what: 'a TLS handshake that takes too long', type: 'tls_timeout', token: 'connection_timeout', status: 504, outcome: 'failed', retryable: true, hint: /policy\.timeouts\.tls/, attempts: 1, yaml: 'policy: { retry: { attempts: 1 }, timeouts: { tls: 50ms } }', scene: async (cast) => `https://127.0.0.1:${(await cast.rawOrigin(silent)).port}/` },
  { what: 'an origin that does not speak TLS', type: 'tls_protocol_error', token: 'tls_protocol_error', status: 502, outcome: 'failed', retryable: false, hint: /TLS/, attempts: 1, yaml: ONCE, scene: async (cast) => `https://127.0.0.1:${(await cast.rawOrigin((socket) => socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))).port}/` },
  { what: 'a head that does not come in time', type: 'head_timeout', token: 'http_response_timeout', status: 504, outcome: 'failed', retryable: true, hint: /policy\.timeouts\.head/, attempts: 1, yaml: 'policy: { retry: { attempts: 1 }, timeouts: { head: 50ms } }', scene: async (cast) => (await cast.rawOrigin(silent)).url + '/' },
  { what: 'an exchange that takes too long', type: 'total_timeout', token: 'http_response_timeout', status: 504, outcome: 'failed', retryable: true, hint: /policy\.timeouts\.total/, attempts: 1, yaml: 'policy: { timeouts: { total: 50ms } }', scene: async (cast) => (await cast.rawOrigin(silent)).url + '/' },
  { what: 'a response that is not HTTP', type: 'response_malformed', token: 'http_protocol_error', status: 502, outcome: 'failed', retryable: false, hint: /RFC 9112/, attempts: 1, scene: async (cast) => (await cast.rawOrigin(always('220 smtp ready\r\n'))).url + '/' },
  { what: 'a response head that is too large', type: 'response_head_too_large', token: 'http_response_header_section_size', status: 502, outcome: 'failed', retryable: false, hint: /limits\.headerBytes/, attempts: 1, scene: async (cast) => (await cast.rawOrigin(always(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`))).url + '/' },
  { what: 'a queue that is full', type: 'queue_full', token: 'connection_limit_reached', status: 503, outcome: 'refused', retryable: true, hint: /policy\.pool\.queue/, attempts: 1, retryAfter: true, yaml: 'policy: { pool: { connections: 1, queue: 0 } }', scene: async (cast) => { const url = (await cast.rawOrigin(silent)).url + '/'; await occupy(cast, url); return url; } },
  { what: 'a wait in the queue that is too long', type: 'queue_timeout', token: 'connection_limit_reached', status: 503, outcome: 'refused', retryable: true, hint: /policy\.pool\.queueTimeout/, attempts: 1, retryAfter: true, yaml: 'policy: { pool: { connections: 1, queueTimeout: 50ms } }', scene: async (cast) => { const url = (await cast.rawOrigin(silent)).url + '/'; await occupy(cast, url); return url; } },
  { what: 'too many exchanges', type: 'exchange_limit', token: 'connection_limit_reached', status: 503, outcome: 'refused', retryable: true, hint: /limits\.exchanges/, attempts: 0, retryAfter: true, yaml: 'limits: { exchanges: 1 }', scene: async (cast) => { const url = (await cast.rawOrigin(silent)).url + '/'; await occupy(cast, url); return url; } },
  { what: 'too many origins', type: 'origin_limit', token: 'connection_limit_reached', status: 503, outcome: 'refused', retryable: true, hint: /limits\.origins/, attempts: 0, retryAfter: true, yaml: 'limits: { origins: 1 }', scene: async (cast) => { await occupy(cast, (await cast.rawOrigin(silent)).url + '/'); return DEAD; } },
  { what: 'an open circuit', type: 'circuit_open', token: 'destination_unavailable', status: 503, outcome: 'refused', retryable: true, hint: /policy\.breaker/, attempts: 1, retryAfter: true, yaml: 'policy: { retry: { attempts: 1 }, breaker: { minimumCalls: 1 } }', scene: async (cast) => { await cast.call(DEAD); return DEAD; } },
];

/** Everything that an error of ours must say. */
function proveOurs(got: Answer, row: Row, url: string, route: string): { requestId: string } {
  const { origin } = new URL(url);
  assert.equal(got.status, row.status);
  assert.equal(got.headers['content-type'], 'application/problem+json');
  assert.equal(got.headers['cache-control'], 'no-store');
  assert.ok(got.headers.date);
  const problem = JSON.parse(got.text);
  assert.deepEqual(Object.keys(problem), [
    'type',
    'title',
    'status',
    'detail',
    'error',
    'requestId',
    'route',
    'origin',
    'attempts',
    'retryable',
    'hint',
  ]);
  assert.equal(problem.type, `urn:outrigger:error:${row.type}`);
  assert.equal(problem.status, row.status);
  assert.equal(problem.error, row.token);
  assert.equal(problem.retryable, row.retryable);
  assert.match(problem.hint, row.hint);
  assert.equal(problem.attempts, row.attempts);
  assert.equal(problem.route, route);
  assert.equal(problem.origin, url.startsWith('https') || new URL(url).port !== '' ? origin : `${origin}:80`);
  assert.equal(got.headers['x-request-id'], problem.requestId);
  // RFC 9209 in the syntax of RFC 9651: one member, its parameters, visible ASCII only.
  const attempts = row.attempts > 0 ? `; attempts=${row.attempts}` : '';
  assert.match(
    String(got.headers['proxy-status']),
    new RegExp(
      `^outrigger; error=${row.token}${attempts}(; details="([\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e]|\\\\["\\\\])*")?$`,
    ),
  );
  assert.equal(got.headers['retry-after'] !== undefined, row.retryAfter === true);
  if (row.retryAfter) assert.match(String(got.headers['retry-after']), /^[1-9][0-9]*$/);
  return problem;
}

for (const row of ROWS)
  test(`${row.what} is ${row.status} ${row.token} (${row.type})`, () =>
    stage(
      row.yaml ?? '',
      async (cast) => {
        const url = await row.scene(cast);
        const before = cast.sidecar.exchanges.length;
        const got = await cast.call(url);
        const route = row.type === 'access_denied' ? 'closed' : 'default';
        const { requestId } = proveOurs(got, row, url, route);
        const line = await cast.sidecar.line(before + 1);
        assert.equal(line.requestId, requestId);
        assert.deepEqual([line.status, line.error, line.outcome], [row.status, row.token, row.outcome]);
        assert.equal(line.attempts.length, row.attempts);
        assert.equal(line.responseBytes, got.body.length);
        const head = await cast.call(url, { method: 'HEAD' });
        assert.equal(head.status, row.status);
        assert.equal(head.body.length, 0);
        assert.ok(Number(head.headers['content-length']) > 0);
        assert.match(String(head.headers['proxy-status']), new RegExp(`error=${row.token}`));
        assert.equal((await cast.sidecar.line(before + 2)).responseBytes, 0);
      },
      row.edges,
    ));

test('a request body that stops arriving is 408 (request_body_stalled), and the origin is not blamed', () =>
  stage('policy: { timeouts: { idle: 100ms } }', async (cast) => {
    const origin = await cast.origin(() => {});
    const caller = await cast.raw();
    caller.write(
      `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n`,
    );
    const text = await caller.untilEnd();
    assert.match(text, /^HTTP\/1\.1 408 .*urn:outrigger:error:request_body_stalled/s);
    const line = await cast.sidecar.line();
    assert.equal(line.error, 'http_request_error');
    assert.equal(line.attempts[0]?.verdict, 'ignored');
  }));

test('an origin that stops taking the request body is 504 connection_write_timeout', () =>
  stage('policy: { timeouts: { idle: 100ms } }', async (cast) => {
    const origin = await cast.rawOrigin((socket) => socket.pause());
    const options: Call = { method: 'POST', body: Buffer.alloc(32 * 1_048_576) };
    // The rest of the body is not read for ever, so the caller may be cut off while it still writes.
    const got = await cast.call(`${origin.url}/`, options).catch(() => null);
    if (got) assert.equal(got.status, 504);
    const line = await cast.sidecar.line();
    assert.deepEqual([line.status, line.error, line.outcome], [504, 'connection_write_timeout', 'failed']);
    assert.equal(line.attempts[0]?.verdict, 'failure');
  }));

test('an origin that has answered, taken what there was of the request and gone silent stopped its response', () =>
  stage('policy: { timeouts: { idle: 200ms } }', async (cast) => {
    const origin = await cast.origin((request, response) => {
      request.resume();
      response.write('begun');
    });
    const caller = await cast.raw();
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n`);
    await caller.until((text) => text.includes('begun'));
    caller.write('1\r\nb\r\n');
    const line = await cast.sidecar.line();
    assert.equal(line.reason?.split(':')[0], 'body_timeout');
    assert.equal(line.outcome, 'truncated');
  }));

test('a response body that stops is cut, and the log says connection_read_timeout', () =>
  stage('policy: { timeouts: { idle: 100ms } }', async (cast) => {
    const origin = await cast.origin((_request, response) => void response.write('begun'));
    await assert.rejects(cast.call(`${origin.url}/`));
    const line = await cast.sidecar.line();
    assert.deepEqual([line.status, line.error, line.outcome], [200, 'connection_read_timeout', 'truncated']);
  }));

test("an error of the origin passes unchanged, and Proxy-Status says whose it is: the origin's first, ours last", () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    const origin = await cast.origin(
      answer(503, 'theirs', [
        'Content-Type',
        'text/plain',
        'Proxy-Status',
        'cdn; error=connection_refused',
        'Retry-After',
        '7',
        'proxy-status',
        'inner',
      ]),
    );
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 503);
    assert.equal(got.text, 'theirs');
    assert.equal(got.headers['content-type'], 'text/plain');
    assert.equal(got.headers['retry-after'], '7');
    const statuses = got.rawHeaders.filter(
      (_, i, all) => /^proxy-status$/i.test(all[i - 1] ?? '') && i % 2 === 1,
    );
    assert.deepEqual(statuses, [
      'cdn; error=connection_refused',
      'inner',
      'outrigger; attempts=1; received-status=503',
    ]);
    const line = await cast.sidecar.line();
    assert.deepEqual([line.status, line.error, line.outcome], [503, null, 'completed']);
  }));

test('Proxy-Status counts the attempts that an answer took', () =>
  stage('policy: { retry: { backoff: { initial: 1ms, max: 1ms } } }', async (cast) => {
    const origin = await cast.origin((_request, response) => {
      response.writeHead(origin.seen.length === 1 ? 503 : 200);
      response.end();
    });
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.headers['proxy-status'], 'outrigger; attempts=2; received-status=200');
  }));

const certificates = makeCertificates();
const skip = certificates === null ? 'the package openssl is missing' : false;

/** An origin that speaks TLS, and what it answered. */
async function tlsOrigin(cast: Cast, pair: KeyPair): Promise<{ port: number; requests: () => number }> {
  let requests = 0;
  const server = createServer({ ...pair }, (_request, response) => {
    requests++;
    response.end('over TLS');
  });
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cast.atEnd(
    () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(resolve);
      }),
  );
  return { port: (server.address() as AddressInfo).port, requests: () => requests };
}

function trusting(): Edges {
  return { secureContext: createSecureContext({ ca: certificates?.ca ?? '' }) };
}

test('https:// in absolute form is sent over TLS, and the connection is used again', { skip }, () =>
  stage(
    '',
    async (cast) => {
      const origin = await tlsOrigin(cast, certificates?.good as KeyPair);
      for (const host of ['127.0.0.1', '127.0.0.1', 'localhost']) {
        const got = await cast.call(`https://${host}:${origin.port}/`);
        assert.equal(got.text, 'over TLS');
      }
      assert.equal((await cast.sidecar.line(2)).attempts[0]?.reused, true);
      const third = (await cast.sidecar.line(3)).attempts[0];
      assert.equal(third?.reused, false);
      assert.ok((third?.tlsMs ?? 0) > 0);
    },
    { ...trusting(), lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) },
  ),
);

for (const [what, pick, code] of [
  ['has expired', 'expired', /CERT_HAS_EXPIRED/],
  ['is for another host', 'wrongHost', /ALTNAME/],
  ['is signed by itself', 'selfSigned', /SELF_SIGNED/],
] as const)
  test(`a certificate that ${what} is 502 tls_certificate_error, and no request is sent`, { skip }, () =>
    stage(
      '',
      async (cast) => {
        const origin = await tlsOrigin(cast, certificates?.[pick] as KeyPair);
        const url = `https://127.0.0.1:${origin.port}/`;
        const got = await cast.call(url);
        proveOurs(
          got,
          {
            what,
            type: 'tls_certificate_error',
            token: 'tls_certificate_error',
            status: 502,
            outcome: 'failed',
            retryable: false,
            hint: /NODE_EXTRA_CA_CERTS/,
            attempts: 1,
            scene: () => url,
          },
          url,
          'default',
        );
        assert.match(JSON.parse(got.text).detail, code);
        assert.equal(origin.requests(), 0);
        assert.equal((await cast.sidecar.line()).attempts[0]?.delivery, 'unsent');
      },
      trusting(),
    ),
  );
