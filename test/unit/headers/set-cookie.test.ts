import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rescopeCookie } from '../../../src/headers/set-cookie.ts';

const HOST = 'api.fraud.example';

const seen = (cookie: string, basePath = '', prefix = '/fraud', host = HOST): string =>
  rescopeCookie(cookie, host, basePath, prefix);

function assertKept(...cookies: string[]): void {
  for (const cookie of cookies) assert.equal(seen(cookie), cookie);
}

test('a domain of the origin goes, so that the cookie is for the host that the caller used', () => {
  for (const domain of [
    'api.fraud.example',
    '.api.fraud.example',
    'fraud.example',
    '.Fraud.Example',
    'example',
  ])
    assert.equal(seen(`a=1; Domain=${domain}; HttpOnly`), 'a=1; HttpOnly', domain);
  assertKept(
    'a=1; Domain=elsewhere.example',
    'a=1; Domain=xapi.fraud.example',
    'a=1; Domain=raud.example',
    'a=1; Domain=',
    'a=1; Domain',
  );
});

test('an address has no domain but itself', () => {
  assert.equal(seen('a=1; Domain=192.0.2.7', '', '/p', '192.0.2.7'), 'a=1');
  assert.equal(seen('a=1; Domain=0.2.7', '', '/p', '192.0.2.7'), 'a=1; Domain=0.2.7');
});

test('of several domains the last counts', () => {
  assert.equal(seen('a=1; Domain=elsewhere.example; Domain=fraud.example'), 'a=1');
  assertKept('a=1; Domain=fraud.example; Domain=elsewhere.example');
});

test('a path gets the prefix', () => {
  assert.equal(seen('a=1; Path=/'), 'a=1; Path=/fraud');
  assert.equal(seen('a=1; path=/v1; Max-Age=5'), 'a=1; path=/fraud/v1; Max-Age=5');
  assert.equal(seen('a=1;PATH = /v1 ;Max-Age=5'), 'a=1;PATH = /fraud/v1 ;Max-Age=5');
  assertKept('a=1', 'a=1; Max-Age=5', 'a=1; Path', 'a=1; Path=', 'a=1; Path=x', 'a=1; Path="/x"');
});

test('a path beneath the base path moves, one that holds all of it is the prefix, and one beside it stays', () => {
  const rows = {
    '/': '/fraud',
    '/a': '/fraud',
    '/a/': '/fraud',
    '/a/b': '/fraud',
    '/a/b/': '/fraud/',
    '/a/b/c': '/fraud/c',
    '/a/bc': '/a/bc',
    '/other': '/other',
    '/A/b': '/A/b',
  };
  for (const [path, expected] of Object.entries(rows))
    assert.equal(seen(`a=1; Path=${path}`, '/a/b'), `a=1; Path=${expected}`);
});

test('with the prefix of all paths a path loses its base path', () => {
  assert.equal(seen('a=1; Path=/base/x', '/base', ''), 'a=1; Path=/x');
  assert.equal(seen('a=1; Path=/base', '/base', ''), 'a=1; Path=/');
  assert.equal(seen('a=1; Path=/', '', ''), 'a=1; Path=/');
});

test('Secure goes, and what browsers take only beside it', () => {
  assert.equal(seen('a=1; Secure'), 'a=1');
  assert.equal(seen('a=1;secure=x; SameSite=None;Partitioned ; HttpOnly'), 'a=1; HttpOnly');
  assert.equal(seen('a=1; SameSite=none; SECURE'), 'a=1');
  assert.equal(seen('a=1; SameSite=Lax; Secure'), 'a=1; SameSite=Lax');
  assertKept('a=1; SameSite=None', 'a=1; Partitioned', 'a=Secure; x=Secure', 'Secure');
});

test('a name that needs Secure keeps it', () => {
  assert.equal(
    seen('__Secure-a=1; Secure; SameSite=None; Path=/; Domain=fraud.example'),
    '__Secure-a=1; Secure; SameSite=None; Path=/fraud',
  );
  assertKept('__Host-a=1; Secure; Path=/; SameSite=None', ' __host-a=1; Secure; Path=/');
});

test('everything else stays byte for byte and in order', () => {
  assert.equal(
    seen('a="; Path=/x; b" ;  Expires=Wed, 21 Oct 2026 07:28:00 GMT;;\tX-Odd = 1;Secure; Priority=High;'),
    'a="; Path=/fraud/x; b" ;  Expires=Wed, 21 Oct 2026 07:28:00 GMT;;\tX-Odd = 1; Priority=High;',
  );
  assertKept('', ';', '=', 'a', 'a=\u00ff; \u00a0Secure', 'a=1;\u00a0Path=/x');
});

test('a cookie that is mostly white space or semicolons is read in a moment', () => {
  const began = performance.now();
  seen(`a=1; Path=${' '.repeat(500_000)}/x${' '.repeat(500_000)}y`);
  seen(`a=1${';'.repeat(200_000)} Path=/x`);
  assert.ok(performance.now() - began < 1_000);
});
