import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  DAY,
  describeDuration,
  describeRatio,
  describeSize,
  formatDuration,
  formatRatio,
  formatSize,
  parseDuration,
  parseRatio,
  parseSize,
} from '../../../src/config/units.ts';

test('durations, sizes and shares are read with their units written out', () => {
  const durations: [string, number][] = [
    ['0ms', 0],
    ['250ms', 250],
    ['2s', 2_000],
    ['1.5s', 1_500],
    ['0.25m', 15_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
  ];
  for (const [text, ms] of durations) assert.equal(parseDuration(text), ms, text);
  const sizes: [string, number][] = [
    ['0B', 0],
    ['512B', 512],
    ['64KiB', 65_536],
    ['1.5KiB', 1_536],
    ['16MiB', 16_777_216],
    ['1GiB', 1_073_741_824],
  ];
  for (const [text, bytes] of sizes) assert.equal(parseSize(text), bytes, text);
  assert.equal(parseRatio('20%'), 0.2);
  assert.equal(parseRatio('12.5%'), 0.125);
});

test('what is not exactly a duration, a size or a share is refused, never rounded', () => {
  const durations = [
    '',
    '5',
    '5 s',
    '-1s',
    '1e3ms',
    '5S',
    '1m30s',
    '0.5ms',
    '.5s',
    '1.s',
    '25h',
    '1d',
    's',
    '9'.repeat(20),
  ];
  for (const text of durations) assert.equal(parseDuration(text), null, text);
  for (const text of ['64KB', '64kib', '1', '0.3B', '9007199254740993B', '99999999GiB', '-1B', '1 KiB']) {
    assert.equal(parseSize(text), null, text);
  }
  for (const text of ['20', '0.2', '-1%', '20 %', '%', '1e2%']) assert.equal(parseRatio(text), null, text);
});

test('a duration that is written is read back the same', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: DAY }), (ms) => parseDuration(formatDuration(ms)) === ms));
});

test('a size that is written is read back the same', () => {
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(formatSize(bytes)) === bytes));
});

test('a share that is written is read back the same', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1_000_000 }),
      (n) => parseRatio(formatRatio(n / 1_000)) === n / 1_000,
    ),
  );
});

test('no text at all makes a unit throw or give something other than a bounded number', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{0,20}(ms|s|m|h|B|KiB|GiB|%)$/)), (text) => {
      for (const value of [parseDuration(text), parseSize(text), parseRatio(text)]) {
        assert.ok(value === null || (Number.isFinite(value) && value >= 0));
      }
    }),
  );
});

test('a unit is written in the largest unit that leaves a whole number', () => {
  assert.equal(formatDuration(90_000), '90s');
  assert.equal(formatDuration(3_600_000), '1h');
  assert.equal(formatDuration(1_001), '1001ms');
  assert.equal(formatSize(1_536), '1536B');
  assert.equal(formatSize(262_144), '256KiB');
  assert.equal(formatRatio(0.07), '7%');
});

test('a description names the bounds and the units', () => {
  assert.equal(describeDuration(1, 86_400_000), 'a duration from 1ms to 24h, such as 250ms, 2s, 5m or 1h');
  assert.equal(describeSize(0, 1024), 'a size from 0B to 1KiB, such as 512B, 64KiB, 16MiB or 1GiB');
  assert.equal(describeRatio(0, 1, false), 'a percentage above 0% to 100%, such as 20%');
});
