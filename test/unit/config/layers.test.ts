import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../../src/config/load.ts';
import { loadTexts } from './sources.ts';

test('later files override earlier ones key by key; lists are replaced', () => {
  const { config } = loadTexts([
    'policy: { pool: { connections: 1, queue: 1 }, retry: { statuses: [503] } }\nroutes: [{ name: a }]\n',
    'policy: { pool: { queue: 2 }, retry: { statuses: [502, 504] } }\nroutes: [{ name: b }]\n',
  ]);
  assert.equal(config.policy.pool.connections, 1);
  assert.equal(config.policy.pool.queue, 2);
  assert.deepEqual(config.policy.retry.statuses, [502, 504]);
  assert.deepEqual(
    config.routes.map((route) => route.name),
    ['b'],
  );
});

test('a route overrides the default policy key by key', () => {
  const { config } = loadTexts([
    'policy: { timeouts: { head: 1s, dns: 2s } }\nroutes: [{ name: a, policy: { timeouts: { head: 5ms } } }, { name: b }]\n',
    'policy: { timeouts: { dns: 4s } }\n',
  ]);
  const [a, b] = config.routes;
  assert.equal(a?.policy.timeouts.headMs, 5);
  assert.equal(a?.policy.timeouts.dnsMs, 4_000);
  assert.equal(b?.policy, config.policy);
});

test('header fields are overridden whatever their case', () => {
  const { config } = loadTexts([
    'policy: { headers: { request: { set: { X-A: "1", X-B: "2" } } } }\n' +
      'routes: [{ name: a, policy: { headers: { request: { set: { x-a: "3" } } } } }]\n',
  ]);
  assert.deepEqual(config.routes[0]?.policy.headers.request.set, [
    ['X-B', '2'],
    ['x-a', '3'],
  ]);
});

test('breaker: null switches the breaker off, and a part of one starts from the built-in defaults', () => {
  const off = loadTexts([
    'policy: { breaker: { openFor: 1s } }\nroutes: [{ name: a, policy: { breaker: null } }]\n',
  ]);
  assert.equal(off.config.routes[0]?.policy.breaker, null);
  assert.equal(off.config.policy.breaker?.openForMs, 1_000);
  const on = loadTexts([
    'policy: { breaker: null }\nroutes: [{ name: a, policy: { breaker: { openFor: 1s } } }, { name: b }]\n',
  ]);
  assert.deepEqual(on.config.routes[0]?.policy.breaker, {
    failureRatio: 0.5,
    minimumCalls: 20,
    windowMs: 10_000,
    openForMs: 1_000,
    openForMaxMs: 60_000,
  });
  assert.equal(on.config.routes[1]?.policy.breaker, null);
});

test('policies and parts that are equal by value are the same object', () => {
  const { config } = loadTexts([
    'routes:\n' +
      '  - { name: a, policy: { timeouts: { head: 1s } } }\n' +
      '  - { name: b, policy: { timeouts: { head: 1000ms } } }\n' +
      '  - { name: c, policy: { pool: { connections: 64 }, retry: { attempts: 2 } } }\n' +
      '  - { name: d, policy: { pool: { connections: 63 } } }\n',
  ]);
  const { policy, routes } = config;
  const [a, b, c, d] = routes.map((route) => route.policy);
  assert.equal(a, b);
  assert.notEqual(a, policy);
  assert.equal(a?.pool, policy.pool);
  assert.equal(a?.breaker, policy.breaker);
  assert.equal(a?.retry, policy.retry);
  assert.equal(a?.headers, policy.headers);
  assert.equal(c?.pool, policy.pool);
  assert.equal(c?.retry.budget, policy.retry.budget);
  assert.equal(c?.retry.backoff, policy.retry.backoff);
  assert.equal(c?.timeouts, policy.timeouts);
  assert.notEqual(d?.pool, policy.pool);
});

test('the configuration is frozen to its last part', () => {
  const { config } = loadTexts([
    'routes: [{ name: a, match: { hosts: [x] }, policy: { headers: { request: { set: { A: b } } } } }]',
  ]);
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) return;
    assert.ok(Object.isFrozen(value), path);
    for (const [key, part] of Object.entries(value)) visit(part, `${path}.${key}`);
  };
  visit(config, 'config');
});

test('one configuration shares nothing with the next', () => {
  const load = () => loadConfig({ files: [], env: {} }).config;
  assert.notEqual(load().policy, load().policy);
});

test('every effective value knows where it came from', () => {
  const { provenance } = loadTexts(
    [
      'policy:\n  timeouts:\n    head: 1s\n    dns: 2s\n  breaker: null\nroutes:\n  - name: a\n    policy:\n      timeouts: { head: 2s }\n',
      'policy:\n  timeouts:\n    dns: 4s\n  headers: { request: { set: { X-A: b } } }\n',
    ],
    { OUTRIGGER__POLICY__POOL__QUEUE: '1' },
  );
  const expected: Record<string, string> = {
    'listen.proxy': 'default',
    'policy.timeouts.head': '0.yaml:3',
    'policy.timeouts.dns': '1.yaml:3',
    'policy.timeouts.tls': 'default',
    'policy.breaker': '0.yaml:5',
    'policy.pool.queue': 'OUTRIGGER__POLICY__POOL__QUEUE',
    'policy.headers.request.set.X-A': '1.yaml:4',
    'policy.headers.request.remove': 'default',
    'routes[0].name': '0.yaml:7',
    'routes[0].match.hosts': 'default',
    'routes[0].policy.timeouts.head': '0.yaml:9',
    'routes[0].policy.timeouts.dns': '1.yaml:3',
    'routes[0].policy.pool.queue': 'OUTRIGGER__POLICY__POOL__QUEUE',
    'routes[0].policy.breaker': '0.yaml:5',
  };
  for (const [path, source] of Object.entries(expected)) assert.equal(provenance.get(path), source, path);
  assert.equal(loadConfig({ files: [], env: {} }).provenance.get('routes'), 'default');
});
