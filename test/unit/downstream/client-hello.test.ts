import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseClientHello } from '../../../src/downstream/client-hello.ts';
import {
  alpnExtension,
  extension,
  type HelloParts,
  helloBody,
  serverNameExtension,
  vector,
} from '../../support/client-hello.ts';

const parse = (parts: HelloParts): ReturnType<typeof parseClientHello> => parseClientHello(helloBody(parts));
const broken = (parts: HelloParts): string => {
  const read = parse(parts);
  assert.equal(read.kind, 'broken-tls', JSON.stringify(read));
  return (read as { reason: string }).reason;
};
const nameOf = (name: string): string | null => {
  const read = parse({ extensions: [serverNameExtension(name)] });
  return read.kind === 'tls' ? read.serverName : `broken: ${read.reason}`;
};

test('a name, protocols and Encrypted Client Hello are told, whatever else is offered around them', () => {
  assert.deepEqual(
    parse({
      extensions: [
        extension(0x0a0a, Buffer.alloc(1)),
        alpnExtension('h2', 'http/1.1', '\x8a\x8a'),
        extension(43, Buffer.from([2, 3, 4])),
        serverNameExtension('api.vendor.example'),
        extension(0xfe0d, Buffer.alloc(200)),
      ],
    }),
    { kind: 'tls', serverName: 'api.vendor.example', alpn: ['h2', 'http/1.1', '\x8a\x8a'], ech: true },
  );
});

test('a message of old that ends before its extensions names nobody', () => {
  const nothing = { kind: 'tls', serverName: null, alpn: [], ech: false };
  assert.deepEqual(parse({ extensions: null, version: 0x0301, session: new Uint8Array(0) }), nothing);
  assert.deepEqual(parse({ extensions: [] }), nothing);
});

test('a name is told in lower case and without its final dot', () => {
  assert.equal(nameOf('API.Vendor.Example.'), 'api.vendor.example');
  assert.equal(nameOf('localhost'), 'localhost');
  assert.equal(nameOf('_dmarc.xn--bcher-kva.example'), '_dmarc.xn--bcher-kva.example');
  assert.equal(nameOf('127.0.0.1'), '127.0.0.1');
  assert.equal(nameOf(`${'a.'.repeat(126)}b.`), `${'a.'.repeat(126)}b`);
});

test('what no host is called is broken', () => {
  const wrong = [
    '',
    '.',
    'a..b',
    '.a',
    'a..',
    'a b',
    'a\r\nb',
    'a\0',
    'a\0.example',
    'b\xfccher.example',
    '::1',
    '[::1]',
    'a:443',
    'a/b',
    '*.a',
    'a%2eb',
    'x'.repeat(64),
    `${'a.'.repeat(126)}bc`,
    'a.'.repeat(200),
  ];
  for (const name of wrong)
    assert.equal(nameOf(name), 'broken: a malformed server name', JSON.stringify(name));
});

test('a list of names that is not one host name is broken', () => {
  const other = extension(0, vector(2, Buffer.from([1, 0, 1, 0x61])));
  const trailing = extension(0, Buffer.concat([vector(2, Buffer.from([0, 0, 1, 0x61])), Buffer.from([0])]));
  const short = extension(0, vector(2, Buffer.from([0, 0, 9, 0x61])));
  for (const one of [
    serverNameExtension('a', 'b'),
    serverNameExtension(),
    extension(0, Buffer.alloc(0)),
    other,
    trailing,
    short,
  ])
    assert.equal(broken({ extensions: [one] }), 'a malformed server name');
});

test('a list of protocols that is empty, or has an empty one, is broken', () => {
  const trailing = extension(16, Buffer.concat([vector(2, Buffer.from([1, 0x61])), Buffer.from([0])]));
  for (const one of [alpnExtension(), alpnExtension('h2', ''), extension(16, Buffer.alloc(0)), trailing])
    assert.equal(broken({ extensions: [one] }), 'a malformed list of protocols');
});

test('an extension that is there twice is broken, for two readers could take two names', () => {
  assert.equal(
    broken({ extensions: [serverNameExtension('a'), serverNameExtension('b')] }),
    'an extension that is there twice',
  );
  assert.equal(
    broken({ extensions: [extension(77, Buffer.alloc(0)), extension(77, Buffer.alloc(0))] }),
    'an extension that is there twice',
  );
});

test('each part is held to its form', () => {
  assert.equal(broken({ version: 0x0203 }), 'a ClientHello of no TLS version');
  assert.equal(broken({ session: new Uint8Array(33) }), 'a malformed session ID');
  assert.equal(broken({ suites: new Uint8Array(0) }), 'a malformed list of cipher suites');
  assert.equal(broken({ suites: new Uint8Array(3) }), 'a malformed list of cipher suites');
  assert.equal(broken({ compressions: new Uint8Array(0) }), 'a malformed list of compression methods');
  assert.equal(broken({ extensions: [Buffer.from([0, 0, 0])] }), 'a malformed extension');
  assert.equal(broken({ extensions: [Buffer.from([0])] }), 'a malformed extension');
  const more = Buffer.concat([helloBody(), Buffer.from([0])]);
  assert.deepEqual(parseClientHello(more), { kind: 'broken-tls', reason: 'a malformed list of extensions' });
});

test('a message that was cut is broken wherever that was, but where an old one may end', () => {
  const whole = helloBody({ extensions: [serverNameExtension('a.example'), alpnExtension('h2')] });
  const beforeExtensions = helloBody({ extensions: null }).length;
  for (let end = 0; end < whole.length; end++) {
    const { kind } = parseClientHello(whole.subarray(0, end));
    assert.equal(kind, end === beforeExtensions ? 'tls' : 'broken-tls', String(end));
  }
});
