import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyEdits, findField, leaves, removeFields, setField } from '../../../src/headers/edits.ts';
import { SecretText } from '../../../src/policy/secret-text.ts';

test('no edits leave the very same list as it was', () => {
  const list = ['A', '1', 'a', '2'];
  assert.equal(applyEdits(list, { set: [], remove: [] }), list);
  assert.deepEqual(list, ['A', '1', 'a', '2']);
});

test('removing takes every line of the name, in any case, and nothing else', () => {
  const list = ['X-A', '1', 'Set-Cookie', 'a', 'x-a', '2', 'Set-Cookie', 'b', 'X-AB', '3'];
  applyEdits(list, { set: [], remove: ['x-a', 'not-there'] });
  assert.deepEqual(list, ['Set-Cookie', 'a', 'Set-Cookie', 'b', 'X-AB', '3']);
});

test('setting leaves one line: at the place of the first, or at the end', () => {
  const list = ['X-A', '1', 'B', '2', 'x-a', '3'];
  const edits = { set: [['x-A', 'new'] as const, ['C', 'added'] as const], remove: [] };
  assert.deepEqual(applyEdits(list, edits), ['x-A', 'new', 'B', '2', 'C', 'added']);
});

test('what is set stays, though it is removed in the same breath', () => {
  assert.deepEqual(applyEdits(['A', 'old'], { set: [['A', 'new']], remove: ['a'] }), ['A', 'new']);
});

test('edits leave a field that they neither remove nor set, in any case', () => {
  const edits = { set: [['X-Set', '1'] as const], remove: ['x-removed'] };
  assert.deepEqual(
    ['x-set', 'x-removed', 'x-other'].map((name) => leaves(edits, name)),
    [false, false, true],
  );
});

test('edits that are made twice change nothing more', () => {
  const edits = { set: [['A', '1'] as const], remove: ['b'] };
  const once = applyEdits(['B', 'x', 'a', 'y', 'C', 'z'], edits);
  assert.deepEqual(applyEdits([...once], edits), once);
});

test('a secret is set as it is at that moment', () => {
  const secret = new SecretText(1, [{ file: '/s' }], 'one', () => true);
  const edits = { set: [['A', secret] as const], remove: [] };
  assert.deepEqual(applyEdits([], edits), ['A', 'one']);
  secret.renew('two');
  assert.deepEqual(applyEdits(['a', 'forged', 'A', 'twice'], edits), ['A', 'two']);
});

test('fields are found, set and removed in any case, every line of them', () => {
  const list = ['AUTHORIZATION', 'a', 'X', '1', 'authorization', 'b', 'Cookie', 'c'];
  assert.equal(findField(list, ['cookie', 'authorization']), 'cookie');
  assert.equal(findField(list, ['x-other']), null);
  setField(list, 'Authorization', 'ours');
  assert.deepEqual(list, ['Authorization', 'ours', 'X', '1', 'Cookie', 'c']);
  removeFields(list, ['authorization', 'cookie']);
  assert.deepEqual(list, ['X', '1']);
});
