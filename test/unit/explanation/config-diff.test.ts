import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { diffConfigs, diffText, isSame } from '../../../src/explanation/config-diff.ts';
import { loadTexts } from '../config/sources.ts';

const linesOf = (before: string, after: string): string[] =>
  diffText(diffConfigs(loadTexts([before]), loadTexts(['', after])))
    .split('\n')
    .filter((line) => line !== '');

test('what is written otherwise and means the same is no difference', () => {
  const before =
    'policy: { timeouts: { head: 2s } }\nroutes: [{ name: a, policy: { retry: { attempts: 3 } } }]';
  const after = '# moved\n\nroutes:\n  - name: a\npolicy:\n  timeouts:\n    head: 2s\n    dns: 3s\n';
  assert.deepEqual(linesOf(before, after), []);
});

test('each key has both values and both places, also where one is the default', () => {
  assert.deepEqual(linesOf('policy: { timeouts: { head: 2s } }', 'log: { level: warn }\n'), [
    '~ policy.timeouts.head: 2s (0.yaml:1) -> 30s (default)',
    '~ log.level: info (default) -> warn (1.yaml:1)',
  ]);
});

test('routes are told by name: added, removed, moved, and what changed in those that stay', () => {
  const before = 'routes: [{ name: a, http2: true }, { name: b }, { name: c }]';
  const after = 'routes: [{ name: c }, { name: a }, { name: d, http2: true }]';
  assert.deepEqual(linesOf(before, after), [
    '- route b (0.yaml:1)',
    '+ route d (1.yaml:1)',
    '~ route a moved from place 1 (0.yaml:1) to 2 (1.yaml:1)',
    '~ routes[a].http2: true (0.yaml:1) -> false (default)',
  ]);
});

test('the first route and the last client are told by name alone', () => {
  assert.deepEqual(linesOf('clients: [{ name: a, addresses: [10.0.0.1/32] }]', 'routes: [{ name: b }]'), [
    '+ route b (1.yaml:1)',
    '- client a (0.yaml:1)',
  ]);
});

test('what routes inherit is told once, with the routes that inherit it', () => {
  const routes = 'routes: [{ name: a }, { name: b, policy: { timeouts: { head: 1s } } }, { name: c }]';
  assert.deepEqual(linesOf(routes, `policy: { timeouts: { head: 5s } }\n${routes}`), [
    '~ policy.timeouts.head: 30s (default) -> 5s (1.yaml:1); inherited by a, c',
  ]);
});

test('of a secret it is said that it changed, and nothing of what it is', () => {
  const text = (secret: string) =>
    `clients: [{ name: a, username: u, password: ${secret} }]\npolicy: { headers: { request: { set: { X-K: ${secret} } } } }`;
  const lines = linesOf(text('secret-one'), text('secret-two'));
  assert.deepEqual(lines, [
    '~ policy.headers.request.set.X-K: a secret, changed (0.yaml:2 -> 1.yaml:2)',
    '~ clients[a].password: a secret, changed (0.yaml:1 -> 1.yaml:1)',
  ]);
});

test('an order is changed by as few moves as there must be, and a list that only grows moves nothing', () => {
  const text = (names: readonly string[]) =>
    `routes: [${names.map((name) => `{ name: ${name}, match: { hosts: [${name}.example] } }`).join(', ')}]`;
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  fc.assert(
    fc.property(
      fc.shuffledSubarray(names, { minLength: 1 }),
      fc.shuffledSubarray(names, { minLength: 1 }),
      (one, other) => {
        const found = diffConfigs(loadTexts([text(one)]), loadTexts([text(other)]));
        const of = (change: string) => found.items.filter((it) => it.change === change).map((it) => it.name);
        assert.deepEqual(new Set(of('removed')), new Set(one.filter((it) => !other.includes(it))));
        assert.deepEqual(new Set(of('added')), new Set(other.filter((it) => !one.includes(it))));
        const moved = new Set(of('moved'));
        const stays = (list: string[]) =>
          list.filter((it) => one.includes(it) && other.includes(it) && !moved.has(it));
        assert.deepEqual(stays(one), stays(other));
        assert.equal(isSame(found), one.join('') === other.join(''));
        assert.deepEqual(found.keys, []);
      },
    ),
    { numRuns: 150 },
  );
});
