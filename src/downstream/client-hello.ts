/**
 * What a TLS ClientHello says: the server's name, the protocols offered (ALPN), and whether Encrypted
 * Client Hello is there.
 *
 * Rules: RFC 8446, section 4.1.2 and section 4.2 (its form); RFC 6066, section 3 (server_name); RFC 7301,
 * section 3.1 (ALPN). What does not parse is broken, with one of a fixed list of reasons, and never throws.
 * It judges no versions, ciphers or keys: the TLS library or the origin does. It knows no records: it is
 * given the body of the message, whole.
 */

export interface ClientHello {
  readonly kind: 'tls';
  /** A host name in lower case, without a final dot; null if none was sent. */
  readonly serverName: string | null;
  /** In the caller's order, a byte a character; may hold what no one has registered (RFC 8701). */
  readonly alpn: readonly string[];
  /** encrypted_client_hello is there, so the name may be a cover; browsers also send it filled with noise. */
  readonly ech: boolean;
}

export interface BrokenTls {
  readonly kind: 'broken-tls';
  readonly reason: string;
}

const SERVER_NAME = 0;
const ALPN = 16;
/** RFC 9849, section 5. */
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;

const HOST_NAME = 0;
const RANDOM_BYTES = 32;
const SESSION_ID_MAX = 32;

export function brokenTls(reason: string): BrokenTls {
  return { kind: 'broken-tls', reason };
}

export function parseClientHello(body: Uint8Array): ClientHello | BrokenTls {
  const hello = new Cursor(body);
  if (hello.number(2) >> 8 !== 3) return brokenTls('a ClientHello of no TLS version');
  if (hello.take(RANDOM_BYTES) === null) return brokenTls('a ClientHello that is too short');
  const session = hello.vector(1);
  if (session === null || session.length > SESSION_ID_MAX) return brokenTls('a malformed session ID');
  const suites = hello.vector(2);
  if (suites === null || suites.length < 2 || suites.length % 2 !== 0)
    return brokenTls('a malformed list of cipher suites');
  const compressions = hello.vector(1);
  if (compressions === null || compressions.length === 0)
    return brokenTls('a malformed list of compression methods');
  // A ClientHello before TLS 1.3 may end here.
  if (hello.isDone) return { kind: 'tls', serverName: null, alpn: [], ech: false };
  const extensions = hello.vector(2);
  if (extensions === null || !hello.isDone) return brokenTls('a malformed list of extensions');
  return parseExtensions(new Cursor(extensions));
}

function parseExtensions(list: Cursor): ClientHello | BrokenTls {
  const seen = new Set<number>();
  let serverName: string | null = null;
  let alpn: readonly string[] = [];
  while (!list.isDone) {
    const type = list.number(2);
    const data = list.vector(2);
    if (data === null) return brokenTls('a malformed extension');
    // RFC 8446, section 4.2: two of a kind are two readings.
    if (seen.has(type)) return brokenTls('an extension that is there twice');
    seen.add(type);
    if (type === SERVER_NAME) {
      serverName = parseServerName(new Cursor(data));
      if (serverName === null) return brokenTls('a malformed server name');
    } else if (type === ALPN) {
      const protocols = parseProtocols(new Cursor(data));
      if (protocols === null) return brokenTls('a malformed list of protocols');
      alpn = protocols;
    }
  }
  return { kind: 'tls', serverName, alpn, ech: seen.has(ENCRYPTED_CLIENT_HELLO) };
}

/** RFC 6066, section 3: no second name of a kind, and host_name is the only kind there is. */
function parseServerName(data: Cursor): string | null {
  const names = data.vector(2);
  if (names === null || !data.isDone) return null;
  const list = new Cursor(names);
  if (list.number(1) !== HOST_NAME) return null;
  const name = list.vector(2);
  return name === null || !list.isDone ? null : hostNameOf(name);
}

/**
 * Letters, digits, hyphens and, since names in use have them, underscores. An IPv4 address, which the RFC
 * does not permit but some clients send, reads as a name.
 */
function hostNameOf(bytes: Uint8Array): string | null {
  // 253 and the final dot; beyond, no host has the name (RFC 1035, section 2.3.4).
  if (bytes.length > 254) return null;
  const text = latin1(bytes).toLowerCase();
  const name = text.endsWith('.') ? text.slice(0, -1) : text;
  if (name.length > 253 || !/^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(name)) return null;
  return name;
}

/** RFC 7301, section 3.1: at least one protocol, none of them empty. */
function parseProtocols(data: Cursor): string[] | null {
  const names = data.vector(2);
  if (names === null || names.length === 0 || !data.isDone) return null;
  const list = new Cursor(names);
  const protocols: string[] = [];
  while (!list.isDone) {
    const name = list.vector(1);
    if (name === null || name.length === 0) return null;
    protocols.push(latin1(name));
  }
  return protocols;
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Reads onwards, and never beyond the end. */
class Cursor {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isDone(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Uint8Array | null {
    const end = this.#at + length;
    if (end > this.#bytes.length) return null;
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  /** Big-endian; -1: not so many bytes are left. */
  number(size: 1 | 2): number {
    const bytes = this.take(size);
    if (bytes === null) return -1;
    let number = 0;
    for (const byte of bytes) number = number * 256 + byte;
    return number;
  }

  /** As many bytes as the number in front of them says (RFC 8446, section 3.4). */
  vector(size: 1 | 2): Uint8Array | null {
    const length = this.number(size);
    return length === -1 ? null : this.take(length);
  }
}
