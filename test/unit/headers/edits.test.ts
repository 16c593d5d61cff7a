import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyEdits } from '../../../src/headers/edits.ts';

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

test('edits that are made twice change nothing more', () => {
  const edits = { set: [['A', '1'] as const], remove: ['b'] };
  const once = applyEdits(['B', 'x', 'a', 'y', 'C', 'z'], edits);
  assert.deepEqual(applyEdits([...once], edits), once);
});
