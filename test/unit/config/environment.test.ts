import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../../src/config/load.ts';
import { loadTexts, problemsOf } from './sources.ts';

test('a variable overrides one key of every file, whatever the case of its path', () => {
  const { config } = loadTexts(['policy: { pool: { connections: 1, queue: 2 } }'], {
    OUTRIGGER__POLICY__POOL__CONNECTIONS: '3',
    outrigger__policy__timeouts__head: '800ms',
    OUTRIGGER__RequestId__Accept: 'false',
  });
  assert.equal(config.policy.pool.connections, 3);
  assert.equal(config.policy.pool.queue, 2);
  assert.equal(config.policy.timeouts.headMs, 800);
  assert.equal(config.requestId.accept, false);
});

test('a single value needs no quotes', () => {
  const { config } = loadTexts([], {
    OUTRIGGER__LISTEN__PROXY: '[::1]:3128',
    OUTRIGGER__LISTEN__ADMIN: ' "127.0.0.1:1" ',
    OUTRIGGER__POLICY__HEADERS__REQUEST__SET__X_VERSION: '12',
    OUTRIGGER__POLICY__TIMEOUTS__TOTAL: 'null',
    OUTRIGGER__POLICY__BREAKER: 'null',
  });
  assert.deepEqual(config.listen.proxy, { host: '::1', port: 3128 });
  assert.deepEqual(config.listen.admin, { host: '127.0.0.1', port: 1 });
  assert.deepEqual(config.policy.headers.request.set, [['X_VERSION', '12']]);
  assert.equal(config.policy.timeouts.totalMs, null);
  assert.equal(config.policy.breaker, null);
});

test('lists and mappings are written in the flow style, and a single key is laid over them', () => {
  const { config } = loadTexts(['routes: [{ name: a }]'], {
    OUTRIGGER__ROUTES: '[{ name: b }, { name: c, access: deny }]',
    OUTRIGGER__ACCESS__TUNNELPORTS: '[443, 8443]',
    OUTRIGGER__POLICY__POOL: '{ connections: 5, queue: 6 }',
    OUTRIGGER__POLICY__POOL__QUEUE: '7',
  });
  assert.deepEqual(
    config.routes.map((route) => route.name),
    ['b', 'c'],
  );
  assert.deepEqual(config.access.tunnelPorts, [443, 8443]);
  assert.equal(config.policy.pool.connections, 5);
  assert.equal(config.policy.pool.queue, 7);
});

test('references are resolved in variables too', () => {
  const env = {
    LEVEL: 'warn',
    OUTRIGGER__LOG__LEVEL: '${LEVEL}',
    OUTRIGGER__ROUTES: '[{ name: "${NAME:-a}" }]',
  };
  const { config } = loadTexts([], env);
  assert.equal(config.log.level, 'warn');
  assert.equal(config.routes[0]?.name, 'a');
});

test('a problem of a variable begins with its name', () => {
  const cases: [string, string, RegExp][] = [
    [
      'OUTRIGGER__LISTEN__PROXI',
      '1',
      /^OUTRIGGER__LISTEN__PROXI: unknown key "PROXI" in listen; did you mean "proxy"\?$/,
    ],
    ['OUTRIGGER__', '1', /^OUTRIGGER__: unknown key "" at the top; the keys there are listen, /],
    [
      'OUTRIGGER__LOG__LEVEL',
      'inof',
      /^OUTRIGGER__LOG__LEVEL: log.level must be one of .*, not "inof"; did you mean "info"\?$/,
    ],
    ['OUTRIGGER__LOG__LEVEL', '', /^OUTRIGGER__LOG__LEVEL: log.level has no value/],
    [
      'OUTRIGGER__LOG__LEVEL',
      '${GONE}',
      /^OUTRIGGER__LOG__LEVEL: log.level needs the environment variable GONE/,
    ],
    ['OUTRIGGER__LOG__LEVEL__X', '1', /^OUTRIGGER__LOG__LEVEL__X: log.level can only be set as a whole$/],
    ['OUTRIGGER__ROUTES__0__NAME', 'a', /^OUTRIGGER__ROUTES__0__NAME: routes can only be set as a whole$/],
    ['OUTRIGGER__ROUTES', '[{', /^OUTRIGGER__ROUTES: /],
    [
      'OUTRIGGER__ROUTES',
      '["${GONE}"]',
      /^OUTRIGGER__ROUTES: routes\[0\] needs the environment variable GONE/,
    ],
    ['OUTRIGGER__POLICY', 'x', /^OUTRIGGER__POLICY: policy must be a mapping/],
    [
      'OUTRIGGER__POLICY__POOL__QUEUE',
      '1.5',
      /^OUTRIGGER__POLICY__POOL__QUEUE: policy.pool.queue must be a whole number/,
    ],
    [
      'OUTRIGGER__POLICY__HEADERS__REQUEST__SET__HOST',
      'x',
      /^OUTRIGGER__POLICY__HEADERS__REQUEST__SET__HOST: .*may be set/,
    ],
    [
      'OUTRIGGER__POLICY__HEADERS__REQUEST__SET__constructor',
      'x',
      /^OUTRIGGER__POLICY__HEADERS__REQUEST__SET__constructor: /,
    ],
  ];
  for (const [name, value, pattern] of cases) {
    const problems = problemsOf([], { [name]: value });
    assert.ok(problems.length >= 1, name);
    for (const problem of problems) assert.match(problem, pattern);
  }
});

test('two variables for one key are an error', () => {
  const env = { OUTRIGGER__LOG__LEVEL: 'info', OUTRIGGER__log__level: 'warn' };
  assert.deepEqual(problemsOf([], env), [
    'OUTRIGGER__log__level: sets log.level, and so does OUTRIGGER__LOG__LEVEL',
  ]);
});

test('variables of others are left alone', () => {
  assert.deepEqual(problemsOf([], { OUTRIGGER_SERVICE_HOST: 'x', OUTRIGGER: 'x', PATH: '/bin' }), []);
});

test('the command line is laid over the environment, and wrong paths and values are named as there', () => {
  const load = (set: string[], env: Record<string, string> = {}) => loadConfig({ files: [], env, set });
  const { config } = load(
    ['limits.connections=7', 'policy.retry={ attempts: 2 }', 'policy.retry.attempts=4', 'LOG.Level=warn'],
    { OUTRIGGER__LIMITS__CONNECTIONS: '8', OUTRIGGER__LIMITS__EXCHANGES: '9' },
  );
  assert.deepEqual([config.limits.connections, config.limits.exchanges], [7, 9]);
  assert.equal(config.policy.retry.attempts, 4);
  assert.equal(config.log.level, 'warn');
  const problem = (set: string[]): string => {
    try {
      load(set);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.match(
    problem(['limits.conections=7']),
    /^--set limits\.conections: unknown key .* did you mean "connections"\?$/,
  );
  assert.match(
    problem(['limits.connections=x']),
    /^--set limits\.connections: limits\.connections must be a whole number/,
  );
  assert.match(
    problem(['log.level=info', 'log.level=warn']),
    /^--set log\.level: sets log\.level, and so does/,
  );
  assert.match(problem(['routes.0.name=x']), /^--set routes\.0\.name: routes can only be set as a whole$/);
  // Only the first = ends the path.
  assert.equal(load(['admin.token=abcdefghijklmnop==']).config.admin.token, 'abcdefghijklmnop==');
});
