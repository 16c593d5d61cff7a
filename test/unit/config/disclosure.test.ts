import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { disclose } from '../../../src/config/disclosure.ts';
import { inheritPolicy, traceProvenance } from '../../../src/config/layers.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { loadTexts } from './sources.ts';

const shown = (...texts: string[]) => {
  const { written, config } = loadTexts(texts);
  return { ...disclose(configSchema, written), written, config };
};

test('every value has its place, as provenance tells it', () => {
  const { from, written } = shown(
    'policy: { breaker: null, retry: { attempts: 2 } }\nroutes:\n  - { name: a, match: { ports: [1] } }\n  - { name: b, tls: { servername: x }, policy: { breaker: { window: 3s } } }',
  );
  const traced = [...traceProvenance(configSchema, inheritPolicy(written))];
  const isWritten = ([, source]: readonly [string, string]) => source !== 'default';
  assert.deepEqual(Object.entries(from).filter(isWritten), traced.filter(isWritten));
  assert.equal(from['limits.exchanges'], 'default');
});

test('what is shown is what is written: as YAML it makes the same configuration', () => {
  const names = fc.stringMatching(/^[a-z][a-z0-9.-]{0,8}$/);
  const text = fc.constantFrom(
    'plain',
    'true',
    'null',
    '1',
    '1e3',
    '~',
    '#x',
    'a: b',
    "it's",
    '"',
    '- x',
    '0x1',
    '=',
    'é',
  );
  const settings = fc.record({
    policy: fc.record(
      {
        breaker: fc.constantFrom(null, { window: '3s' }),
        retry: fc.record({ statuses: fc.constantFrom([503], []) }),
      },
      { requiredKeys: [] },
    ),
    routes: fc.uniqueArray(
      fc.record({
        name: names,
        prefix: fc.constantFrom('/a', '/b b'.replace(' ', '-')),
        origin: fc.constant('http://a.example/x'),
      }),
      { selector: ({ name }) => name, maxLength: 1 },
    ),
    clients: fc.uniqueArray(
      fc.record({
        name: names,
        username: text.filter((it) => !it.includes(':')),
        password: fc.constant('p'),
      }),
      { selector: ({ name }) => name, maxLength: 1 },
    ),
    limits: fc.record({ headerBytes: fc.constantFrom('8KiB', '16384B') }),
  });
  fc.assert(
    fc.property(settings, (it) => {
      const { yaml, config } = shown(JSON.stringify(it));
      const again = loadTexts([yaml]).config;
      const plain = ({ clients, ...rest }: typeof config) => ({
        ...rest,
        clients: clients.map(({ credentials, ...client }) => ({
          ...client,
          username: credentials?.username,
        })),
      });
      assert.deepEqual(plain(again), plain(config));
    }),
    { numRuns: 50 },
  );
});

test('secrets by the schema, whatever came from the environment or a file, and queries are masked', () => {
  const { yaml, values } = shown(
    [
      'admin: { token: c4n4ry-c4n4ry-c4n4ry }',
      'clients: [{ name: me, username: me, password: c4n4ry }]',
      'policy: { headers: { response: { set: { X-A: c4n4ry } } } }',
      'routes:',
      '  - name: api',
      '    match: { hosts: [a.example] }',
      '    credentials: { oauth2: { tokenUrl: "https://t.example/t?x=c4n4ry", clientId: me, clientSecret: c4n4ry } }',
      '    policy: { headers: { request: { set: { X-Key: c4n4ry } } } }',
    ].join('\n'),
  );
  assert.doesNotMatch(yaml + JSON.stringify(values), /c4n4ry/);
  assert.equal(yaml.split('(secret)').length - 1, 7);
});
