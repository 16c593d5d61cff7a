import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { succeed, unite } from '../../../src/config/succession.ts';
import { SecretText } from '../../../src/policy/secret-text.ts';

function loader(t: TestContext): (yaml: string) => Config {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'outrigger.yaml');
  writeFileSync(join(folder, 'key'), 'first');
  return (yaml) => {
    writeFileSync(path, yaml.replaceAll('KEY', join(folder, 'key')));
    return unite(loadConfig({ files: [path], env: {} }).config);
  };
}

const routes = (...list: string[]): string => `routes: [${list.map((it) => `{ ${it} }`).join()}]`;

test('a configuration that says the same is the same, whole', (t) => {
  const load = loader(t);
  const yaml = `{ policy: { breaker: { window: 5s } }, ${routes('name: a, match: { hosts: [a.example] }, policy: { retry: { attempts: 2 } }')} }`;
  const before = load(yaml);
  assert.equal(succeed(before, load(yaml), 2).config, before);
});

test('what two routes have in common is the same from the start, so that it stays so for both', (t) => {
  const load = loader(t);
  const oauth2 =
    'credentials: { oauth2: { tokenUrl: "https://t.example/t", clientId: me, clientSecret: "${file:KEY}" } }';
  const yaml = routes(
    `name: a, match: { hosts: [a.example] }, ${oauth2}`,
    `name: b, match: { hosts: [b.example] }, ${oauth2}`,
  );
  const before = load(yaml);
  const { config } = succeed(before, load(`{ ${yaml}, limits: { exchanges: 9 } }`), 2);
  for (const i of [0, 1]) assert.equal(config.routes[i], before.routes[i]);
  assert.equal(config.routes[0]?.credentials, config.routes[1]?.credentials);
});

test('what is equal stays the same object, and what differs becomes another', (t) => {
  const load = loader(t);
  const one = 'name: a, match: { hosts: [a.example] }';
  const before = load(routes(one, 'name: b, match: { hosts: [b.example] }'));
  const { config } = succeed(
    before,
    load(
      routes(
        'name: c, match: { hosts: [c.example] }',
        one,
        'name: b, match: { hosts: [b.example] }, policy: { timeouts: { head: 1s } }',
      ),
    ),
    2,
  );
  const [c, a, b] = config.routes;
  assert.equal(a, before.routes[0]);
  assert.equal(c?.policy, before.policy);
  assert.notEqual(b?.policy, before.policy);
  assert.equal(b?.policy.breaker, before.policy.breaker);
  assert.equal(b?.policy.pool, before.policy.pool);
});

test('equal exceptions keep their key under any name, and others never get one that was there', (t) => {
  const load = loader(t);
  const lists = (name: string, allow: string) =>
    `name: ${name}, match: { hosts: [x.example] }, addresses: { allow: [${allow}], deny: [10.9.0.0/16] }`;
  const first = load(routes(lists('a', '10.0.0.0/8')));
  const second = succeed(first, load(routes(lists('b', '10.0.0.0/8'), lists('a', '10.1.0.0/16'))), 2).config;
  assert.deepEqual(
    second.routes.map(({ addresses }) => [addresses?.key, addresses?.denials?.key]),
    [
      ['@a', '@a!'],
      ['@a~2', '@a~2!'],
    ],
  );
  assert.equal(second.routes[0]?.addresses, first.routes[0]?.addresses);
  const third = succeed(second, load(routes(lists('a', '10.2.0.0/16'), lists('b', '10.2.0.0/16'))), 3).config;
  assert.deepEqual(
    third.routes.map(({ addresses }) => addresses?.key),
    ['@a~3', '@a~3'],
  );
  assert.equal(third.routes[0]?.addresses, third.routes[1]?.addresses);
});

test('the holder of a secret stays, and holds what was read once the change counts', (t) => {
  const load = loader(t);
  const yaml = 'policy: { headers: { request: { set: { X-Key: "Bearer ${file:KEY}" } } } }';
  const holderOf = (config: Config) => config.policy.headers.request.set[0]?.[1] as SecretText;
  const before = load(yaml);
  const holder = holderOf(before);
  assert.ok(holder instanceof SecretText);
  writeFileSync(holder.files[0] as string, 'second');
  const succession = succeed(before, load(`{ ${yaml}, limits: { exchanges: 9 } }`), 2);
  const { config } = succession;
  assert.equal(holderOf(config), holder);
  assert.equal(config.policy, before.policy);
  assert.deepEqual(config.secrets, [holder]);
  assert.equal(holder.value, 'Bearer first');
  succession.settle();
  assert.equal(holder.value, 'Bearer second');
  const other = load(yaml.replace('Bearer', 'Basic'));
  assert.notEqual(holderOf(succeed(config, other, 3).config), holder);
});

test('whatever comes after whatever, it says what was written, and shares all that is equal', (t) => {
  const load = loader(t);
  const policy = fc.record(
    {
      retry: fc.record({ attempts: fc.integer({ min: 1, max: 3 }) }),
      breaker: fc.constantFrom(null, { window: '5s' }, {}),
      pool: fc.record({ connections: fc.integer({ min: 1, max: 3 }) }),
    },
    { requiredKeys: [] },
  );
  const config = fc.record({
    policy,
    limits: fc.record({ exchanges: fc.integer({ min: 1, max: 3 }) }),
    routes: fc.uniqueArray(fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), policy }), {
      selector: ({ name }) => name,
    }),
  });
  fc.assert(
    fc.property(fc.array(config, { minLength: 2, maxLength: 5 }), (list) => {
      let running: Config | null = null;
      for (const [i, settings] of list.entries()) {
        const loaded = load(JSON.stringify(settings));
        if (running === null) {
          running = loaded;
          continue;
        }
        const next: Config = succeed(running, loaded, i + 1).config;
        assert.deepEqual(next, loaded);
        const parts = ({ policy: it, routes: all }: Config) => [it, ...all.map((route) => route.policy)];
        for (const now of parts(next))
          for (const was of [...parts(running), ...parts(next)]) {
            assert.equal(now === was, JSON.stringify(now) === JSON.stringify(was));
            assert.equal(
              now.breaker === was.breaker,
              JSON.stringify(now.breaker) === JSON.stringify(was.breaker),
            );
          }
        running = next;
      }
    }),
    { numRuns: 60 },
  );
});
