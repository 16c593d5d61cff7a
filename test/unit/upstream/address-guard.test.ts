import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressGuard } from '../../../src/upstream/address-guard.ts';

const guard = (lists: { deny?: string[]; allow?: string[] } = {}): AddressGuard =>
  new AddressGuard({ deny: lists.deny ?? [], allow: lists.allow ?? [] });

/** By what is expected of them: the word that the reason names, or null for what may be dialled. */
const TABLE: readonly (readonly [string | null, readonly string[]])[] = [
  ['loopback', ['127.0.0.1', '127.0.0.0', '127.1.2.3', '127.255.255.255', '::1', '0:0:0:0:0:0:0:1']],
  ['unspecified', ['0.0.0.0', '0.0.0.1', '0.255.255.255', '::', '0:0:0:0:0:0:0:0']],
  [
    'link-local',
    ['169.254.0.0', '169.254.169.254', '169.254.170.2', '169.254.255.255', 'fe80::1', 'febf::1'],
  ],
  [
    'private',
    [
      '10.0.0.0',
      '10.0.0.1',
      '10.255.255.255',
      '172.16.0.0',
      '172.20.1.1',
      '172.31.255.255',
      '192.168.0.0',
      '192.168.1.1',
      '192.168.255.255',
      'fc00::1',
      'fd00::1',
      'fd00:ec2::254',
      'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    ],
  ],
  ['carrier-grade NAT', ['100.64.0.0', '100.64.0.1', '100.100.100.200', '100.127.255.255']],
  ['multicast', ['224.0.0.0', '224.0.0.251', '239.255.255.255', 'ff02::1', 'ff0e::1', 'ff00::']],
  ['broadcast', ['255.255.255.255']],
  [
    'reserved',
    [
      '192.0.0.0',
      '192.0.0.8',
      '192.0.2.1',
      '198.51.100.1',
      '203.0.113.255',
      '198.18.0.0',
      '198.19.255.255',
      '192.88.99.1',
      '240.0.0.0',
      '240.0.0.1',
      '254.255.255.255',
      '2001:db8::1',
      '2001:db8:ffff::1',
      '100::1',
      '3fff::1',
      '2001:2::1',
      '2001:10::1',
      '2001:20::1',
      '4000::1',
      '5f00::1',
      '8000::1',
      'e000::1',
      'f000::1',
      '1::1',
      '200::1',
      '400::1',
    ],
  ],
  ['reserved', ['fec0::1', 'feff::1']],
  // IPv4 inside IPv6 is judged as the IPv4 that it reaches.
  [
    'loopback',
    [
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '0:0:0:0:0:ffff:127.0.0.1',
      '::FFFF:127.0.0.1',
      '::127.0.0.1',
      '64:ff9b::127.0.0.1',
      '64:ff9b::7f00:1',
      '64:ff9b:1::127.0.0.1',
      '2002:7f00:1::',
      '2002:7f00:0001::1',
      '2001:0:0:0:0:0:80ff:fffe',
      '2001:db8::5efe:127.0.0.1',
      '2606:4700::200:5efe:7f00:1',
    ],
  ],
  [
    'private',
    [
      '::ffff:10.0.0.1',
      '::ffff:192.168.0.1',
      '::10.0.0.1',
      '64:ff9b::10.0.0.1',
      '64:ff9b::192.168.1.1',
      '2002:a00:1::1',
      '2002:c0a8:101::1',
      '2001:0:1234::f5ff:fffe',
      '2606:4700::5efe:10.0.0.1',
    ],
  ],
  [
    'link-local',
    [
      '::ffff:169.254.169.254',
      '::ffff:a9fe:a9fe',
      '::169.254.169.254',
      '64:ff9b::a9fe:a9fe',
      '2002:a9fe:a9fe::',
      '2001:0:1:2:3:4:5601:5601',
      '2606:4700::5efe:a9fe:a9fe',
    ],
  ],
  ['carrier-grade NAT', ['::ffff:100.64.0.1', '64:ff9b::100.127.255.255', '2002:6440:1::']],
  ['unspecified', ['::ffff:0.0.0.0', '64:ff9b::', '2002::1']],
  ['multicast', ['::ffff:224.0.0.1', '64:ff9b::224.0.0.1']],
  [
    null,
    [
      '1.1.1.1',
      '8.8.8.8',
      '9.255.255.255',
      '11.0.0.0',
      '100.63.255.255',
      '100.128.0.0',
      '126.255.255.255',
      '128.0.0.1',
      '169.253.255.255',
      '169.255.0.0',
      '172.15.255.255',
      '172.32.0.0',
      '192.167.255.255',
      '192.169.0.0',
      '198.17.255.255',
      '198.20.0.0',
      '223.255.255.255',
      '2606:4700:4700::1111',
      '2001:4860:4860::8888',
      '2a00:1450::1',
      '2620:fe::fe',
      '::ffff:1.1.1.1',
      '::ffff:8.8.8.8',
      '64:ff9b::8.8.8.8',
      '2002:808:808::1',
    ],
  ],
];

for (const [word, addresses] of TABLE) {
  for (const address of addresses) {
    test(word === null ? `${address} may be dialled` : `${address} is refused as ${word}`, () => {
      const reason = guard().refusal(address, 443);
      if (word === null) assert.equal(reason, null);
      else assert.match(reason ?? 'allowed', new RegExp(`^${address.replaceAll('.', '\\.')} is .*${word}`));
    });
  }
}

test('the table has more than a hundred addresses', () => {
  assert.ok(TABLE.reduce((sum, [, addresses]) => sum + addresses.length, 0) > 100);
});

for (const text of [
  '',
  'localhost',
  '127.1',
  '0x7f.1',
  '2130706433',
  '1.1.1.1:80',
  '[::1]',
  'fe80::1%eth0',
  '::1%lo',
  '1.1.1.256',
]) {
  test(`${JSON.stringify(text)} is not an address to dial`, () => {
    assert.notEqual(guard().refusal(text, 443), null);
  });
}

test('what access.addresses.allow names may be dialled, and its neighbour may not', () => {
  const it = guard({ allow: ['10.1.0.0/16', '127.0.0.1', 'fd00::/64'] });
  assert.equal(it.refusal('10.1.2.3', 80), null);
  assert.equal(it.refusal('127.0.0.1', 80), null);
  assert.equal(it.refusal('fd00::5', 80), null);
  assert.notEqual(it.refusal('10.2.0.1', 80), null);
  assert.notEqual(it.refusal('127.0.0.2', 80), null);
  assert.notEqual(it.refusal('fd00:0:0:1::5', 80), null);
});

test('an allowed IPv4 range is allowed in every IPv6 that carries it', () => {
  const it = guard({ allow: ['10.1.0.0/16'] });
  for (const one of ['::ffff:10.1.0.1', '64:ff9b::10.1.0.1', '2002:a01:1::'])
    assert.equal(it.refusal(one, 80), null);
  assert.notEqual(it.refusal('::ffff:10.2.0.1', 80), null);
});

test('what access.addresses.deny names is refused though public, in every form', () => {
  const it = guard({ deny: ['8.8.8.0/24', '2606:4700::/32'] });
  for (const one of ['8.8.8.8', '::ffff:8.8.8.8', '64:ff9b::8.8.8.8', '2606:4700::1']) {
    assert.match(it.refusal(one, 443) ?? '', /access\.addresses\.deny/);
  }
  assert.equal(it.refusal('8.8.4.4', 443), null);
});

test('of two that hold an address the longer prefix wins, and on a tie the denial', () => {
  const wide = guard({ allow: ['10.0.0.0/8'], deny: ['10.1.0.0/16'] });
  assert.equal(wide.refusal('10.2.0.1', 80), null);
  assert.notEqual(wide.refusal('10.1.0.1', 80), null);
  const narrow = guard({ allow: ['10.1.0.0/16'], deny: ['10.0.0.0/8'] });
  assert.equal(narrow.refusal('10.1.0.1', 80), null);
  assert.notEqual(narrow.refusal('10.2.0.1', 80), null);
  const tie = guard({ allow: ['10.0.0.0/8'], deny: ['10.0.0.0/8'] });
  assert.notEqual(tie.refusal('10.0.0.1', 80), null);
});

test('a range of one family says nothing of the other', () => {
  const it = guard({ allow: ['::/0'] });
  assert.notEqual(it.refusal('127.0.0.1', 80), null);
  assert.equal(guard({ deny: ['::/0'] }).refusal('8.8.8.8', 80), null);
});

test('our own listener is refused whatever is allowed, in every spelling that reaches it', () => {
  const it = guard({ allow: ['0.0.0.0/0', '::/0'] });
  it.protect({ host: '127.0.0.1', port: 3128 });
  for (const one of ['127.0.0.1', '::ffff:127.0.0.1', '0.0.0.0', '::']) {
    assert.match(it.refusal(one, 3128) ?? '', /listener of this sidecar/, one);
  }
  assert.equal(it.refusal('127.0.0.1', 3129), null);
  assert.equal(it.refusal('127.0.0.2', 3128), null);
});

test('a listener on every address is refused on every address of this machine', () => {
  for (const host of ['0.0.0.0', '::']) {
    const it = guard({ allow: ['0.0.0.0/0', '::/0'] });
    it.protect({ host, port: 3128 });
    for (const one of ['127.0.0.1', '127.9.9.9', '0.0.0.0', '::', '::1', '::ffff:127.0.0.1']) {
      assert.match(it.refusal(one, 3128) ?? '', /listener of this sidecar/, `${one} at ${host}`);
    }
    assert.equal(it.refusal('8.8.8.8', 3128), null);
  }
});
