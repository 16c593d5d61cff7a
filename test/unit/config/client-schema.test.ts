import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadTexts, problemsOf } from './sources.ts';

const clientsOf = (text: string) => loadTexts([text]).config.clients;

function refused(text: string, says: RegExp): string {
  const problems = problemsOf([text]);
  assert.equal(problems.length, 1, `${text}: ${problems.join('\n')}`);
  assert.match(problems[0] ?? '', says);
  return problems[0] ?? '';
}

test('a client has credentials, addresses, or both', () => {
  assert.deepEqual(clientsOf('clients: [{ name: a, username: u, password: p, exchanges: 3 }]'), [
    { name: 'a', addresses: [], credentials: { username: 'u', password: 'p' }, exchanges: 3 },
  ]);
  assert.deepEqual(clientsOf('clients: [{ name: a, addresses: [10.0.0.0/8, "::1"] }]'), [
    { name: 'a', addresses: ['10.0.0.0/8', '::1'], credentials: null, exchanges: null },
  ]);
  refused('clients: [{ name: a }]', /clients\[0\]\.name cannot be told from anybody/);
  refused('clients: [{ name: a, username: u }]', /needs both username and password/);
  refused('clients: [{ name: a, addresses: [10.0.0.0/8], password: p }]', /needs both username and password/);
  refused('clients: [{ name: A, addresses: ["::1"] }]', /clients\[0\]\.name must be a name of at most 63/);
  refused('clients: [{ name: a, addresses: [localhost] }]', /must be an address or a CIDR/);
  refused('clients: [{ name: a, username: "u:v", password: p }]', /must be a name without colons/);
  refused(
    'clients: [{ name: a, username: u, password: p, exchanges: 0 }]',
    /exchanges must be a whole number/,
  );
});

test('a password is in no message', () => {
  const said = refused(
    'clients: [{ name: a, username: u, password: "canary\\u0007" }]',
    /password must be a text/,
  );
  assert.doesNotMatch(said, /canary/);
});

test('two clients of one name or one username are an error at the second', () => {
  const one = '{ name: a, username: u, password: p }';
  refused(`clients: [${one}, { name: a, addresses: ["::1"] }]`, /clients\[1\]\.name must be unique/);
  refused(
    `clients: [${one}, { name: b, username: u, password: q }]`,
    /clients\[1\]\.username must be unique/,
  );
});

test('a route that names a client which is not there is an error at that place, with a did-you-mean', () => {
  const text = (names: string, clients = '[{ name: payments, addresses: ["::1"] }]') =>
    `clients: ${clients}\nroutes:\n  - name: r\n    match: { clients: ${names} }\n`;
  assert.deepEqual(problemsOf([text('[payments]')]), []);
  const said = refused(
    text('[payment]'),
    /names the client "payment", which is not there; did you mean "payments"\?/,
  );
  assert.ok(said.startsWith('0.yaml:4:24: routes[0].match.clients[0] '), said);
  refused(text('[far]'), /the clients are payments/);
  refused(text('[far]', '[]'), /there are no clients/);
});

test('the addresses of routes are lists of CIDRs, and equal ones are one value', () => {
  const { routes } = loadTexts([
    `
routes:
  - { name: a, addresses: { allow: [10.0.0.0/8] } }
  - { name: b, addresses: { allow: [10.0.0.0/8], deny: [] } }
  - { name: c, addresses: { deny: [8.8.8.8] } }
  - { name: d, addresses: {} }
`,
  ]).config;
  assert.equal(routes[0]?.addresses?.key, '@a');
  assert.equal(routes[0]?.addresses, routes[1]?.addresses);
  assert.deepEqual(routes[2]?.addresses?.denials?.deny, ['8.8.8.8']);
  assert.equal(routes[3]?.addresses, null);
  refused('routes: [{ name: a, addresses: { allow: [x] } }]', /must be an address or a CIDR/);
});
