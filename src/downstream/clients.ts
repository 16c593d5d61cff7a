/**
 * Who calls: one of the clients of the configuration, by Basic credentials for a proxy (RFC 9110, section 11.7;
 * RFC 7617), else by its source address.
 *
 * Rules: every client's credentials are compared, digests in constant time, whether or not the name is known
 * (so that time tells nothing); what a connection has shown once is not compared again while it shows the same.
 * Credentials of another scheme, or such as cannot be read, are wrong ones. A client with credentials and
 * addresses has to be right in both. It opens no sockets and writes to none.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { BlockList, isIP, type Socket } from 'node:net';
import type { Releasable } from '../exchange.ts';
import { isNamed } from '../headers/field-names.ts';
import type { Client } from '../policy/policy.ts';
import { beneathOf } from '../socket-reset.ts';

/** What is known of a caller. */
export interface Caller {
  /** Null: none of the clients. */
  readonly client: KnownClient | null;
  /** Credentials were shown, and are nobody's. */
  readonly wrong: boolean;
}

const NOBODY: Caller = Object.freeze({ client: null, wrong: false });
const WRONG: Caller = Object.freeze({ client: null, wrong: true });

/** A client, and its exchanges in flight: borrowed for each of them, and given back when it finishes. */
export class KnownClient implements Releasable {
  readonly name: string;
  readonly limit: number | null;
  readonly caller: Caller;
  readonly #username: Buffer | null;
  readonly #password: Buffer | null;
  readonly #addresses: BlockList | null;
  /** Shared with the same client of another configuration. */
  readonly #load: { inFlight: number };

  constructor({ name, addresses, credentials, exchanges }: Client, before: KnownClient | null) {
    this.#load = before === null ? { inFlight: 0 } : before.#load;
    this.name = name;
    this.limit = exchanges;
    this.caller = Object.freeze({ client: this, wrong: false });
    this.#username = credentials && digestOf(credentials.username);
    this.#password = credentials && digestOf(credentials.password);
    this.#addresses = addresses.length === 0 ? null : blockListOf(addresses);
  }

  get hasCredentials(): boolean {
    return this.#username !== null;
  }

  /** Both are always compared. */
  shows(username: Buffer, password: Buffer): boolean {
    const isName = timingSafeEqual(this.#username ?? NO_DIGEST, username);
    const isPassword = timingSafeEqual(this.#password ?? NO_DIGEST, password);
    return isName && isPassword && this.hasCredentials;
  }

  /** Null: it may be anywhere. */
  isAt(address: string): boolean | null {
    if (this.#addresses === null) return null;
    const version = isIP(address);
    return version !== 0 && this.#addresses.check(address, version === 6 ? 'ipv6' : 'ipv4');
  }

  /** False: so many are in flight already. */
  tryAcquire(): boolean {
    if (this.limit !== null && this.#load.inFlight >= this.limit) return false;
    this.#load.inFlight++;
    return true;
  }

  release(): void {
    this.#load.inFlight--;
  }
}

/** The digest of nothing that anybody can send. */
const NO_DIGEST = Buffer.alloc(32);

const digestOf = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();

function blockListOf(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

const SHOWN = Symbol('shown');

/** A connection, and what it has shown. */
type CallerSocket = Socket & {
  [SHOWN]?: { readonly value: string | null; readonly caller: Caller; readonly by: Clients };
};

export class Clients {
  readonly #clients: readonly KnownClient[];
  /** Whether anybody can answer a challenge. */
  readonly hasCredentials: boolean;

  /** @param before those of the configuration before: what is in flight of theirs counts on */
  constructor(clients: readonly Client[], before: Clients | null = null) {
    const known = before === null ? [] : before.#clients;
    this.#clients = clients.map(
      (client) => new KnownClient(client, known.find(({ name }) => name === client.name) ?? null),
    );
    this.hasCredentials = this.#clients.some((client) => client.hasCredentials);
  }

  identify(rawHeaders: readonly string[], socket: CallerSocket): Caller {
    const value = this.hasCredentials ? proxyAuthorizationOf(rawHeaders) : null;
    const shown = socket[SHOWN];
    if (shown !== undefined && shown.value === value && shown.by === this) return shown.caller;
    const address = addressOf(socket);
    const caller = value === null ? this.#byAddress(address) : this.#byCredentials(value, address);
    socket[SHOWN] = { value, caller, by: this };
    return caller;
  }

  /** Who opened the tunnel that this connection is in, by what was shown then, which may be nobody's now. */
  within(inner: Socket): Caller {
    let socket: CallerSocket = inner;
    for (let next = beneathOf(socket); next !== null; next = beneathOf(socket)) socket = next;
    const shown = socket[SHOWN];
    if (shown === undefined) return NOBODY;
    let { caller } = shown;
    if (shown.by !== this) {
      const { value } = shown;
      const address = addressOf(socket);
      caller = value === null ? this.#byAddress(address) : this.#byCredentials(value, address);
      socket[SHOWN] = { value, caller, by: this };
    }
    return caller.client === null ? NOBODY : caller;
  }

  /** By the name that an exchange has kept. */
  named(name: string | null): Caller {
    return this.#clients.find((client) => client.name === name)?.caller ?? NOBODY;
  }

  #byAddress(address: string): Caller {
    const client = this.#clients.find((one) => !one.hasCredentials && one.isAt(address) === true);
    return client?.caller ?? NOBODY;
  }

  #byCredentials(value: string, address: string): Caller {
    const credentials = basicCredentials(value);
    if (credentials === null) return WRONG;
    const username = digestOf(credentials.username);
    const password = digestOf(credentials.password);
    let found: KnownClient | null = null;
    // All of them, for time would tell how far it came.
    for (const client of this.#clients) if (client.shows(username, password)) found = client;
    return found !== null && found.isAt(address) !== false ? found.caller : WRONG;
  }
}

/** Of the connection itself, whatever lies on top of it. */
function addressOf(socket: Socket): string {
  const beneath = beneathOf(socket);
  return beneath === null ? (socket.remoteAddress ?? '') : addressOf(beneath);
}

/** Null: none; '', which nobody's credentials are: more than one. */
function proxyAuthorizationOf(raw: readonly string[]): string | null {
  let found: string | null = null;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    if (name.length !== 19 || !isNamed(name, 'proxy-authorization')) continue;
    found = found === null ? (raw[i + 1] as string) : '';
  }
  return found;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8 is what the challenge asks for; some clients know Latin-1 only, which is hardly ever UTF-8 by chance. */
function textOf(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}

/** RFC 7617, section 2. Null: not Basic, or not well formed. */
export function basicCredentials(value: string): { username: string; password: string } | null {
  const [, token = ''] = /^basic +([a-z0-9+/]+={0,2})$/i.exec(value.trim()) ?? [];
  const bytes = Buffer.from(token, 'base64');
  // Node decodes whatever it can.
  if (token === '' || bytes.toString('base64').replace(/=+$/, '') !== token.replace(/=+$/, '')) return null;
  const text = textOf(bytes);
  const colon = text.indexOf(':');
  if (colon < 0 || /\p{Cc}/u.test(text)) return null;
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
