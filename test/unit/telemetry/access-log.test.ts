import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutriggerError } from '../../../src/errors.ts';
import type { Outcome } from '../../../src/exchange.ts';
import { AccessLog } from '../../../src/telemetry/access-log.ts';
import { createLog, type Level } from '../../../src/telemetry/log.ts';
import { finished } from './finished.ts';

function logged(level: Level): { log: AccessLog; lines: () => Record<string, unknown>[] } {
  let text = '';
  const sink = createLog({ level, format: 'json', destination: { write: (more) => (text += more) } });
  const log = new AccessLog(sink, { query: 'drop', level });
  return {
    log,
    lines: () =>
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
  };
}

const OUTCOMES: readonly Outcome[] = ['completed', 'refused', 'failed', 'aborted', 'truncated'];

test('every exchange has one line, whatever its end', () => {
  const { log, lines } = logged('info');
  for (const outcome of OUTCOMES) log.exchangeFinished(finished({ outcome }));
  assert.deepEqual(
    lines().map((line) => [line['outcome'], line['level']]),
    [
      ['completed', 'info'],
      ['refused', 'warn'],
      ['failed', 'warn'],
      ['aborted', 'info'],
      ['truncated', 'warn'],
    ],
  );
});

test('a log set to warn tells only of what went wrong, and a silent one of nothing', () => {
  const warn = logged('warn');
  const silent = logged('silent');
  for (const outcome of OUTCOMES) {
    warn.log.exchangeFinished(finished({ outcome }));
    silent.log.exchangeFinished(finished({ outcome }));
  }
  assert.deepEqual(
    warn.lines().map((line) => line['outcome']),
    ['refused', 'failed', 'truncated'],
  );
  assert.deepEqual(silent.lines(), []);
});

test('a bug of ours is told once more, with its stack and the stacks beneath', () => {
  const { log, lines } = logged('info');
  const cause = Object.assign(new TypeError('c4n4ry is undefined', { cause: new Error('deep') }), {
    headers: 'c4n4ry',
  });
  log.exchangeFinished(
    finished({ id: 'id-7', outcome: 'failed', error: new OutriggerError('internal', '', null, cause) }),
  );
  const [line, bug, ...more] = lines();
  assert.equal(more.length, 0);
  assert.equal(line?.['error'], 'proxy_internal_error');
  assert.equal(bug?.['level'], 'error');
  assert.equal(bug?.['requestId'], 'id-7');
  assert.match(String(bug?.['cause']), /^TypeError\n.*access-log\.test\.ts[\s\S]*\ncaused by Error\n/);
  assert.ok(!JSON.stringify(bug).includes('c4n4ry'));
});

test('what was thrown and is no error is named by its type only', () => {
  const { log, lines } = logged('info');
  const error = new OutriggerError('internal', '', null, 'c4n4ry');
  log.exchangeFinished(finished({ outcome: 'failed', error }));
  assert.equal(lines()[1]?.['cause'], 'string');
});
