import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from '../../../src/config/nearest.ts';

const KEYS = ['connections', 'queue', 'queueTimeout', 'idleTimeout', 'maxAge', 'dns', 'tls'];

test('a letter left out, doubled, exchanged or swapped is one mistake', () => {
  for (const word of ['conections', 'connnections', 'connectiins', 'connectoins']) {
    assert.equal(nearest(word, KEYS), 'connections', word);
  }
  assert.equal(nearest('dnss', KEYS), 'dns');
  assert.equal(nearest('tsl', KEYS), 'tls');
});

test('case does not count', () => {
  assert.equal(nearest('MAXAGE', KEYS), 'maxAge');
});

test('a word that is near nothing is near nothing', () => {
  assert.equal(nearest('zebra', KEYS), null);
  assert.equal(nearest('', KEYS), null);
  assert.equal(nearest('x'.repeat(100_000), KEYS), null);
  assert.equal(nearest('dns', []), null);
});
