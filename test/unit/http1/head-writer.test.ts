import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chunkLine, lastChunk, UnsafeField, writeHead } from '../../../src/http1/head-writer.ts';

test('a head is its first line, its fields and an empty line', () => {
  assert.equal(writeHead('HTTP/1.1 200 OK', ['A', '1', 'b', '']), 'HTTP/1.1 200 OK\r\nA: 1\r\nb: \r\n\r\n');
});

test('what would break the head is never written', () => {
  for (const [name, value] of [
    ['', 'x'],
    ['a b', 'x'],
    ['a:', 'x'],
    ['a\r\n', 'x'],
    ['\u0161', 'x'],
    ['a', 'x\r\ny'],
    ['a', 'x\ny'],
    ['a', 'x\ry'],
    ['a', 'x\0'],
    ['a', 'x\u0161'],
    ['a', 'x\u560a'],
  ] as const)
    assert.throws(
      () => writeHead('GET / HTTP/1.1', [name, value]),
      UnsafeField,
      JSON.stringify([name, value]),
    );
  assert.throws(() => writeHead('GET /\r\nX: y HTTP/1.1', []), UnsafeField);
});

test('chunks are framed in hexadecimal, and the last carries the trailers', () => {
  assert.equal(chunkLine(255), 'ff\r\n');
  assert.equal(lastChunk([]), '0\r\n\r\n');
  assert.equal(lastChunk(['X', 'y']), '0\r\nX: y\r\n\r\n');
});
