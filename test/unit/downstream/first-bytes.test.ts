import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { test } from 'node:test';
import { FirstBytes, type Opening } from '../../../src/downstream/first-bytes.ts';
import { helloOfNode, helloOfOpenssl, message, records } from '../../support/client-hello.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const MORE: Opening = { kind: 'more' };
const NEITHER: Opening = { kind: 'other', reason: 'neither TLS nor HTTP' };

const read = (text: string): Opening => new FirstBytes().read(Buffer.from(text, 'latin1'));

/** After how many bytes the answer came; each is given by itself. */
function decidedAfter(bytes: Buffer): [number, Opening] {
  const first = new FirstBytes();
  for (const [at, byte] of bytes.entries()) {
    const opening = first.read(Uint8Array.of(byte));
    if (opening.kind !== 'more') return [at + 1, opening];
  }
  return [Number.POSITIVE_INFINITY, first.end()];
}

test('a request is known by its method and the space after it, and not before', () => {
  for (const method of METHODS) {
    assert.deepEqual(
      decidedAfter(Buffer.from(`${method} / HTTP/1.1\r\n`)),
      [method.length + 1, { kind: 'http' }],
      method,
    );
    assert.deepEqual(read(method), MORE, method);
  }
});

test('up to two empty lines before a request are passed over', () => {
  for (const lines of ['\r\n', '\n', '\r\n\r\n', '\n\r\n', '\n\n']) {
    assert.deepEqual(read(`${lines}GET / HTTP/1.1`), { kind: 'http' }, JSON.stringify(lines));
    assert.deepEqual(read(lines), MORE, JSON.stringify(lines));
  }
  for (const text of ['\r\n\r\n\r', '\n\n\n', '\rG', '\r\r', '\r\n ', '\nPRI ', '\n\x16', '\r\x16'])
    assert.deepEqual(read(text), NEITHER, JSON.stringify(text));
});

test('the preface of HTTP/2 is known once it is whole', () => {
  assert.deepEqual(decidedAfter(Buffer.from(`${PREFACE}\0\0`)), [24, { kind: 'http2' }]);
  for (let end = 1; end < PREFACE.length; end++) {
    assert.deepEqual(read(PREFACE.slice(0, end)), MORE);
    assert.deepEqual(read(`${PREFACE.slice(0, end)}!`), NEITHER);
  }
});

test('what begins otherwise is something else, with the first byte that shows it', () => {
  const others: [string, number][] = [
    ['SSH-2.0-OpenSSH', 2],
    ['get / HTTP/1.1', 1],
    ['GETTER / HTTP/1.1', 4],
    ['GET\t/ HTTP/1.1', 4],
    ['EHLO there', 1],
    ['\0\0\0\x08\x04\xd2\x16\x2f', 1],
    ['\x16\x02\x01', 2],
    ['\x15\x03\x01', 1],
  ];
  for (const [text, bytes] of others)
    assert.deepEqual(decidedAfter(Buffer.from(text, 'latin1')), [bytes, NEITHER], JSON.stringify(text));
});

test('a hello in the style of SSL 2 is something else', () => {
  assert.deepEqual(decidedAfter(Buffer.from('802e0103010015000000100100800300800700c0', 'hex')), [
    1,
    NEITHER,
  ]);
});

test('a record of a handshake is a promise of TLS: what then does not parse is broken', () => {
  assert.deepEqual(read('\x16'), MORE);
  assert.deepEqual(read('\x16\x03'), MORE);
  assert.deepEqual(read('\x16\x03GET / HTTP/1.1'), {
    kind: 'broken-tls',
    reason: 'a record that is too long',
  });
});

test('an answer stays, whatever comes after it', () => {
  const first = new FirstBytes();
  assert.deepEqual(first.read(Buffer.from('GET ')), { kind: 'http' });
  assert.deepEqual(first.read(Buffer.from([0x16, 3, 1])), { kind: 'http' });
  assert.deepEqual(first.end(), { kind: 'http' });
});

test('when no more will come the answer is final', () => {
  const ended = (text: string): Opening => {
    const first = new FirstBytes();
    first.read(Buffer.from(text, 'latin1'));
    const opening = first.end();
    assert.deepEqual(first.read(Buffer.from('GET / HTTP/1.1')), opening, 'and stays');
    return opening;
  };
  assert.deepEqual(ended(''), { kind: 'other', reason: 'nothing was sent' });
  for (const text of ['GE', '\r', '\n', '\x16', 'PRI * HTTP'])
    assert.deepEqual(ended(text), { kind: 'other', reason: 'the first bytes are too few to tell' });
  for (const text of ['\x16\x03', '\x16\x03\x01\x00\x20\x01'])
    assert.deepEqual(ended(text), { kind: 'broken-tls', reason: 'a ClientHello that was not finished' });
});

test('what Node says in its ClientHello is read', async () => {
  const cases: [Parameters<typeof helloOfNode>[0], string | null, string[]][] = [
    [
      { servername: 'Api.Vendor.Example', ALPNProtocols: ['h2', 'http/1.1'] },
      'api.vendor.example',
      ['h2', 'http/1.1'],
    ],
    [{ servername: 'a.example', maxVersion: 'TLSv1.2' }, 'a.example', []],
    [{ minVersion: 'TLSv1.3', ALPNProtocols: ['h2'] }, null, ['h2']],
    [{ servername: '' }, null, []],
  ];
  for (const [options, serverName, alpn] of cases) {
    const opening = new FirstBytes().read(await helloOfNode(options));
    assert.deepEqual(opening, { kind: 'tls', serverName, alpn, ech: false });
  }
});

test('what openssl says in its ClientHello is read', async (t) => {
  const cases: [string[], string | null, string[]][] = [
    [['-servername', 'A.Example.', '-alpn', 'h2,http/1.1', '-tls1_3'], 'a.example', ['h2', 'http/1.1']],
    [['-servername', 'a.example', '-tls1_2'], 'a.example', []],
    [['-noservername', '-tls1_2'], null, []],
    [['-noservername', '-tls1_3', '-alpn', 'h2'], null, ['h2']],
  ];
  for (const [words, serverName, alpn] of cases) {
    const hello = await helloOfOpenssl(...words);
    if (hello === null) return t.skip('there is no openssl here');
    assert.deepEqual(
      new FirstBytes().read(hello),
      { kind: 'tls', serverName, alpn, ech: false },
      words.join(' '),
    );
  }
});

test('a trickle of single bytes costs no more than its length', () => {
  const bytes = records(message(Buffer.alloc(32_000)), 16_384);
  const rounds = 10;
  const began = process.cpuUsage();
  for (let round = 0; round < rounds; round++) assert.equal(decidedAfter(bytes)[0], bytes.length);
  const { user, system } = process.cpuUsage(began);
  const milliseconds = (user + system) / 1_000 / rounds;
  // A few are usual; to begin anew with each byte would be 32,000 times 16 KiB.
  assert.ok(milliseconds < 100, `${milliseconds} ms`);
});
