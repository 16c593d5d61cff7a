import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lint } from '../../../src/config/lint.ts';
import { formatWarning } from '../../../src/config/problem.ts';
import { loadTexts } from './sources.ts';

/** The warnings of texts, as they would be printed, without the names of directories. */
function warningsOf(...texts: string[]): string[] {
  const { config, written } = loadTexts(texts);
  return lint(config, written).map((one) => formatWarning(one).replace(/^.*\/(?=\d\.yaml)/, ''));
}

const route = (...lines: string[]): string =>
  ['routes:', '  - name: a', ...lines.map((line) => `    ${line}`)].join('\n');

/** The keys that are warned of, in the order in which they are. */
const keysOf = (warnings: readonly string[]): string[] =>
  warnings.map((line) => /warning: (?:routes\[0\]\.)?([\w.]+) /.exec(line)?.[1] ?? line);

test('what a tunnel cannot have is warned of at the place of its key, with what would have it', () => {
  const warnings = warningsOf(
    route(
      'https: tunnel',
      'match: { hosts: [a.example], methods: [GET, POST], paths: ["/v1/*"] }',
      'tls: { minVersion: TLSv1.3 }',
      'http2: true',
      'policy:',
      '  retry: { attempts: 2, statuses: [503], retryAfterMax: 1s, replayBytes: 1KiB }',
      '  timeouts: { connect: 1s, tls: 1s, head: 1s, idle: 1s }',
      '  headers: { request: { set: { X-A: b } } }',
      '  pool: { connections: 2 }',
      '  breaker: { openFor: 1s }',
    ),
  );
  assert.deepEqual(keysOf(warnings).toSorted(), [
    'http2',
    'match.methods',
    'match.paths',
    'policy.headers',
    'policy.retry.attempts',
    'policy.retry.replayBytes',
    'policy.retry.retryAfterMax',
    'policy.retry.statuses',
    'policy.timeouts.head',
    'policy.timeouts.tls',
    'tls',
  ]);
  assert.ok(
    warnings.includes(
      '0.yaml:8:29: warning: routes[0].policy.retry.statuses does not apply to tunnels, which show no status; with https: intercept or originate it would',
    ),
    warnings.join('\n'),
  );
});

test('the same is fine where requests are seen: intercept, originate, prefix, or a route that does not say', () => {
  const all = [
    'match: { hosts: [a.example], methods: [GET], paths: ["/v1/*"] }',
    'policy: { retry: { statuses: [503] }, timeouts: { head: 1s }, headers: { request: { remove: [X-A] } } }',
  ];
  const tls = ['tls: { minVersion: TLSv1.3 }', 'http2: true'];
  assert.deepEqual(warningsOf(route(...all)), []);
  for (const way of [
    ['https: intercept'],
    ['https: originate'],
    ['prefix: /a', 'origin: https://a.example'],
    ['https: tunnel', 'prefix: /a', 'origin: https://a.example'],
  ])
    assert.deepEqual(warningsOf(route(...all, ...tls, ...way)), [], way.join());
});

test('what a route inherits, and what says nothing, is not warned of', () => {
  const policy =
    'policy: { retry: { statuses: [503] }, timeouts: { head: 1s }, headers: { request: { remove: [X-A] } } }\n';
  assert.deepEqual(warningsOf(policy + route('https: tunnel')), []);
  assert.deepEqual(warningsOf(policy, route('https: tunnel')), []);
  const nothing = [
    'https: tunnel',
    'match: { methods: [CONNECT], paths: [] }',
    'tls: null',
    'http2: false',
    'policy: { retry: { statuses: [] }, headers: { request: { set: {}, remove: [] } } }',
  ];
  assert.deepEqual(warningsOf(route(...nothing)), []);
});

test('a warning names the file that said it, and follows what a later file makes of the route', () => {
  const said = route('https: originate', 'policy: { timeouts: { head: 1s } }');
  assert.deepEqual(warningsOf(said), []);
  const over = warningsOf(said, route('https: tunnel', 'policy: { timeouts: { head: 2s } }'));
  assert.match(over.join('\n'), /^1\.yaml:4:\d+: warning: routes\[0\]\.policy\.timeouts\.head /);
});

test('TLS settings of a route that dials no TLS are warned of', () => {
  const tls = ['tls: { servername: b.example }', 'http2: true'];
  const plain = warningsOf(route('prefix: /a', 'origin: http://a.example', ...tls));
  assert.deepEqual(keysOf(plain), ['tls', 'http2']);
  assert.match(plain[0] as string, /the origin of the route is http:\/\//);
  const silent = warningsOf(route('match: { hosts: [a.example] }', ...tls));
  assert.deepEqual(keysOf(silent), ['tls', 'http2']);
  assert.match(silent[0] as string, /say https: intercept or originate/);
  const upgraded = route('prefix: /a', 'origin: http://a.example', 'https: originate', ...tls);
  assert.deepEqual(warningsOf(upgraded), []);
});

test('ports to which no CONNECT is allowed are warned of on the ways that begin with one', () => {
  for (const way of ['tunnel', 'intercept']) {
    const closed = route(`https: ${way}`, 'match: { ports: [8443, 9443] }');
    assert.deepEqual(keysOf(warningsOf(closed)), ['match.ports'], way);
    assert.deepEqual(warningsOf(`access: { tunnelPorts: [443, 9443] }\n${closed}`), [], way);
    assert.deepEqual(warningsOf(route(`https: ${way}`, 'match: { ports: [8443, 443] }')), [], way);
  }
  for (const ports of ['[80]', '[443]', '[8443]'])
    assert.deepEqual(warningsOf(route('https: originate', `match: { ports: ${ports} }`)), [], ports);
});

test('settings of interception that nothing asks for are warned of', () => {
  assert.deepEqual(warningsOf('intercept: { leaves: 5 }\n'), [], 'bounds ask for nothing');
  const intercept = 'intercept: { bundle: /run/ca.pem }\n';
  assert.deepEqual(keysOf(warningsOf(intercept)), ['intercept']);
  assert.deepEqual(keysOf(warningsOf(intercept + route('https: tunnel'))), ['intercept']);
  assert.deepEqual(warningsOf(intercept + route('https: intercept')), []);
});

test('a prefix whose hosts leave out its own origin is warned of; shadowing another prefix is fine', () => {
  const prefix = ['prefix: /a', 'origin: https://api.a.example'];
  assert.deepEqual(warningsOf(route(...prefix)), []);
  for (const hosts of ['api.a.example', '"*.a.example"', 'b.example, api.a.example'])
    assert.deepEqual(warningsOf(route(...prefix, `match: { hosts: [${hosts}] }`)), [], hosts);
  for (const hosts of ['b.example', '"*.api.a.example"', '"*.xa.example"'])
    assert.deepEqual(
      keysOf(warningsOf(route(...prefix, `match: { hosts: [${hosts}] }`))),
      ['match.hosts'],
      hosts,
    );
  const longer = '\n  - { name: b, prefix: /a/b, origin: "https://b.example" }';
  assert.deepEqual(warningsOf(route(...prefix) + longer), []);
});

test('a prefix whose ports leave out its origin, or whose paths have the prefix in front, is warned of', () => {
  const prefix = ['prefix: /a', 'origin: https://api.a.example'];
  const keys = (match: string): unknown => keysOf(warningsOf(route(...prefix, `match: { ${match} }`)));
  assert.deepEqual(keys('ports: [8443]'), ['match.ports']);
  assert.deepEqual(keys('ports: [443, 8443]'), []);
  assert.deepEqual(keys('paths: ["/a/*"]'), ['match.paths']);
  assert.deepEqual(keys('paths: ["/a/*", "/v1/*"]'), []);
});

test('a proxy that others can reach and that asks nobody who he is is warned of', () => {
  const [warning = '', ...more] = warningsOf('listen: { proxy: "0.0.0.0:3128" }');
  assert.match(warning, /^0\.yaml:1:11: warning: listen\.proxy is no loopback address, .*: known$/);
  assert.deepEqual(more, []);
  for (const quiet of ['listen: { proxy: "[::1]:3128" }', 'listen: { proxy: "localhost:1" }', ''])
    assert.deepEqual(warningsOf(quiet), []);
  const known = 'clients: [{ name: a, addresses: [10.0.0.0/8] }]\naccess: { clients: known }\n';
  assert.deepEqual(warningsOf(`${known}listen: { proxy: "0.0.0.0:3128" }`), []);
});

test('a credential without hosts goes to everybody, and one to plain http:// goes in clear: both are warned of', () => {
  const set = 'policy: { headers: { request: { set: { Authorization: x } } } }';
  const oauth2 = (scheme: string): string =>
    `credentials: { oauth2: { tokenUrl: "${scheme}://a.example/t", clientId: a, clientSecret: b } }`;
  const KEY = 'policy.headers.request.set.Authorization';
  const cases: [lines: string[], warned: string[]][] = [
    [[set], [KEY]],
    [['https: originate', set], [KEY]],
    [['match: { hosts: [a.example] }', set], [KEY]],
    [['match: { hosts: [a.example], ports: [443] }', set], []],
    [['match: { hosts: [a.example] }', 'https: originate', set], []],
    [['match: { hosts: [a.example] }', 'https: intercept', set], [KEY]],
    [['prefix: /a', 'origin: https://a.example', set], []],
    [['prefix: /a', 'origin: http://a.example', set], [KEY]],
    [['match: { hosts: [a.example] }', 'https: originate', oauth2('https')], []],
    [['https: originate', oauth2('https')], ['credentials.oauth2']],
    [['match: { hosts: [a.example] }', 'https: originate', oauth2('http')], ['credentials.oauth2.tokenUrl']],
    [['match: { hosts: [a.example] }', 'https: tunnel', 'credentials: { caller: refuse }'], ['credentials']],
    [['policy: { headers: { request: { set: { X-Tenant: blue } } } }'], []],
    [['policy: { headers: { response: { set: { X_Key: "${SECRET}" } } } }'], []],
    [
      ['policy: { headers: { request: { set: { X_Key: "${SECRET}" } } } }'],
      ['policy.headers.request.set.X_Key'],
    ],
  ];
  for (const [lines, warned] of cases) {
    const { config, written } = loadTexts([route(...lines)], { SECRET: 'c4n4ry' });
    const warnings = lint(config, written).map((one) => formatWarning(one).replace(/^.*\/(?=\d\.yaml)/, ''));
    assert.deepEqual(keysOf(warnings), warned, lines.join('\n'));
    assert.ok(!warnings.join('').includes('c4n4ry'));
  }
});

test('a credential of the default policy is warned of once, and not again on every route that inherits it', () => {
  const warnings = warningsOf(
    'policy: { headers: { request: { set: { Cookie: a=b } } } }',
    route('match: { hosts: [a.example] }', 'https: originate'),
  );
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0] ?? '',
    /^0\.yaml:1:\d+: warning: policy\.headers\.request\.set\.Cookie is for every origin/,
  );
});

test('a report of what is not denied, and addresses or denied ports of what is, are warned of', () => {
  const cases: [lines: string[], warned: string[]][] = [
    [['report: true'], ['report']],
    [['access: deny', 'report: true'], []],
    [['access: deny', 'addresses: { allow: [10.0.0.0/8] }'], ['addresses']],
    [['access: deny', 'report: true', 'addresses: { allow: [10.0.0.0/8] }'], []],
    [['addresses: { allow: [10.0.0.0/8] }'], []],
    [['access: deny', 'match: { ports: [22] }'], ['match.ports']],
    [['match: { ports: [22] }'], []],
  ];
  for (const [lines, warned] of cases)
    assert.deepEqual(keysOf(warningsOf(route(...lines))), warned, lines.join(' '));
});

test('attempts that take longer than the whole may are warned of, with the sum', () => {
  const warnings = warningsOf(
    'policy:\n  timeouts:\n    head: 30s\n    total: 60s\n  retry: { attempts: 3, backoff: { initial: 100ms, max: 5s } }\n',
  );
  assert.deepEqual(warnings, [
    '0.yaml:4:5: warning: policy.timeouts.total leaves less time than the attempts may take: timeouts.total is 1m, and 3 × 30s + 300ms of backoff is 90300ms; lower timeouts.head or retry.attempts, or raise timeouts.total',
  ]);
  assert.deepEqual(warningsOf('policy: { timeouts: { head: 1s, total: 3300ms } }'), []);
  assert.equal(warningsOf('policy: { timeouts: { head: 1s, total: 3299ms } }').length, 1);
  // What a route inherits is told of once.
  const inherited = warningsOf(
    'policy: { timeouts: { head: 1s, total: 1s } }\nroutes: [{ name: a, match: { hosts: [a.example] } }, { name: b }]',
  );
  assert.equal(inherited.length, 1);
  assert.deepEqual(keysOf(warningsOf(route('policy: { timeouts: { total: 10s } }'))), [
    'policy.timeouts.total',
  ]);
  assert.deepEqual(warningsOf(route('https: tunnel', 'policy: { timeouts: { total: 10s } }')), []);
});

test('a circuit that a hanging origin cannot open is warned of', () => {
  // 8 connections, each held for 30 s: 8 attempts end within 10 s.
  assert.deepEqual(keysOf(warningsOf(route('policy: { pool: { connections: 8 } }'))), [
    'policy.pool.connections',
  ]);
  const [warning = ''] = warningsOf(route('policy: { breaker: { minimumCalls: 100 } }'));
  assert.match(
    warning,
    /^0\.yaml:3:26: .* with 64 at once and timeouts\.head 30s, no more than 64 attempts end within 10s, and breaker\.minimumCalls is 100$/,
  );
  for (const fine of [
    'policy: { pool: { connections: 8 }, timeouts: { head: 2s } }',
    'policy: { pool: { connections: 8 }, breaker: { minimumCalls: 8 } }',
    'policy: { pool: { connections: 8 }, breaker: null }',
    'policy: { breaker: { minimumCalls: 64 } }',
  ])
    assert.deepEqual(warningsOf(route(fine)), [], fine);
  assert.deepEqual(
    warningsOf(route('https: originate', 'http2: true', 'policy: { pool: { connections: 1 } }')),
    [],
  );
});

test('more connections to one origin than there are for all is warned of', () => {
  assert.deepEqual(keysOf(warningsOf('limits: { connections: 50 }\npolicy: { pool: { connections: 51 } }')), [
    'policy.pool.connections',
  ]);
  assert.deepEqual(warningsOf('limits: { connections: 50 }'), []);
});

test('a route that another takes everything from is warned of, at its name', () => {
  const warnings = warningsOf(
    'routes:\n  - name: all\n    match: { hosts: ["*.example"] }\n  - match: { hosts: [a.example] }\n    name: one\n',
  );
  assert.deepEqual(warnings, [
    '0.yaml:5:5: warning: routes[1] (one) is never taken: all ahead of it takes all that it matches; move it up, or leave it out',
  ]);
});
