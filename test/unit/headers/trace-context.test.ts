import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RandomPool } from '../../../src/headers/request-id.ts';
import {
  isForwardableTracestate,
  isValidTraceparent,
  newTraceparent,
  traceIdOf,
} from '../../../src/headers/trace-context.ts';

const trace = '0af7651916cd43dd8448eb211c80319c';
const parent = 'b7ad6b7169203331';
const valid = `00-${trace}-${parent}-01`;

test('a traceparent of version 00 is valid exactly as the W3C writes it', () => {
  assert.ok(isValidTraceparent(valid));
  assert.ok(isValidTraceparent(`00-${trace}-${parent}-ff`), 'unknown flags are not ours to judge');
  // biome-ignore format: a few to a line
  const wrong = [
    '', '00', `00-${trace}-${parent}`, `00-${trace}-${parent}-`, `00-${trace}-${parent}-1`, `${valid}0`,
    `${valid}-0`, `00-${'0'.repeat(32)}-${parent}-01`, `00-${trace}-${'0'.repeat(16)}-01`,
    valid.toUpperCase(), ` ${valid}`, `00_${trace}-${parent}-01`, `00-${trace}_${parent}-01`,
    `00-${trace}-${parent}_01`, `0g-${trace}-${parent}-01`, `00-g${trace.slice(1)}-${parent}-01`,
    `00-${trace}-g${parent.slice(1)}-01`, `00-${trace}-${parent}-0g`,
  ];
  for (const value of wrong) assert.ok(!isValidTraceparent(value), value);
});

test('of a higher version the known part is read; version ff is invalid', () => {
  assert.ok(isValidTraceparent(`01-${trace}-${parent}-01`));
  assert.ok(isValidTraceparent(`cc-${trace}-${parent}-01-what-comes-later`));
  assert.ok(!isValidTraceparent(`cc-${trace}-${parent}-01.what`));
  assert.ok(!isValidTraceparent(`ff-${trace}-${parent}-01`));
});

test('a new traceparent is valid, and not sampled unless told so', () => {
  const random = new RandomPool((bytes) => crypto.getRandomValues(bytes));
  const a = newTraceparent(random);
  assert.ok(isValidTraceparent(a));
  assert.ok(a.endsWith('-00'));
  assert.ok(newTraceparent(random, true).endsWith('-01'));
  assert.notEqual(traceIdOf(a), traceIdOf(newTraceparent(random)));
});

test('a new traceparent is valid even where the randomness is all zeros', () => {
  assert.ok(isValidTraceparent(newTraceparent(new RandomPool((bytes) => bytes.fill(0)))));
});

test('the trace ID is the 32 digits in the middle', () => {
  assert.equal(traceIdOf(valid), trace);
});

test('a tracestate goes on whole, unless it has more than 32 members or is none', () => {
  const members = (count: number): string => Array.from({ length: count }, (_, i) => `k${i}=v`).join(',');
  for (const value of ['a=b', 'a=b, c@d=e', 'a=b,,c=d', members(32), `a=${'x'.repeat(600)}`]) {
    assert.ok(isForwardableTracestate(value), value);
  }
  for (const value of ['', ' , ', 'nonsense', 'a=b,nonsense', members(33)])
    assert.ok(!isForwardableTracestate(value), value);
});
