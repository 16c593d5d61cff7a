/**
 * The combined bundle: the roots that Node trusts, those of the system, and the local authority, in the two
 * forms in which runtimes want it: PEM and a Java truststore.
 *
 * Rules: it replaces the roots of an application, so it has all that the application could trust before. A
 * file appears whole or not at all, readable by everybody, and stays when the process ends: an application
 * that outlives it still has its roots. Nothing is written into a directory of another user, or over another
 * user's file or link. Authorities that earlier processes made here are left out: their keys are gone.
 *
 * It knows no configuration; who starts applications tells them the paths.
 */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { getCACertificates } from 'node:tls';
import { AUTHORITY_NAME } from './authority.ts';
import { rootsNeeded } from './machine-roots.ts';
import { javaTruststore, TRUSTSTORE_MAGIC } from './truststore.ts';

export interface Bundle {
  /** PEM. */
  readonly path: string;
  /** JKS, beside it; its password is TRUSTSTORE_PASSWORD. */
  readonly truststorePath: string;
  /** How many certificates are in each. */
  readonly count: number;
}

const BLOCK = /-----BEGIN CERTIFICATE-----([\s\S]*?)-----END CERTIFICATE-----/g;
const MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/** Of a user and of the port on which the sidecar listens: no other sidecar has that one. */
export function defaultBundlePath(port: number): string {
  return join(tmpdir(), `outrigger-${process.getuid?.() ?? 'user'}`, `ca-bundle-${port}.pem`);
}

export function truststorePathOf(path: string): string {
  return `${path.replace(/\.(?:pem|crt|cer)$/, '')}.jks`;
}

/** Both forms of it, as far as they are there. */
export function removeBundle(path: string): void {
  for (const file of [path, truststorePathOf(path)]) rmSync(file, { force: true });
}

/** Writes both files; `certificate` is the authority's, PEM. Throws with the path and the reason. */
export function writeBundle({
  path,
  certificate,
}: {
  readonly path: string;
  readonly certificate: string;
}): Bundle {
  const certificates = combine(certificate);
  const truststorePath = truststorePathOf(path);
  openDirectory(dirname(path));
  write(path, Buffer.from(certificates.map(pemOf).join('')));
  write(truststorePath, javaTruststore(certificates, Date.now()));
  return { path, truststorePath, count: certificates.length };
}

/** DER, each once; the authority's first, so that a reader finds it. */
function combine(certificate: string): Buffer[] {
  rootsNeeded();
  const own = derOf(certificate);
  const others = [...getCACertificates('default'), ...getCACertificates('system')].flatMap(derOf);
  const found = new Map(own.map((der) => [der.toString('latin1'), der]));
  for (const der of others) if (!der.includes(AUTHORITY_NAME)) found.set(der.toString('latin1'), der);
  return [...found.values()];
}

function derOf(pem: string): Buffer[] {
  return Array.from(pem.matchAll(BLOCK), ([, base64 = '']) => Buffer.from(base64, 'base64'));
}

/** RFC 7468, section 2: lines of 64 characters. The last newline keeps two blocks from running together. */
function pemOf(der: Buffer): string {
  const lines = der.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** Makes it where it is missing, and refuses one in which somebody else could put what they like. */
function openDirectory(path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  if (first !== undefined) {
    // Whatever the umask is, an application of another user has to get in, through each that was made.
    const top = resolve(first);
    for (let at = resolve(path); at.length >= top.length; at = dirname(at)) chmodSync(at, DIRECTORY_MODE);
  }
  // A link counts by its own owner first: who can point it elsewhere decides what an application trusts.
  for (const stats of [lstatSync(path), statSync(path)]) {
    // Root can do all of this anyway, and shared directories of containers are root's.
    if (!isOurs(stats) && stats.uid !== 0) throw new Error(`${path} belongs to another user (${stats.uid})`);
    // With the sticky bit nobody can move away what is not theirs; volumes of containers are root's, and open.
    if (
      stats.uid !== 0 &&
      !stats.isSymbolicLink() &&
      (stats.mode & 0o022) !== 0 &&
      (stats.mode & 0o1000) === 0
    )
      throw new Error(`${path} can be written to by others (mode 0${(stats.mode & 0o777).toString(8)})`);
  }
}

/** A temporary file in the same directory takes the place of the target in one step. */
function write(path: string, content: Buffer): void {
  const target = lstatSync(path, { throwIfNoEntry: false });
  if (target !== undefined && !isOurs(target))
    throw new Error(`${path} belongs to another user (${target.uid})`);
  if (target?.isDirectory()) throw new Error(`${path} is a directory`);
  if (target?.isFile() && target.size > 0 && !isBundle(readFileSync(path)))
    throw new Error(`${path} is there and is no bundle of certificates: nothing is written over it`);
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  // O_EXCL follows no link and opens nothing that is there already.
  const file = openSync(temporary, O_CREAT | O_EXCL | O_WRONLY, MODE);
  try {
    try {
      fchmodSync(file, MODE);
      writeFileSync(file, content);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  }
}

/** PEM certificates or a truststore, and no key among them. */
function isBundle(content: Buffer): boolean {
  if (content.includes('PRIVATE KEY')) return false;
  if (content.includes('-----BEGIN CERTIFICATE-----')) return true;
  return content.length >= 4 && content.readUInt32BE(0) === TRUSTSTORE_MAGIC;
}

function isOurs({ uid }: Stats): boolean {
  const user = process.getuid?.();
  return user === undefined || uid === user;
}
