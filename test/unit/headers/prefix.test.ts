import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PrefixMatch, PrefixTable } from '../../../src/headers/prefix.ts';

const entry = (prefix: string, basePath = ''): { prefix: string; basePath: string; value: string } => ({
  prefix,
  basePath,
  value: prefix,
});
const tableOf = (...prefixes: string[]): PrefixTable<string> =>
  new PrefixTable(prefixes.map((prefix) => entry(prefix)));

function find(table: PrefixTable<string>, target: string): string | null {
  const match: PrefixMatch<string> | null = table.find(target);
  return match === null ? null : `${match.value} -> ${match.path}`;
}

test('a prefix matches where a segment ends, and nowhere else', () => {
  const table = tableOf('/fraud');
  assert.equal(find(table, '/fraud/v1/score?x=1'), '/fraud -> /v1/score?x=1');
  assert.equal(find(table, '/fraud'), '/fraud -> /');
  assert.equal(find(table, '/fraud/'), '/fraud -> /');
  assert.equal(find(table, '/fraud?x=/fraud'), '/fraud -> /?x=/fraud');
  for (const target of [
    '/fraudster',
    '/frau',
    '/',
    '/Fraud/x',
    '/fraud%2Fx',
    '/%66raud/x',
    '/x/fraud',
    '/?/fraud',
  ])
    assert.equal(find(table, target), null, target);
});

test('what is no path has no prefix, not even the shortest', () => {
  for (const target of ['', '*', 'fraud', '?x', 'http://a.example/fraud', 'a.example:443'])
    assert.equal(find(tableOf('/', '/fraud'), target), null, target);
});

test('the longest prefix wins, in whatever order they come', () => {
  for (const table of [tableOf('/', '/a', '/a/b', '/a/b/c'), tableOf('/a/b/c', '/a/b', '/a', '/')]) {
    assert.equal(find(table, '/a/b/c/d'), '/a/b/c -> /d');
    assert.equal(find(table, '/a/b/cd'), '/a/b -> /cd');
    assert.equal(find(table, '/a?b/c'), '/a -> /?b/c');
    assert.equal(find(table, '/ab'), '/ -> /ab');
    assert.equal(find(table, '/'), '/ -> /');
  }
});

test('the first of two entries with one prefix counts, with or without a final slash', () => {
  const table = new PrefixTable([
    { prefix: '/a/', basePath: '/one', value: 1 },
    { prefix: '/a', basePath: '/two', value: 2 },
  ]);
  assert.deepEqual(table.find('/a/x'), { value: 1, path: '/one/x' });
});

test('the base path stands in front, with one slash between', () => {
  for (const basePath of ['/base', '/base/', '/base//']) {
    const table = new PrefixTable([entry('/fraud', basePath)]);
    assert.equal(find(table, '/fraud/v1'), '/fraud -> /base/v1');
    assert.equal(find(table, '/fraud/'), '/fraud -> /base/');
    assert.equal(find(table, '/fraud'), '/fraud -> /base');
    assert.equal(find(table, '/fraud?x'), '/fraud -> /base?x');
  }
  assert.equal(find(new PrefixTable([entry('/', '/base/')]), '/v1'), '/ -> /base/v1');
  assert.equal(find(new PrefixTable([entry('/a', '/')]), '/a/v1'), '/a -> /v1');
});

test('the rest goes on byte for byte: slashes, dots, escapes', () => {
  const table = new PrefixTable([entry('/a', '/base')]);
  for (const rest of ['//x', '/../x', '/./', '/%2e%2E/%2f', '/x;y=1?a=%20#', '/\u00ff', '/\\x'])
    assert.equal(find(table, `/a${rest}`), `/a -> /base${rest}`);
});

test('an empty table finds nothing', () => {
  assert.equal(new PrefixTable([]).find('/a'), null);
});
