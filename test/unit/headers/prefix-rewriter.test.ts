import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PrefixRewriter } from '../../../src/headers/prefix-rewriter.ts';
import type { RouteOrigin } from '../../../src/policy/policy.ts';

/** A route's prefix and its origin. */
type PrefixedOrigin = RouteOrigin & { readonly prefix: string };

const US = '127.0.0.1:3128';
const FRAUD: PrefixedOrigin = {
  prefix: '/fraud',
  scheme: 'https',
  host: 'api.fraud.example',
  port: 443,
  basePath: '',
};
const BASED: PrefixedOrigin = { ...FRAUD, basePath: '/base' };

const rewriterOf = (origin: PrefixedOrigin): PrefixRewriter => new PrefixRewriter(origin.prefix, origin);
const seen = (origin: PrefixedOrigin, value: string, authority: string | null = US): string =>
  rewriterOf(origin).reference(value, authority);

function assertSeen(origin: PrefixedOrigin, rows: Readonly<Record<string, string>>): void {
  for (const [value, expected] of Object.entries(rows)) assert.equal(seen(origin, value), expected, value);
}

function assertKept(origin: PrefixedOrigin, ...values: string[]): void {
  for (const value of values) assert.equal(seen(origin, value), value);
}

test('an absolute URL of the origin is one of ours', () => {
  assertSeen(FRAUD, {
    'https://api.fraud.example/v2/x?a=1#top': `http://${US}/fraud/v2/x?a=1#top`,
    'https://api.fraud.example': `http://${US}/fraud`,
    'https://api.fraud.example/': `http://${US}/fraud/`,
    'https://api.fraud.example?a=/b': `http://${US}/fraud?a=/b`,
    'https://api.fraud.example#a': `http://${US}/fraud#a`,
    'HTTPS://API.Fraud.Example.:443/x': `http://${US}/fraud/x`,
    'https://api.fraud.example:/x': `http://${US}/fraud/x`,
    '//api.fraud.example/x': `http://${US}/fraud/x`,
    'https://api.fraud.example//x': `http://${US}/fraud//x`,
  });
});

test('an origin behind TLS that calls itself http is the same one', () => {
  assertSeen(FRAUD, {
    'http://api.fraud.example/x': `http://${US}/fraud/x`,
    'http://api.fraud.example:80/x': `http://${US}/fraud/x`,
  });
  assertKept({ ...FRAUD, port: 8443 }, 'http://api.fraud.example/x', 'http://api.fraud.example:8443/x');
});

test('an origin that sends its callers from http to https sends them there, and not in a circle', () => {
  const plain: PrefixedOrigin = { ...FRAUD, scheme: 'http', port: 80 };
  assertKept(plain, 'https://api.fraud.example/x', 'https://api.fraud.example:80/x');
  assertSeen(plain, { 'http://api.fraud.example/x': `http://${US}/fraud/x` });
});

test('an absolute path of the origin is one of ours', () => {
  assertSeen(FRAUD, { '/v2/x?a#b': '/fraud/v2/x?a#b', '/': '/fraud/', '/?a': '/fraud/?a' });
});

test('of an origin with a base path only what lies beneath it is ours', () => {
  assertSeen(BASED, {
    'https://api.fraud.example/base/x': `http://${US}/fraud/x`,
    'https://api.fraud.example/base': `http://${US}/fraud`,
    'https://api.fraud.example/base?a': `http://${US}/fraud?a`,
    '/base/x': '/fraud/x',
    '/base': '/fraud',
    '/base/': '/fraud/',
    '/base#a': '/fraud#a',
    '/base//x': '/fraud//x',
    '/base/a/../b': '/fraud/a/../b',
    '/base/.well-known/x': '/fraud/.well-known/x',
  });
  assertKept(
    BASED,
    'https://api.fraud.example/',
    'https://api.fraud.example',
    'https://api.fraud.example/other/base',
    '/based',
    '/',
    '/bas',
    '/Base/x',
    '/?/base',
  );
});

test('a path that climbs out of the base path, be it on the way, stays as it is', () => {
  assertKept(
    BASED,
    '/base/..',
    '/base/../admin',
    '/base/a/../../base/x',
    '/base/%2e%2E/admin',
    '/base/./.%2e/x',
    'https://api.fraud.example/base/../admin',
  );
  assertKept(FRAUD, '/../x', '/a/../../b');
});

test('other hosts, ports and schemes stay byte for byte', () => {
  assertKept(
    FRAUD,
    'https://elsewhere.example/x',
    'https://api.fraud.example.elsewhere.example/x',
    'https://xapi.fraud.example/x',
    'https://fraud.example/x',
    'https://api.fraud.example:8443/x',
    'https://api.fraud.example:80/x',
    'http://api.fraud.example:443/x',
    '//api.fraud.example:8443/x',
    'ftp://api.fraud.example/x',
    'wss://api.fraud.example/x',
    'myapp://callback?code=1',
    'mailto:a@api.fraud.example',
  );
});

test('other relative references stay byte for byte', () => {
  assertKept(FRAUD, '', 'x', './x', '../x', '?a', '#a', 'x/https://api.fraud.example/');
});

test('what can be read in more than one way stays byte for byte', () => {
  assertKept(
    FRAUD,
    'https://a@api.fraud.example/x',
    'https://api.fraud.example@elsewhere.example/x',
    'https://api.fraud.example\\@elsewhere.example/x',
    'https:\\\\api.fraud.example/x',
    'https:/api.fraud.example/x',
    'https:///api.fraud.example/x',
    'https://api.fraud.example:443x/',
    'https://api.fraud.example:999999/x',
    'https://api.fraud%2eexample/x',
    'https://[::1/x',
    'https://999.1.1.1/x',
    ' https://api.fraud.example/x',
    'https://api.fraud.example /x',
    '/\\elsewhere.example/x',
    '/\t/elsewhere.example/x',
    '/a\r\nb',
    '///elsewhere.example',
  );
});

test('addresses are known in every spelling', () => {
  const six: PrefixedOrigin = { ...FRAUD, scheme: 'http', host: '2001:db8::1', port: 8080 };
  assertSeen(six, { 'http://[2001:DB8:0::1]:8080/x': `http://${US}/fraud/x` });
  assertKept(six, 'http://[2001:db8::2]:8080/x', 'http://2001:db8::1:8080/x');
  const four: PrefixedOrigin = { ...FRAUD, host: '192.0.2.7' };
  assertSeen(four, {
    'https://192.0.2.7/x': `http://${US}/fraud/x`,
    'https://3221225991/x': `http://${US}/fraud/x`,
  });
});

test('with the prefix of all paths, no path becomes a host', () => {
  const all: PrefixedOrigin = { ...BASED, prefix: '/' };
  assertSeen(all, {
    '/base/x': '/x',
    '/base': '/',
    '/base?a': '/?a',
    '/base//elsewhere.example/x': `http://${US}//elsewhere.example/x`,
    'https://api.fraud.example/base': `http://${US}`,
  });
  assert.equal(seen(all, '/base//elsewhere.example/x', null), '/base//elsewhere.example/x');
  assert.equal(seen(all, 'https://api.fraud.example/base', null), '/');
});

test('a caller whose authority is unknown, or is none, is sent to a path', () => {
  for (const authority of [null, '', 'a b', 'a\r\nX: y', 'a/b', 'u@a'])
    assert.equal(seen(FRAUD, 'https://api.fraud.example/x?y', authority), '/fraud/x?y');
  assert.equal(seen(FRAUD, 'https://api.fraud.example/x', '[::1]:3128'), 'http://[::1]:3128/fraud/x');
});

test('the fields are rewritten in place, whatever their case, and no others', () => {
  const url = 'https://api.fraud.example/x';
  const list = [
    'LOCATION',
    url,
    'content-location',
    '/y',
    'Link',
    url,
    'X-Location',
    url,
    'Set-Cookie',
    'a=1; Path=/',
    'SET-COOKIE',
    'b=2; Domain=fraud.example',
    'Set-Cookie2',
    'c=3; Path=/',
    'Content-Type',
    'text/plain',
  ];
  assert.equal(rewriterOf(FRAUD).rewrite(list, US), list);
  assert.deepEqual(list, [
    'LOCATION',
    `http://${US}/fraud/x`,
    'content-location',
    '/fraud/y',
    'Link',
    url,
    'X-Location',
    url,
    'Set-Cookie',
    'a=1; Path=/fraud',
    'SET-COOKIE',
    'b=2',
    'Set-Cookie2',
    'c=3; Path=/',
    'Content-Type',
    'text/plain',
  ]);
});
