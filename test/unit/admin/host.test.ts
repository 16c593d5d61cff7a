import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostIsOurs } from '../../../src/admin/host.ts';

test('localhost, loopback addresses and the address of the connection are ours, with any port', () => {
  for (const host of [
    'localhost',
    'LOCALHOST:3129',
    '127.0.0.1',
    '127.0.0.1:3129',
    '127.9.9.9:1',
    '[::1]',
    '[::1]:3129',
  ]) {
    assert.ok(hostIsOurs(host, '10.0.0.7', []), host);
  }
  assert.ok(hostIsOurs('10.0.0.7:3129', '10.0.0.7', []));
  assert.ok(hostIsOurs('10.0.0.7:3129', '::ffff:10.0.0.7', []));
  assert.ok(hostIsOurs('[fd00::7]:3129', 'fd00::7', []));
});

test('a name that somebody else can own is not ours, however it looks', () => {
  const names = [
    'evil.example',
    'evil.example:3129',
    'localhost.evil.example',
    'localhost.',
    '127.0.0.1.evil.example:3129',
    '127.evil.example',
    'evil.example#localhost',
    'localhost@evil.example',
    'evil.example:80:localhost',
    '10.0.0.8:3129',
    '0.0.0.0',
    '[::]',
    '::1',
    '',
    ' ',
    ':3129',
  ];
  for (const host of names) assert.ok(!hostIsOurs(host, '10.0.0.7', []), host);
  assert.ok(!hostIsOurs(undefined, '10.0.0.7', []));
  assert.ok(!hostIsOurs('undefined', undefined, []));
});

test('listed names are ours with any port, and nothing that only looks like them', () => {
  const listed = ['outrigger.internal', 'fd00::8'];
  for (const host of ['outrigger.internal', 'Outrigger.Internal:3129', '[fd00::8]:3129']) {
    assert.ok(hostIsOurs(host, '10.0.0.7', listed), host);
  }
  for (const host of [
    'a.outrigger.internal',
    'outrigger.internal.evil.example',
    'outrigger.internal@evil',
    '',
  ]) {
    assert.ok(!hostIsOurs(host, '10.0.0.7', listed), host);
  }
});
