/**
 * The PEM files of a route's TLS: trusted certificates, our own certificate and its key; read, parsed, and
 * found to fit together before anybody connects with them.
 *
 * Rules: only regular files of bounded length are read; what is wrong is told by the key of the
 * configuration that names the file, in words that complete a sentence about it; nothing of a key is ever in
 * them. It keeps nothing and watches nothing.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync, type Stats, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { rootsNeeded } from './machine-roots.ts';

const KEYS = ['ca', 'cert', 'key'] as const;

type TlsFileKey = (typeof KEYS)[number];

/** By name, or what is in them; null: none. */
export type TlsFiles = { readonly [key in TlsFileKey]: string | null };

export interface TlsFilesWarning {
  readonly key: TlsFileKey;
  readonly file: string;
  /** Completes a sentence that begins with the name of the file. */
  readonly problem: string;
}

/** A file that cannot be used; the message begins with its name. */
export class TlsFileError extends Error {
  readonly key: TlsFileKey;
  readonly file: string;
  /** Completes a sentence that begins with the name of the file. */
  readonly problem: string;

  constructor(key: TlsFileKey, file: string, problem: string) {
    super(`${file} ${problem}`);
    this.name = 'TlsFileError';
    this.key = key;
    this.file = file;
    this.problem = problem;
  }
}

const SIZE_MAX = 4 * 1024 * 1024;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
const ENCRYPTED = /-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/;

/** What is in the files now. Throws a TlsFileError. */
export function readTlsFiles(files: TlsFiles): TlsFiles {
  const read = (key: TlsFileKey): string | null => {
    const file = files[key];
    if (file === null) return null;
    try {
      refuse(key, file, statSync(file));
      return readFileSync(file, 'latin1');
    } catch (error) {
      throw unreadable(key, file, error);
    }
  };
  return { ca: read('ca'), cert: read('cert'), key: read('key') };
}

/** The same without standing still while a slow disk answers. */
export async function readTlsFilesLater(files: TlsFiles): Promise<TlsFiles> {
  const read = async (key: TlsFileKey): Promise<string | null> => {
    const file = files[key];
    if (file === null) return null;
    try {
      refuse(key, file, await stat(file));
      return await readFile(file, 'latin1');
    } catch (error) {
      throw unreadable(key, file, error);
    }
  };
  return { ca: await read('ca'), cert: await read('cert'), key: await read('key') };
}

/** A pipe would be waited for without an end. */
function refuse(key: TlsFileKey, file: string, stats: Stats): void {
  if (stats.isDirectory()) throw new TlsFileError(key, file, 'cannot be read: it is a directory');
  if (!stats.isFile()) throw new TlsFileError(key, file, 'is not a regular file');
  if (stats.size > SIZE_MAX) throw new TlsFileError(key, file, 'is larger than 4 MiB');
}

function unreadable(key: TlsFileKey, file: string, error: unknown): TlsFileError {
  if (error instanceof TlsFileError) return error;
  const { code } = error as NodeJS.ErrnoException;
  const why =
    code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'permission denied' : String(code);
  return new TlsFileError(key, file, `cannot be read: ${why}`);
}

/**
 * A context of what is in the files, once all of it fits together. Throws a TlsFileError.
 * @param options what else the context has, and the roots where there is no `ca`
 */
export function contextOf(files: TlsFiles, contents: TlsFiles, options: SecureContextOptions): SecureContext {
  const { ca, cert, key } = contents;
  if (ca !== null) certificatesOf('ca', files, ca);
  if (cert !== null && key !== null) {
    const [own] = certificatesOf('cert', files, cert);
    if (own?.checkPrivateKey(keyOf(files, key)) !== true)
      throw new TlsFileError('key', String(files.key), `is not the key of ${files.cert}`);
  }
  if (ca === null && options.ca === undefined) rootsNeeded();
  try {
    return createSecureContext({
      ...options,
      ...(ca === null ? {} : { ca }),
      ...(cert === null || key === null ? {} : { cert, key }),
    });
  } catch (error) {
    // Well formed, and still too weak or too strange for OpenSSL.
    const at = cert === null ? 'ca' : 'cert';
    const { code, message } = error as NodeJS.ErrnoException;
    throw new TlsFileError(at, String(files[at]), `cannot be used: ${code ?? message}`);
  }
}

function certificatesOf(key: TlsFileKey, files: TlsFiles, text: string): X509Certificate[] {
  const file = String(files[key]);
  const blocks = text.match(CERTIFICATE);
  if (blocks === null) throw new TlsFileError(key, file, 'holds no PEM certificate');
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new TlsFileError(key, file, 'holds a certificate that cannot be parsed');
    }
  });
}

function keyOf(files: TlsFiles, text: string): KeyObject {
  const file = String(files.key);
  if (ENCRYPTED.test(text))
    throw new TlsFileError('key', file, 'is encrypted, and there is nobody to ask for its passphrase');
  try {
    return createPrivateKey(text);
  } catch {
    throw new TlsFileError('key', file, 'holds no PEM private key');
  }
}

/** Looks at them as a start would, and says what is only strange. Throws a TlsFileError for what is wrong. */
export function inspectTlsFiles(files: TlsFiles, nowMs: number): readonly TlsFilesWarning[] {
  const contents = readTlsFiles(files);
  contextOf(files, contents, {});
  const warnings: TlsFilesWarning[] = [];
  const warn = (key: TlsFileKey, problem: string): void => {
    warnings.push({ key, file: String(files[key]), problem });
  };
  if (files.key !== null) {
    const { mode } = statSync(files.key);
    if ((mode & 0o004) !== 0)
      warn('key', `can be read by everybody: its mode is 0${(mode & 0o777).toString(8)}; chmod o-r`);
  }
  if (contents.cert !== null) {
    const [own] = certificatesOf('cert', files, contents.cert);
    if (own && nowMs >= own.validToDate.getTime())
      warn('cert', `expired at ${own.validToDate.toISOString()}`);
    if (own && nowMs < own.validFromDate.getTime())
      warn('cert', `is not valid before ${own.validFromDate.toISOString()}`);
  }
  return warnings;
}
