/**
 * The roots of the machine, so that an authority which an operator has installed there counts here too:
 * SSL_CERT_FILE and SSL_CERT_DIR, else the bundle in the place where distributions keep it.
 *
 * Node trusts the list that it was built with, and NODE_EXTRA_CA_CERTS; what the machine has beyond that is
 * added to it for the whole process, once, at its start. The bundle is read directly: asking Node for the
 * store of the system takes ten times as long, because it parses the file and every link of a directory.
 *
 * All of it takes as long as loading a library, so it waits for the first who needs roots: who makes a secure context of
 * them, or writes them down, asks for them here before.
 */
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

type Environment = Readonly<Record<string, string | undefined>>;

/** Debian and Alpine, Fedora and RHEL, SUSE, BSD. The first that is there. */
const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

const SIZE_MAX = 16 * 1024 * 1024;
const BLOCK = /-----BEGIN CERTIFICATE-----([\s\S]*?)-----END CERTIFICATE-----/g;

/** Of the process; null: what the machine has is trusted already, or nobody wants it to be. */
let awaited: Environment | null = null;

/** They count as soon as somebody needs roots. */
export function trustMachineRootsWhenNeeded(env: Environment): void {
  awaited = env;
}

/** Before Node is asked for its roots, or makes a context of them. */
export function rootsNeeded(): void {
  if (awaited === null) return;
  const env = awaited;
  awaited = null;
  trustMachineRoots(env);
}

/** Trusts them from now on. Says how many there were beyond those that Node has. */
export function trustMachineRoots(env: Environment): number {
  const known = getCACertificates('default');
  const seen = new Set(known.flatMap(bodiesOf));
  const found: string[] = [];
  for (const text of textsOf(env)) {
    for (const body of bodiesOf(text)) {
      if (seen.has(body)) continue;
      seen.add(body);
      const pem = pemOf(body);
      if (pem !== null) found.push(pem);
    }
  }
  if (found.length > 0) setDefaultCACertificates([...known, ...found]);
  return found.length;
}

/** What can be compared: without lines. */
function bodiesOf(text: string): string[] {
  return Array.from(text.matchAll(BLOCK), ([, body = '']) => body.replace(/\s+/g, ''));
}

/** Null: nothing that Node could trust, and it would refuse the whole list for it. */
function pemOf(body: string): string | null {
  try {
    return new X509Certificate(Buffer.from(body, 'base64')).toString();
  } catch {
    return null;
  }
}

function* textsOf(env: Environment): Generator<string> {
  const { SSL_CERT_FILE: file = '', SSL_CERT_DIR: directories = '' } = env;
  const read = new Set<string>();
  for (const path of file === '' ? BUNDLES : [file]) {
    const text = textOf(path, read);
    if (text === null) continue;
    yield text;
    break;
  }
  for (const directory of directories.split(':').filter((it) => it !== '')) {
    for (const name of list(directory)) yield textOf(join(directory, name), read) ?? '';
  }
}

/**
 * Null: not there, which fails no start, or read already: in a directory of certificates most names are
 * links to the others.
 */
function textOf(path: string, read: Set<string>): string | null {
  try {
    const stats = statSync(path);
    const identity = `${stats.dev}:${stats.ino}`;
    if (!stats.isFile() || stats.size > SIZE_MAX || read.has(identity)) return null;
    read.add(identity);
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
