import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isWellFormedRequestId, RandomPool, RequestIds, uuidv7 } from '../../../src/headers/request-id.ts';

const VERSION_7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const pool = (): RandomPool => new RandomPool((bytes) => crypto.getRandomValues(bytes));
const timeOf = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

test('the example of RFC 9562, appendix A.6 comes out to the digit', () => {
  const random = Uint8Array.from([0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f, 0x0c, 0xc3]);
  assert.equal(uuidv7(1_645_557_742_000, random), '017f22e2-79b0-7cc3-98c4-dc0c0c07398f');
});

test('an ID is a UUID of version 7 that carries the time, for all time that 48 bits hold', () => {
  const random = fc.uint8Array({ minLength: 10, maxLength: 10 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), random, (ms, bytes) => {
      const id = uuidv7(ms, bytes);
      assert.match(id, VERSION_7);
      assert.equal(timeOf(id), ms);
    }),
  );
});

test('IDs grow, however many a millisecond has and though the clock steps back a little', () => {
  const ids = new RequestIds(pool());
  let last = '';
  for (let i = 0; i < 20_000; i++) {
    const id = ids.next(1_700_000_000_000.7 + Math.floor(i / 9000) - (i % 3));
    assert.match(id, VERSION_7);
    assert.ok(id > last, `${id} after ${last}`);
    last = id;
  }
});

test('a clock that is set back is believed', () => {
  const ids = new RequestIds(pool());
  ids.next(1_700_000_000_000);
  assert.equal(timeOf(ids.next(1_600_000_000_000)), 1_600_000_000_000);
});

test('IDs that are made at once are unique', () => {
  const ids = new RequestIds(pool());
  const made = new Set(Array.from({ length: 10_000 }, () => ids.next(1_700_000_000_000)));
  assert.equal(made.size, 10_000);
});

test('random bytes are handed out once', () => {
  let fills = 0;
  const random = new RandomPool((bytes) => {
    fills++;
    for (let i = 0; i < bytes.length; i++) bytes[i] = i & 0xff;
  });
  let end = 0;
  for (let i = 0; i < 400; i++) {
    const at = random.take(10);
    assert.equal(at, end);
    end = at + 10;
  }
  assert.equal(fills, 1);
  random.take(random.bytes.length);
  assert.equal(fills, 2);
});

test('a request ID is well formed exactly as ^[A-Za-z0-9._~-]{1,128}$ says', () => {
  const pattern = /^[A-Za-z0-9._~-]{1,128}$/;
  const nearMiss = fc.string({
    unit: fc.constantFrom(...'azAZ09._~-@[`{/:, \n\u00e9'.split('')),
    maxLength: 8,
  });
  fc.assert(
    fc.property(fc.oneof(nearMiss, fc.string(), fc.string({ unit: 'binary' })), (value) => {
      assert.equal(isWellFormedRequestId(value), pattern.test(value) && !value.endsWith('\n'));
    }),
    { numRuns: 3000 },
  );
  assert.ok(isWellFormedRequestId('a'.repeat(128)));
  assert.ok(!isWellFormedRequestId('a'.repeat(129)));
});
