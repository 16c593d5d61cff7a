import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRetryAfter } from '../../../src/policy/retry-after.ts';

const now = Date.UTC(1994, 10, 6, 8, 49, 30);

test('seconds are read as they are', () => {
  assert.equal(parseRetryAfter('0', now), 0);
  assert.equal(parseRetryAfter('120', now), 120_000);
  assert.equal(parseRetryAfter(' 007\t', now), 7000);
});

test('all three forms of a date are read', () => {
  assert.equal(parseRetryAfter('Sun, 06 Nov 1994 08:49:37 GMT', now), 7000);
  assert.equal(parseRetryAfter('Sunday, 06-Nov-94 08:49:37 GMT', now), 7000);
  assert.equal(parseRetryAfter('Sun Nov  6 08:49:37 1994', now), 7000);
  assert.equal(parseRetryAfter('Wed Nov 16 08:49:30 1994', now), 10 * 86_400_000);
});

test('the past is now', () => {
  assert.equal(parseRetryAfter('Sun, 06 Nov 1994 08:49:29 GMT', now), 0);
  assert.equal(parseRetryAfter('Thu, 01 Jan 1970 00:00:00 GMT', now), 0);
});

test('two digits of a year mean at most 50 years ahead', () => {
  const in2026 = Date.UTC(2026, 0, 1);
  assert.equal(parseRetryAfter('Thursday, 01-Jan-26 00:00:09 GMT', in2026), 9000);
  assert.equal(parseRetryAfter('Saturday, 01-Jan-77 00:00:00 GMT', in2026), 0, '1977, not 2077');
  assert.equal(parseRetryAfter('Wednesday, 01-Jan-75 00:00:00 GMT', in2026), 2 ** 31 - 1, '2075');
  assert.equal(parseRetryAfter('Thursday, 31-Dec-99 23:59:59 GMT', Date.UTC(1999, 11, 31, 23, 59, 50)), 9000);
  assert.equal(
    parseRetryAfter('Saturday, 01-Jan-00 00:00:03 GMT', Date.UTC(1999, 11, 31, 23, 59, 50)),
    13_000,
  );
});

test('a leap second is a second', () => {
  assert.equal(parseRetryAfter('Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2016, 11, 31, 23, 59, 59)), 1000);
});

test('nothing is longer than a timer can wait', () => {
  assert.equal(parseRetryAfter('9'.repeat(400), now), 2 ** 31 - 1);
  assert.equal(parseRetryAfter('4294967296', now), 2 ** 31 - 1);
  assert.equal(parseRetryAfter('Fri, 31 Dec 9999 23:59:59 GMT', now), 2 ** 31 - 1);
});

test('nonsense is no time at all', () => {
  // biome-ignore format: a few to a line
  const nonsense = [
    '', ' ', '-1', '+1', '1.5', '1e3', '0x10', '10s', '1 0', '1,2', 'soon', 'NaN', 'Infinity', '１',
    'Sun, 06 Nov 1994 08:49:37 UTC', 'Sun, 06 Nov 1994 08:49:37', 'Sun, 6 Nov 1994 08:49:37 GMT',
    'Xyz, 06 Nov 1994 08:49:37 GMT', 'Sun, 31 Feb 1994 08:49:37 GMT', 'Sun, 00 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:00:00 GMT', 'Sun, 06 Nov 1994 08:60:00 GMT', 'Sun, 06 Nov 1994 08:49:61 GMT',
    'Sun, 06 nov 1994 08:49:37 GMT', 'sun, 06 Nov 1994 08:49:37 GMT', 'Sun, 06-Nov-94 08:49:37 GMT',
    'Sunday, 06-Nov-1994 08:49:37 GMT', 'Sunday, 31-Feb-94 08:49:37 GMT', 'Sun Nov 6 08:49:37 1994',
    'Sun Nov  6 08:49:37 1994 GMT', '1994-11-06T08:49:37Z', 'Sun, 06 Nov 1994 08-49-37 GMT',
    'Sun Nov 06 08:49:37 19x4', 'Sun,_06 Nov 1994 08:49:37 GMT', '2026-01-01',
  ];
  for (const value of nonsense) assert.equal(parseRetryAfter(value, now), null, JSON.stringify(value));
});
