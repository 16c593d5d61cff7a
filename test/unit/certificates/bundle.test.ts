import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates, TLSSocket } from 'node:tls';
import { createAuthority } from '../../../src/certificates/authority.ts';
import { defaultBundlePath, truststorePathOf, writeBundle } from '../../../src/certificates/bundle.ts';
import { Leaves } from '../../../src/certificates/leaves.ts';
import { TRUSTSTORE_PASSWORD } from '../../../src/certificates/truststore.ts';
import { program, run, runWell } from '../../support/program.ts';

const BLOCK = /-----BEGIN CERTIFICATE-----\n[\s\S]*?\n-----END CERTIFICATE-----\n/g;
const NOBODY = 65_534;
const AUTHORITY = await createAuthority({ permittedHosts: ['localhost'] });
const { certificate: CERTIFICATE } = AUTHORITY;

const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256;

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'outrigger-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** Answers every request on a socket of TLS with the leaf of localhost, and with no content. */
async function serveLocalhost(t: TestContext): Promise<number> {
  const secureContext = await new Leaves({ authority: AUTHORITY }).contextFor('localhost');
  const server = createServer((socket) => {
    const secured = new TLSSocket(socket, { isServer: true, secureContext });
    secured.on('error', () => secured.destroy());
    secured.once('data', () => secured.end('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n'));
  });
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

test('the bundle has the authority first, then the roots of Node and of the system, each once', (t) => {
  const path = join(folder(t), 'ca-bundle.pem');
  const bundle = writeBundle({ path, certificate: CERTIFICATE });
  assert.equal(bundle.path, path);
  const text = readFileSync(path, 'utf8');
  const blocks = text.match(BLOCK) ?? [];
  assert.equal(blocks.join(''), text, 'blocks and nothing else, each with its newline');
  assert.equal(blocks[0], CERTIFICATE);
  const found = new Set(blocks.map(fingerprint));
  assert.equal(found.size, blocks.length);
  assert.equal(bundle.count, blocks.length);
  for (const pem of [...getCACertificates('default'), ...getCACertificates('system')]) {
    assert.ok(found.has(fingerprint(pem)));
  }
  assert.ok(blocks.length > 100, `${blocks.length}`);
});

test('authorities of earlier processes are left out', async (t) => {
  const path = join(folder(t), 'ca-bundle.pem');
  const old = await createAuthority({ permittedHosts: null });
  const before = getCACertificates('default');
  // As where the sidecar itself is started with the variables of its last run.
  setDefaultCACertificates([...before, old.certificate, CERTIFICATE]);
  t.after(() => setDefaultCACertificates(before));
  writeBundle({ path, certificate: CERTIFICATE });
  const found = (readFileSync(path, 'utf8').match(BLOCK) ?? []).map(fingerprint);
  assert.ok(!found.includes(fingerprint(old.certificate)));
  assert.equal(found.filter((one) => one === fingerprint(CERTIFICATE)).length, 1);
});

test('everybody may read both files and nobody else may write them, whatever the umask is', (t) => {
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));
  const directory = join(folder(t), 'deeper', 'still');
  const { path, truststorePath } = writeBundle({ path: join(directory, 'ca.pem'), certificate: CERTIFICATE });
  assert.equal(statSync(directory).mode & 0o777, 0o755);
  assert.equal(truststorePath, join(directory, 'ca.jks'));
  for (const one of [path, truststorePath]) assert.equal(statSync(one).mode & 0o777, 0o644);
});

test('a bundle takes the place of another in one step, and leaves nothing lying about', (t) => {
  const directory = folder(t);
  const path = join(directory, 'ca.pem');
  writeFileSync(path, '-----BEGIN CERTIFICATE-----\nold', { mode: 0o600 });
  const { ino } = statSync(path);
  writeBundle({ path, certificate: CERTIFICATE });
  assert.notEqual(statSync(path).ino, ino, 'a reader of the old one keeps the old one');
  assert.equal(statSync(path).mode & 0o777, 0o644);
  writeBundle({ path, certificate: CERTIFICATE });
  assert.deepEqual(readdirSync(directory).toSorted(), ['ca.jks', 'ca.pem']);
});

test('a file that is no bundle is not written over, least of all a key', (t) => {
  const directory = folder(t);
  const path = join(directory, 'ca.pem');
  for (const content of ['precious', `${CERTIFICATE}\n-----BEGIN PRIVATE KEY-----\n`]) {
    writeFileSync(path, content);
    assert.throws(() => writeBundle({ path, certificate: CERTIFICATE }), /ca\.pem is there and is no bundle/);
    assert.equal(readFileSync(path, 'utf8'), content);
  }
});

test("a directory that others can write to is refused, unless it has the sticky bit or is root's, as volumes are", (t) => {
  const directory = folder(t);
  chmodSync(directory, 0o777);
  const path = join(directory, 'ca.pem');
  const write = () => writeBundle({ path, certificate: CERTIFICATE });
  if (process.getuid?.() === 0) write();
  else assert.throws(write, /can be written to by others/);
  chmodSync(directory, 0o1777);
  writeBundle({ path, certificate: CERTIFICATE });
});

test('a link of our own is replaced, and what it leads to is not written', (t) => {
  const directory = folder(t);
  const elsewhere = join(directory, 'elsewhere');
  writeFileSync(elsewhere, 'precious');
  const path = join(directory, 'ca.pem');
  symlinkSync(elsewhere, path);
  writeBundle({ path, certificate: CERTIFICATE });
  assert.ok(lstatSync(path).isFile());
  assert.equal(readFileSync(elsewhere, 'utf8'), 'precious');
});

test('what cannot be written is an error with its path, and leaves nothing lying about', (t) => {
  const directory = folder(t);
  const file = join(directory, 'file');
  writeFileSync(file, '');
  assert.throws(() => writeBundle({ path: join(file, 'ca.pem'), certificate: CERTIFICATE }), /file/);
  const path = join(directory, 'ca.pem');
  mkdirSync(path);
  assert.throws(() => writeBundle({ path, certificate: CERTIFICATE }), /ca\.pem is a directory/);
  assert.deepEqual(readdirSync(directory).toSorted(), ['ca.pem', 'file']);
});

test('nothing is written where another user has a hand in', (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can give files away');
  const directory = folder(t);
  chmodSync(directory, 0o755);
  const refused = (path: string): void =>
    assert.throws(() => writeBundle({ path, certificate: CERTIFICATE }), /belongs to another user \(65534\)/);
  const theirs = join(directory, 'theirs');
  mkdirSync(theirs);
  chownSync(theirs, NOBODY, NOBODY);
  refused(join(theirs, 'ca.pem'));
  assert.deepEqual(readdirSync(theirs), []);
  const ours = join(directory, 'ours');
  mkdirSync(ours);
  const link = join(directory, 'link');
  symlinkSync(ours, link);
  lchownSync(link, NOBODY, NOBODY);
  refused(join(link, 'ca.pem'));
  for (const name of ['ca.pem', 'ca.jks']) {
    const file = join(ours, name);
    writeFileSync(file, 'theirs');
    chownSync(file, NOBODY, NOBODY);
    refused(join(ours, 'ca.pem'));
    assert.equal(readFileSync(file, 'utf8'), 'theirs');
    rmSync(file);
    symlinkSync('/etc/hosts', file);
    lchownSync(file, NOBODY, NOBODY);
    refused(join(ours, 'ca.pem'));
    rmSync(file);
  }
});

test('paths have their places', () => {
  assert.equal(
    defaultBundlePath(3128),
    join(tmpdir(), `outrigger-${process.getuid?.()}`, 'ca-bundle-3128.pem'),
  );
  assert.equal(truststorePathOf('/a/ca-bundle.pem'), '/a/ca-bundle.jks');
  assert.equal(truststorePathOf('/a.pem/roots.crt'), '/a.pem/roots.jks');
  assert.equal(truststorePathOf('/a.pem/roots'), '/a.pem/roots.jks');
});

test('openssl reads every certificate of the bundle', async (t) => {
  const openssl = program(t, 'openssl', 'openssl');
  if (openssl === null) return;
  const { path, count } = writeBundle({ path: join(folder(t), 'ca.pem'), certificate: CERTIFICATE });
  const { stdout } = await runWell(t, openssl, ['storeutl', '-noout', '-certs', path]);
  assert.match(stdout.toString(), new RegExp(`Total found: ${count}\\b`));
});

test('Node with the bundle as its extra certificates trusts a leaf, and without it does not', async (t) => {
  const { path } = writeBundle({ path: join(folder(t), 'ca.pem'), certificate: CERTIFICATE });
  const url = `https://localhost:${await serveLocalhost(t)}/`;
  const script = `fetch(${JSON.stringify(url)}).then((r) => console.log(r.status), (e) => console.log(e.cause.code))`;
  const said = async (env: Record<string, string>): Promise<string> =>
    (await runWell(t, process.execPath, ['-e', script], { env })).stdout.toString().trim();
  assert.equal(await said({ NODE_EXTRA_CA_CERTS: path }), '204');
  assert.match(await said({}), /^UNABLE_TO_/);
});

test('curl with the bundle trusts a leaf', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const { path } = writeBundle({ path: join(folder(t), 'ca.pem'), certificate: CERTIFICATE });
  const args = ['-sS', '--noproxy', '*', '-o', '/dev/null', '-w', '%{http_code}'];
  const url = `https://localhost:${await serveLocalhost(t)}/`;
  const { stdout } = await runWell(t, curl, [...args, url], { env: { CURL_CA_BUNDLE: path } });
  assert.equal(stdout.toString(), '204');
});

test('keytool reads every certificate of the truststore, and sees that nothing is damaged', async (t) => {
  const keytool = program(t, 'keytool', 'default-jdk-headless');
  if (keytool === null) return;
  const { truststorePath, count } = writeBundle({
    path: join(folder(t), 'ca.pem'),
    certificate: CERTIFICATE,
  });
  const list = ['-list', '-keystore', truststorePath, '-storepass', TRUSTSTORE_PASSWORD];
  const listed = (await runWell(t, keytool, list)).stdout.toString();
  assert.match(listed, new RegExp(`contains ${count} entries`));
  assert.ok(listed.includes(fingerprint(CERTIFICATE)));
  const bytes = readFileSync(truststorePath);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(truststorePath, bytes);
  const damaged = await run(t, keytool, list);
  assert.notEqual(damaged.code, 0);
});

test('Java with the truststore trusts a leaf, and without it does not', async (t) => {
  const java = program(t, 'java', 'default-jdk-headless');
  if (java === null) return;
  const directory = folder(t);
  const { truststorePath } = writeBundle({ path: join(directory, 'ca.pem'), certificate: CERTIFICATE });
  const source = join(directory, 'Meet.java');
  writeFileSync(
    source,
    `public class Meet {
      public static void main(String[] args) throws Exception {
        var connection = (java.net.HttpURLConnection) new java.net.URL(args[0]).openConnection();
        try {
          System.out.println(connection.getResponseCode());
        } catch (javax.net.ssl.SSLHandshakeException e) {
          System.out.println("refused");
        }
      }
    }`,
  );
  const url = `https://localhost:${await serveLocalhost(t)}/`;
  const trust = [
    `-Djavax.net.ssl.trustStore=${truststorePath}`,
    '-Djavax.net.ssl.trustStorePassword=changeit',
  ];
  const said = async (...options: readonly string[]): Promise<string> =>
    (await runWell(t, java, ['-Djava.net.useSystemProxies=false', ...options, source, url])).stdout
      .toString()
      .trim();
  assert.equal(await said(...trust), '204');
  assert.equal(await said(), 'refused');
});
