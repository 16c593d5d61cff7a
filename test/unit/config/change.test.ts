import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { applicable, changes } from '../../../src/config/change.ts';
import { loadConfig } from '../../../src/config/load.ts';

function load(yaml: string): ReturnType<typeof loadConfig> {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  try {
    const path = join(folder, 'outrigger.yaml');
    writeFileSync(path, yaml);
    return loadConfig({ files: [path], env: {} });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const changed = (before: string, after: string): string[] =>
  changes(load(before).written, load(after).written);

test('keys are named by their path, routes and clients by their name, values never', () => {
  const before = '{ limits: { exchanges: 5 }, routes: [{ name: a, match: { hosts: [a.example] } }] }';
  assert.deepEqual(changed(before, before), []);
  assert.deepEqual(changed(before, before.replace('5', '6')), ['limits.exchanges']);
  const more = '{ name: b, match: { ports: [8443] }, access: deny }, { name: a';
  assert.deepEqual(changed(before, before.replace('{ name: a', more)), [
    'routes.b.access',
    'routes.b.match.ports',
    'routes.b.name',
    'routes: their order',
  ]);
  assert.deepEqual(
    changed(
      'clients: [{ name: c, username: u, password: one }]',
      'clients: [{ name: c, username: u, password: two }]',
    ),
    ['clients.c.password'],
  );
});

test('the order of routes is a change, for the first that matches counts', () => {
  const [a, b] = ['{ name: a, match: { ports: [1] } }', '{ name: b, match: { ports: [2] } }'];
  assert.deepEqual(changed(`routes: [${a}, ${b}]`, `routes: [${b}, ${a}]`), ['routes: their order']);
});

const TOKEN = 'a-token-of-more-than-16';

test('what needs a restart is named, and what runs of it stays', () => {
  const running = load('{ listen: { proxy: "127.0.0.1:1" }, limits: { exchanges: 1 } }').config;
  const next = load(
    '{ listen: { proxy: "127.0.0.1:2", headTimeout: 1s }, limits: { exchanges: 2 }, log: { format: pretty } }',
  ).config;
  const { config, restart } = applicable(running, next, false);
  assert.deepEqual(restart, ['listen.proxy', 'log.format']);
  assert.deepEqual(config, {
    ...next,
    listen: { ...next.listen, proxy: running.listen.proxy },
    log: { ...next.log, format: 'json' },
  });
});

test('the authority of interception stays once it is there, and is as written until then', () => {
  const running = load('').config;
  const next = load('intercept: { leaves: 5, pinned: refuse }').config;
  assert.deepEqual(applicable(running, next, false).restart, []);
  const { config, restart } = applicable(running, next, true);
  assert.deepEqual(restart, ['intercept.leaves']);
  assert.deepEqual([config.intercept.leaves, config.intercept.pinned], [running.intercept.leaves, 'refuse']);
});

test('a token is exchanged at once, and taken away only where others cannot reach the listener', () => {
  const open = load(`{ listen: { admin: "0.0.0.0:1" }, admin: { token: ${TOKEN} } }`).config;
  const other = load(`{ listen: { admin: "0.0.0.0:1" }, admin: { token: ${TOKEN}-2 } }`).config;
  assert.equal(applicable(open, other, false).config.admin.token, `${TOKEN}-2`);
  const none = load('listen: { admin: "127.0.0.1:1" }').config;
  const { config, restart } = applicable(open, none, false);
  assert.deepEqual([config.admin.token, restart], [TOKEN, ['listen.admin', 'admin.token']]);
  const loopback = load(`{ listen: { admin: "127.0.0.1:1" }, admin: { token: ${TOKEN} } }`).config;
  assert.equal(applicable(loopback, none, false).config.admin.token, null);
});
