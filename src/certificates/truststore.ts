/**
 * Certificates as a Java truststore, in the JKS format that every Java version reads: big-endian numbers,
 * one entry per trusted certificate, and a digest that finds damage.
 *
 * Rules: the password is no secret, for nothing in a truststore is; it is the one that Java's own has. Aliases
 * are unique and in lower case, as Java compares them. It does no I/O.
 */
import { createHash } from 'node:crypto';

export const TRUSTSTORE_PASSWORD = 'changeit';

export const TRUSTSTORE_MAGIC = 0xfeedfeed;
const VERSION = 2;
const TRUSTED_CERTIFICATE = 2;
/** The digest begins with these words, for whatever reason Java's authors had. */
const WHITENER = 'Mighty Aphrodite';

/** Certificates in DER; `createdMs` is what Java shows as the date of each entry. */
export function javaTruststore(certificates: readonly Uint8Array[], createdMs: number): Buffer {
  const entries = certificates.flatMap((der, i) => [
    number32(TRUSTED_CERTIFICATE),
    text(`outrigger-${i + 1}`),
    number64(createdMs),
    text('X.509'),
    number32(der.length),
    der,
  ]);
  const store = Buffer.concat([
    number32(TRUSTSTORE_MAGIC),
    number32(VERSION),
    number32(certificates.length),
    ...entries,
  ]);
  // Java hashes the password as its own strings are: UTF-16, the high byte first.
  const password = Buffer.from(TRUSTSTORE_PASSWORD, 'utf16le').swap16();
  const digest = createHash('sha1').update(password).update(WHITENER).update(store).digest();
  return Buffer.concat([store, digest]);
}

function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function number64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** As DataOutput.writeUTF does it; ASCII is the same in both encodings. */
function text(value: string): Buffer {
  const bytes = Buffer.alloc(2 + value.length);
  bytes.writeUInt16BE(value.length);
  bytes.write(value, 2, 'ascii');
  return bytes;
}
