import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  collide,
  isCidr,
  isLoopback,
  parseHostPattern,
  parseListenAddress,
  parseTokenUrl,
} from '../../../src/config/address.ts';

test('a listen address is a host and a port, IPv6 in brackets', () => {
  assert.deepEqual(parseListenAddress('127.0.0.1:3128'), { host: '127.0.0.1', port: 3128 });
  assert.deepEqual(parseListenAddress('[::1]:0'), { host: '::1', port: 0 });
  assert.deepEqual(parseListenAddress('LocalHost:65535'), { host: 'localhost', port: 65_535 });
  for (const text of [
    '',
    ':1',
    '127.0.0.1',
    '127.0.0.1:',
    '::1:80',
    '[::1]',
    '[x]:1',
    '127.1:80',
    '300.1.1.1:80',
    'h:65536',
    'h:-1',
    'a b:1',
    'http://h:1',
    '[fe80::1%eth0]:1',
  ]) {
    assert.equal(parseListenAddress(text), null, text);
  }
});

test('loopback is 127.0.0.0/8, ::1 and localhost', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', '0:0:0:0:0:0:0:1', 'localhost']) {
    assert.ok(isLoopback({ host, port: 1 }), host);
  }
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.example.com', 'localhost.example.com']) {
    assert.ok(!isLoopback({ host, port: 1 }), host);
  }
});

test('two listeners collide on one port of one host, and port 0 never does', () => {
  assert.ok(collide({ host: '127.0.0.1', port: 1 }, { host: '127.0.0.1', port: 1 }));
  assert.ok(collide({ host: '127.0.0.1', port: 1 }, { host: '0.0.0.0', port: 1 }));
  assert.ok(!collide({ host: '127.0.0.1', port: 1 }, { host: '::1', port: 1 }));
  assert.ok(!collide({ host: '127.0.0.1', port: 0 }, { host: '127.0.0.1', port: 0 }));
});

test('a host pattern has one spelling: lower case, no trailing dot, ASCII, canonical addresses', () => {
  const spellings: [string, string][] = [
    ['API.Fraud.Example.', 'api.fraud.example'],
    ['*.Fraud.Example.', '*.fraud.example'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['my_service', 'my_service'],
    ['10.0.0.1', '10.0.0.1'],
    ['127.1', '127.0.0.1'],
    ['[0:0::1]', '::1'],
    ['2001:DB8::1', '2001:db8::1'],
  ];
  for (const [text, pattern] of spellings) assert.equal(parseHostPattern(text), pattern, text);
  for (const text of [
    '',
    '*',
    '*.',
    '*.*.x',
    'a.*',
    '*a.x',
    'a:80',
    '[::1]:80',
    'http://a',
    'a/b',
    'a b',
    'a..b',
    '.',
    '-a.x',
    'u@h',
    '*.1',
    'a%2e',
    'fe80::1%eth0',
    'a\\b',
    `${'a'.repeat(64)}.x`,
  ]) {
    assert.equal(parseHostPattern(text), null, text);
  }
});

test('a CIDR is an address with or without a prefix length that fits it', () => {
  for (const text of ['10.0.0.0/8', '0.0.0.0/0', '10.1.2.3', '::1', 'fd00::/8', '::/128'])
    assert.ok(isCidr(text), text);
  for (const text of [
    '',
    '10.0.0.0/33',
    '10.0.0/8',
    'fd00::/129',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    'host',
    'fe80::1%eth0',
  ]) {
    assert.ok(!isCidr(text), text);
  }
});

test('a token URL is http or https with a path, byte for byte, and has neither user information nor a fragment', () => {
  assert.deepEqual(parseTokenUrl('https://Auth.Example./oauth2/token'), {
    scheme: 'https',
    host: 'auth.example',
    port: 443,
    path: '/oauth2/token',
  });
  assert.equal(parseTokenUrl('http://[::1]:8080/t/?tenant=a&x=%20')?.path, '/t/?tenant=a&x=%20');
  for (const text of [
    '',
    'https://auth.example',
    'https://auth.example?x',
    'ftp://auth.example/t',
    'https:///t',
    'https://user:secret@auth.example/t',
    'https://auth.example/t#x',
    'https://auth.example/t x',
    'https://auth.example/t\r\nX: y',
    'https://auth.example\\t',
    'https://*.example/t',
    'https://auth.example:0/t',
    'https://auth.example/t\u00e9',
  ]) {
    assert.equal(parseTokenUrl(text), null, text);
  }
});
