import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Authority, createAuthority } from '../../../src/certificates/authority.ts';
import { program, type Ran, run, runWell } from '../../support/program.ts';

const DAY_MS = 86_400_000;

function issue(authority: Authority, host: string): Promise<string> {
  const nowMs = Date.now();
  return authority.issue({ host, notBefore: new Date(nowMs - 1_000), notAfter: new Date(nowMs + DAY_MS) });
}

/** What `openssl verify` says of a leaf; null: there is no openssl, and the test was skipped. */
async function verify(
  t: TestContext,
  authority: Authority,
  leaf: string,
  ...args: readonly string[]
): Promise<Ran | null> {
  const openssl = program(t, 'openssl', 'openssl');
  if (openssl === null) return null;
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  try {
    writeFileSync(join(folder, 'ca.pem'), authority.certificate);
    writeFileSync(join(folder, 'leaf.pem'), leaf);
    const strict = [
      '-x509_strict',
      '-purpose',
      'sslserver',
      '-CAfile',
      'ca.pem',
      '-no-CApath',
      '-no-CAstore',
    ];
    return await run(t, openssl, ['verify', ...strict, ...args, 'leaf.pem'], { cwd: folder });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a leaf is what RFC 5280 wants of it, for names and for addresses of both families', async (t) => {
  const hosts = ['api.vendor.example', 'localhost', '127.0.0.1', '2001:db8::1'];
  for (const permittedHosts of [null, hosts]) {
    const authority = await createAuthority({ permittedHosts });
    for (const host of hosts) {
      const option = /^[\d.]+$|:/.test(host) ? '-verify_ip' : '-verify_hostname';
      const ran = await verify(t, authority, await issue(authority, host), option, host);
      if (ran === null) return;
      assert.equal(ran.code, 0, `${host}: ${ran.stderr}${ran.stdout.toString()}`);
    }
  }
});

test('a constrained authority cannot sign for another host', async (t) => {
  const authority = await createAuthority({ permittedHosts: ['api.vendor.example', '*.pay.example'] });
  const good = await verify(t, authority, await issue(authority, 'eu.pay.example'));
  if (good === null) return;
  assert.equal(good.code, 0, good.stderr);
  for (const host of ['vendor.example', 'xapi.vendor.example', 'pay.example.evil.example', 'xpay.example']) {
    const ran = await verify(t, authority, await issue(authority, host));
    assert.match(ran?.stderr ?? '', /permitted subtree violation/, host);
  }
  for (const host of ['127.0.0.1', '::1']) {
    const ran = await verify(t, authority, await issue(authority, host));
    assert.match(ran?.stderr ?? '', /excluded subtree violation/, host);
  }
});

test('an authority for addresses cannot sign for names, nor for other addresses', async (t) => {
  const authority = await createAuthority({ permittedHosts: ['127.0.0.1'] });
  const good = await verify(t, authority, await issue(authority, '127.0.0.1'));
  if (good === null) return;
  assert.equal(good.code, 0, good.stderr);
  for (const host of ['a.example', '127.0.0.2', '::1']) {
    const ran = await verify(t, authority, await issue(authority, host));
    assert.match(ran?.stderr ?? '', /(?:permitted|excluded) subtree violation/, host);
  }
});

test('constraints of a thousand hosts are encoded as well as one', async (t) => {
  const permittedHosts = Array.from({ length: 1_000 }, (_, i) => `host-${i}.example`);
  const authority = await createAuthority({ permittedHosts });
  const ran = await verify(t, authority, await issue(authority, 'host-999.example'));
  if (ran === null) return;
  assert.equal(ran.code, 0, ran.stderr);
  const other = await verify(t, authority, await issue(authority, 'host-1000.example'));
  assert.match(other?.stderr ?? '', /permitted subtree violation/);
});

test('an authority signs leaves and nothing below them, for a year', async (t) => {
  const nowMs = Date.parse('2030-01-01T00:00:00Z');
  const authority = await createAuthority({ permittedHosts: null, now: () => nowMs });
  const certificate = new X509Certificate(authority.certificate);
  assert.match(certificate.subject, /^CN=Outrigger local CA [0-9a-f]{8}$/);
  assert.ok(certificate.ca && certificate.verify(certificate.publicKey));
  assert.equal(certificate.validFromDate.toISOString(), '2029-12-31T23:00:00.000Z');
  assert.equal(authority.notAfter.toISOString(), '2031-01-01T00:00:00.000Z');
  const openssl = program(t, 'openssl', 'openssl');
  if (openssl === null) return;
  const input = Buffer.from(authority.certificate);
  const { stdout } = await runWell(t, openssl, ['x509', '-noout', '-text'], { input });
  const text = stdout.toString();
  assert.match(text, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
  assert.match(text, /Key Usage: critical\s+Certificate Sign, CRL Sign/);
  assert.match(text, /Subject Key Identifier/);
  assert.doesNotMatch(text, /Name Constraints/);
});

test('a leaf names one host, only in its alternative name, and serves only TLS servers', async () => {
  const authority = await createAuthority({ permittedHosts: null });
  const pem = await issue(authority, 'API.example.');
  const leaf = new X509Certificate(pem);
  assert.equal(leaf.subject ?? '', '');
  assert.equal(leaf.subjectAltName, 'DNS:api.example');
  assert.equal(
    new X509Certificate(await issue(authority, '[::1]')).subjectAltName,
    'IP Address:0:0:0:0:0:0:0:1',
  );
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  assert.equal(leaf.ca, false);
  assert.ok(leaf.checkIssued(new X509Certificate(authority.certificate)));
  // The peer has the root, or does not trust it.
  assert.equal(pem.match(/BEGIN CERTIFICATE/g)?.length, 1);
});

test('serial numbers are positive, of 16 octets, and never the same', async () => {
  const authority = await createAuthority({ permittedHosts: null });
  const leaves = await Promise.all(Array.from({ length: 200 }, () => issue(authority, 'a.example')));
  const serials = leaves.map((pem) => new X509Certificate(pem).serialNumber);
  for (const serial of serials) assert.match(serial, /^[4-7][0-9A-F]{31}$/);
  assert.equal(new Set(serials).size, serials.length);
});

test('a host that no certificate can name gets no leaf', async () => {
  const authority = await createAuthority({ permittedHosts: null });
  await assert.rejects(issue(authority, '*.example'), /no certificate can name the host "\*\.example"/);
});

test('the library is loaded when an authority is made and not before, and leaves Reflect as it was', async (t) => {
  const source = fileURLToPath(new URL('../../../src/certificates/', import.meta.url));
  const script = `
    import { createRequire } from 'node:module';
    import { createAuthority } from ${JSON.stringify(join(source, 'authority.ts'))};
    import ${JSON.stringify(join(source, 'leaves.ts'))};
    import ${JSON.stringify(join(source, 'bundle.ts'))};
    const { cache } = createRequire(import.meta.url);
    const loaded = () => Object.keys(cache).filter((path) => path.includes('peculiar')).length > 0;
    const reflect = () => Object.getOwnPropertyNames(Reflect).join();
    const before = reflect();
    const early = loaded();
    await Promise.all([createAuthority({ permittedHosts: null }), createAuthority({ permittedHosts: null })]);
    console.log(JSON.stringify({ early, late: loaded(), same: before === reflect() }));
  `;
  const { stdout } = await runWell(t, process.execPath, ['--input-type=module', '-e', script]);
  assert.deepEqual(JSON.parse(stdout.toString()), { early: false, late: true, same: true });
});
