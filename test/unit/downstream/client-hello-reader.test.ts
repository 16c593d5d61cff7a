import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLIENT_HELLO_BYTES_MAX, ClientHelloReader } from '../../../src/downstream/client-hello-reader.ts';
import { extension, helloBody, message, records, serverNameExtension } from '../../support/client-hello.ts';

const HELLO = message(helloBody({ extensions: [serverNameExtension('a.example')] }));
const SAID = { kind: 'tls', serverName: 'a.example', alpn: [], ech: false };

const read = (bytes: Uint8Array): ReturnType<ClientHelloReader['read']> =>
  new ClientHelloReader().read(bytes);
const broken = (reason: string): object => ({ kind: 'broken-tls', reason });

/** A whole message whose body has so many bytes. */
function helloOf(bodyBytes: number): Buffer {
  const padding = bodyBytes - helloBody({ extensions: [extension(21, Buffer.alloc(0))] }).length;
  return message(helloBody({ extensions: [extension(21, Buffer.alloc(padding))] }));
}

test('a message over many records, of one byte each, is read as one', () => {
  assert.deepEqual(read(records(HELLO)), SAID);
  assert.deepEqual(read(records(HELLO, ...Array.from<number>({ length: HELLO.length }).fill(1))), SAID);
  assert.deepEqual(read(records(HELLO, 3, 2)), SAID);
});

test('what follows the record of the message is nothing to it', () => {
  assert.deepEqual(read(Buffer.concat([records(HELLO), Buffer.from('early data')])), SAID);
});

test('an answer needs the last byte of the message, and no more', () => {
  const reader = new ClientHelloReader();
  const bytes = records(HELLO, 10, 1);
  for (const [at, byte] of bytes.subarray(0, -1).entries())
    assert.equal(reader.read(Uint8Array.of(byte)), null, String(at));
  assert.deepEqual(reader.read(bytes.subarray(-1)), SAID);
});

test('a record is held to its form before the next byte is waited for', () => {
  assert.deepEqual(read(Uint8Array.of(0x16, 3, 1, 0, 0)), broken('a record that is empty'));
  assert.deepEqual(read(Uint8Array.of(0x16, 3, 1, 0x40, 1)), broken('a record that is too long'));
  assert.equal(read(Uint8Array.of(0x16, 3, 1, 0x40, 0)), null);
  const first = records(HELLO.subarray(0, 20));
  assert.deepEqual(
    read(Buffer.concat([first, Uint8Array.of(0x15)])),
    broken('a record that is no handshake'),
  );
  assert.deepEqual(
    read(Buffer.concat([first, Uint8Array.of(0x16, 2)])),
    broken('a record of no TLS version'),
  );
});

test('a message is held to its form before its bytes are waited for', () => {
  assert.deepEqual(read(records(message(Buffer.alloc(0), 2))), broken('a message that is no ClientHello'));
  assert.deepEqual(read(records(message(Buffer.alloc(0)))), broken('a ClientHello of no TLS version'));
  assert.deepEqual(read(records(Uint8Array.of(1, 0, 0x80, 0))), broken('a ClientHello that is too long'));
  assert.deepEqual(read(records(Uint8Array.of(1, 255, 255, 255))), broken('a ClientHello that is too long'));
  assert.deepEqual(
    read(records(Buffer.concat([HELLO, Uint8Array.of(0)]))),
    broken('a record that goes on after its ClientHello'),
  );
});

test('a message that ends with the last byte of the bound is read, and one that goes on is not', () => {
  const headers = 4 + 2 * 5;
  const fits = records(helloOf(CLIENT_HELLO_BYTES_MAX - headers), 16_384);
  assert.equal(fits.length, CLIENT_HELLO_BYTES_MAX);
  assert.equal(read(fits)?.kind, 'tls');
  const over = records(helloOf(CLIENT_HELLO_BYTES_MAX - headers + 1), 16_384);
  const reader = new ClientHelloReader();
  assert.equal(reader.read(over.subarray(0, CLIENT_HELLO_BYTES_MAX - 1)), null);
  assert.deepEqual(
    reader.read(over.subarray(CLIENT_HELLO_BYTES_MAX - 1)),
    broken('a ClientHello without an end'),
  );
});

test('records of one byte each come to an end, too', () => {
  const endless = records(helloOf(20_000), ...Array.from<number>({ length: 20_000 }).fill(1));
  assert.deepEqual(read(endless), broken('a ClientHello without an end'));
});
