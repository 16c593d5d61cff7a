import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { call } from '../support/caller.ts';
import { makeCertificates } from '../support/certificates.ts';
import { HttpOrigin } from '../support/origin.ts';
import { folder, outrigger, SidecarProcess } from '../support/process.ts';
import { TlsOrigin } from '../support/tls-origin.ts';

test('a sidecar whose Node is told to weaken it does not start, and says why in one line', async (t) => {
  const weak: [Record<string, string>, RegExp][] = [
    [
      { NODE_OPTIONS: '--insecure-http-parser' },
      /^outrigger: --insecure-http-parser of NODE_OPTIONS .*; remove it$/m,
    ],
    [{ NODE_OPTIONS: '--inspect=127.0.0.1:0' }, /^outrigger: --inspect of NODE_OPTIONS opens a debugger/m],
    [{ NODE_DEBUG: 'http,net' }, /^outrigger: NODE_DEBUG writes/m],
    [{ NODE_OPTIONS: `--tls-keylog=${folder(t)}/keys` }, /^outrigger: --tls-keylog of NODE_OPTIONS/m],
  ];
  for (const [env, problem] of weak) {
    const { code, stdout, stderr } = await outrigger(t, ['run'], { env });
    assert.equal(code, 2, stdout + stderr);
    assert.match(stderr, problem);
    assert.equal(stderr.match(/^outrigger: /gm)?.length, 1);
    assert.equal(stdout, '');
  }
});

test('what its environment says of proxies, of verification and of keys of TLS changes nothing', async (t) => {
  const certificates = makeCertificates();
  assert.ok(certificates, 'this test needs the openssl command; the package of that name has it');
  const tls = await TlsOrigin.start(certificates.selfSigned);
  const plain = await HttpOrigin.start();
  t.after(() => Promise.all([tls.close(), plain.close()]));
  const keys = join(folder(t), 'keys');
  // Nobody listens there.
  const proxy = 'http://127.0.0.1:1';
  const sidecar = await SidecarProcess.start(t, 'shutdown: { quiet: 10ms }', {
    env: {
      HTTP_PROXY: proxy,
      HTTPS_PROXY: proxy,
      http_proxy: proxy,
      https_proxy: proxy,
      ALL_PROXY: proxy,
      NODE_USE_ENV_PROXY: '1',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      SSLKEYLOGFILE: keys,
    },
  });
  assert.equal((await call(sidecar.port, plain.url)).status, 200);
  const refused = await call(sidecar.port, `https://127.0.0.1:${tls.port}/`);
  assert.equal(refused.status, 502);
  assert.match(String(refused.headers['proxy-status']), /error=tls_certificate_error/);
  assert.equal(tls.seen.length, 0);
  assert.equal(existsSync(keys), false);
  sidecar.signal('SIGTERM');
  await sidecar.end();
  assert.equal(sidecar.stderr, '');
  const warnings = sidecar.log.filter(({ level }) => level === 'warn').map(({ msg }) => String(msg));
  assert.deepEqual(
    warnings.filter((msg) => msg.includes('no effect')).map((msg) => msg.split(' ')[0]),
    ['NODE_TLS_REJECT_UNAUTHORIZED', 'SSLKEYLOGFILE'],
  );
});

test('SIGUSR1 opens no debugger and ends nothing', async (t) => {
  const origin = await HttpOrigin.start();
  t.after(() => origin.close());
  const sidecar = await SidecarProcess.start(t, 'shutdown: { quiet: 10ms }');
  for (let n = 0; n < 3; n++) {
    sidecar.signal('SIGUSR1');
    assert.equal((await call(sidecar.port, origin.url)).status, 200);
  }
  sidecar.signal('SIGTERM');
  assert.deepEqual(await sidecar.end(), { code: 0, signal: null });
  assert.equal(sidecar.stderr, '');
});

test('everything works where Node forbids to make code of strings and has no SIGUSR1', async (t) => {
  const origin = await HttpOrigin.start();
  t.after(() => origin.close());
  const env = { NODE_OPTIONS: '--disallow-code-generation-from-strings --disable-sigusr1' };
  const intercept = 'routes: [{ name: a, match: { hosts: [a.example] }, https: intercept }]';
  const bundle = `intercept: { bundle: ${join(folder(t), 'ca.pem')} }`;
  const sidecar = await SidecarProcess.start(t, `${intercept}\n${bundle}\nshutdown: { quiet: 10ms }`, {
    env,
  });
  assert.equal((await call(sidecar.port, origin.url)).status, 200);
  assert.equal((await sidecar.ask('/metrics')).status, 200);
  sidecar.signal('SIGTERM');
  assert.deepEqual(await sidecar.end(), { code: 0, signal: null });
  assert.equal(sidecar.stderr, '');
});
