import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classifyStatus, isIdempotent } from '../../../src/policy/classify.ts';

test('5xx is a failure of the origin, and so is a status that HTTP does not have', () => {
  for (const status of [500, 502, 503, 504, 599, 600, 999, 99])
    assert.equal(classifyStatus(status), 'failure', String(status));
});

test('an origin that answers with anything else works, 429 and other 4xx included', () => {
  for (const status of [100, 103, 200, 204, 301, 304, 400, 401, 404, 408, 425, 429, 499]) {
    assert.equal(classifyStatus(status), 'success', String(status));
  }
});

test('idempotent are the methods that RFC 9110 and RFC 10008 define so, and no others', () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'])
    assert.ok(isIdempotent(method), method);
  for (const method of ['POST', 'PATCH', 'CONNECT', 'get', 'PURGE', 'PROPFIND', '', 'toString']) {
    assert.ok(!isIdempotent(method), method);
  }
});
