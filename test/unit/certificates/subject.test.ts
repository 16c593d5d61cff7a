import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subjectOf } from '../../../src/certificates/subject.ts';

test('a host has one spelling, whatever the caller wrote', () => {
  const spellings: readonly [string, string, string][] = [
    ['Api.Example.COM', 'dns', 'api.example.com'],
    ['api.example.com.', 'dns', 'api.example.com'],
    ['localhost', 'dns', 'localhost'],
    ['_acme.x_y.example', 'dns', '_acme.x_y.example'],
    ['xn--bcher-kva.example', 'dns', 'xn--bcher-kva.example'],
    ['127.0.0.1', 'ip', '127.0.0.1'],
    ['::1', 'ip', '::1'],
    ['[2001:DB8:0:0::1]', 'ip', '2001:db8::1'],
    ['::ffff:1.2.3.4', 'ip', '::ffff:102:304'],
  ];
  for (const [host, type, value] of spellings) assert.deepEqual(subjectOf(host), { type, value }, host);
});

test('a host that no certificate can name is refused', () => {
  const unusable = [
    '',
    '.',
    'a..b',
    '.a',
    '*',
    '*.example.com',
    'a*.example.com',
    '-a.example',
    'a-.example',
    'a b.example',
    'a.example\0.evil.example',
    'a.example\n',
    'a.example/',
    'bücher.example',
    'fe80::1%eth0',
    '[::1',
    '[a.example]',
    '1.2.3.4.5',
    '127.1',
    '2130706433',
    '0x7f000001',
    `${'a'.repeat(64)}.example`,
    `${'a.'.repeat(127)}a`,
  ];
  for (const host of unusable) assert.throws(() => subjectOf(host), /no certificate can name the host/, host);
  assert.equal(subjectOf(`${'a.'.repeat(126)}a`).value.length, 253);
});

test('what is refused is quoted in a bounded, printable message', () => {
  assert.throws(
    () => subjectOf(`\u001b[31m${'x'.repeat(100_000)}`),
    ({ message }: Error) => message.length < 400 && !message.includes('\u001b'),
  );
});
