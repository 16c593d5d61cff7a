import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  contextOf,
  inspectTlsFiles,
  readTlsFiles,
  readTlsFilesLater,
  TlsFileError,
  type TlsFiles,
} from '../../../src/certificates/tls-files.ts';
import { type Certificates, makeCertificates } from '../../support/certificates.ts';

const made = makeCertificates();
const skip = made === null ? 'it needs openssl' : false;
const { ca, good, expired } = made as Certificates;

const folder = mkdtempSync(join(tmpdir(), 'outrigger-tls-files-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const files = (some: Partial<TlsFiles>): TlsFiles => ({ ca: null, cert: null, key: null, ...some });

/** What is said of files: the key, and the message without the directory. */
function saidOf(some: Partial<TlsFiles>): [string, string] {
  try {
    contextOf(files(some), readTlsFiles(files(some)), {});
  } catch (error) {
    assert.ok(error instanceof TlsFileError, String(error));
    assert.equal(error.message, `${error.file} ${error.problem}`);
    return [error.key, error.message.replaceAll(`${folder}/`, '')];
  }
  return ['', ''];
}

test('files that fit make a context, whatever else is in them', { skip }, () => {
  const cert = file('cert.pem', `a comment, größer\n${good.cert}${ca}`);
  const key = file('key.pem', good.key);
  assert.deepEqual(saidOf({ ca: file('ca.pem', `${ca}\n# two\n${ca}`), cert, key }), ['', '']);
  const both = file('both.pem', good.key + good.cert);
  assert.deepEqual(saidOf({ cert: both, key: both }), ['', '']);
  assert.deepEqual(saidOf({ ca: file('ca.pem', ca) }), ['', '']);
});

test('what is wrong is told by its key and its file', { skip }, () => {
  const cert = file('cert.pem', good.cert);
  const key = file('key.pem', good.key);
  mkdirSync(join(folder, 'folder'));
  const locked = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
  }).privateKey;
  const wrong: [Partial<TlsFiles>, [string, string]][] = [
    [{ ca: join(folder, 'none.pem') }, ['ca', 'none.pem cannot be read: there is no such file']],
    [{ ca: join(folder, 'folder') }, ['ca', 'folder cannot be read: it is a directory']],
    [{ ca: '/dev/null' }, ['ca', '/dev/null is not a regular file']],
    [{ ca: file('empty.pem', '') }, ['ca', 'empty.pem holds no PEM certificate']],
    [{ ca: file('large.pem', 'x'.repeat(5 << 20)) }, ['ca', 'large.pem is larger than 4 MiB']],
    [{ cert: key, key }, ['cert', 'key.pem holds no PEM certificate']],
    [
      { cert: file('cut.pem', good.cert.replace(/\n[^-\n]{20}/, '\n')), key },
      ['cert', 'cut.pem holds a certificate that cannot be parsed'],
    ],
    [{ cert, key: cert }, ['key', 'cert.pem holds no PEM private key']],
    [
      { cert, key: file('locked.pem', locked) },
      ['key', 'locked.pem is encrypted, and there is nobody to ask for its passphrase'],
    ],
    [{ cert, key: file('other.pem', expired.key) }, ['key', 'other.pem is not the key of cert.pem']],
  ];
  for (const [some, said] of wrong) assert.deepEqual(saidOf(some), said);
  if (process.getuid?.() !== 0)
    assert.deepEqual(saidOf({ ca: file('shut.pem', ca, 0) }), [
      'ca',
      'shut.pem cannot be read: permission denied',
    ]);
});

test('a file is read alike whether somebody waits for it or not', { skip }, async () => {
  const some = files({
    ca: file('ca.pem', ca),
    cert: file('cert.pem', good.cert),
    key: file('key.pem', good.key),
  });
  assert.deepEqual(readTlsFiles(some), { ca, cert: good.cert, key: good.key });
  assert.deepEqual(await readTlsFilesLater(some), readTlsFiles(some));
  for (const name of ['none.pem', '.']) {
    const missing = files({ ca: join(folder, name) });
    let message = '';
    try {
      readTlsFiles(missing);
    } catch (error) {
      message = (error as Error).message;
    }
    assert.notEqual(message, '');
    await assert.rejects(readTlsFilesLater(missing), { name: 'TlsFileError', message });
  }
});

test('a key that everybody can read and a certificate that has expired are warned of', { skip }, () => {
  const cert = file('cert.pem', good.cert);
  const late = file('late.pem', expired.cert);
  const now = Date.now();
  for (const mode of [0o600, 0o400, 0o640])
    assert.deepEqual(inspectTlsFiles(files({ cert, key: file('key.pem', good.key, mode) }), now), []);
  assert.deepEqual(inspectTlsFiles(files({ cert, key: file('key.pem', good.key, 0o644) }), now), [
    {
      key: 'key',
      file: join(folder, 'key.pem'),
      problem: 'can be read by everybody: its mode is 0644; chmod o-r',
    },
  ]);
  const [warning, ...more] = inspectTlsFiles(files({ cert: late, key: file('late.key', expired.key) }), now);
  assert.deepEqual([warning?.key, more], ['cert', []]);
  assert.match(String(warning?.problem), /^expired at \d{4}-\d\d-\d\dT/);
  const [early] = inspectTlsFiles(files({ cert, key: file('key.pem', good.key) }), now - 3 * 86_400_000);
  assert.match(String(early?.problem), /^is not valid before \d{4}-/);
});

test('what OpenSSL finds too weak is a problem of its file', { skip }, () => {
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:512', '-nodes', '-keyout', 'w.key', '-out', 'w.pem', '-subj', '/CN=w'],
    {
      cwd: folder,
      stdio: 'pipe',
    },
  );
  const [key, message] = saidOf({ cert: join(folder, 'w.pem'), key: join(folder, 'w.key') });
  assert.equal(key, 'cert');
  assert.match(message, /^w\.pem cannot be used: ERR_SSL_EE_KEY_TOO_SMALL$/);
});
