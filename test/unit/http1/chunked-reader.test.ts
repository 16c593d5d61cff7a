import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkedReader } from '../../../src/http1/chunked-reader.ts';

const BOUNDS = { startLineBytes: 100, headBytes: 100, fields: 3 };

/** What came of it: the data, the trailers, and what was left; or the kind of the fault. */
function read(message: string) {
  const reader = new ChunkedReader(BOUNDS);
  const bytes = Buffer.from(message, 'latin1');
  let data = '';
  const end = reader.read(bytes, 0, { bodyData: (part) => (data += part.toString('latin1')) });
  if (reader.fault !== null) return reader.fault.kind;
  if (!reader.done) return 'more';
  return { data, trailers: reader.trailers, rest: message.slice(end) };
}

test('data comes without its framing, and what follows is left', () => {
  assert.deepEqual(read('5\r\nhello\r\n00a\r\n\r\nto you\r\n\r\n0\r\n\r\nGET'), {
    data: 'hello\r\nto you\r\n',
    trailers: [],
    rest: 'GET',
  });
});

test('extensions are ignored, trailers are fields', () => {
  assert.deepEqual(read('1;a=b;c="d e"\r\nx\r\n0;last\r\nX-T: 1 \r\nx-u:\r\n\r\n'), {
    data: 'x',
    trailers: ['X-T', '1', 'x-u', ''],
    rest: '',
  });
});

test('a size is hexadecimal digits and nothing else', () => {
  for (const size of [
    '',
    ' 5',
    '5 ',
    '+5',
    '-5',
    '0x5',
    '5_',
    'g',
    '5,5',
    '\t5',
    '5\t',
    ' ',
    '1'.repeat(17),
    'fffffffffffffff',
  ])
    assert.equal(read(`${size}\r\nhello\r\n0\r\n\r\n`), 'malformed', JSON.stringify(size));
});

test('every line ends with CR LF, and data is as long as its size', () => {
  for (const message of [
    '5\nhello\r\n0\r\n\r\n',
    '5\rhello\r\n0\r\n\r\n',
    '5;a\nhello\r\n0\r\n\r\n',
    '5;a\rb\r\nhello\r\n0\r\n\r\n',
    '5;\x00\r\nhello\r\n0\r\n\r\n',
    '5\r\nhello\n0\r\n\r\n',
    '5\r\nhello0\r\n\r\n',
    '5\r\nhelloo\r\n0\r\n\r\n',
    '5\r\nhello\r\r\n0\r\n\r\n',
    '0\r\n\n',
    '0\r\n\rX',
    '0\r\nX: y\n\r\n',
    '0\r\nX: y\rz\r\n\r\n',
    '0\r\n X: y\r\n\r\n',
    '0\r\nX : y\r\n\r\n',
    '0\r\nX\r\n\r\n',
    '0\r\nX: \x00\r\n\r\n',
  ])
    assert.equal(read(message), 'malformed', JSON.stringify(message));
});

test('extensions and trailers are bounded', () => {
  assert.equal(typeof read(`1;${'x'.repeat(4_096)}\r\nx\r\n0\r\n\r\n`), 'object');
  assert.equal(read(`1;${'x'.repeat(4_097)}\r\nx\r\n0\r\n\r\n`), 'malformed');
  assert.equal(typeof read(`${`1;${'x'.repeat(4_096)}\r\nx\r\n`.repeat(16)}0\r\n\r\n`), 'object');
  assert.equal(read(`${`1;${'x'.repeat(4_096)}\r\nx\r\n`.repeat(17)}0\r\n\r\n`), 'malformed');
  assert.equal(read(`0\r\nX: ${'x'.repeat(200)}\r\n\r\n`), 'head too large');
  assert.equal(read(`0\r\n${'X: y\r\n'.repeat(4)}\r\n`), 'too many fields');
});
