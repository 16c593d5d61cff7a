/**
 * Invariant: whatever paths, hosts, methods, names, reasons and identifiers are made of, a line of the log is
 * one line of printable ASCII, valid JSON and at most LINE_MAX long; and nothing of it that a terminal obeys
 * is left in the format for people.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Attempt, Exchange } from '../../src/exchange.ts';
import { AccessLog } from '../../src/telemetry/access-log.ts';
import { createLog, LINE_MAX } from '../../src/telemetry/log.ts';
import { finished, target } from '../unit/telemetry/finished.ts';

const RUNS = { numRuns: 500 };
const ATTEMPTS_MAX = 10;

const nasty = fc.constantFrom(
  '\r\n{"level":"fatal","msg":"forged"}',
  '\n',
  '\x1b[2J\x1b]0;title\x07\x1b]52;c;Zm9v\x07',
  '\x9b31m\x85',
  '\u2028\u2029\u202e\ufeff',
  '\ud800',
  '\udc00\ud800',
  '\xff\x80\xfe\xc0\xaf',
  '"},{"outcome":"completed',
  '\\',
  '\\u000a',
  '\0\x7f\b',
  '%0d%0a',
  '__proto__',
  '👩‍👩‍👧',
);
const text = fc
  .array(
    fc.oneof(
      nasty,
      fc.string({ unit: 'binary' }),
      fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
      fc.nat(3_000).map((length) => '\u2028'.repeat(length)),
    ),
    { maxLength: 6 },
  )
  .map((pieces) => pieces.join(''));

/** Every string that an exchange can have, as its line shows it. */
const exchange = fc
  .record({
    id: text,
    traceId: text,
    client: text,
    method: text,
    host: text,
    path: text,
    route: text,
    reason: text,
    clientName: text,
    serverName: text,
    address: text,
    retry: text,
    attempts: fc.nat(ATTEMPTS_MAX),
    keep: fc.boolean(),
  })
  .map((one): { exchange: Exchange; keep: boolean } => {
    const tried: Partial<Attempt> = { address: one.address, retry: one.retry };
    const attempts = Array.from({ length: one.attempts }, () => tried);
    const made = finished({ ...one, target: target(one.host), attempts });
    return { exchange: Object.assign(made, pick(one)), keep: one.keep };
  });

const pick = ({ clientName, serverName }: { clientName: string; serverName: string }) => ({
  clientName,
  serverName,
});

function assertLine(line: string): Record<string, unknown> {
  assert.match(line, /^[\x20-\x7e]+\n$/);
  assert.ok(line.length <= LINE_MAX, `${line.length} characters`);
  const fields: unknown = JSON.parse(line);
  assert.ok(typeof fields === 'object' && fields !== null);
  return fields as Record<string, unknown>;
}

test('the line of an exchange', () => {
  fc.assert(
    fc.property(exchange, ({ exchange: one, keep }) => {
      const lines: string[] = [];
      const sink = createLog({
        level: 'info',
        format: 'json',
        destination: { write: (it) => lines.push(it) },
      });
      new AccessLog(sink, { query: keep ? 'keep' : 'drop', level: 'info' }).exchangeFinished(one);
      assert.equal(lines.length, 1);
      const fields = assertLine(lines[0] ?? '');
      assert.equal(fields['msg'], 'exchange');
      assert.equal(fields['outcome'], 'completed');
      assert.equal(fields['level'], 'info');
    }),
    RUNS,
  );
});

test('the line of an exchange, for people', () => {
  fc.assert(
    fc.property(exchange, ({ exchange: one }) => {
      const lines: string[] = [];
      const sink = createLog({
        level: 'info',
        format: 'pretty',
        destination: { write: (it) => lines.push(it) },
      });
      new AccessLog(sink, { query: 'keep', level: 'info' }).exchangeFinished(one);
      assert.equal(lines.length, 1);
      assert.doesNotMatch(lines[0]?.slice(0, -1) ?? '', /[\p{C}\p{Zl}\p{Zp}]/u);
    }),
    RUNS,
  );
});

test('any other line, in both formats', () => {
  const value = fc.oneof(
    text,
    fc.array(text, { maxLength: 3 }),
    fc.record({ inside: text }),
    fc.constant(null),
  );
  const key = fc.oneof(fc.constantFrom('host', 'cause', 'file'), text);
  fc.assert(
    fc.property(fc.dictionary(key, value, { maxKeys: 6 }), text, (fields, msg) => {
      const json: string[] = [];
      const pretty: string[] = [];
      const jsonSink = createLog({
        level: 'info',
        format: 'json',
        destination: { write: (it) => json.push(it) },
      });
      const forPeople = createLog({
        level: 'info',
        format: 'pretty',
        destination: { write: (it) => pretty.push(it) },
      });
      jsonSink.log.warn(fields, msg);
      forPeople.log.warn(fields, msg);
      assert.equal(json.length, 1);
      assertLine(json[0] ?? '');
      // A text of several lines is indented below its line; a line of its own it has not.
      const [, ...below] = (pretty[0] ?? '').trimEnd().split('\n');
      for (const line of below) assert.match(line, /^ {4}/);
      assert.doesNotMatch(pretty.join('').replaceAll('\n', ''), /[\p{C}\p{Zl}\p{Zp}]/u);
    }),
    RUNS,
  );
});

test('the longest line of all is within the bound, and a longer one is left out and says so', () => {
  const long = '\u2028'.repeat(10_000);
  const tried: Partial<Attempt> = { address: long, retry: long };
  const attempts = Array.from({ length: ATTEMPTS_MAX }, () => tried);
  const made = finished({
    id: long,
    traceId: long,
    client: long,
    method: long,
    path: `/${long}`,
    route: long,
    reason: long,
    target: target(long),
    attempts,
  });
  Object.assign(made, { clientName: long, serverName: long, wouldRefuse: long });
  const lines: string[] = [];
  const sink = createLog({ level: 'info', format: 'json', destination: { write: (it) => lines.push(it) } });
  new AccessLog(sink, { query: 'keep', level: 'info' }).exchangeFinished(made);
  sink.log.warn({ host: long.repeat(10) }, 'x');
  const [access = '', other = ''] = lines;
  assertLine(access);
  assert.ok(access.length > LINE_MAX / 2, `${access.length}: the bound is not far off`);
  assert.equal(assertLine(other)['msg'], 'a line was too long to be written');
});
