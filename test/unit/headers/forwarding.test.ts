import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  appendVia,
  hasPassed,
  proxyStatusOf,
  proxyStatusOfError,
  pseudonymOf,
} from '../../../src/headers/forwarding.ts';

const us = pseudonymOf(Uint8Array.from([1, 0x23, 0xab, 0xff]));

test('the name in Via carries eight digits of its own for each process', () => {
  assert.equal(us, 'outrigger-0123abff');
});

test('Via is appended, and what others wrote is kept', () => {
  assert.equal(appendVia(null, '1.1', us), `1.1 ${us}`);
  assert.equal(appendVia('', '1.1', us), `1.1 ${us}`);
  assert.equal(
    appendVia('1.0 fred, 1.1 p.example (x, y)', '1.1', us),
    `1.0 fred, 1.1 p.example (x, y), 1.1 ${us}`,
  );
});

test('a loop is our own name as a whole word; another sidecar is none', () => {
  for (const via of [
    `1.1 ${us}`,
    `1.0 a, 1.1 ${us}, 1.1 b`,
    `HTTP/1.1\t${us} (comment)`,
    `1.1 x${us}, 1.1 ${us}`,
  ]) {
    assert.ok(hasPassed(via, us), via);
  }
  for (const via of [
    '',
    '1.1 outrigger',
    '1.1 outrigger-0123abfe',
    `1.1 x${us}`,
    `1.1 ${us}0`,
    us,
    `1.1 ${us}:3128`,
  ]) {
    assert.ok(!hasPassed(via, us), via);
  }
});

test('what we append to Via, we recognise', () => {
  fc.assert(
    fc.property(fc.option(fc.string()), (existing) => {
      assert.ok(hasPassed(appendVia(existing, '1.1', us), us));
    }),
  );
});

test('Proxy-Status of a response of the origin tells the attempts and what was received', () => {
  assert.equal(proxyStatusOf(2, 200), 'outrigger; attempts=2; received-status=200');
});

test('Proxy-Status of a response of ours tells the error', () => {
  assert.equal(proxyStatusOfError('dns_error', ''), 'outrigger; error=dns_error');
  assert.equal(
    proxyStatusOfError('dns_error', 'no "such" name \\', 2),
    'outrigger; error=dns_error; attempts=2; details="no \\"such\\" name \\\\"',
  );
});

test('details are a string of RFC 9651 whatever they hold, and bounded', () => {
  const item = /^outrigger; error=dns_error(; details="(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*")?$/;
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (details) => {
      const status = proxyStatusOfError('dns_error', details);
      assert.match(status, item);
      assert.ok(status.length < 600);
    }),
  );
});
