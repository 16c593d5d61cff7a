import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OutriggerError } from '../../../src/errors.ts';
import { accessLine } from '../../../src/telemetry/access-line.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { prettyLine } from '../../../src/telemetry/pretty-line.ts';
import { finished, target, type Wish } from './finished.ts';

function pretty(wish: Wish, colour = false): string {
  const exchange = finished(wish);
  Object.assign(exchange, { time: Date.UTC(2026, 0, 1, 12, 0, 1, 123), durationMs: 12.34 });
  return prettyLine(accessLine(exchange, 'info', false), colour);
}

test('an exchange is one short line', () => {
  assert.equal(
    pretty({ attempts: [{}, {}], path: '/y' }),
    '12:00:01.123 GET http://api.example/y 200 completed 12.3ms attempts=2 id=id-1',
  );
});

test('the port is there where it is not the usual one, and IPv6 has its brackets', () => {
  const odd = { ...target('::1'), port: 8080 };
  assert.match(pretty({ target: odd, path: '/' }), / http:\/\/\[::1\]:8080\/ /);
  assert.match(
    pretty({ target: { ...odd, host: 'a', scheme: 'https', port: 443 }, path: '/' }),
    / https:\/\/a\/ /,
  );
});

test('what went wrong is on the line, with its reason', () => {
  const error = new OutriggerError('connection_refused', 'api.example:80');
  assert.equal(
    pretty({ outcome: 'failed', status: 502, error, path: '/' }),
    '12:00:01.123 GET http://api.example/ 502 failed 12.3ms error=connection_refused reason="connection_refused: api.example:80" id=id-1',
  );
  assert.match(pretty({ target: null, status: null, outcome: 'aborted', path: '' }), / - aborted /);
});

test('colours are there only when asked for', () => {
  assert.ok(!pretty({}).includes('\x1b'));
  assert.ok(pretty({}, true).includes('\x1b[32m200 completed\x1b[0m'));
});

test('other lines have their fields behind the message, and a stack below', () => {
  const lines: string[] = [];
  const sink = createLog({
    level: 'info',
    format: 'pretty',
    destination: { write: (line) => lines.push(line) },
  });
  sink.log.warn({ path: 'a b', n: 1, cause: 'Error: x\n    at y' }, 'watch out');
  assert.match(
    lines[0] as string,
    /^\d\d:\d\d:\d\d\.\d{3} warn watch out path="a b" n=1\n {4}Error: x\n {8}at y\n$/,
  );
});

test('what is no JSON is shown as it is', () => {
  assert.equal(prettyLine('not json', true), 'not json');
  assert.equal(prettyLine('3', false), '3');
  assert.equal(prettyLine('null', false), 'null');
});

test('no string of a caller can move the cursor or begin a line of its own', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (path, reason) => {
      const line = pretty({ path, reason, method: reason, target: target(path) });
      assert.doesNotMatch(line, /[\p{C}\p{Zl}\p{Zp}]/u);
    }),
  );
});
