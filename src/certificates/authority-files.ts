/**
 * An authority that is given as two PEM files: its certificate, which may be followed by those that lead to
 * its root, and its key.
 *
 * Rules: the key file is a regular file that nobody but its owner can read, and the owner is this user or
 * root; it is checked on the open file, so that it cannot be exchanged in between. The certificate is one of
 * an authority, valid now, and the one of the key. An error begins with the name of the file and says what is
 * wrong; no part of a key is ever in it.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';

export interface AuthorityFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

interface AuthorityParts {
  /** PEM, the authority's own first. */
  readonly certificates: readonly string[];
  readonly key: KeyObject;
}

const SIZE_MAX = 1024 * 1024;
const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** Throws where anything is not as it has to be. */
export function readAuthorityFiles(
  { certificateFile, keyFile }: AuthorityFiles,
  nowMs: number,
): AuthorityParts {
  const certificates = readFile(certificateFile, false).match(BLOCK) ?? [];
  const [own] = certificates.map((pem) => parseCertificate(pem, certificateFile));
  if (own === undefined) throw new Error(`${certificateFile}: there is no PEM certificate in it`);
  // The key usage counts too: without keyCertSign it is none (RFC 5280, section 4.2.1.9).
  if (!own.ca)
    throw new Error(`${certificateFile}: the certificate is not one of an authority (CA:TRUE, keyCertSign)`);
  if (nowMs < own.validFromDate.getTime())
    throw new Error(
      `${certificateFile}: the certificate is not valid before ${own.validFromDate.toISOString()}`,
    );
  if (nowMs >= own.validToDate.getTime())
    throw new Error(`${certificateFile}: the certificate expired at ${own.validToDate.toISOString()}`);
  const key = parseKey(readFile(keyFile, true), keyFile);
  if (!own.checkPrivateKey(key)) throw new Error(`${keyFile}: it is not the key of ${certificateFile}`);
  return { certificates, key };
}

function readFile(path: string, secret: boolean): string {
  let file: number;
  try {
    // A pipe would make us wait for whoever writes into it.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new Error(`${path}: it cannot be read: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
  try {
    const { mode, uid, size } = fstatSync(file);
    if ((mode & 0o170000) !== 0o100000) throw new Error(`${path}: it is not a regular file`);
    if (size > SIZE_MAX) throw new Error(`${path}: it is larger than 1 MiB`);
    const user = process.getuid?.();
    // Where there are no users of this kind, modes say nothing either.
    if (secret && user !== undefined) {
      if (uid !== user && uid !== 0) throw new Error(`${path}: it belongs to another user (${uid})`);
      // An orchestrator mounts secrets as root's, readable by the group of a process that is not root.
      const others = uid === 0 && user !== 0 ? 0o037 : 0o077;
      if ((mode & others) !== 0)
        throw new Error(
          `${path}: its mode is 0${(mode & 0o777).toString(8)}, so others than its owner have access; chmod 600`,
        );
    }
    return readFileSync(file, 'latin1');
  } finally {
    closeSync(file);
  }
}

function parseCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new Error(`${path}: a certificate in it cannot be parsed`, { cause: error });
  }
}

function parseKey(pem: string, path: string): KeyObject {
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(pem))
    throw new Error(`${path}: the key is encrypted; there is nobody to ask for its passphrase`);
  try {
    return createPrivateKey(pem);
  } catch {
    // What OpenSSL says of it helps nobody, and nothing of the file is to be in a log.
    throw new Error(`${path}: there is no PEM private key in it`);
  }
}
