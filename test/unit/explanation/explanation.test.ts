import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration } from '../../../src/config/units.ts';
import { Explainer, type Step, UnknownClientError } from '../../../src/explanation/explanation.ts';
import { explanationText } from '../../../src/explanation/explanation-text.ts';
import { loadTexts } from '../config/sources.ts';

const YAML = `
policy:
  timeouts: { head: 2s }
clients:
  - { name: pay, username: pay, password: "hidden-1" }
routes:
  - name: admin
    match: { hosts: [api.fraud.example], paths: ["/admin/*"] }
    access: deny
  - name: fraud
    match: { hosts: [api.fraud.example], methods: [POST, CONNECT] }
    https: intercept
    credentials: { caller: remove, oauth2: { tokenUrl: "https://auth.example/t", clientId: x, clientSecret: hidden-2 } }
    policy: { retry: { attempts: 2 }, headers: { request: { set: { X-Key: "hidden-3" } } } }
  - name: plain
    match: { hosts: ["*.plain.example"] }
    https: originate
    prefix: /plain
    origin: https://a.plain.example/base
access: { deniedPorts: [22] }
`;

const loaded = loadTexts([YAML]);
const explainer = new Explainer(loaded);
const only = (method: string, url: string, client: string | null = null): Step =>
  explainer.explain(method, url, client).steps[0] as Step;
const valueOf = (step: Step, end: string) => step.values.find(({ key }) => key.endsWith(end));

test('a route is explained by what it asks for, and those ahead of it by what was not met', () => {
  const [connect, inside] = explainer.explain('POST', 'https://api.fraud.example/v1/score', 'pay').steps;
  assert.deepEqual(connect?.route, { name: 'fraud', index: 1, from: '0.yaml:10' });
  assert.match(connect.because, /says how HTTPS is handled/);
  assert.deepEqual(
    connect.met.map(({ condition, from }) => `${condition} ${from}`),
    ['hosts 0.yaml:11'],
  );
  assert.equal(inside?.via, 'intercept');
  assert.equal(inside.because, 'it is the first route that matches');
  assert.deepEqual(
    inside.earlier.map(({ route, unmet }) => [
      route.name,
      unmet.map((it) => `${it.condition} ${it.written}`),
    ]),
    [['admin', ['paths [/admin/*]']]],
  );
  const none = only('GET', 'http://elsewhere.example/');
  assert.equal(none.route.index, null);
  assert.equal(none.because, 'no route matches');
  assert.equal(none.earlier.length, 3);
});

test('each way is told: tunnel, interception, origination, prefix, and the request as it came', () => {
  const told = (method: string, url: string): string[] =>
    explainer.explain(method, url).steps.map(({ asked, reached }) => `${asked}: ${reached}`);
  assert.deepEqual(told('GET', 'https://elsewhere.example/x'), [
    'CONNECT elsewhere.example:443: tunnel: opaque, to elsewhere.example:443, which is dialled at once',
  ]);
  assert.deepEqual(told('GET', 'https://api.fraud.example/x'), [
    'CONNECT api.fraud.example:443: intercept: TLS ends here, once https://api.fraud.example:443 is verified',
    'GET /x: intercept: inside that tunnel, to https://api.fraud.example:443',
  ]);
  assert.deepEqual(told('GET', 'http://b.plain.example/x'), [
    'GET http://b.plain.example/x: originate: http:// comes in, TLS goes out to https://b.plain.example:443',
  ]);
  for (const url of ['/plain/x', 'http://127.0.0.1:3128/plain/x', 'http://localhost:3128/plain/x'])
    assert.deepEqual(told('GET', url), [
      `GET ${url}: prefix /plain: to https://a.plain.example:443 as /base/x`,
    ]);
  const [absolute, plain] = explainer.explain('GET', 'https://b.plain.example/x').alternatives;
  assert.equal(absolute?.via, 'forward');
  assert.equal(plain?.asked, 'GET http://b.plain.example/x');
  assert.equal(plain.via, 'originate');
});

test('a refusal is told with its status, its reason, and the key that makes it', () => {
  const cases: [Step, unknown[]][] = [
    [
      only('GET', 'http://api.fraud.example/admin/x', 'pay'),
      ['access_denied', 403, 'routes[0].access', '0.yaml:9'],
    ],
    [only('GET', 'http://elsewhere.example:22/'), ['port_denied', 403, 'access.deniedPorts', '0.yaml:20']],
    [only('CONNECT', 'elsewhere.example:8443'), ['tunnel_port_denied', 403, 'access.tunnelPorts', 'default']],
    [only('GET', 'http://169.254.169.254/'), ['address_denied', 403, 'access.addresses.deny', 'default']],
    [only('GET', '/elsewhere'), ['prefix_unknown', 404, null, null]],
    [only('GET', 'ftp://a.example/'), ['target_unusable', 400, null, null]],
  ];
  for (const [{ access, asked }, expected] of cases)
    assert.deepEqual([access.error, access.status, access.key, access.from], expected, asked);
  // Whoever could say who they are is asked to.
  assert.equal(only('GET', 'http://api.fraud.example/admin/x').access.error, 'client_unauthenticated');
});

test('values are those that are in force, each with its place, and secrets are masked', () => {
  const step = explainer.explain('POST', 'https://api.fraud.example/v1', 'pay').steps[1] as Step;
  assert.deepEqual(valueOf(step, 'policy.timeouts.head')?.toJSON(), {
    key: 'routes[1].policy.timeouts.head',
    value: '2s',
    from: '0.yaml:3',
  });
  assert.equal(valueOf(step, 'retry.attempts')?.from, '0.yaml:14');
  assert.equal(valueOf(step, 'timeouts.connect')?.from, 'default');
  for (const end of ['clientSecret', 'set.X-Key']) assert.equal(valueOf(step, end)?.shown, '***', end);
  const policy = loaded.config.routes[1]?.policy;
  for (const [key, ms] of Object.entries({ ...policy?.timeouts })) {
    const shown = valueOf(step, `policy.timeouts.${key.slice(0, -2)}`)?.shown;
    assert.equal(shown === null ? null : parseDuration(shown as string), ms, key);
  }
  const explanation = explainer.explain('POST', 'https://api.fraud.example/v1', 'pay');
  for (const text of [JSON.stringify(explanation), explanationText(explanation)])
    assert.doesNotMatch(text, /hidden-\d/);
});

test('for people it is lines of text, with the sum and the places', () => {
  const text = explanationText(explainer.explain('GET', 'http://b.plain.example/x'));
  assert.match(
    text,
    /^GET http:\/\/b\.plain\.example\/x\n {3}route {4}plain \(0\.yaml:15\): it is the first route that matches\n/,
  );
  assert.match(text, /and 2 earlier routes about other hosts/);
  assert.match(text, /time {5}heads: at worst 3 × 2 s \+ 300 ms of backoff = 6\.3 s/);
  assert.match(text, /^ {5}policy\.timeouts\.head +2s +0\.yaml:3$/m);
  assert.doesNotMatch(text, /[^\S\n]$/m);
});

test('nothing that is asked makes it throw, but a client that is not there', () => {
  for (const url of [
    '',
    '*',
    '://',
    'http://',
    'https://',
    'https://a:b@c/',
    'https://a:99999/',
    'http://[::1',
    '\0',
  ])
    for (const method of ['GET', 'CONNECT', 'OPTIONS', 'TRACE', '']) explainer.explain(method, url);
  assert.throws(() => explainer.explain('GET', 'http://a.example/', 'nobody'), UnknownClientError);
});

test('a reading of the path on which access depends is named', () => {
  const { notes, route } = only('GET', 'http://api.fraud.example/v1/%2e%2e/admin/x', 'pay');
  assert.equal(route.name, 'admin');
  assert.deepEqual(notes, []);
  const { notes: passing } = only('GET', 'http://elsewhere.example/v1/%2e%2e/x', 'pay');
  assert.ok(
    passing.some((note) => /every reading of it counts: .*\/x/.test(note)),
    passing.join('\n'),
  );
});
