import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failureOf } from '../../../src/upstream/failure.ts';
import { Http2Failure } from '../../../src/upstream/http2-failure.ts';
import { fieldBytes, requestFields, responseFields, statusOf } from '../../../src/upstream/http2-fields.ts';

const end = { id: 5, rstCode: 8, error: null, goaway: null, bystander: false };

test('only what the protocol says was not processed is unsent', () => {
  assert.equal(new Http2Failure({ ...end, rstCode: 7 }).unsent, true, 'REFUSED_STREAM');
  assert.equal(new Http2Failure({ ...end, id: undefined }).unsent, true, 'never begun');
  assert.equal(new Http2Failure({ ...end, goaway: { code: 0, lastStreamId: 3 } }).unsent, true);
  assert.equal(new Http2Failure({ ...end, goaway: { code: 0, lastStreamId: 5 } }).unsent, false);
  assert.equal(new Http2Failure({ ...end, goaway: { code: 11, lastStreamId: 5 } }).unsent, false);
  // Node gives the code of the GOAWAY to every stream, also to those that were processed.
  const refusing = { code: 7, lastStreamId: 5 };
  assert.equal(new Http2Failure({ ...end, rstCode: 7, goaway: refusing }).unsent, false);
  assert.equal(new Http2Failure({ ...end, id: 7, rstCode: 7, goaway: refusing }).unsent, true);
  for (let rstCode = 0; rstCode < 20; rstCode++) {
    assert.equal(new Http2Failure({ ...end, rstCode }).unsent, rstCode === 7, String(rstCode));
  }
});

test('a connection that breaks condemns the one stream on it, and none of several', () => {
  const error = Object.assign(new Error('Protocol error'), { code: 'ERR_HTTP2_ERROR' });
  const named = (bystander: boolean): string =>
    failureOf(new Http2Failure({ ...end, error, bystander }), 'https://origin', false).name;
  assert.equal(named(false), 'response_malformed');
  assert.equal(named(true), 'connection_terminated');
});

test('every code of the protocol, and of none, has a row in the error table that is not a bug of ours', () => {
  for (let rstCode = 0; rstCode < 20; rstCode++) {
    for (const headOut of [false, true]) {
      const { name } = failureOf(new Http2Failure({ ...end, rstCode }), 'https://origin', headOut);
      assert.notEqual(name, 'internal', String(rstCode));
      assert.ok(!headOut || name === 'response_incomplete' || name === 'response_malformed', name);
    }
  }
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  assert.equal(
    failureOf(new Http2Failure({ ...end, error: reset }), '', false).name,
    'connection_terminated',
  );
});

test('fields are in lower case, in order, with their duplicates, and without those of one connection', () => {
  const request = { method: 'GET', scheme: 'https', path: '/a?b', teTrailers: false };
  const fields = [':method', 'GET', ':scheme', 'https', ':authority', 'a.example:8443', ':path', '/a?b'];
  const headers = [
    'Host',
    'a.example:8443',
    'X-B',
    '1',
    'Connection',
    'x',
    'x-a',
    '2',
    'X-B',
    '3',
    'TE',
    'gzip',
  ];
  assert.deepEqual(requestFields({ ...request, headers }), [...fields, 'x-b', '1', 'x-a', '2', 'x-b', '3']);
  const trailers = requestFields({ ...request, headers, teTrailers: true });
  assert.deepEqual(trailers.slice(-2), ['te', 'trailers']);
});

test('a response is its status and its fields', () => {
  const raw = [':status', '204', 'a', '1', 'a', '2'];
  assert.equal(statusOf(raw), 204);
  assert.deepEqual(responseFields(raw), ['a', '1', 'a', '2']);
  assert.equal(statusOf([]), 0);
  assert.equal(fieldBytes(['name', 'value']), 13);
});
