import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subtreesFor } from '../../../src/certificates/name-constraints.ts';

const shown = (hosts: readonly string[]): { permitted: string[]; excluded: string[] } => {
  const { permitted, excluded } = subtreesFor(hosts);
  return {
    permitted: permitted.map(({ type, value }) => `${type}:${value}`),
    excluded: excluded.map(({ type, value }) => `${type}:${value}`),
  };
};

test('where only names are permitted every address is excluded', () => {
  assert.deepEqual(shown(['api.example', '*.vendor.example']), {
    permitted: ['dns:api.example', 'dns:vendor.example'],
    excluded: ['ip:0.0.0.0/0', 'ip:::/0'],
  });
});

test('where only addresses are permitted every name is excluded', () => {
  assert.deepEqual(shown(['10.0.0.1', '2001:db8::1']), {
    permitted: ['ip:10.0.0.1/32', 'ip:2001:db8::1/128'],
    excluded: ['dns:'],
  });
});

test('where both are permitted nothing has to be excluded, and where nothing is, everything', () => {
  assert.deepEqual(shown(['a.example', '10.0.0.1']).excluded, []);
  assert.deepEqual(shown([]), { permitted: [], excluded: ['dns:', 'ip:0.0.0.0/0', 'ip:::/0'] });
});

test('a host is permitted once, and not again within a subtree that has it', () => {
  const hosts = ['A.example', 'a.example', '*.b.example', 'x.b.example', 'xb.example', '::1', '0:0::1'];
  assert.deepEqual(shown(hosts).permitted, [
    'dns:a.example',
    'dns:b.example',
    'dns:xb.example',
    'ip:::1/128',
  ]);
});

test('a host that no certificate can name cannot be permitted', () => {
  for (const host of ['*', '*.', '*.*.example', 'a b'])
    assert.throws(() => subtreesFor([host]), /cannot|can name/);
});
