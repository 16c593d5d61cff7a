import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnhandledErrors } from '../../../src/cli/unhandled-errors.ts';
import { createLog } from '../../../src/telemetry/log.ts';

interface Stage {
  readonly it: UnhandledErrors;
  readonly clock: { now: number };
  readonly counted: () => number;
  readonly lines: () => Record<string, unknown>[];
}

function stage(): Stage {
  const written: string[] = [];
  const { log } = createLog({
    level: 'info',
    format: 'json',
    destination: { write: (text) => written.push(text) },
  });
  const clock = { now: 0 };
  let count = 0;
  const it = new UnhandledErrors({ log, count: () => void count++, now: () => clock.now });
  return { it, clock, counted: () => count, lines: () => written.map((line) => JSON.parse(line)) };
}

test('each is counted and told in one line, without its message', () => {
  const { it, counted, lines } = stage();
  it.take(new TypeError('c4n4ry'), 'uncaughtException');
  it.take('c4n4ry', 'unhandledRejection');
  assert.equal(counted(), 2);
  assert.deepEqual(
    lines().map(({ level, msg, origin, ending }) => [level, msg, origin, ending]),
    [
      ['fatal', 'unhandled error', 'uncaughtException', false],
      ['fatal', 'unhandled error', 'unhandledRejection', false],
    ],
  );
  assert.doesNotMatch(JSON.stringify(lines()), /c4n4ry/);
  assert.equal(it.fatal, false);
});

test('ten within a minute are the end; a storm of them is counted and not written', async () => {
  const { it, counted, lines } = stage();
  for (let n = 0; n < 1_000; n++) it.take(new Error(), 'uncaughtException');
  assert.equal(await it.tooMany, 'unhandled errors');
  assert.equal(it.fatal, true);
  assert.equal(counted(), 1_000);
  assert.deepEqual(
    lines().map((line) => line['ending']),
    [...Array.from({ length: 9 }, () => false), true],
  );
});

test('nine in every minute are not the end', () => {
  const { it, clock } = stage();
  for (let minute = 0; minute < 5; minute++) {
    for (let n = 0; n < 9; n++) it.take(new Error(), 'uncaughtException');
    clock.now += 60_000;
  }
  assert.equal(it.fatal, false);
});

test('a log that throws stops nothing', () => {
  const fail = (): never => {
    throw new Error('no');
  };
  const log = { debug: fail, info: fail, warn: fail, error: fail, fatal: fail };
  let count = 0;
  const it = new UnhandledErrors({ log, count: () => void count++, now: () => 0 });
  it.take(new Error(), 'uncaughtException');
  assert.equal(count, 1);
});
