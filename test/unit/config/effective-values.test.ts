import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { effectiveValues, MASK, plainText } from '../../../src/config/effective-values.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { inDirectory, loadTexts } from './sources.ts';

test('every effective value knows where it came from, through files, environment and command line', () => {
  inDirectory((directory) => {
    const files = ['a.yaml', 'b.yaml'].map((name) => join(directory, name));
    writeFileSync(files[0] as string, 'policy:\n  timeouts: { head: 1s, dns: 2s, idle: 3s, tls: 4s }\n');
    writeFileSync(files[1] as string, 'policy:\n  timeouts:\n    dns: 5s\nroutes: [{ name: a }]\n');
    const env = { OUTRIGGER__POLICY__TIMEOUTS__IDLE: '6s', OUTRIGGER__POLICY__TIMEOUTS__TLS: '7s' };
    const loaded = loadConfig({ files, env, set: ['policy.timeouts.tls=8s'] });
    const { values } = effectiveValues(loaded);
    const of = (key: string): unknown[] => {
      const value = values.get(key);
      return [value?.shown, value?.from.replace(`${directory}/`, '')];
    };
    for (const owner of ['policy', 'routes[0].policy']) {
      assert.deepEqual(of(`${owner}.timeouts.connect`), ['3s', 'default']);
      assert.deepEqual(of(`${owner}.timeouts.head`), ['1s', 'a.yaml:2']);
      assert.deepEqual(of(`${owner}.timeouts.dns`), ['5s', 'b.yaml:3']);
      assert.deepEqual(of(`${owner}.timeouts.idle`), ['6s', 'OUTRIGGER__POLICY__TIMEOUTS__IDLE']);
      assert.deepEqual(of(`${owner}.timeouts.tls`), ['8s', '--set policy.timeouts.tls']);
    }
    assert.equal(loaded.config.policy.timeouts.tlsMs, 8_000);
  });
});

test('no secret is shown: neither of a key that holds one nor of what came from outside; a time or a number is', () => {
  const loaded = loadTexts(
    [
      'admin: { token: "abcdefghijklmnop" }\n' +
        'policy: { headers: { request: { set: { X-Key: "literal-secret" } } }, timeouts: { head: "${HEAD}" }, retry: { attempts: "${N}" } }\n' +
        'clients: [{ name: a, username: "${USER_}", password: "other-secret" }]\n',
    ],
    { HEAD: '9s', N: '4', USER_: 'hidden-name' },
  );
  const { values } = effectiveValues(loaded);
  const all = JSON.stringify([...values.values()]);
  for (const secret of ['abcdefghijklmnop', 'literal-secret', 'other-secret', 'hidden-name'])
    assert.ok(!all.includes(secret), secret);
  assert.equal(values.get('admin.token')?.shown, MASK);
  assert.equal(values.get('policy.headers.request.set.X-Key')?.shown, MASK);
  assert.equal(values.get('policy.timeouts.head')?.shown, '9s');
  assert.equal(values.get('policy.retry.attempts')?.shown, 4);
  assert.equal(loaded.config.policy.retry.attempts, 4);
});

test('values are the same if what is hidden is, and wherever they came from', () => {
  const of = (secret: string, file: string) =>
    effectiveValues(loadTexts([`${file}admin: { token: ${secret} }`])).values.get('admin.token');
  const one = of('aaaaaaaaaaaaaaaa', '');
  assert.ok(one !== undefined);
  assert.ok(one.is(of('aaaaaaaaaaaaaaaa', '\n\n') as NonNullable<typeof one>));
  assert.ok(!one.is(of('bbbbbbbbbbbbbbbb', '') as NonNullable<typeof one>));
});

test('lists, nothing and empty mappings are written as in YAML', () => {
  assert.equal(plainText([1, 'a', ['b']]), '[1, a, [b]]');
  assert.equal(plainText(null), 'null');
  assert.equal(plainText({}), '{}');
});
