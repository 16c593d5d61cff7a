import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { configFiles, loadConfig } from '../../../src/config/load.ts';
import { SecretText } from '../../../src/policy/secret-text.ts';
import { inDirectory, loadTexts, problemsOf } from './sources.ts';

/** Exactly one problem, which begins with a place and matches. */
function assertProblem(
  text: string | Buffer,
  place: string,
  pattern: RegExp,
  env: Record<string, string> = {},
): void {
  const problems = problemsOf([text], env);
  assert.equal(problems.length, 1, `${String(text).slice(0, 80)}: ${problems.join('\n')}`);
  const [problem = ''] = problems;
  assert.ok(problem.startsWith(`${place}: `), problem);
  assert.match(problem, pattern);
}

test('an empty file, a file of comments and no file at all are valid and the same', () => {
  const nothing = loadConfig({ files: [], env: {} }).config;
  for (const text of ['', '\n', '# only a comment\n', '---\n', '{}', '\ufeff']) {
    assert.deepEqual(loadTexts([text]).config, nothing, JSON.stringify(text));
  }
});

test('the defaults are those of the design', () => {
  const { config } = loadConfig({ files: [], env: {} });
  assert.deepEqual(config.listen.proxy, { host: '127.0.0.1', port: 3128 });
  assert.equal(config.listen.telemetry, null);
  assert.equal(config.limits.replayBytes, 16 * 1024 * 1024);
  assert.equal(config.policy.timeouts.headMs, 30_000);
  assert.equal(config.policy.timeouts.totalMs, null);
  assert.equal(config.policy.retry.budget.ratio, 0.2);
  assert.equal(config.policy.breaker?.failureRatio, 0.5);
  assert.deepEqual(config.access.tunnelPorts, [443]);
});

test('the log is for people on a terminal, unless a source says otherwise', () => {
  assert.equal(loadConfig({ files: [], env: {} }).config.log.format, 'json');
  assert.equal(loadConfig({ files: [], env: {}, terminal: true }).config.log.format, 'pretty');
  const env = { OUTRIGGER__LOG__FORMAT: 'json' };
  assert.equal(loadConfig({ files: [], env, terminal: true }).config.log.format, 'json');
});

test('an unknown key is an error at its own position, with the nearest known key', () => {
  assertProblem(
    'policy:\n  retries: {}\n',
    '0.yaml:2:3',
    /unknown key "retries" in policy; did you mean "retry"\?/,
  );
  assertProblem('polcy: {}\n', '0.yaml:1:1', /unknown key "polcy" at the top; did you mean "policy"\?/);
  assertProblem('log: { toString: 1 }\n', '0.yaml:1:8', /the keys there are level, format, query/);
});

test('a prefix and an origin need each other, and each prefix has one route', () => {
  const route = (keys: string): string => `routes:\n  - name: a\n    ${keys}\n`;
  assertProblem(route('prefix: /a'), '0.yaml:3:13', /prefix needs an origin beside it/);
  assertProblem(route('origin: "https://a.example"'), '0.yaml:3:13', /needs a prefix beside it/);
  for (const prefix of ['a', '/a/', '/a//b', '/a/../b', '/a?b', '/a%2fb', '//a']) {
    assertProblem(
      route(`{ prefix: "${prefix}" }`).replace(/\{ | \}/g, ''),
      '0.yaml:3:13',
      /must be a path such as/,
    );
  }
  for (const origin of [
    'api.example',
    'ftp://a.example',
    'https://u@a.example',
    'https://a.example/../b',
    'https://a.example?x',
    'https://*.a.example',
    'https://a.example:0',
  ]) {
    assertProblem(
      `routes:\n  - name: a\n    prefix: /a\n    origin: "${origin}"\n`,
      '0.yaml:4:13',
      /must be an http or https URL/,
    );
  }
  const twice = '  - { name: a, prefix: /a, origin: "https://a.example" }\n';
  assertProblem(`routes:\n${twice}${twice.replace('name: a', 'name: b')}`, '0.yaml:3:24', /must be unique/);
});

test('a route with a prefix and no hosts is about its origin and nothing else', () => {
  const { config } = loadTexts(['routes: [{ name: a, prefix: /a, origin: "https://API.example:8443/v1/" }]']);
  const [route] = config.routes;
  assert.deepEqual(route?.origin, { scheme: 'https', host: 'api.example', port: 8443, basePath: '/v1' });
  assert.deepEqual(route?.match, {
    hosts: ['api.example'],
    ports: [8443],
    methods: [],
    paths: [],
    clients: [],
  });
});

test('verification is switched off only with a reason and until a day that has not passed', () => {
  const insecure = (keys: string): string => `routes: [{ name: a, tls: { insecure: { ${keys} } } }]`;
  assertProblem(insecure('reason: x, until: 2020-01-01'), '0.yaml:1:58', /is past/);
  assertProblem(insecure('reason: x, until: 2999-02-30'), '0.yaml:1:58', /must be a day such as/);
  assertProblem(insecure('until: 2999-01-01'), '0.yaml:1:38', /reason is missing/);
  assertProblem(insecure('reason: "", until: 2999-01-01'), '0.yaml:1:48', /must be a reason in words/);
  const { config } = loadTexts([insecure('reason: ticket 4711, until: 2999-12-31')]);
  assert.equal(config.routes[0]?.tls?.insecure?.untilMs, Date.parse('3000-01-01T00:00:00Z'));
});

test('a wrong value is an error at its own position that says what is allowed', () => {
  const cases: [string, string, RegExp][] = [
    ['policy:\n  retry:\n    attempts: 11\n', '0.yaml:3:15', /must be a whole number from 1 to 10, not 11$/],
    ['policy: { timeouts: { head: 30 } }', '0.yaml:1:29', /must be a duration from 1ms to 24h, .*, not 30$/],
    ['policy: { timeouts: { head: null } }', '0.yaml:1:29', /, not null$/],
    ['limits: { headerBytes: 64KB }', '0.yaml:1:24', /must be a size from 1KiB to 1MiB, .*, not "64KB"$/],
    ['policy: { breaker: { failureRatio: 0% } }', '0.yaml:1:36', /above 0% to 100%/],
    ['policy: { retry: { budget: { ratio: 1001% } } }', '0.yaml:1:37', /from 0% to 1000%/],
    [
      'policy: { retry: { statuses: [503, 200] } }',
      '0.yaml:1:36',
      /statuses\[1\] must be a whole number from 400/,
    ],
    ['log: { level: inof }', '0.yaml:1:15', /one of trace, .*, not "inof"; did you mean "info"\?$/],
    ['requestId: { accept: yes }', '0.yaml:1:22', /must be true or false, not "yes"$/],
    ['requestId: { header: Cookie }', '0.yaml:1:22', /not one that frames a message/],
    ['requestId: { header: Content-Length }', '0.yaml:1:22', /not one that frames a message/],
    ['listen: { admin: 0.0.0.0:3129 }', '0.yaml:1:18', /loopback address .* unless admin.token is set$/],
    ['listen: { proxy: "localhost" }', '0.yaml:1:18', /an address such as 127.0.0.1:3128/],
    ['access: { addresses: { deny: [10.0.0.0/99] } }', '0.yaml:1:31', /a CIDR/],
    ['access: { tunnelPorts: [0] }', '0.yaml:1:25', /from 1 to 65535/],
    ['policy: []', '0.yaml:1:9', /must be a mapping with the keys pool, .*, not a list$/],
    ['policy: 5', '0.yaml:1:9', /must be a mapping .*, not a single value$/],
    ['routes: {}', '0.yaml:1:9', /must be a list, not a mapping$/],
    ['access: { tunnelPorts: 443 }', '0.yaml:1:24', /must be a list, not a single value$/],
    ['policy: { breaker: }', '0.yaml:1:20', /no value: leave the key out for its default, or write null$/],
    ['[1]', '0.yaml:1:1', /must be a mapping/],
    ['text', '0.yaml:1:1', /must be a mapping/],
  ];
  for (const [text, place, pattern] of cases) assertProblem(text, place, pattern);
});

test('a route has a name of its own that labels can hold', () => {
  assertProblem('routes: [{}]', '0.yaml:1:10', /routes\[0\].name is missing/);
  assertProblem('routes: [{ name: default }]', '0.yaml:1:18', /other than "default"/);
  assertProblem('routes: [{ name: A b }]', '0.yaml:1:18', /lower-case letters/);
  assertProblem(
    'routes: [{ name: a }, { name: a }]',
    '0.yaml:1:31',
    /must be unique, and routes\[0\] has the same/,
  );
});

test('what a route matches is checked and brought into one spelling', () => {
  const match =
    '{ hosts: [API.Fraud.Example., "*.x.example"], ports: [443], methods: [POST], paths: [/v1/*, /] }';
  const [route] = loadTexts([`routes: [{ name: a, match: ${match} }]`]).config.routes;
  assert.deepEqual(route?.match, {
    hosts: ['api.fraud.example', '*.x.example'],
    ports: [443],
    methods: ['POST'],
    paths: ['/v1/*', '/'],
    clients: [],
  });
  for (const wrong of [
    'hosts: ["a:80"]',
    'hosts: ["*"]',
    'methods: [post]',
    'methods: ["A B"]',
    'paths: [v1]',
    'paths: [/a*b]',
    'paths: [/a?b]',
    'paths: [/ä]',
    'ports: [65536]',
  ]) {
    assert.equal(problemsOf([`routes: [{ name: a, match: { ${wrong} } }]`]).length, 1, wrong);
  }
});

test('header edits keep off the fields that frame a message, and off values that would break one', () => {
  const { headers } = loadTexts([
    'policy: { headers: { request: { set: { X-A: "1", x-b: "" }, remove: [X-Debug] } } }',
  ]).config.policy;
  assert.deepEqual(headers.request, {
    set: [
      ['X-A', '1'],
      ['x-b', ''],
    ],
    remove: ['x-debug'],
  });
  for (const name of [
    'Host',
    'connection',
    'Content-Length',
    'Transfer-Encoding',
    'TE',
    'Trailer',
    'Upgrade',
    'Proxy-Status',
    'Keep-Alive',
    'Via',
    '"a b"',
    '":path"',
    '"toString "',
  ]) {
    assertProblem(
      `policy: { headers: { response: { set: { ${name}: x } } } }`,
      '0.yaml:1:41',
      /a header field that may be set/,
    );
    assertProblem(
      `policy: { headers: { response: { remove: [${name}] } } }`,
      '0.yaml:1:43',
      /a header field that may be removed/,
    );
  }
  for (const value of ['"a\\nb"', '"a\\rb"', '"a\\0b"', '"\\u0100"', '5', 'null', '[x]']) {
    assertProblem(
      `policy: { headers: { request: { set: { X-A: ${value} } } } }`,
      '0.yaml:1:45',
      /a text on one line/,
    );
  }
  assertProblem('policy: { headers: { request: { set: { X-A: a, x-a: b } } } }', '0.yaml:1:48', /set twice/);
});

test('rules between two keys are judged on what is effective', () => {
  assertProblem(
    'policy: { retry: { backoff: { initial: 10s } } }',
    '0.yaml:1:40',
    /not be longer than backoff.max/,
  );
  assertProblem('policy: { breaker: { openForMax: 1s } }', '0.yaml:1:20', /openFor must not be longer/);
  assertProblem('listen: { admin: 127.0.0.1:3128 }', '0.yaml:1:18', /must not be the port of listen.proxy/);
  assertProblem('listen: { telemetry: 0.0.0.0:3129 }', '0.yaml:1:22', /must not be the port of/);
  const split = [
    'policy: { retry: { backoff: { initial: 10s } } }',
    'policy: { retry: { backoff: { max: 20s } } }',
  ];
  assert.deepEqual(problemsOf(split), []);
  assertProblem(
    'routes: [{ name: a, policy: { retry: { backoff: { initial: 10s } } } }]',
    '0.yaml:1:60',
    /routes\[0\].policy.retry.backoff.initial/,
  );
});

test('every problem of every source is reported at once, in reading order, each once', () => {
  const first =
    'log: { level: x, nope: 1 }\nroutes: [{ name: a }, { name: b }]\npolicy: { pool: { connections: 0 } }\n';
  const second = 'policy: { pool: { connections: 70000 }, retry: { backoff: { initial: 6s } } }\n';
  const places = problemsOf([first, second], { OUTRIGGER__LOG__LEVEL: 'y', OUTRIGGER__NOPE: '1' }).map(
    (problem) => problem.slice(0, problem.indexOf(': ')),
  );
  assert.deepEqual(places, [
    '0.yaml:1:15',
    '0.yaml:1:18',
    '0.yaml:3:32',
    '1.yaml:1:32',
    '1.yaml:1:70',
    'OUTRIGGER__NOPE',
    'OUTRIGGER__LOG__LEVEL',
  ]);
});

test('what YAML has beyond values is refused where it stands', () => {
  assertProblem('log: {}\nlog: {}\n', '0.yaml:2:1', /the key "log" is given twice/);
  assertProblem('log:\n  <<: { level: info }\n', '0.yaml:2:3', /merge keys/);
  assertProblem('log: !secret x\n', '0.yaml:1:6', /unknown tag/);
  assertProblem('log: {}\n---\nlog: {}\n', '0.yaml:2:1', /one document/);
  assertProblem('%YAML 1.1\n---\nlog: {}\n', '0.yaml:1:1', /YAML 1.2/);
  assertProblem('__proto__: { a: 1 }\n', '0.yaml:1:1', /not allowed/);
  assertProblem('log: { constructor: 1 }\n', '0.yaml:1:8', /not allowed/);
  assertProblem('? [a]\n: 1\n', '0.yaml:1:3', /key/);
  assertProblem('log: *nothing\n', '0.yaml:1:6', /no anchor of that name above; quote/);
  assert.ok(problemsOf(['routes: &a\n  - *a\n']).includes('0.yaml:2:5: nested deeper than 64 levels'));
  const deep = `log: ${'['.repeat(70)}${']'.repeat(70)}\n`;
  assert.ok(problemsOf([deep]).includes('0.yaml:1:70: nested deeper than 64 levels'));
});

test('aliases are followed, and cannot blow a document up', () => {
  const text = 'policy: { timeouts: &t { head: 1s } }\nroutes: [{ name: a, policy: { timeouts: *t } }]\n';
  const { config } = loadTexts([text]);
  assert.equal(config.routes[0]?.policy.timeouts, config.policy.timeouts);
  let bomb = 'a0: &a0 [x]\n';
  for (let i = 1; i < 30; i++) bomb += `a${i}: &a${i} [*a${i - 1}, *a${i - 1}]\n`;
  assert.ok(problemsOf([bomb]).some((problem) => problem.includes('aliases make the document too large')));
});

test('a file that cannot be read is one clear line with its name', () => {
  inDirectory((directory) => {
    const missing = join(directory, 'missing.yaml');
    assert.throws(() => loadConfig({ files: [missing], env: {} }), {
      message: `${missing}: cannot be read: there is no such file`,
    });
    assert.throws(() => loadConfig({ files: [directory], env: {} }), {
      message: `${directory}: cannot be read: it is a directory`,
    });
  });
  assert.deepEqual(problemsOf([' '.repeat(1024 * 1024 + 1)]), ['0.yaml: is larger than 1 MiB']);
  assert.deepEqual(problemsOf([Buffer.from([0x61, 0xff])]), ['0.yaml: is not UTF-8 text']);
});

test('OUTRIGGER_CONFIG names the files when the command line does not', () => {
  assert.deepEqual(configFiles([], { OUTRIGGER_CONFIG: 'a.yaml:/b/c.yaml' }), ['a.yaml', '/b/c.yaml']);
  assert.deepEqual(configFiles(['d.yaml'], { OUTRIGGER_CONFIG: 'a.yaml' }), ['d.yaml']);
  assert.deepEqual(configFiles([], { OUTRIGGER_CONFIG: '' }), []);
  inDirectory((directory) => {
    writeFileSync(join(directory, 'a.yaml'), 'log: { level: warn }');
    const env = { OUTRIGGER_CONFIG: join(directory, 'a.yaml') };
    assert.equal(loadConfig({ files: [], env }).config.log.level, 'warn');
  });
});

test('${NAME} and ${NAME:-default} take the environment, and the key decides the type', () => {
  const text =
    'log: { level: "${LEVEL}" }\npolicy: { retry: { attempts: "${N:-2}" } }\nrequestId: { accept: "${A:-false}" }\n';
  const { config } = loadTexts([text], { LEVEL: 'warn', N: '' });
  assert.equal(config.log.level, 'warn');
  assert.equal(config.policy.retry.attempts, 2);
  assert.equal(config.requestId.accept, false);
  const header = 'policy: { headers: { request: { set: { X-A: "a$${b}-${C}" } } } }';
  assert.deepEqual(loadTexts([header], { C: '${D}' }).config.policy.headers.request.set, [
    ['X-A', 'a${b}-${D}'],
  ]);
});

test('${file:PATH} is relative to its configuration file, and its last newline does not count', () => {
  inDirectory((directory) => {
    mkdirSync(join(directory, 'secrets'));
    writeFileSync(join(directory, 'secrets', 'token'), 'abc\n');
    const file = join(directory, 'a.yaml');
    writeFileSync(
      file,
      'policy: { headers: { request: { set: { Authorization: "Bearer ${file:secrets/token}" } } } }',
    );
    const { config } = loadConfig({ files: [file], env: {} });
    const [[name, value] = []] = config.policy.headers.request.set;
    assert.equal(name, 'Authorization');
    assert.ok(value instanceof SecretText);
    assert.equal(value.value, 'Bearer abc');
    assert.deepEqual(value.files, [join(directory, 'secrets', 'token')]);
    assert.deepEqual(config.secrets, [value]);
  });
});

test('only header values and the client secret are read again; elsewhere the content of a file is a text', () => {
  inDirectory((directory) => {
    writeFileSync(join(directory, 's'), 'abc');
    writeFileSync(join(directory, 'h'), 'api.example');
    const file = join(directory, 'a.yaml');
    const lines = [
      'policy: { headers: { response: { set: { X-A: "${file:s}${A}$${", X-B: "${A}" } } } }',
      'routes:',
      '  - name: a',
      '    match: { hosts: ["${file:h}"] }',
      '    credentials: { oauth2: { tokenUrl: "https://t.example/t", clientId: "${file:s}", clientSecret: "${file:s}" } }',
      '  - name: b',
      '    match: { hosts: [b.example] }',
      '    policy: { timeouts: { head: 1s } }',
    ];
    writeFileSync(file, lines.join('\n'));
    const { config } = loadConfig({ files: [file], env: { A: 'env' } });
    const [a, b] = config.routes;
    assert.equal(config.secrets.length, 2);
    const [[, first], [, second]] = config.policy.headers.response.set as [
      [string, unknown],
      [string, unknown],
    ];
    assert.ok(first instanceof SecretText);
    assert.equal(first.value, 'abcenv${');
    assert.equal(second, 'env');
    assert.equal(b?.policy.headers, config.policy.headers, 'what a route inherits is the same holder');
    assert.deepEqual(a?.match.hosts, ['api.example']);
    assert.equal(a?.credentials?.oauth2?.clientId, 'abc');
    assert.ok(a?.credentials?.oauth2?.clientSecret instanceof SecretText);
    assert.ok(!JSON.stringify(config.secrets).includes('abc'), 'no secret is made JSON');
  });
});

test('an empty file is no secret, and what a header cannot carry is refused without being shown', () => {
  inDirectory((directory) => {
    const file = join(directory, 'a.yaml');
    writeFileSync(file, 'policy: { headers: { request: { set: { X-A: "Bearer ${file:s}" } } } }');
    const problem = (content: string | Buffer): string => {
      writeFileSync(join(directory, 's'), content);
      try {
        loadConfig({ files: [file], env: {} });
      } catch (error) {
        return (error as Error).message;
      }
      return assert.fail('it was taken');
    };
    for (const empty of ['', '\n', '\r\n']) assert.match(problem(empty), /needs the file s, which is empty$/);
    for (const bad of ['c4n4ry\r\nX: y', 'c4n4ry\n\n', 'c4n4ry\0', 'c4n4ry\u20ac', 'c4n4ry\x7f']) {
      assert.match(problem(bad), /set.X-A must be a text on one line, in Latin-1/);
      assert.doesNotMatch(problem(bad), /c4n4ry/);
    }
    assert.match(problem(Buffer.from([0xff, 0xfe])), /is not UTF-8 text$/);
  });
});

test('what is missing is an error at its position, and the only one', () => {
  assertProblem(
    'log:\n  level: "${LEVEL}"\n',
    '0.yaml:2:10',
    /log.level needs the environment variable LEVEL, which is not set$/,
  );
  assertProblem('routes: [{ name: "${NAME}" }]', '0.yaml:1:18', /NAME/);
  assertProblem('routes: ["${NAME}"]', '0.yaml:1:10', /NAME/);
  assertProblem(
    'log: { level: "${file:nowhere}" }',
    '0.yaml:1:15',
    /needs the file nowhere, which cannot be read/,
  );
  for (const reference of ['${', '${}', '${a b}', '${A', '${A:b}', '${1}']) {
    assertProblem(`log: { level: '${reference}' }`, '0.yaml:1:15', /write \$\$\{ for a literal/);
  }
});

test('a secret is never part of a message', () => {
  const env = { SECRET: 'hunter2\n', OUTRIGGER__POLICY__HEADERS__REQUEST__SET__X_B: 'hunter2\u0100' };
  const keys = [
    'log: { level: "${SECRET}" }',
    'listen: { proxy: "${SECRET}" }',
    'routes: "${SECRET}"',
    'limits: { origins: "${SECRET}" }',
  ];
  const header = 'policy: { headers: { request: { set: { X-A: "${SECRET}" } } } }';
  const plain = 'policy: { headers: { request: { set: { X-A: "hunter2\\n" }, remove: ["${SECRET}"] } } }';
  for (const text of [...keys, header, plain]) {
    const problems = problemsOf([text], env);
    assert.ok(problems.length >= 2, text);
    assert.ok(!problems.join().includes('hunter2'), problems.join());
  }
});

test('a value in a message is short and has nothing that a terminal obeys', () => {
  const [long = ''] = problemsOf([`log: { level: ${'x'.repeat(10_000)} }`]);
  assert.ok(long.length < 300);
  const [control = ''] = problemsOf(['log: { level: "\\e[31m\\x9b\\u202e\\n" }']);
  assert.match(control, /^[\x20-\x7e]*$/);
});

test('a file of nothing but mistakes gives a bounded list', () => {
  const text = Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join('\n');
  const problems = problemsOf([text]);
  assert.equal(problems.length, 201);
  assert.match(problems.at(-1) ?? '', /and 19800 more problems/);
});

test('paths of files are relative to the file that names them', () =>
  inDirectory((directory) => {
    const path = (name: string): string => join(directory, name);
    const yaml =
      'intercept: { bundle: b/ca.pem, ca: { cert: ca.pem, key: /abs/ca.key } }\nroutes: [{ name: a, tls: { ca: ../x.pem } }]\n';
    writeFileSync(path('a.yaml'), yaml);
    const env = { OUTRIGGER__INTERCEPT__BUNDLE: 'c.pem' };
    const { config } = loadConfig({ files: [path('a.yaml')], env });
    assert.deepEqual(config.intercept.ca, { cert: path('ca.pem'), key: '/abs/ca.key' });
    assert.equal(config.routes[0]?.tls?.ca, join(path('.'), '../x.pem'));
    assert.equal(config.intercept.bundle, 'c.pem');
  }));

test('the admin listener leaves loopback only with a token that cannot be guessed, and is never shown', () => {
  const elsewhere = 'listen: { admin: 0.0.0.0:3129 }\n';
  const { admin, listen } = loadTexts([
    `${elsewhere}admin: { token: 0123456789abcdef, hosts: [A.Internal.] }`,
  ]).config;
  assert.deepEqual(admin, { token: '0123456789abcdef', hosts: ['a.internal'], exchanges: 256 });
  assert.equal(listen.admin.host, '0.0.0.0');
  for (const token of [
    '0123456789abcde',
    '"c4n4ry c4n4ry c4n4ry"',
    'c4n4ryc4n4ryc4n4ry\u00e9',
    '"c4n4ryc4n4ry\\r\\nX: y"',
  ])
    for (const [, problem = ''] of problemsOf([`admin: { token: ${token} }`]).entries()) {
      assert.match(
        problem,
        /^0.yaml:1:17: admin.token must be a token of 16 to 512 characters: .*= at its end$/,
      );
      assert.doesNotMatch(problem, /c4n4ry/);
    }
  assertProblem('admin: { token: short }', '0.yaml:1:17', /16 to 512 characters/);
  assertProblem('admin: { hosts: [a.internal] }', '0.yaml:1:17', /hosts needs admin.token/);
  assertProblem('admin: { token: 0123456789abcdef, hosts: ["*.internal"] }', '0.yaml:1:43', /a host such as/);
  const split = [elsewhere, 'admin: { token: 0123456789abcdef }'];
  assert.deepEqual(problemsOf(split), []);
});
