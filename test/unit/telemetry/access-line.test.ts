import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OutriggerError } from '../../../src/errors.ts';
import { accessLine, CAPS } from '../../../src/telemetry/access-line.ts';
import { finished, target } from './finished.ts';

const CANARY = 'c4n4ry-s3cret';

test('a line has exactly its fields, in their order', () => {
  const exchange = finished({
    traceId: '0af7651916cd43dd8448eb211c80319c',
    attempts: [
      { address: '192.0.2.1:80', queueMs: 0.12345, dnsMs: 1, connectMs: 2.5, headMs: 3.0004, status: 503 },
      { address: '192.0.2.1:80', reused: true, headMs: 4, status: 200, retry: null },
    ],
  });
  Object.assign(exchange, { time: Date.UTC(2026, 0, 2, 3, 4, 5, 6), durationMs: 12.34567, queueMs: 0.12345 });
  Object.assign(exchange, { requestBytes: 3, responseBytes: 1024 });
  Object.assign(exchange.attempts[0] as object, { verdict: 'failure', retry: 'retried: status' });

  assert.equal(
    accessLine(exchange, 'info', false),
    '{"time":"2026-01-02T03:04:05.006Z","level":"info","msg":"exchange","requestId":"id-1",' +
      '"traceId":"0af7651916cd43dd8448eb211c80319c","client":"127.0.0.1:40000","clientName":null,"method":"GET",' +
      '"scheme":"http","host":"api.example","port":80,"path":"/v1/orders","route":"default","via":"forward","serverName":null,"status":200,' +
      '"outcome":"completed","error":null,"reason":null,"wouldRefuse":null,"attempts":[' +
      '{"n":1,"address":"192.0.2.1:80","reused":false,"queueMs":0.123,"dnsMs":1,"connectMs":2.5,"tlsMs":null,' +
      '"headMs":3,"status":503,"error":null,"verdict":"failure","delivery":"answered","retry":"retried: status"},' +
      '{"n":2,"address":"192.0.2.1:80","reused":true,"queueMs":null,"dnsMs":null,"connectMs":null,"tlsMs":null,' +
      '"headMs":4,"status":200,"error":null,"verdict":"success","delivery":"answered","retry":null}],' +
      '"durationMs":12.346,"queueMs":0.123,"requestBytes":3,"responseBytes":1024}',
  );
});

test('an error is told by its token, and the reason says which of ours it is', () => {
  const error = new OutriggerError('queue_full', '256 exchanges wait for http://api.example:80');
  const line = JSON.parse(accessLine(finished({ outcome: 'refused', status: 503, error }), 'warn', false));
  assert.equal(line.error, 'connection_limit_reached');
  assert.equal(line.reason, 'queue_full: 256 exchanges wait for http://api.example:80');
  const given = JSON.parse(
    accessLine(finished({ error, reason: 'the caller left while queued' }), 'warn', false),
  );
  assert.equal(given.reason, 'the caller left while queued');
});

test('an exchange without a target has nulls where the target would be', () => {
  const line = JSON.parse(accessLine(finished({ target: null, status: null, attempts: [] }), 'warn', false));
  assert.deepEqual([line.scheme, line.host, line.port, line.status], [null, null, null, null]);
  assert.deepEqual(line.attempts, []);
});

test('no secret of headers or query can appear in a line', () => {
  const exchange = finished({ path: `/login?token=${CANARY}&x=?${CANARY}` });
  exchange.headers.push('authorization', `Bearer ${CANARY}`, 'cookie', CANARY, 'x-api-key', CANARY);
  const line = accessLine(exchange, 'info', false);
  assert.ok(!line.includes(CANARY), line);
  assert.equal(JSON.parse(line).path, '/login');
});

test('the query is there when it is to be kept', () => {
  assert.equal(JSON.parse(accessLine(finished({ path: '/a?b=c' }), 'info', true)).path, '/a?b=c');
});

test('the time is right across the turn of a second', () => {
  for (const time of [999, 1000, 1001, 59_999, 60_000, 999]) {
    const exchange = finished();
    Object.assign(exchange, { time });
    assert.equal(JSON.parse(accessLine(exchange, 'info', false)).time, new Date(time).toISOString());
  }
});

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  // A header string is latin1; a broken one holds half a pair.
  fc
    .array(fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)))
    .map((units) => units.join('')),
  fc.constantFrom('\u2028\u2029', '\x7f\x1b[31m', '"},{"', '\\"', '\r\nlevel=error', 'é'.repeat(3000)),
);
const capped = (value: string, cap: number = CAPS.other): string => value.slice(0, cap).toWellFormed();

test('whatever the strings, a line is one line of ASCII and valid JSON, and its strings are the inputs', () => {
  fc.assert(
    fc.property(fc.array(anyText, { minLength: 9, maxLength: 9 }), fc.boolean(), (texts, keep) => {
      const [id, traceId, client, method, host, path, route, reason, address] = texts as [
        string,
        ...string[],
      ];
      const exchange = finished({
        id,
        traceId: traceId as string,
        client: client as string,
        method: method as string,
        target: target(host as string),
        path: path as string,
        route: route as string,
        reason: reason as string,
        attempts: [{ address: address as string, retry: reason as string }],
      });
      const line = accessLine(exchange, 'info', keep);
      assert.match(line, /^[\x20-\x7e]*$/);
      const fields = JSON.parse(line);
      assert.equal(fields.requestId, capped(id));
      assert.equal(fields.traceId, capped(traceId as string));
      assert.equal(fields.client, capped(client as string));
      assert.equal(fields.method, capped(method as string, CAPS.method));
      assert.equal(fields.host, capped(host as string));
      const shown = keep ? (path as string) : ((path as string).split('?', 1)[0] as string);
      assert.equal(fields.path, capped(shown, CAPS.path));
      assert.equal(fields.route, capped(route as string));
      assert.equal(fields.reason, capped(reason as string));
      assert.equal(fields.attempts[0].address, capped(address as string));
      assert.equal(fields.attempts[0].retry, capped(reason as string));
    }),
    { numRuns: 500 },
  );
});

test('whatever the numbers, a line is valid JSON', () => {
  fc.assert(
    fc.property(fc.double(), fc.double(), (durationMs, headMs) => {
      const exchange = finished({ attempts: [{ headMs }] });
      exchange.durationMs = durationMs;
      const fields = JSON.parse(accessLine(exchange, 'info', false));
      assert.equal(fields.attempts[0].headMs, rounded(headMs));
      assert.equal(fields.durationMs, rounded(durationMs));
    }),
  );
});

/** As JSON has it: no negative zero, no infinity. */
function rounded(value: number): number | null {
  const thousandths = Math.round(value * 1000) / 1000;
  return Number.isFinite(thousandths) ? thousandths + 0 : null;
}
