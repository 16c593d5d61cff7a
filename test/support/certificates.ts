/** An authority and certificates of a test, made with the openssl command. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface KeyPair {
  readonly key: string;
  readonly cert: string;
}

export interface Certificates {
  /** Of the authority that signed them. */
  readonly ca: string;
  /** For localhost, 127.0.0.1 and every name just below vendor.test. */
  readonly good: KeyPair;
  readonly expired: KeyPair;
  readonly wrongHost: KeyPair;
  /** Signed by itself. */
  readonly selfSigned: KeyPair;
}

const SAN = 'subjectAltName=DNS:localhost,DNS:*.vendor.test,IP:127.0.0.1';

/** Null: there is no openssl here; the package of that name has it. */
export function makeCertificates(): Certificates | null {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const at = (name: string): string => join(folder, name);
  const openssl = (...words: string[]): void => {
    execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' });
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const read = (name: string): KeyPair => ({
    key: readFileSync(at(`${name}.key`), 'utf8'),
    cert: readFileSync(at(`${name}.pem`), 'utf8'),
  });
  const selfSign = (name: string, ...more: string[]): KeyPair => {
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
      ...more,
    );
    return read(name);
  };
  const sign = (name: string, san: string, days: number): KeyPair => {
    openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    writeFileSync(at(`${name}.ext`), san);
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      String(days),
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
    );
    return read(name);
  };
  try {
    const { cert: ca } = selfSign('ca');
    return {
      ca,
      good: sign('good', SAN, 2),
      expired: sign('expired', SAN, -1),
      wrongHost: sign('wrong', 'subjectAltName=DNS:elsewhere.example', 2),
      selfSigned: selfSign('self', '-addext', SAN),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
