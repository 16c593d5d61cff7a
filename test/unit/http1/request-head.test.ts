import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeadFault } from '../../../src/http1/head-fault.ts';
import { HeadReader } from '../../../src/http1/head-reader.ts';
import { isHttp2Preface, readRequestHead } from '../../../src/http1/request-head.ts';

const BOUNDS = { startLineBytes: 200, headBytes: 1_000, fields: 10 };

/** The head, or the kind of its fault and the reason. */
function read(message: string) {
  const reader = new HeadReader(BOUNDS);
  const bytes = Buffer.from(message, 'latin1');
  const end = reader.read(bytes, 0);
  if (reader.fault !== null) return `${reader.fault.kind}: ${reader.fault.reason}`;
  if (end < 0) return 'more';
  const head = readRequestHead(reader.text, BOUNDS);
  return head instanceof HeadFault ? `${head.kind}: ${head.reason}` : head;
}

const refusal = (result: ReturnType<typeof read>): string => (typeof result === 'string' ? result : '');

test('a head is its method, target, version and fields, in their order and spelling', () => {
  assert.deepEqual(
    read(
      'PURGE http://a:1/x?y|z HTTP/1.0\r\nhOST:a\r\nX-Empty:\r\nX-Blank: \t a b\t \r\nX-Obs: \xe9\r\n\r\n',
    ),
    {
      method: 'PURGE',
      target: 'http://a:1/x?y|z',
      minorVersion: 0,
      fields: ['hOST', 'a', 'X-Empty', '', 'X-Blank', 'a b', 'X-Obs', '\xe9'],
    },
  );
});

test('a head may have no field, and eight empty lines before it', () => {
  const head = { method: 'GET', target: '/', minorVersion: 1, fields: [] };
  assert.deepEqual(read('GET / HTTP/1.1\r\n\r\n'), head);
  assert.deepEqual(read(`${'\r\n'.repeat(8)}GET / HTTP/1.1\r\n\r\n`), head);
  assert.match(
    refusal(read(`${'\r\n'.repeat(9)}GET / HTTP/1.1\r\n\r\n`)),
    /^malformed: too many empty lines/,
  );
});

test('what breaks the grammar of a request line is malformed', () => {
  const lines = [
    ' GET / HTTP/1.1',
    'GET  / HTTP/1.1',
    'GET /  HTTP/1.1',
    'GET / HTTP/1.1 ',
    'GET / HTTP/1.1 HTTP/1.0',
    'GET\t/ HTTP/1.1',
    'GET /\tHTTP/1.1',
    'GET / ',
    'GET /',
    'GET',
    'GET / http/1.1',
    'GET / HTTP/1.2',
    'GET / HTTP/0.9',
    'GET / HTTP/2.0',
    'GET / HTTP/11',
    'GET / HTTP/1.1x',
    'GET / RTSP/1.0',
    'GET / ICE/1.0',
    'G(T / HTTP/1.1',
    'G\xc9T / HTTP/1.1',
    'GET /\x7f HTTP/1.1',
    'GET /\xe9 HTTP/1.1',
    'GET /\x00 HTTP/1.1',
    `${'M'.repeat(65)} / HTTP/1.1`,
    ':',
    '\x16\x03\x01',
  ];
  for (const line of lines) assert.match(refusal(read(`${line}\r\nHost: a\r\n\r\n`)), /^malformed: /, line);
});

test('what breaks the grammar of field lines is malformed', () => {
  const lines = [
    'Host : a',
    'Host\t: a',
    ' Host: a',
    'Host: a\r\n b',
    'Host: a\r\n\tb',
    ': a',
    'Host',
    'Ho st: a',
    'Ho(st: a',
    'H\xf6st: a',
    'X: a\x00b',
    'X: a\x0bb',
    'X: a\x7fb',
    'X: a\rb',
    'X: a\nb',
    'X: a\n',
    'X: a\r',
    '\r',
  ];
  for (const line of lines) {
    assert.match(refusal(read(`GET / HTTP/1.1\r\n${line}\r\n\r\n`)), /^malformed: /, JSON.stringify(line));
  }
  for (const message of [
    'GET / HTTP/1.1\nHost: a\n\n',
    'GET / HTTP/1.1\r\nHost: a\r\n\rX',
    '\nGET / HTTP/1.1\r\n\r\n',
    '\rGET / HTTP/1.1\r\n\r\n',
  ])
    assert.match(refusal(read(message)), /^malformed: /, JSON.stringify(message));
});

test('bounds are of the first line, of the whole head and of the number of fields', () => {
  const target = (length: number) => `/${'x'.repeat(length - 'GET / HTTP/1.1'.length)}`;
  assert.equal(typeof read(`GET ${target(200)} HTTP/1.1\r\n\r\n`), 'object');
  assert.match(refusal(read(`GET ${target(201)} HTTP/1.1\r\n\r\n`)), /^start line too long/);
  assert.match(refusal(read(`GET ${target(5_000)} HTTP/1.1\r\n\r\n`)), /^start line too long/);
  assert.match(refusal(read(`GET ${target(5_000)}`)), /^start line too long/);
  const field = (bytes: number) => `X: ${'x'.repeat(bytes - 'GET / HTTP/1.1\r\nX: '.length)}`;
  assert.equal(typeof read(`GET / HTTP/1.1\r\n${field(1_000)}\r\n\r\n`), 'object');
  assert.match(refusal(read(`GET / HTTP/1.1\r\n${field(1_001)}\r\n\r\n`)), /^head too large/);
  assert.match(refusal(read(`GET / HTTP/1.1\r\n${field(2_000)}`)), /^head too large/);
  assert.equal(typeof read(`GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(10)}\r\n`), 'object');
  assert.match(refusal(read(`GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(11)}\r\n`)), /^too many fields/);
});

test('what can be no head is refused at the octet that shows it', () => {
  for (const message of [
    '\x16',
    ' ',
    'GET / HTTP/1.1\n',
    'GET / HTTP/1.1\r\nX: \x00',
    'GET / HTTP/1.1\r\nX: y\rz',
  ])
    assert.match(refusal(read(message)), /^malformed: /, JSON.stringify(message));
  for (const message of ['', '\r', '\r\n', 'G', 'GET / HTTP/1.1\r\n\r']) assert.equal(read(message), 'more');
});

test('the beginning of HTTP/2 is known as such', () => {
  const reader = new HeadReader(BOUNDS);
  assert.equal(reader.read(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), 0), 18);
  assert.equal(isHttp2Preface(reader.text), true);
  assert.equal(isHttp2Preface('PRI * HTTP/2.0\r\nX: y'), false);
});
