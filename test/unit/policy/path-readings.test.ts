import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPlainPath, readingsOf } from '../../../src/policy/path-readings.ts';

for (const path of ['', '/', '/v1/score', '/v1/score?Q=%2e//..;', '/a-b_c~d/e.f', "/v1/x:y@z,w=1!$&'()*+"]) {
  test(`${JSON.stringify(path)} has one reading`, () => {
    assert.equal(isPlainPath(path), true);
    assert.deepEqual(readingsOf(path), [path.split('?')[0]]);
  });
}

/** A path, and what it may be taken for. */
const READINGS: readonly (readonly [path: string, readings: readonly string[]])[] = [
  ['/%61dmin', ['/admin']],
  ['/%2561dmin', ['/%61dmin', '/admin']],
  ['/%25252561dmin', ['/%61dmin', '/admin']],
  ['/x/../admin', ['/admin']],
  ['/x/./admin/.', ['/x/admin/']],
  ['/x/%2e%2E/admin', ['/admin']],
  ['/x/.%2e/admin', ['/admin']],
  ['/x/%252e%252e/admin', ['/admin']],
  ['//admin', ['/admin']],
  ['/x//../admin', ['/x/admin', '/admin']],
  ['/x%2fadmin', ['/x/admin']],
  ['/x%2f..%2fadmin', ['/admin']],
  ['/x/..%2fadmin', ['/admin']],
  ['/x/..%252fadmin', ['/admin']],
  ['/x\\..\\admin', ['/admin']],
  ['/x%5c..%5cadmin', ['/admin']],
  ['/x/..%255c/admin', ['/admin']],
  ['/admin;a=b/x', ['/admin/x']],
  ['/x/..;/admin', ['/admin']],
  ['/x/..%3b/admin', ['/admin']],
  ['/admin%3fx', ['/admin']],
  ['/admin%23x', ['/admin']],
  ['/admin%00.png', ['/admin']],
  ['/x/%c0%ae%c0%ae/admin', ['/admin']],
  ['/x%c0%afadmin', ['/x/admin']],
  ['/x%e0%80%afadmin', ['/x/admin']],
  ['/x%u002fadmin', ['/x/admin']],
  ['/x%uff0fadmin', ['/x/admin']],
  ['/x%ef%bc%8fadmin', ['/x/admin']],
  ['/%ef%bd%81dmin', ['/admin']],
  ['/../../admin', ['/admin']],
  // Dropped, or resolved, before an escape is decoded: what is decoded first says something else.
  ['/%2f..;%2fb/admin', ['/admin']],
  ['/a/b;%2fc/..%2f../admin', ['/a/admin', '/admin']],
  ['/a%2fb/../../%2561dmin', ['/%61dmin', '/admin']],
  ['/a;\\../..\\admin', ['/admin']],
];

for (const [path, expected] of READINGS) {
  test(`${path} may be taken for ${expected.join(' and ')}, and is still itself`, () => {
    assert.equal(isPlainPath(path), false);
    const readings = readingsOf(path) ?? [];
    assert.equal(readings[0], path);
    for (const one of expected) assert.ok(readings.includes(one), `${one} among ${readings.join(' ')}`);
  });
}

test('a capital is no reading of its own, but the path is not plain', () => {
  assert.equal(isPlainPath('/Admin'), false);
  assert.deepEqual(readingsOf('/Admin?x'), ['/Admin']);
});

test('an escape of an escape of an escape, and so on, is not read to its end', () => {
  assert.notEqual(readingsOf('/%25252541'), null);
  assert.equal(readingsOf('/%252525252541'), null);
});

test('a long path that is not plain is not read, and a long plain one is', () => {
  assert.equal(readingsOf(`/${'a'.repeat(4_096)}%20`), null);
  assert.equal(readingsOf(`/${'a'.repeat(8_192)}`)?.length, 1);
  assert.equal(readingsOf(`/${'A'.repeat(8_192)}`)?.length, 1);
});

test('the worst path that is read takes milliseconds', () => {
  const worst = `/${'%25252e%25252e%25252f;\\//./'.repeat(150)}`.slice(0, 4_096);
  readingsOf(worst);
  const began = performance.now();
  for (let i = 0; i < 5; i++) readingsOf(worst);
  const each = (performance.now() - began) / 5;
  assert.ok(each < 50, `${each} ms`);
});
