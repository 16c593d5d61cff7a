import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { SecretText } from '../../../src/policy/secret-text.ts';

const CANARY = 'c4n4ry';
const text = () =>
  new SecretText(7, ['Bearer ', { file: '/s' }], `Bearer ${CANARY}`, (it) => /^[ -~]*$/.test(it));

test('nothing of it is seen where it is printed, made JSON or copied', () => {
  const secret = Object.freeze(text());
  for (const seen of [inspect(secret, { depth: 9, showHidden: true }), JSON.stringify({ secret })])
    assert.doesNotMatch(seen, new RegExp(CANARY), seen);
  assert.deepEqual(Object.keys(secret), []);
  assert.deepEqual(JSON.parse(JSON.stringify(secret)), { secret: 7 });
});

test('frozen like the rest of a policy, it still takes another value, and doubt leaves the one there is', () => {
  const secret = Object.freeze(text());
  secret.doubt('/s is empty');
  assert.equal(secret.value, `Bearer ${CANARY}`);
  assert.equal(secret.problem, '/s is empty');
  secret.renew('Bearer other');
  assert.equal(secret.value, 'Bearer other');
  assert.equal(secret.problem, null);
});

test('what it would be is told without its changing; what is wrong is told by the file alone', () => {
  const secret = text();
  assert.deepEqual(
    secret.render(() => ({ text: 'new\n' })),
    { text: 'Bearer new' },
  );
  assert.equal(secret.value, `Bearer ${CANARY}`);
  for (const content of [`${CANARY}\n${CANARY}`, '', '\n']) {
    const result = secret.render(() => ({ text: content }));
    assert.ok('problem' in result && result.problem.startsWith('/s '), content);
    assert.ok(!result.problem.includes(CANARY));
  }
  assert.deepEqual(
    secret.render(() => ({ problem: 'is no file' })),
    { problem: '/s is no file' },
  );
});
