import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadTexts, problemsOf } from './sources.ts';

const route = (text: string): string => `routes:\n  - name: a\n    ${text}\n`;

const routeOf = (text: string) => loadTexts([route(text)]).config.routes[0];

function refused(text: string, says: RegExp, place = '0.yaml:3:'): void {
  const problems = problemsOf([route(text)]);
  assert.equal(problems.length, 1, `${text}: ${problems.join('\n')}`);
  assert.ok(problems[0]?.startsWith(place), problems[0]);
  assert.match(problems[0] ?? '', says);
}

test('a route that says nothing of HTTPS has none of its settings', () => {
  const { https, prefix, origin, tls, http2 } = routeOf('access: allow') ?? {};
  assert.deepEqual(
    { https, prefix, origin, tls, http2 },
    { https: null, prefix: null, origin: null, tls: null, http2: false },
  );
});

test('https is one of three words, or null', () => {
  for (const word of ['tunnel', 'originate', 'intercept'])
    assert.equal(routeOf(`https: ${word}`)?.https, word);
  assert.equal(routeOf('https: null')?.https, null);
  refused('https: intercpt', /must be one of tunnel, originate, intercept, .*did you mean "intercept"\?/);
});

test('a prefix is a plain path, needs its origin, and belongs to one route', () => {
  const text = 'prefix: /a/b\n    origin: https://B.example/v1/';
  const { prefix, origin, match } = routeOf(text) ?? {};
  assert.equal(prefix, '/a/b');
  assert.deepEqual(origin, { scheme: 'https', host: 'b.example', port: 443, basePath: '/v1' });
  assert.deepEqual(match, { hosts: ['b.example'], ports: [443], methods: [], paths: [], clients: [] });
  for (const wrong of ['a', '/a/', '//', '/a/../b', '/a%2fb', '/a?b', '""'])
    refused(`prefix: ${wrong}\n    origin: http://b`, /prefix must be a path/);
  refused('prefix: /a', /prefix needs an origin beside it/);
  refused('origin: http://b', /origin is where a prefix goes, and needs a prefix beside it/);
  for (const wrong of [
    'b.example',
    'ftp://b',
    'https://b/?c',
    'https://u@b',
    'https://*.b',
    'https://b/../c',
  ])
    refused(`origin: "${wrong}"\n    prefix: /a`, /origin must be an http or https URL/);
  const twice = `${route('prefix: /a\n    origin: http://b')}  - name: b\n    prefix: /a\n    origin: http://c\n`;
  assert.match(
    problemsOf([twice]).join(),
    /^0\.yaml:6:13: routes\[1\]\.prefix must be unique, and routes\[0\] has the same$/,
  );
});

test('TLS has the defaults that a careful operator would choose', () => {
  assert.deepEqual(routeOf('tls: {}')?.tls, {
    ca: null,
    cert: null,
    key: null,
    servername: null,
    minVersion: 'TLSv1.2',
    insecure: null,
  });
});

test('a certificate needs its key, a key its certificate', () => {
  refused('tls: { cert: a.pem }', /tls\.cert needs both tls\.cert and tls\.key/);
  refused('tls: { key: a.pem }', /needs both tls\.cert and tls\.key/);
  const { cert, key } = routeOf('tls: { cert: /run/a.pem, key: /run/b.pem }')?.tls ?? {};
  assert.deepEqual([cert, key], ['/run/a.pem', '/run/b.pem']);
});

test('a server name is a name, and TLS older than 1.2 is not spoken', () => {
  assert.equal(routeOf('tls: { servername: API.example }')?.tls?.servername, 'api.example');
  for (const wrong of ['"*.example"', '192.0.2.1', '"::1"', 'https://a', '""'])
    refused(`tls: { servername: ${wrong} }`, /servername must be a host name/);
  refused('tls: { minVersion: TLSv1.1 }', /minVersion must be TLSv1\.2 or TLSv1\.3/);
});

test('insecure needs a reason and a day that is not past, and then holds to the end of that day', () => {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  const now = Date.now();
  const today = routeOf(`tls: { insecure: { reason: late, until: "${day(now)}" } }`)?.tls?.insecure;
  assert.equal(today?.reason, 'late');
  assert.equal(today?.untilMs, Date.parse(`${day(now)}T00:00:00Z`) + 86_400_000);
  refused(
    `tls: { insecure: { reason: late, until: "${day(now - 86_400_000)}" } }`,
    /insecure\.until is past: have the certificate corrected/,
  );
  for (const wrong of ['2999-02-30', '2999-1-1', 'tomorrow', '2999-12-31T00:00:00Z'])
    refused(`tls: { insecure: { reason: late, until: "${wrong}" } }`, /until must be a day such as/);
  refused('tls: { insecure: { reason: " ", until: "2999-12-31" } }', /reason must be a reason in words/);
  refused('tls: { insecure: { until: "2999-12-31" } }', /insecure\.reason is missing/);
  refused('tls: { insecure: { reason: late } }', /insecure\.until is missing/);
  refused('tls: { insecure: true }', /must be a mapping/);
  refused('tls: { ca: a.pem, insecure: { reason: late, until: "2999-12-31" } }', /makes tls\.ca useless/);
});

test('verification cannot be switched off for everything at once', () => {
  for (const text of [
    'tls: { insecure: { reason: a, until: "2999-12-31" } }',
    'policy: { tls: { insecure: null } }',
    'insecure: {}',
  ])
    assert.match(problemsOf([text]).join(), /unknown key/, text);
});
