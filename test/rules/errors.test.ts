/** E: errors of ours and of others (RFC 9209, RFC 9457, RFC 6585). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRORS } from '../../src/errors.ts';
import { stage } from '../support/cast.ts';
import { messagesOf } from '../support/messages.ts';
import { answer, RawOrigin } from '../support/origin.ts';

/** RFC 9209, section 2.3. */
// biome-ignore format: a list
const TOKENS = new Set(['dns_timeout', 'dns_error', 'destination_not_found', 'destination_unavailable', 'destination_ip_prohibited', 'destination_ip_unroutable', 'connection_refused', 'connection_terminated', 'connection_timeout', 'connection_read_timeout', 'connection_write_timeout', 'connection_limit_reached', 'tls_protocol_error', 'tls_certificate_error', 'tls_alert_received', 'http_request_error', 'http_request_denied', 'http_response_incomplete', 'http_response_header_section_size', 'http_response_header_size', 'http_response_body_size', 'http_response_trailer_section_size', 'http_response_trailer_size', 'http_response_transfer_coding', 'http_response_content_coding', 'http_response_timeout', 'http_upgrade_failed', 'http_protocol_error', 'proxy_internal_response', 'proxy_internal_error', 'proxy_configuration_error', 'proxy_loop_detected']);

test('E01 every error has a token of RFC 9209 and a status that goes with it', () => {
  for (const [name, { token, status }] of Object.entries(ERRORS)) {
    assert.ok(TOKENS.has(token), `${name}: ${token}`);
    assert.ok(status >= 400 && status < 600 && status !== 428 && status !== 511, `${name}: ${status}`);
    if (token.endsWith('timeout')) assert.equal(status, 504, name);
  }
});

test('E01 what goes wrong on the way has its token: name, address, connection, response', async () => {
  await stage(
    'policy: { retry: { attempts: 1 } }',
    async (cast) => {
      const silent = await cast.rawOrigin((socket) => socket.end());
      const closed = await RawOrigin.start(() => {});
      const { port } = closed;
      await closed.close();
      for (const [url, status, token] of [
        ['http://nowhere.test/', 502, 'dns_error'],
        [`http://127.0.0.1:${port}/`, 502, 'connection_refused'],
        ['http://10.0.0.1/', 403, 'destination_ip_prohibited'],
        [`${silent.url}/`, 502, 'connection_terminated'],
      ] as const) {
        const got = await cast.call(url);
        const { error } = JSON.parse(got.text);
        assert.deepEqual([got.status, error], [status, token], url);
        assert.match(String(got.headers['proxy-status']), new RegExp(`^outrigger; error=${token}(;|$)`));
        assert.equal((await cast.sidecar.line(cast.expected)).error, token);
      }
    },
    {
      lookup: (host, callback) =>
        setImmediate(() => {
          if (host === 'nowhere.test') callback(Object.assign(new Error('none'), { code: 'ENOTFOUND' }), []);
          else callback(null, ['127.0.0.1']);
        }),
    },
  );
});

test('E02 a problem document says what, why and what to do, and neither path, query nor credentials', () =>
  stage('access: { default: deny }', async (cast) => {
    const got = await cast.call('http://a.test/canary-path?canary-query=1', {
      headers: { Authorization: 'Bearer canary-token' },
    });
    const problem = JSON.parse(got.text);
    for (const key of ['type', 'title', 'status', 'detail', 'error', 'requestId', 'hint'])
      assert.ok(key in problem, key);
    assert.equal(problem.requestId, got.headers['x-request-id']);
    assert.equal(/canary|node_modules|at .*\.ts/.test(got.text + JSON.stringify(got.headers)), false);
    const caller = await cast.raw();
    caller.write('HEAD http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
    const head = await caller.untilEnd();
    assert.ok(head.endsWith('\r\n\r\n'));
    assert.match(head, /application\/problem\+json/);
  }));

test('E03 an error of the origin passes as it is, and Proxy-Status tells it from ours', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    for (const status of [400, 403, 404, 407, 429, 451, 500, 502, 503, 504, 508, 511, 599]) {
      const origin = await cast.origin(
        answer(status, 'theirs', ['Content-Type', 'text/x', 'Proxy-Status', 'their.proxy; error=dns_error']),
      );
      const got = await cast.call(origin.url);
      assert.deepEqual([got.status, got.text, got.headers['content-type']], [status, 'theirs', 'text/x']);
      const members = String(got.headers['proxy-status']).split(', ');
      assert.equal(members[0], 'their.proxy; error=dns_error');
      assert.match(members.at(-1) ?? '', new RegExp(`^outrigger; attempts=1; received-status=${status}$`));
    }
  }));

test('E04 what is too much says so by its own status, and what is over for now says when', () =>
  stage('limits: { exchanges: 1 }', async (cast) => {
    const origin = await cast.origin(() => {});
    const held = await cast.raw();
    held.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    while (origin.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const shed = await cast.call(origin.url);
    assert.equal(shed.status, 503);
    assert.match(String(shed.headers['retry-after']), /^[0-9]+$/);
    const large = await cast.raw();
    large.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`);
    assert.equal(messagesOf(await large.untilEnd())[0]?.status, 431);
    held.leave();
    assert.ok(!Object.values(ERRORS).some(({ status }) => status === 511));
  }));
