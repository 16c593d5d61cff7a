import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHostPattern } from '../../../src/config/address.ts';
import { spellHost } from '../../../src/headers/host.ts';

test('a host has one spelling, in targets and in routes', () => {
  for (const [spelled, ...spellings] of [
    ['api.example', 'api.example', 'API.Example', 'api.example.'],
    ['127.0.0.1', '127.0.0.1', '[::ffff:127.0.0.1]', '[::FFFF:7f00:1]', '[0:0:0:0:0:ffff:7f00:1]'],
    ['10.255.0.1', '[::ffff:10.255.0.1]', '[::ffff:aff:1]'],
    ['::1', '[::1]', '[0:0:0:0:0:0:0:1]'],
    ['64:ff9b::a00:1', '[64:ff9b::10.0.0.1]'],
    ['::a00:1', '[::10.0.0.1]'],
  ] as const) {
    for (const text of spellings) {
      assert.equal(spellHost(text), spelled, text);
      assert.equal(parseHostPattern(text), spelled, `${text} in a route`);
    }
  }
});

test('what the URL standard has no host for has no spelling', () => {
  for (const text of ['[::1', '[::1%lo]', 'a b', '256.1.1.1', '[1::2::3]'])
    assert.equal(spellHost(text), null, text);
});
