import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { javaTruststore } from '../../../src/certificates/truststore.ts';

test('an empty truststore is a head and a digest', () => {
  const store = javaTruststore([], 0);
  assert.equal(store.subarray(0, 12).toString('hex'), 'feedfeed0000000200000000');
  const password = Buffer.from('\0c\0h\0a\0n\0g\0e\0i\0t', 'latin1');
  const digest = createHash('sha1').update(password).update('Mighty Aphrodite').update(store.subarray(0, 12));
  assert.deepEqual(store.subarray(12), digest.digest());
});

test('an entry is its tag, alias, date, type and certificate', () => {
  const store = javaTruststore([Buffer.from('abc')], 0x0102_0304_05);
  const entry = store.subarray(12, -20);
  const expected = [
    Buffer.from('00000002', 'hex'),
    Buffer.from('\0\u000boutrigger-1', 'latin1'),
    Buffer.from('0000000102030405', 'hex'),
    Buffer.from('\0\u0005X.509', 'latin1'),
    Buffer.from('00000003', 'hex'),
    Buffer.from('abc'),
  ];
  assert.deepEqual(entry, Buffer.concat(expected));
});
