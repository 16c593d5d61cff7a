import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { TargetReader } from '../../../src/downstream/target.ts';
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
  ['metadata', ['168.63.129.16', '::ffff:168.63.129.16', '64:ff9b::a83f:8110', '2002:a83f:8110::1']],
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
  // What carries a public IPv4 and is itself no public address: of these only NAT64's own prefix is a way to it.
  [
    'reserved',
    [
      '2002:808:808::1',
      '2001:0:1234::f7f7:f7f7',
      '::8.8.8.8',
      '::ffff:0:8.8.8.8',
      '64:ff9b:1::8.8.8.8',
      '64:ff9b:0:1::808:808',
      '4000::5efe:8.8.8.8',
    ],
  ],
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
      '::ffff:0:127.0.0.1',
      '::ffff:0:7f00:1',
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
      '100.63.255.254',
      '100.128.0.1',
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

test('an exception for IPv6 says nothing of the IPv4 inside, and the other way round', () => {
  const it = guard({ allow: ['64:ff9b:1::/48', '2002::/16', '::/0'] });
  assert.equal(it.refusal('64:ff9b:1::8.8.8.8', 80), null);
  assert.equal(it.refusal('2002:808:808::1', 80), null);
  for (const one of ['64:ff9b:1::127.0.0.1', '2002:7f00:1::', '::ffff:127.0.0.1', '64:ff9b::a9fe:a9fe'])
    assert.notEqual(it.refusal(one, 80), null, one);
  assert.equal(guard({ allow: ['10.1.0.0/16'] }).refusal('2002:a01:1::', 80), null);
});

test('a CIDR of mapped addresses is that of the IPv4', () => {
  const it = guard({ allow: ['::ffff:10.1.0.0/112'], deny: ['::ffff:8.8.8.8'] });
  assert.equal(it.refusal('10.1.2.3', 80), null);
  assert.equal(it.refusal('::ffff:10.1.2.3', 80), null);
  assert.notEqual(it.refusal('10.2.2.3', 80), null);
  assert.notEqual(it.refusal('8.8.8.8', 80), null);
});

const ofRoute = (lists: { allow?: string[]; deny?: string[] }) => ({
  key: '@r',
  allow: lists.allow ?? [],
  deny: lists.deny ?? [],
  denials: null,
});

test('what a route says is laid over the rest: the longest prefix of all wins, on a tie the denial', () => {
  const it = guard({ allow: ['10.0.0.0/8'], deny: ['8.8.8.0/24', '10.3.0.0/16'] });
  const route = ofRoute({
    allow: ['10.3.1.0/24', '8.8.8.0/24', '192.168.1.1'],
    deny: ['10.1.0.0/16', '1.1.1.1'],
  });
  for (const [address, without, within] of [
    ['10.2.0.1', true, true],
    ['10.1.0.1', true, false],
    ['10.3.0.1', false, false],
    ['10.3.1.1', false, true],
    ['8.8.8.8', false, false],
    ['192.168.1.1', false, true],
    ['::ffff:192.168.1.1', false, true],
    ['192.168.1.2', false, false],
    ['1.1.1.1', true, false],
  ] as const) {
    assert.equal(it.refusal(address, 443) === null, without, `${address} without the route`);
    assert.equal(it.refusal(address, 443, route) === null, within, `${address} with the route`);
  }
  assert.match(it.refusal('1.1.1.1', 443, route) ?? '', /is in addresses\.deny of the route/);
  assert.match(it.refusal('8.8.8.8', 443, route) ?? '', /is in access\.addresses\.deny/);
});

test('our own listener is refused whatever a route says, also one that listens on a mapped address', () => {
  const it = guard();
  it.protect({ host: '::ffff:127.0.0.1', port: 3128 });
  it.protect({ host: '::1', port: 3129 });
  const route = ofRoute({ allow: ['0.0.0.0/0', '::/0'] });
  for (const one of ['127.0.0.1', '::ffff:127.0.0.1', '0.0.0.0', '::', '64:ff9b::7f00:1'])
    assert.match(it.refusal(one, 3128, route) ?? '', /listener of this sidecar/, one);
  for (const one of ['::1', '0:0:0:0:0:0:0:1', '::'])
    assert.match(it.refusal(one, 3129, route) ?? '', /listener of this sidecar/, one);
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

// The whole road: what a caller writes, the host that is made of it, what that resolves to, what may be dialled.

/** Names as a resolver might answer them; whatever else is asked for does not resolve. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  localhost: ['::1', '127.0.0.1'],
  'x.localhost': ['127.0.0.1'],
  'localhost.localdomain': ['127.0.0.1'],
  'ip6-localhost': ['::1'],
  'metadata.google.internal': ['169.254.169.254'],
  metadata: ['169.254.169.254'],
  'instance-data.ec2.internal': ['169.254.169.254', 'fd00:ec2::254'],
  '127.0.0.1.nip.example': ['127.0.0.1'],
  'mixed.example': ['10.0.0.1', '8.8.8.8', '::1', '2606:4700:4700::1111', '169.254.169.254'],
  'mapped.example': ['::ffff:10.0.0.1', '::ffff:8.8.8.8'],
  'zero.example': ['0.0.0.0'],
  'zeros.example': ['::'],
  'odd.example': ['127.1', '2130706433', '0177.0.0.1', '8.8.2056', 'localhost', '1.1.1.1 ', '::1%lo'],
  'zone.example': ['fe80::1%eth0'],
  'empty.example': [],
  'api.example': ['93.184.216.34'],
  'xn--bcher-kva.example': ['93.184.216.34'],
  'a_b.example': ['93.184.216.34'],
};

/** Unusable: refused as a target. Denied: nothing of it may be dialled. Else what may be, and nothing else. */
type Verdict = 'unusable' | 'denied' | readonly string[];

const targets = new TargetReader();

function hostOf(text: string): string | null {
  try {
    return targets.absolute(`http://${text}/`).target.host;
  } catch {
    return null;
  }
}

function road(text: string): Verdict {
  const host = hostOf(text);
  if (host === null) return 'unusable';
  const addresses = isIP(host) === 0 ? (NAMES[host] ?? []) : [host];
  const dialled = addresses.filter((address) => guard().refusal(address, 80) === null);
  return dialled.length === 0 ? 'denied' : dialled;
}

const API: Verdict = ['93.184.216.34'];

const ROADS: readonly (readonly [Verdict, readonly string[]])[] = [
  // 127.0.0.1 in the spellings of inet_aton, alone and mixed
  [
    'denied',
    [
      '127.0.0.1',
      '127.1',
      '127.0.1',
      '127.0.0.1.',
      '127.1.',
      '2130706433',
      '2130706433.',
      '0x7f000001',
      '0X7F000001',
      '0x7f.0.0.1',
      '0x7f.1',
      '0x7F.0x0.0x0.0x1',
      '0177.0.0.1',
      '0177.1',
      '00177.0.0.01',
      '017700000001',
      '0x7f.0.1',
      '127.0x0.01',
      '127.0.0.0x1',
      '0177.0.0x0.1',
      '0x00000000000000007f.1',
      '00000000000000000177.1',
      '127.0.0.01',
      '127.00.00.01',
      '127.255.255.254',
      '127.255.1',
      '127.16777215',
    ],
  ],
  ['denied', ['0', '0.', '0.0', '0.0.0', '0.0.0.0', '0x0', '00', '0x0.0x0', '0.0.0.0.', '0.0.0.1', '0x']],
  // The metadata service and private networks
  [
    'denied',
    [
      '169.254.169.254',
      '2852039166',
      '0xa9fea9fe',
      '0xA9.0xFE.0xA9.0xFE',
      '0251.0376.0251.0376',
      '169.254.43518',
      '169.16689662',
      '0251.254.0xa9.254',
      '025177524776',
      '169.254.169.254.',
      '169.254.170.2',
      '100.100.100.200',
      '10.0.0.1',
      '10.1',
      '012.1',
      '0xa.1',
      '167772161',
      '192.168.1.1',
      '192.168.257',
      '0300.0250.1.1',
      '3232235777',
      '172.16.0.1',
      '172.1048577',
      '100.64.0.1',
      '224.0.0.1',
      '255.255.255.255',
      '4294967295',
      '0xffffffff',
      '192.0.2.1',
      '198.18.0.1',
      '203.0.113.7',
      '240.0.0.1',
      '192.88.99.1',
      '192.0.0.1',
    ],
  ],
  // IPv6 and what is inside
  [
    'denied',
    [
      '[::1]',
      '[0:0:0:0:0:0:0:1]',
      '[0000:0000:0000:0000:0000:0000:0000:0001]',
      '[::]',
      '[::0]',
      '[0::0]',
      '[::0001]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[::FFFF:7F00:1]',
      '[0:0:0:0:0:ffff:7f00:0001]',
      '[::ffff:0:127.0.0.1]',
      '[::ffff:0:7f00:1]',
      '[::127.0.0.1]',
      '[::7f00:1]',
      '[::ffff:169.254.169.254]',
      '[::ffff:a9fe:a9fe]',
      '[::ffff:10.0.0.1]',
      '[::ffff:0.0.0.0]',
      '[::ffff:100.64.0.1]',
      '[64:ff9b::127.0.0.1]',
      '[64:ff9b::7f00:1]',
      '[64:ff9b::169.254.169.254]',
      '[64:ff9b:1::8.8.8.8]',
      '[64:ff9b:1:ffff::a00:1]',
      '[2002:7f00:1::]',
      '[2002:a9fe:a9fe::1]',
      '[2002:808:808::1]',
      '[2001::80ff:fffe]',
      '[2001:0:0:0:0:0:0:1]',
      '[fe80::1]',
      '[febf::1]',
      '[fec0::1]',
      '[fc00::1]',
      '[fd00:ec2::254]',
      '[ff02::1]',
      '[100::1]',
      '[5f00::1]',
      '[2001:db8::1]',
      '[3fff::1]',
      '[4000::1]',
      '[2606:4700::5efe:7f00:1]',
      '[2606:4700::200:5efe:10.0.0.1]',
      '[::8.8.8.8]',
      '[2001:2::1]',
      '[2001:10::1]',
    ],
  ],
  // Names: what decides is the address
  [
    'denied',
    [
      'localhost',
      'localhost.',
      'LOCALHOST',
      'LocalHost.',
      'x.localhost',
      'X.LOCALHOST.',
      'localhost.localdomain',
      'ip6-localhost',
      'metadata.google.internal',
      'metadata.google.internal.',
      'METADATA.google.internal',
      'metadata',
      'instance-data.ec2.internal',
      '127.0.0.1.nip.example',
      'zero.example',
      'zeros.example',
      'odd.example',
      'zone.example',
      'empty.example',
      'unknown.example',
      'xn--a',
      'xn--localhost-',
    ],
  ],
  // No host, or one that two programs could read differently
  [
    'unusable',
    [
      '',
      '.',
      '..',
      'a..example',
      '.example',
      'localhost..',
      'api.example..',
      '%31%32%37.0.0.1',
      'localho%73t',
      '127.0.0.1%00',
      'api.example%00',
      '127.0.0.1%2e',
      'localhost%2E',
      '%6c%6f%63%61%6c%68%6f%73%74',
      '[::1%25lo]',
      '[fe80::1%25eth0]',
      '[fe80::1%eth0]',
      '[::1]x',
      '[::1',
      '::1]',
      '[]',
      '[[::1]]',
      '[127.0.0.1]',
      '[v1.fe80::a]',
      '[1::2::3]',
      '[::1.2.3]',
      '[::256.0.0.1]',
      '[12345::]',
      '①②⑦.⓪.⓪.①',
      '１２７.０.０.１',
      'localhoſt',
      'ⓛocalhost',
      'loc\u00adalhost',
      'local\u200bhost',
      'local\u2060host',
      '127。0。0。1',
      '127．0．0．1',
      'bücher.example',
      'api\u3002example',
      'a b',
      'a\tb',
      'a\0b',
      'a,b',
      'a|b',
      'a^b',
      'a<b',
      'a"b',
      'a{b}',
      'a`b',
      'user@localhost',
      'user:pass@localhost',
      '@localhost',
      'localhost\\@api.example',
      '256.0.0.1',
      '1.2.3.4.5',
      '127.0.0.256',
      '0x100000000',
      '4294967296',
      '08.0.0.1',
      '0x7g.1',
      '127.0.0.1.5',
      'a.0x7f',
      'api.example.1',
      `${'a.'.repeat(126)}ab`,
    ],
  ],
  // And what may be dialled
  [
    ['8.8.8.8'],
    ['8.8.8.8', '8.8.8.8.', '134744072', '0x08080808', '010.8.8.8', '8.8.2056', '[::ffff:8.8.8.8]'],
  ],
  [['100.63.255.254'], ['100.63.255.254']],
  [['100.128.0.1'], ['100.128.0.1']],
  [
    ['2606:4700:4700::1111'],
    ['[2606:4700:4700::1111]', '[2606:4700:4700:0:0:0:0:1111]', '[2606:4700:4700::0.0.17.17]'],
  ],
  [['64:ff9b::808:808'], ['[64:ff9b::8.8.8.8]', '[64:FF9B::808:808]']],
  [
    ['8.8.8.8', '2606:4700:4700::1111'],
    ['mixed.example', 'MIXED.example.'],
  ],
  [['::ffff:8.8.8.8'], ['mapped.example']],
  [
    API,
    ['api.example', 'API.EXAMPLE', 'api.example.', 'Api.Example.', 'xn--bcher-kva.example', 'a_b.example'],
  ],
];

for (const [verdict, texts] of ROADS) {
  for (const text of texts) {
    const promise =
      typeof verdict === 'string' ? `is ${verdict}` : `dials ${verdict.join(' and ')} and nothing else`;
    test(`http://${JSON.stringify(text).slice(1, -1)}/ ${promise}`, () =>
      assert.deepEqual(road(text), verdict));
  }
}

test('the table of roads has more than 150 spellings, none twice', () => {
  const texts = ROADS.flatMap(([, some]) => some);
  assert.ok(texts.length > 200, `${texts.length}`);
  assert.equal(new Set(texts).size, texts.length);
});

test('whatever spells one host is one host, so that one rule holds for all of them', () => {
  const spellings: readonly (readonly string[])[] = [
    ['api.example', 'API.example', 'api.example.', 'api.EXAMPLE.'],
    [
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f.1',
      '0177.1',
      '[::ffff:127.0.0.1]',
      '[::FFFF:7f00:1]',
      '127.0.0.1.',
    ],
    ['[::1]', '[0:0:0:0:0:0:0:1]', '[0::0001]'],
    ['[2001:db8::a]', '[2001:DB8::A]', '[2001:0db8:0:0:0:0:0:a]', '[2001:db8::0.0.0.10]'],
  ];
  for (const group of spellings) {
    const hosts = new Set(group.map(hostOf));
    assert.equal(hosts.size, 1, group.join(' '));
    const connects = new Set(group.map((one) => targets.authority(`${one}:443`).host));
    assert.deepEqual(connects, hosts, 'CONNECT reads it so, too');
  }
});

/** Spellings of an IPv4 address by inet_aton, and what carries it. */
function spellingsOf(address: number): string[] {
  const bytes = [address >>> 24, (address >>> 16) & 0xff, (address >>> 8) & 0xff, address & 0xff] as const;
  const [a, b, c, d] = bytes;
  const octal = (value: number): string => (value === 0 ? '0' : `0${value.toString(8)}`);
  const hex = (value: number): string => `0x${value.toString(16)}`;
  const [high, low] = [(address >>> 16).toString(16), (address & 0xffff).toString(16)];
  return [
    bytes.join('.'),
    `${bytes.join('.')}.`,
    `${address}`,
    hex(address),
    octal(address),
    bytes.map(octal).join('.'),
    bytes.map(hex).join('.'),
    `${a}.${hex(b)}.${octal(c)}.${d}`,
    `${a}.${b}.${(c << 8) | d}`,
    `${octal(a)}.${hex(address & 0xffffff)}`,
    `[::ffff:${bytes.join('.')}]`,
    `[::FFFF:${high}:${low}]`,
    `[64:ff9b::${high}:${low}]`,
  ];
}

test('whatever spells or carries a special IPv4 address is denied, and a public one is dialled as itself', () => {
  let denied = 0;
  fc.assert(
    fc.property(
      fc.oneof(
        fc.nat(0xffff_ffff),
        fc
          .constantFrom(10, 100, 127, 169, 172, 192, 198, 203, 224)
          .chain((first) => fc.nat(0xff_ffff).map((rest) => first * 2 ** 24 + rest)),
      ),
      (address) => {
        const plain = [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
        const refused = guard().refusal(plain, 80) !== null;
        if (refused) denied++;
        for (const text of spellingsOf(address)) {
          const verdict = road(text);
          assert.equal(verdict === 'denied', refused, text);
          if (!refused && !text.includes('64:')) assert.deepEqual(verdict, [plain], text);
        }
        const within = `${(address >>> 16).toString(16)}:${(address & 0xffff).toString(16)}`;
        for (const text of [
          `[2002:${within}::1]`,
          `[::${within}]`,
          `[::ffff:0:${within}]`,
          `[64:ff9b:1::${within}]`,
        ])
          if (address > 0xffff) assert.equal(road(text), 'denied', text);
      },
    ),
    { numRuns: 2_000 },
  );
  assert.ok(denied > 200, `${denied} were denied`);
});
