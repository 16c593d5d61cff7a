import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readGrant } from '../../../src/credentials/token-response.ts';

const read = (body: string, status = 200) => readGrant(status, Buffer.from(body));
const CANARY = 'c4n4ry';

test('a token is read with its life, or without', () => {
  assert.deepEqual(read('{"access_token":"a.b-c","token_type":"Bearer","expires_in":3600}'), {
    token: 'a.b-c',
    expiresInS: 3600,
  });
  assert.deepEqual(read('{"access_token":"a","token_type":"bearer","scope":"x","x":[1]}'), {
    token: 'a',
    expiresInS: null,
  });
  assert.deepEqual(read('{"access_token":"a","token_type":"BEARER","expires_in":0.5}'), {
    token: 'a',
    expiresInS: 0.5,
  });
});

test('what is no token is refused, in words that hold nothing of it', () => {
  const cases: [body: string, problem: RegExp][] = [
    ['', /no JSON object$/],
    ['null', /no JSON object$/],
    [`["${CANARY}"]`, /no JSON object$/],
    [`"${CANARY}"`, /no JSON object$/],
    [`{"access_token":"${CANARY}"`, /no JSON object$/],
    [`<html>${CANARY}</html>`, /no JSON object$/],
    [`{"token":"${CANARY}","token_type":"Bearer"}`, /without an access_token$/],
    [`{"__proto__":{"access_token":"${CANARY}","token_type":"Bearer"}}`, /without an access_token$/],
    ['{"access_token":1,"token_type":"Bearer"}', /without an access_token$/],
    ['{"access_token":null,"token_type":"Bearer"}', /without an access_token$/],
    ['{"access_token":"","token_type":"Bearer"}', /no header field can carry$/],
    [`{"access_token":"${CANARY}\\r\\nX: y","token_type":"Bearer"}`, /no header field can carry$/],
    [`{"access_token":"${CANARY}\\u0000","token_type":"Bearer"}`, /no header field can carry$/],
    [`{"access_token":"${CANARY} x","token_type":"Bearer"}`, /no header field can carry$/],
    [`{"access_token":"${CANARY}\\u00e9","token_type":"Bearer"}`, /no header field can carry$/],
    [`{"access_token":"${CANARY.repeat(2000)}","token_type":"Bearer"}`, /no header field can carry$/],
    [`{"access_token":"${CANARY}"}`, /not Bearer$/],
    [`{"access_token":"${CANARY}","token_type":"mac"}`, /not Bearer$/],
    [`{"access_token":"${CANARY}","token_type":["Bearer"]}`, /not Bearer$/],
    ...['0', '-1', '"3600"', 'null', 'true', '[]', '{}', '-1e400'].map((life): [string, RegExp] => [
      `{"access_token":"${CANARY}","token_type":"Bearer","expires_in":${life}}`,
      /no number of seconds above 0$/,
    ]),
    [`{"access_token":"${CANARY}","token_type":"Bearer","expires_in":NaN}`, /no JSON object$/],
  ];
  for (const [body, problem] of cases) {
    const result = read(body);
    assert.ok('problem' in result, body);
    assert.match(result.problem, problem, body);
    assert.doesNotMatch(result.problem, new RegExp(CANARY), body);
  }
  const latin1 = readGrant(200, Buffer.from('{"access_token":"\u00e9","token_type":"Bearer"}', 'latin1'));
  assert.ok('problem' in latin1 && latin1.problem.endsWith('no JSON object'));
});

test('of an error only the status is told, and a code that the standard lists', () => {
  assert.deepEqual(read('{"error":"invalid_client","error_description":"c4n4ry"}', 401), {
    problem: 'answered 401: invalid_client',
  });
  for (const body of ['{"error":"c4n4ry"}', '{"error":["invalid_client"]}', 'c4n4ry', ''])
    assert.deepEqual(read(body, 500), { problem: 'answered 500' });
  assert.deepEqual(read('{"access_token":"a","token_type":"Bearer"}', 302), { problem: 'answered 302' });
});

test('whatever comes, the result is a token that a header can carry or a problem', () => {
  const value = fc.oneof(fc.string(), fc.double(), fc.boolean(), fc.constant(null), fc.jsonValue());
  const body = fc.oneof(
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc
      .record({ access_token: value, token_type: fc.oneof(fc.constant('Bearer'), value), expires_in: value })
      .map((fields) => Buffer.from(JSON.stringify(fields))),
  );
  fc.assert(
    fc.property(fc.constantFrom(200, 400, 503), body, (status, bytes) => {
      const result = readGrant(status, bytes);
      if ('problem' in result) return;
      assert.match(result.token, /^[\x21-\x7e]+$/);
      assert.ok(result.expiresInS === null || result.expiresInS > 0);
    }),
  );
});
