/**
 * The local certificate authority that signs the leaves of interception: made in memory, or given as files.
 *
 * Rules: the key of one that is made never leaves the process and cannot be exported; the key file of one
 * that is given is read by its owner only. It signs leaves and nothing else: pathLenConstraint 0, keyCertSign
 * and cRLSign (RFC 5280, sections 4.2.1.3 and 4.2.1.9), and only for the permitted hosts when these are known.
 * Its certificate says nothing of the machine or the user.
 *
 * This is the only file that sees @peculiar/x509, and it loads it when an authority is first wanted: who does
 * not intercept does not pay for it. It knows no sockets, no caches and no configuration.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, webcrypto } from 'node:crypto';
import { type AuthorityFiles, readAuthorityFiles } from './authority-files.ts';
import { type Subtrees, subtreesFor } from './name-constraints.ts';
import { type Subject, subjectOf } from './subject.ts';

type X509 = typeof import('@peculiar/x509');
type Certificate = InstanceType<X509['X509Certificate']>;
type PublicKey = InstanceType<X509['PublicKey']>;
type Extension = InstanceType<X509['Extension']>;

/** How the name of every authority that was made here begins. */
export const AUTHORITY_NAME = 'Outrigger local CA';

const HOUR_MS = 3_600_000;
/** Clocks of containers and virtual machines differ; a certificate from the future is refused. */
export const CLOCK_SKEW_MS = HOUR_MS;
/** Longer than a process lives: what trusts it would have to be started anew, too. */
const MADE_FOR_MS = 365 * 24 * HOUR_MS;
const NAME_CONSTRAINTS = '2.5.29.30';

let loading: Promise<X509> | undefined;

export interface LeafRequest {
  readonly host: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** What an authority signs with. */
interface Signing {
  readonly key: webcrypto.CryptoKey;
  readonly hash: string;
}

export class Authority {
  /** PEM: what an application has to trust, which is all that is known of the chain. */
  readonly certificate: string;
  /** PEM: one key for all leaves, as long as the process lives. */
  readonly leafKey: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly #x509: X509;
  readonly #signing: Signing;
  readonly #issuer: Certificate['subjectName'];
  readonly #chain: string;
  readonly #leafPublicKey: PublicKey;
  /** What all leaves have in common, made once. */
  readonly #extensions: readonly Extension[];

  /** The first certificate is the one of the key; the others lead from it to a root. */
  static async of(x509: X509, certificates: readonly Certificate[], signing: Signing): Promise<Authority> {
    const [own] = certificates;
    if (own === undefined) throw new Error('an authority has a certificate');
    const leafKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = leafKeys.publicKey.export({ type: 'spki', format: 'der' });
    const leafPublicKey = new x509.PublicKey(new Uint8Array(spki));
    // RFC 5280, section 4.2.1.1: the very identifier that the authority's own certificate has.
    const identifier =
      own.getExtension(x509.SubjectKeyIdentifierExtension) ??
      (await x509.SubjectKeyIdentifierExtension.create(own.publicKey));
    const extensions = [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.AuthorityKeyIdentifierExtension(identifier.keyId),
      await x509.SubjectKeyIdentifierExtension.create(leafPublicKey),
    ];
    return new Authority(x509, certificates, own, signing, leafKeys.privateKey, leafPublicKey, extensions);
  }

  private constructor(
    x509: X509,
    certificates: readonly Certificate[],
    own: Certificate,
    signing: Signing,
    leafKey: KeyObject,
    leafPublicKey: PublicKey,
    extensions: readonly Extension[],
  ) {
    this.#x509 = x509;
    this.#signing = signing;
    this.#issuer = own.subjectName;
    this.#leafPublicKey = leafPublicKey;
    this.#extensions = extensions;
    this.certificate = certificates.map(pemOf).join('');
    this.leafKey = leafKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    this.notBefore = own.notBefore;
    this.notAfter = own.notAfter;
    // RFC 8446, section 4.4.2: a root may be left out, for the peer has it or does not trust it.
    const links = certificates.filter(({ subject, issuer }) => subject !== issuer);
    this.#chain = links.map(pemOf).join('');
  }

  /** PEM: the leaf, and what leads from it to a root. Throws where a certificate cannot name the host. */
  async issue({ host, notBefore, notAfter }: LeafRequest): Promise<string> {
    const x509 = this.#x509;
    const { key, hash } = this.#signing;
    // RFC 5280, section 4.2.1.6: without a subject the alternative name is critical.
    const name = new x509.SubjectAlternativeNameExtension([{ ...subjectOf(host) }], true);
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: newSerial(),
      issuer: this.#issuer,
      notBefore,
      notAfter,
      publicKey: this.#leafPublicKey,
      signingKey: key,
      signingAlgorithm: { name: key.algorithm.name, hash },
      extensions: [...this.#extensions, name],
    });
    return pemOf(leaf) + this.#chain;
  }
}

/** One that lives as long as the process; null: the hosts are not known, and it may sign for any. */
export async function createAuthority({
  permittedHosts,
  now = Date.now,
}: {
  readonly permittedHosts: readonly string[] | null;
  readonly now?: () => number;
}): Promise<Authority> {
  const constraints = permittedHosts === null ? null : subtreesFor(permittedHosts);
  const x509 = await load();
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    // Two sidecars of one machine are two authorities, which a reader of a bundle can tell apart.
    name: [{ CN: [`${AUTHORITY_NAME} ${randomBytes(4).toString('hex')}`] }],
    keys,
    notBefore: new Date(now() - CLOCK_SKEW_MS),
    notAfter: new Date(now() + MADE_FOR_MS),
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(constraints === null ? [] : [nameConstraints(x509, constraints)]),
    ],
  });
  return Authority.of(x509, [certificate], { key: keys.privateKey, hash: 'SHA-256' });
}

/** One from files; the errors name the file and say what is wrong with it. */
export async function loadAuthority(files: AuthorityFiles, now: () => number = Date.now): Promise<Authority> {
  const { certificates, key } = readAuthorityFiles(files, now());
  const { algorithm, hash } = signingOf(key, files.keyFile);
  const x509 = await load();
  const parsed = certificates.map((pem) => new x509.X509Certificate(pem));
  return Authority.of(x509, parsed, { key: key.toCryptoKey(algorithm, false, ['sign']), hash });
}

/** How the key signs: with a hash of its own strength, and only ways that every TLS client knows. */
function signingOf(
  key: KeyObject,
  file: string,
): { algorithm: { name: string; namedCurve?: string }; hash: string } {
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const ecdsa = (curve: string, hash: string) => ({ algorithm: { name: 'ECDSA', namedCurve: curve }, hash });
  if (namedCurve === 'prime256v1') return ecdsa('P-256', 'SHA-256');
  if (namedCurve === 'secp384r1') return ecdsa('P-384', 'SHA-384');
  if (namedCurve === 'secp521r1') return ecdsa('P-521', 'SHA-512');
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= 2048) {
    const hash = 'SHA-256';
    return { algorithm: { name: 'RSASSA-PKCS1-v1_5', hash } as { name: string }, hash };
  }
  throw new Error(`${file}: the key has to be EC (P-256, P-384, P-521) or RSA of 2048 bits and more`);
}

/**
 * Loads the library, once. Its dependency tsyringe wants to see the reflect-metadata polyfill when it is
 * loaded, to ask which types its constructors take; those of the library take none, so "nothing is known" is
 * the whole answer, and `Reflect` is left as it was.
 */
function load(): Promise<X509> {
  loading ??= (async () => {
    const reflect = Reflect as unknown as Record<string, unknown>;
    const answers = ['getMetadata', 'getOwnMetadata', 'defineMetadata'].filter((name) => !(name in reflect));
    for (const name of answers) reflect[name] = () => undefined;
    try {
      return await import('@peculiar/x509');
    } finally {
      for (const name of answers) delete reflect[name];
    }
  })();
  return loading;
}

/** RFC 5280, section 4.1.2.2: positive, at most 20 octets; here always 16, of which 126 bits are random. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/** RFC 5280, section 4.2.1.10. The library knows names, and no extension that holds them. */
function nameConstraints(x509: X509, { permitted, excluded }: Subtrees): Extension {
  const subtrees = (tag: number, subjects: readonly Subject[]): Buffer => {
    // GeneralSubtree: `minimum` is 0, which DER leaves out, and `maximum` is absent.
    const each = subjects.map(({ type, value }) =>
      element(0x30, new Uint8Array(new x509.GeneralName(type, value).rawData)),
    );
    return each.length === 0 ? Buffer.alloc(0) : element(tag, ...each);
  };
  const value = element(0x30, subtrees(0xa0, permitted), subtrees(0xa1, excluded));
  return new x509.Extension(NAME_CONSTRAINTS, true, new Uint8Array(value));
}

/** X.690, section 8.1: a tag, the length in its shortest form, the content. */
function element(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat(content);
  const length: number[] = [];
  for (let rest = bytes.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  const head = bytes.length < 128 ? [tag, bytes.length] : [tag, 0x80 | length.length, ...length];
  return Buffer.concat([Buffer.from(head), bytes]);
}

/** Ends with a newline, so that blocks can be put one behind the other. */
function pemOf(certificate: Certificate): string {
  return `${certificate.toString('pem').trim()}\n`;
}
