import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeadFault } from '../../../src/http1/head-fault.ts';
import { readResponseHead } from '../../../src/http1/response-head.ts';

const BOUNDS = { startLineBytes: 100, headBytes: 1_000, fields: 10 };

function read(text: string) {
  const head = readResponseHead(text, BOUNDS);
  return head instanceof HeadFault ? `${head.kind}: ${head.reason}` : head;
}

const refusal = (result: ReturnType<typeof read>): string => (typeof result === 'string' ? result : '');

test('a head is its status, reason phrase, version and fields', () => {
  assert.deepEqual(read('HTTP/1.0 299 F\xfcr  uns\r\nX: y'), {
    status: 299,
    reason: 'F\xfcr  uns',
    minorVersion: 0,
    fields: ['X', 'y'],
  });
  for (const line of ['HTTP/1.1 200', 'HTTP/1.1 200 '])
    assert.deepEqual(read(line), { status: 200, reason: '', minorVersion: 1, fields: [] }, line);
});

test('what breaks the grammar of a status line is malformed', () => {
  const lines = [
    '',
    'HTTP/1.1',
    'HTTP/1.1 ',
    'HTTP/1.1 20',
    'HTTP/1.1 2000',
    'HTTP/1.1 099',
    'HTTP/1.1 2x0',
    'HTTP/1.1 +20',
    'HTTP/1.1  200 OK',
    'HTTP/1.1\t200 OK',
    'HTTP/1.1 200\tOK',
    'HTTP/1.1 200-OK',
    'HTTP/1.2 200 OK',
    'HTTP/2 200 OK',
    'HTTP/0.9 200 OK',
    'http/1.1 200 OK',
    'ICY 200 OK',
    'HTTP/1.1 200 O\x00K',
    'HTTP/1.1 200 O\x1bK',
  ];
  for (const line of lines) assert.match(refusal(read(`${line}\r\nX: y`)), /^malformed: /, line);
  assert.match(refusal(read(`HTTP/1.1 200 ${'x'.repeat(88)}`)), /^start line too long/);
});

test('a value that goes on in the next line is malformed here as well', () => {
  assert.match(refusal(read('HTTP/1.1 200 OK\r\nX: y\r\n z')), /^malformed: /);
});
