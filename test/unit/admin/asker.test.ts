import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BearerToken, isOfAnotherSite } from '../../../src/admin/asker.ts';

const TOKEN = 'sixteen-or-more~';

test('exactly the token is taken, and nothing near it', () => {
  const token = new BearerToken(TOKEN);
  for (const given of [`Bearer ${TOKEN}`, `bearer ${TOKEN}`, `BEARER   ${TOKEN}`])
    assert.ok(token.isIn(given), given);
  assert.ok(!token.isIn(undefined));
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(TOKEN.length), (text, at) => {
      assert.ok(!token.isIn(`Bearer ${text}`) || text.trimStart() === TOKEN);
      assert.ok(!token.isIn(`Bearer ${TOKEN.slice(0, at)}`) || at === TOKEN.length);
      assert.ok(!token.isIn(`Bearer ${TOKEN}${text}`) || text === '');
    }),
  );
});

test('the empty token is never right', () => {
  assert.ok(!new BearerToken('').isIn('Bearer '));
  assert.ok(!new BearerToken('').isIn(undefined));
});

test('a request without what browsers send is of no site; one of the same host is of its own', () => {
  const host = 'localhost:3129';
  assert.ok(!isOfAnotherSite({ host }));
  assert.ok(!isOfAnotherSite({ host, origin: 'http://LOCALHOST:3129', 'sec-fetch-site': 'same-origin' }));
  assert.ok(!isOfAnotherSite({ host, origin: 'https://localhost:3129' }));
  assert.ok(isOfAnotherSite({ host, origin: 'http://localhost:3130' }));
  assert.ok(isOfAnotherSite({ host, origin: 'file://localhost:3129' }));
  assert.ok(isOfAnotherSite({ host, origin: '' }));
  assert.ok(isOfAnotherSite({ origin: 'http://undefined' }));
  assert.ok(isOfAnotherSite({ host, 'sec-fetch-site': '' }));
});
