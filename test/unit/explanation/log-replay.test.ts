import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decider } from '../../../src/explanation/decider.ts';
import { LogReplay, type ReplayReport, replayText } from '../../../src/explanation/log-replay.ts';
import { loadTexts } from '../config/sources.ts';

const line = (more: Record<string, unknown>): string =>
  JSON.stringify({
    msg: 'exchange',
    method: 'GET',
    scheme: 'http',
    host: 'a.example',
    port: 80,
    path: '/v1',
    route: 'default',
    via: 'forward',
    clientName: null,
    attempts: [],
    ...more,
  });

function replay(before: string, after: string, lines: readonly string[]): ReplayReport {
  const log = new LogReplay(new Decider(loadTexts([before]).config), new Decider(loadTexts([after]).config));
  for (const one of lines) log.take(one);
  return log.report();
}

const effectsOf = (report: ReplayReport): string[] =>
  report.effects.map(({ what, before, after, count }) => `${count} ${what}: ${before} -> ${after}`);

test('exchanges with another route, another policy, refused or allowed now are counted and named', () => {
  const before = `routes:
  - { name: a, match: { hosts: [a.example] } }
  - { name: b, match: { hosts: [b.example] } }
  - { name: c, match: { hosts: [c.example] }, access: deny }
  - { name: d, match: { hosts: [d.example] } }
`;
  const after = `routes:
  - { name: new, match: { hosts: [a.example], paths: ["/v1"] } }
  - { name: a, match: { hosts: [a.example] } }
  - { name: b, match: { hosts: [b.example] }, policy: { timeouts: { head: 1s } } }
  - { name: c, match: { hosts: [c.example] } }
  - { name: d, match: { hosts: [d.example] }, access: deny }
`;
  const report = replay(before, after, [
    line({ route: 'a' }),
    line({ route: 'a', path: '/v2' }),
    line({ route: 'b', host: 'b.example' }),
    line({ route: 'b', host: 'b.example', path: '/other' }),
    line({ route: 'c', host: 'c.example' }),
    line({ route: 'd', host: 'd.example' }),
    line({ host: 'elsewhere.example' }),
  ]);
  assert.deepEqual([report.exchanges, report.changed, report.skipped, report.strangers], [7, 5, 0, 0]);
  assert.deepEqual(effectsOf(report), [
    '2 policy: route b -> route b',
    '1 route: a -> new',
    '1 allowed now: access_denied, by route c -> route c',
    '1 refused now: route d -> access_denied, by route d',
  ]);
  assert.deepEqual(report.effects[0]?.examples, [
    'GET http://b.example:80/v1',
    'GET http://b.example:80/other',
  ]);
  assert.match(
    replayText(report),
    /^5 of 7 exchanges of the log would be treated otherwise\n {6}2 {2}policy: route b\n/,
  );
});

test('every way is put together again from its line', () => {
  const before = `routes:
  - { name: o, match: { hosts: [o.example] }, https: originate }
  - { name: i, match: { hosts: [i.example] }, https: intercept }
  - { name: p, prefix: /p, origin: "https://p.example/base" }
  - { name: t, match: { hosts: [t.example] } }
`;
  const lines = [
    line({ route: 'o', via: 'originate', scheme: 'https', host: 'o.example', port: 443 }),
    line({
      route: 'i',
      via: 'intercept',
      scheme: 'https',
      host: 'i.example',
      port: 443,
      method: 'CONNECT',
      path: '',
    }),
    line({ route: 'i', via: 'intercept', scheme: 'https', host: 'i.example', port: 443 }),
    line({ route: 'p', via: 'prefix', scheme: 'https', host: 'p.example', port: 443, path: '/base/x' }),
    line({
      route: 't',
      via: 'tunnel',
      scheme: 'https',
      host: 't.example',
      port: 443,
      method: 'CONNECT',
      path: '',
    }),
  ];
  const same = replay(before, before, lines);
  assert.deepEqual([same.exchanges, same.changed, same.strangers], [5, 0, 0]);
  const after = before
    .replace('https: originate', 'https: null')
    .replace('https: intercept', 'https: tunnel')
    .replace('/base', '/other')
    .replace('[t.example] }', '[t.example] }, https: intercept');
  assert.deepEqual(effectsOf(replay(before, after, lines)), [
    '2 way: intercept to https://i.example:443 -> tunnel to https://i.example:443',
    '1 way: originate to https://o.example:443 -> forward to http://o.example:80',
    '1 way: prefix to https://p.example:443/base -> prefix to https://p.example:443/other',
    '1 way: tunnel to https://t.example:443 -> intercept to https://t.example:443',
  ]);
});

test('an address that was dialled and is denied now is a refusal', () => {
  const lines = [line({ attempts: [{ address: '93.184.216.34' }] }), line({ attempts: [{ address: null }] })];
  const report = replay('{}', 'access: { addresses: { deny: [93.184.0.0/16] } }', lines);
  assert.deepEqual(effectsOf(report), ['1 refused now: route default -> address_denied, by route default']);
});

test('clients are told apart as they were', () => {
  const clients = 'clients: [{ name: pay, addresses: [10.0.0.1] }]\n';
  const before = `${clients}routes: [{ name: r, match: { clients: [pay] } }]`;
  const after = `${clients}routes: []`;
  const lines = [line({ clientName: 'pay', route: 'r' }), line({ clientName: null })];
  assert.deepEqual(effectsOf(replay(before, after, lines)), ['1 route: r -> default']);
});

test('other lines, broken ones and such that say too little are counted and passed over', () => {
  const lines = [
    '',
    'not json',
    '{"msg":"ready"}',
    '{"msg":"exchange"}',
    line({ host: null }),
    line({ attempts: 5 }),
    'null',
    line({}),
  ];
  const report = replay('{}', '{}', lines);
  assert.deepEqual([report.exchanges, report.skipped, report.changed], [1, 6, 0]);
});

test('a log that has another route than the old configuration gives is told of', () => {
  const report = replay('{}', '{}', [line({ route: 'gone' })]);
  assert.equal(report.strangers, 1);
  assert.match(replayText(report), /1 of them have another route in the log/);
});

test('what is kept of a log is bounded, whatever is in it', () => {
  const many = Array.from({ length: 300 }, (_, i) => `{ name: r${i}, match: { hosts: [h${i}.example] } }`);
  const before = `routes: [${many.join(', ')}]`;
  const lines = many.flatMap((_, i) =>
    Array.from({ length: 10 }, (_, n) => line({ host: `h${i}.example`, route: `r${i}`, path: `/${n}` })),
  );
  const report = replay(before, '{}', lines);
  assert.equal(report.changed, 3_000);
  assert.equal(report.effects.length, 100);
  assert.ok(report.effects.every(({ examples, count }) => examples.length === 5 && count === 10));
});

test('a secret that changed is another policy, and is not shown', () => {
  const text = (secret: string) =>
    `routes: [{ name: r, policy: { headers: { request: { set: { X-K: ${secret} } } } } }]`;
  const report = replay(text('secret-one'), text('secret-two'), [line({ route: 'r' })]);
  assert.deepEqual(effectsOf(report), ['1 policy: route r -> route r']);
  assert.doesNotMatch(JSON.stringify(report), /secret-/);
});
