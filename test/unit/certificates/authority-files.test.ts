import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadAuthority } from '../../../src/certificates/authority.ts';
import type { AuthorityFiles } from '../../../src/certificates/authority-files.ts';
import { program, run, runWell } from '../../support/program.ts';

const DAY_MS = 86_400_000;
const USAGE = ['-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** A folder in which openssl makes what the test needs. */
class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  readonly #t: TestContext;
  readonly #openssl: string;

  constructor(t: TestContext, openssl: string) {
    this.#t = t;
    this.#openssl = openssl;
    t.after(() => rmSync(this.folder, { recursive: true }));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async openssl(...args: readonly string[]): Promise<string> {
    return (await runWell(this.#t, this.#openssl, args, { cwd: this.folder })).stdout.toString();
  }

  verify(...args: readonly string[]) {
    const only = ['-x509_strict', '-no-CApath', '-no-CAstore'];
    return run(this.#t, this.#openssl, ['verify', ...only, ...args], { cwd: this.folder });
  }

  /** A certificate that signs itself, as `name.pem`, and its key, as `name.key`. */
  async make(
    name: string,
    newKey: readonly string[] = EC,
    more: readonly string[] = USAGE,
  ): Promise<AuthorityFiles> {
    const files = { certificateFile: this.path(`${name}.pem`), keyFile: this.path(`${name}.key`) };
    const ends = ['-keyout', files.keyFile, '-out', files.certificateFile];
    await this.openssl('req', '-x509', ...newKey, '-nodes', ...ends, '-subj', `/CN=${name}`, ...more);
    chmodSync(files.keyFile, 0o600);
    return files;
  }
}

function workshop(t: TestContext): Workshop | null {
  const openssl = program(t, 'openssl', 'openssl');
  return openssl === null ? null : new Workshop(t, openssl);
}

const rejects = (files: AuthorityFiles, file: string, why: RegExp, now?: () => number): Promise<void> =>
  assert.rejects(loadAuthority(files, now), ({ message }: Error) => {
    assert.ok(message.startsWith(`${file}: `), message);
    assert.match(message, why);
    assert.doesNotMatch(message, /PRIVATE|[A-Za-z0-9+/]{40}/, 'nothing of a key');
    return true;
  });

test('an authority with any usual key signs leaves that verify', async (t) => {
  const shop = workshop(t);
  if (shop === null) return;
  const curve = (name: string): string[] => ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${name}`];
  const keys = [curve('P-256'), curve('P-384'), curve('P-521'), ['-newkey', 'rsa:2048']];
  for (const [i, newKey] of keys.entries()) {
    const files = await shop.make(`ca-${i}`, newKey);
    const authority = await loadAuthority(files);
    assert.equal(authority.certificate, readFileSync(files.certificateFile, 'utf8'));
    const notBefore = new Date(Date.now() - 1_000);
    const leaf = await authority.issue({
      host: 'a.example',
      notBefore,
      notAfter: new Date(Date.now() + DAY_MS),
    });
    writeFileSync(shop.path('leaf.pem'), leaf);
    const ran = await shop.verify(
      '-verify_hostname',
      'a.example',
      '-CAfile',
      files.certificateFile,
      'leaf.pem',
    );
    assert.equal(ran.code, 0, `${newKey.join(' ')}: ${ran.stderr}`);
  }
});

test('the certificates that lead to the root go with each leaf, and the root does not', async (t) => {
  const shop = workshop(t);
  if (shop === null) return;
  const root = await shop.make('root');
  const files = { certificateFile: shop.path('mid.pem'), keyFile: shop.path('mid.key') };
  await shop.openssl('req', ...EC, '-nodes', '-keyout', 'mid.key', '-out', 'mid.csr', '-subj', '/CN=mid');
  writeFileSync(
    shop.path('mid.ext'),
    'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n',
  );
  const by = ['-CA', 'root.pem', '-CAkey', 'root.key', '-CAcreateserial', '-extfile', 'mid.ext'];
  await shop.openssl('x509', '-req', '-in', 'mid.csr', ...by, '-out', 'mid.pem');
  const mid = readFileSync(files.certificateFile, 'utf8');
  const both = mid + readFileSync(root.certificateFile, 'utf8');
  writeFileSync(files.certificateFile, both);
  const authority = await loadAuthority(files);
  assert.equal(authority.certificate, both, 'an application needs the root');
  const notBefore = new Date(Date.now() - 1_000);
  const chain = await authority.issue({
    host: 'a.example',
    notBefore,
    notAfter: new Date(Date.now() + DAY_MS),
  });
  assert.ok(chain.endsWith(mid) && chain.match(/BEGIN/g)?.length === 2, chain);
  writeFileSync(shop.path('chain.pem'), chain);
  const ran = await shop.verify('-CAfile', 'root.pem', '-untrusted', 'chain.pem', 'chain.pem');
  assert.equal(ran.code, 0, ran.stderr);
});

test('a key file that others than its owner may read is refused', async (t) => {
  const shop = workshop(t);
  if (shop === null) return;
  const files = await shop.make('ca');
  for (const mode of [0o640, 0o604, 0o644, 0o620, 0o601, 0o777]) {
    chmodSync(files.keyFile, mode);
    await rejects(files, files.keyFile, new RegExp(`its mode is 0${mode.toString(8)}.*chmod 600`));
  }
  for (const mode of [0o600, 0o400]) {
    chmodSync(files.keyFile, mode);
    await loadAuthority(files);
  }
});

test('a file that is missing or is no such thing is named', async (t) => {
  const shop = workshop(t);
  if (shop === null) return;
  const files = await shop.make('ca');
  const { certificateFile, keyFile } = files;
  const nowhere = shop.path('nowhere.pem');
  await rejects({ certificateFile: nowhere, keyFile }, nowhere, /cannot be read: ENOENT/);
  await rejects({ certificateFile, keyFile: nowhere }, nowhere, /cannot be read: ENOENT/);
  const folder = shop.path('folder');
  mkdirSync(folder);
  await rejects({ certificateFile: folder, keyFile }, folder, /not a regular file/);
  await rejects({ certificateFile: keyFile, keyFile }, keyFile, /no PEM certificate/);
  const garbage = shop.path('garbage.pem');
  writeFileSync(garbage, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', { mode: 0o600 });
  await rejects({ certificateFile: garbage, keyFile }, garbage, /cannot be parsed/);
  await rejects({ certificateFile, keyFile: garbage }, garbage, /no PEM private key/);
  const large = shop.path('large.pem');
  writeFileSync(large, Buffer.alloc(1024 * 1024 + 1));
  await rejects({ certificateFile: large, keyFile }, large, /larger than 1 MiB/);
});

test('a key that does not fit, is encrypted or signs in a way that clients do not know is refused', async (t) => {
  const shop = workshop(t);
  if (shop === null) return;
  const files = await shop.make('ca');
  const other = await shop.make('other');
  await rejects({ ...files, keyFile: other.keyFile }, other.keyFile, /not the key of .*ca\.pem/);
  const encrypted = shop.path('encrypted.key');
  await shop.openssl('pkcs8', '-topk8', '-in', files.keyFile, '-out', encrypted, '-passout', 'pass:secret');
  chmodSync(encrypted, 0o600);
  await rejects({ ...files, keyFile: encrypted }, encrypted, /encrypted/);
  const edwards = await shop.make('edwards', ['-newkey', 'ed25519']);
  await rejects(edwards, edwards.keyFile, /has to be EC .* or RSA/);
  const short = await shop.make('short', ['-newkey', 'rsa:1024']);
  await rejects(short, short.keyFile, /2048 bits/);
});

test('a certificate that may not sign is refused', async (t) => {
  const shop = workshop(t);
  if (shop === null) return;
  const leaf = await shop.make('leaf', EC, ['-addext', 'basicConstraints=CA:FALSE']);
  await rejects(leaf, leaf.certificateFile, /not one of an authority .*CA:TRUE/);
  const crlOnly = await shop.make('crl', EC, ['-addext', 'keyUsage=critical,cRLSign']);
  await rejects(crlOnly, crlOnly.certificateFile, /not one of an authority .*keyCertSign/);
});

test('a certificate is refused before its time and after it', async (t) => {
  const shop = workshop(t);
  if (shop === null) return;
  const files = await shop.make('ca', EC, [...USAGE, '-days', '10']);
  const { notBefore, notAfter } = await loadAuthority(files);
  await rejects(files, files.certificateFile, /not valid before/, () => notBefore.getTime() - 1);
  await loadAuthority(files, () => notBefore.getTime());
  await loadAuthority(files, () => notAfter.getTime() - 1);
  await rejects(files, files.certificateFile, /expired at/, () => notAfter.getTime());
});
