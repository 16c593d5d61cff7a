import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import {
  rootsNeeded,
  trustMachineRoots,
  trustMachineRootsWhenNeeded,
} from '../../../src/certificates/machine-roots.ts';
import { rootsOf } from '../../../src/upstream/tls-profile.ts';
import { type Certificates, makeCertificates } from '../../support/certificates.ts';

const made = [makeCertificates(), makeCertificates()];
const skip = made.includes(null) ? 'it needs openssl' : false;
const [one, other] = made as [Certificates, Certificates];

const before = getCACertificates('default');
afterEach(() => setDefaultCACertificates(before));

/** Node breaks lines in two ways. */
const plain = (pems: readonly string[]): Set<string> => new Set(pems.map((pem) => pem.replace(/\s/g, '')));
const trusted = (): Set<string> => plain(getCACertificates('default'));

test('an authority of SSL_CERT_FILE or SSL_CERT_DIR is trusted beside all that was, each once', {
  skip,
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-roots-'));
  try {
    const file = join(folder, 'corp.pem');
    const directory = join(folder, 'certs');
    mkdirSync(directory);
    writeFileSync(file, `# ours\n${one.ca}${before[0]}\n${one.ca.replaceAll('\n', '\r\n')}`);
    writeFileSync(join(directory, 'a.pem'), one.ca + other.ca);
    symlinkSync('a.pem', join(directory, '0123abcd.0'));
    symlinkSync('nowhere', join(directory, '0123abcd.1'));
    assert.equal(trustMachineRoots({ SSL_CERT_FILE: file, SSL_CERT_DIR: `${directory}:/nowhere` }), 2);
    assert.deepEqual(trusted(), plain([...before, one.ca, other.ca]));
    assert.equal(trustMachineRoots({ SSL_CERT_FILE: file }), 0, 'the second time there is nothing new');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what is missing, or no certificate, changes nothing and fails nothing', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-roots-'));
  try {
    const file = join(folder, 'bad.pem');
    writeFileSync(file, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    for (const path of [file, folder, join(folder, 'none'), '/dev/zero'])
      assert.equal(trustMachineRoots({ SSL_CERT_FILE: path }), 0, path);
    writeFileSync(file, `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${one.ca}`);
    assert.equal(trustMachineRoots({ SSL_CERT_FILE: file }), 1, 'the good one beside a bad one');
    assert.deepEqual(trusted(), plain([...before, one.ca]));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('they wait for the first context that is made of the roots, and are read once', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-roots-'));
  try {
    const file = join(folder, 'corp.pem');
    writeFileSync(file, one.ca);
    trustMachineRootsWhenNeeded({ SSL_CERT_FILE: file });
    const roots = rootsOf(null);
    const own = rootsOf([other.ca]);
    assert.ok(own.context);
    assert.deepEqual(trusted(), plain(before), 'nobody has needed them');
    assert.ok(roots.context);
    assert.deepEqual(trusted(), plain([...before, one.ca]));
    assert.equal(roots.context, roots.context);
    writeFileSync(file, other.ca);
    rootsNeeded();
    assert.deepEqual(trusted(), plain([...before, one.ca]));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('it takes no time that a start would feel', (t) => {
  const began = performance.now();
  const found = trustMachineRoots({});
  const ms = performance.now() - began;
  t.diagnostic(`${found} roots beyond those of Node in ${ms.toFixed(1)} ms`);
  assert.ok(ms < 500, `${ms}`);
});
