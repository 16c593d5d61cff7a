// Invariant: whatever Retry-After says, it is read without throwing as null or as a whole number of milliseconds that
// a timer can wait for; every moment that can be written in one of the three forms of a date comes back to the second.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRetryAfter } from '../../src/policy/retry-after.ts';

const MAX = 2 ** 31 - 1;
const second = (from: number, to: number): fc.Arbitrary<number> =>
  fc.integer({ min: from / 1000, max: to / 1000 }).map((s) => s * 1000);
const now = fc.integer({ min: 0, max: Date.UTC(2200, 0) });

test('any string', () => {
  const date = 'Sun, 06 Nov 1994 08:49:37 GMT|Sunday, 06-Nov-94 08:49:37 GMT|Sun Nov  6 08:49:37 1994'.split(
    '|',
  );
  const mutated = fc
    .tuple(
      fc.constantFrom(...date, '120'),
      fc.nat(40),
      fc.nat(3),
      fc.string({ unit: 'binary', maxLength: 3 }),
    )
    .map(([text, at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut));
  const dateLike = fc.string({
    unit: fc.constantFrom(...'SunNovGMTday0123456789:-, \t'.split('')),
    maxLength: 40,
  });
  fc.assert(
    fc.property(fc.oneof(mutated, dateLike, fc.string({ unit: 'binary' })), now, (value, nowMs) => {
      const ms = parseRetryAfter(value, nowMs);
      assert.ok(ms === null || (Number.isFinite(ms) && ms >= 0 && ms <= MAX), `${value} is ${ms}`);
    }),
    { numRuns: 20_000 },
  );
});

test('seconds', () => {
  fc.assert(
    fc.property(fc.nat(), now, (seconds, nowMs) => {
      assert.equal(parseRetryAfter(String(seconds), nowMs), Math.min(MAX, seconds * 1000));
    }),
  );
});

test('dates, in all three forms', () => {
  fc.assert(
    fc.property(
      second(Date.UTC(1970, 0), Date.UTC(2199, 0)),
      fc.integer({ min: -1e9, max: 2e9 }),
      (at, ahead) => {
        const nowMs = Math.max(0, at - ahead);
        const expected = Math.min(MAX, Math.max(0, at - nowMs));
        const [weekday = '', day = '', month = '', year = '', time = ''] = new Date(at)
          .toUTCString()
          .split(/,? /);
        assert.equal(parseRetryAfter(`${weekday}, ${day} ${month} ${year} ${time} GMT`, nowMs), expected);
        const full = new Date(at).toLocaleDateString('en', { weekday: 'long', timeZone: 'UTC' });
        assert.equal(
          parseRetryAfter(`${full}, ${day}-${month}-${year.slice(2)} ${time} GMT`, nowMs),
          expected,
        );
        const padded = day.replace(/^0/, ' ');
        assert.equal(parseRetryAfter(`${weekday} ${month} ${padded} ${time} ${year}`, nowMs), expected);
      },
    ),
    { numRuns: 5000 },
  );
});
