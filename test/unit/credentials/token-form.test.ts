import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tokenForm } from '../../../src/credentials/token-form.ts';
import type { OAuth2Policy } from '../../../src/policy/policy.ts';

const POLICY: OAuth2Policy = {
  tokenUrl: { scheme: 'https', host: 'auth.example', port: 443, path: '/token' },
  clientId: 'my client',
  clientSecret: '',
  scopes: [],
  audience: null,
  auth: 'basic',
  refreshBeforeMs: 60_000,
  timeoutMs: 10_000,
  header: 'Authorization',
};

test('by Basic, name and secret are form-encoded before Base64, and not in the body', () => {
  const { headers, body } = tokenForm(POLICY, 'a:b c/\u00e9+%');
  const at = headers.indexOf('Authorization');
  const [, pair = ''] = /^Basic (.+)$/.exec(headers[at + 1] ?? '') ?? [];
  assert.equal(Buffer.from(pair, 'base64').toString(), 'my+client:a%3Ab+c%2F%C3%A9%2B%25');
  assert.equal(body.toString(), 'grant_type=client_credentials');
  assert.equal(headers[headers.indexOf('Content-Length') + 1], String(body.length));
});

test('in the body, there is no Authorization; scopes are one text, and an audience is said', () => {
  const policy: OAuth2Policy = {
    ...POLICY,
    auth: 'body',
    scopes: ['a:read', 'b'],
    audience: 'https://api.example',
  };
  const { headers, body } = tokenForm(policy, 's&e=c');
  assert.ok(!headers.includes('Authorization'));
  assert.deepEqual(Object.fromEntries(new URLSearchParams(body.toString())), {
    grant_type: 'client_credentials',
    scope: 'a:read b',
    audience: 'https://api.example',
    client_id: 'my client',
    client_secret: 's&e=c',
  });
});
