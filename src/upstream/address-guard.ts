/**
 * Decides whether an address may be dialled. It is asked with the very address of the dial, after
 * resolution and for every new connection, so no spelling of a name and no change of DNS gets past it.
 *
 * Rules: what is not public unicast is refused, unless `access.addresses.allow` names it; of two CIDRs that
 * both hold the address, the longer prefix wins, and on a tie the denial. Our own listeners are refused
 * whatever the lists say. IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4, Teredo) is judged as the IPv4
 * it reaches. It knows no names and opens no sockets.
 */
import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import type { ListenAddress } from '../config/config.ts';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Cidr = readonly [Address, number];

const WORDS: Readonly<Record<string, string>> = {
  unspecified: 'the unspecified address',
  broadcast: 'broadcast',
  multicast: 'multicast',
  linkLocal: 'link-local',
  loopback: 'loopback',
  carrierGradeNat: 'carrier-grade NAT',
  private: 'private',
  uniqueLocal: 'private (unique local)',
};

function parseCidr(text: string): Cidr {
  if (text.includes('/')) return ipaddr.parseCIDR(text);
  const address = ipaddr.parse(text);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

/** The longest prefix among the CIDRs that hold the address; -1: none does. */
function longestMatch(address: Address, cidrs: readonly Cidr[]): number {
  let longest = -1;
  for (const [network, bits] of cidrs) {
    if (bits > longest && network.kind() === address.kind() && address.match(network, bits)) longest = bits;
  }
  return longest;
}

/** The last 32 bits of an IPv6 address, or those from `offset`, as an IPv4 address. */
function embedded(bytes: readonly number[], offset: number, invert = false): ipaddr.IPv4 {
  const part = bytes.slice(offset, offset + 4);
  return new ipaddr.IPv4(invert ? part.map((byte) => byte ^ 0xff) : part);
}

/** The IPv4 address that an IPv6 address stands for; null: none. */
function innerIPv4(address: ipaddr.IPv6): ipaddr.IPv4 | null {
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  const bytes = address.toByteArray();
  const [a, b] = address.parts;
  // RFC 4291, section 2.5.5.1: IPv4-compatible; :: and ::1 are not among them.
  if (address.parts.slice(0, 6).every((part) => part === 0) && !(bytes[12] === 0 && bytes[13] === 0)) {
    return embedded(bytes, 12);
  }
  if (a === 0x64 && b === 0xff9b) return embedded(bytes, 12); // RFC 6052 and RFC 8215: NAT64
  if (a === 0x2002) return embedded(bytes, 2); // RFC 3056: 6to4
  if (a === 0x2001 && b === 0) return embedded(bytes, 12, true); // RFC 4380: Teredo
  // RFC 5214, section 6.1: ISATAP, under any prefix.
  if (address.parts[5] === 0x5efe && (address.parts[4] === 0 || address.parts[4] === 0x200))
    return embedded(bytes, 12);
  return null;
}

/** Why an address is special; null: it is public unicast. */
function special(address: Address): string | null {
  const range: string = address.range();
  if (range === 'unicast') {
    if (address.kind() === 'ipv6') {
      const parts = (address as ipaddr.IPv6).parts;
      const first = parts[0] as number;
      if (first === 0x5f00) return 'reserved';
      // RFC 4291, section 2.4: global unicast is assigned from 2000::/3 only.
      if (first < 0x2000 || first > 0x3fff) return 'reserved';
    }
    return null;
  }
  return WORDS[range] ?? 'reserved';
}

export class AddressGuard {
  readonly #deny: readonly Cidr[];
  readonly #allow: readonly Cidr[];
  readonly #own: ListenAddress[] = [];

  constructor(lists: { readonly deny: readonly string[]; readonly allow: readonly string[] }) {
    this.#deny = lists.deny.map(parseCidr);
    this.#allow = lists.allow.map(parseCidr);
  }

  /** Our own listeners, as bound: never a destination. */
  protect(listener: ListenAddress): void {
    this.#own.push(listener);
  }

  /** Null where the address may be dialled, else the reason. `address` is a literal as Node prints it. */
  refusal(address: string, port: number): string | null {
    let parsed: Address;
    try {
      parsed = ipaddr.parse(address);
    } catch {
      return `${address} is not an address`;
    }
    if (parsed.kind() === 'ipv6' && (parsed as ipaddr.IPv6).zoneId) return `${address} names a zone`;
    const inner = parsed.kind() === 'ipv6' ? innerIPv4(parsed as ipaddr.IPv6) : null;
    const judged = inner ?? parsed;
    if (this.#isOwn(judged, port)) return `${address}:${port} is a listener of this sidecar`;
    const allowed = Math.max(
      longestMatch(judged, this.#allow),
      inner ? longestMatch(parsed, this.#allow) : -1,
    );
    const denied = Math.max(longestMatch(judged, this.#deny), inner ? longestMatch(parsed, this.#deny) : -1);
    if (denied >= 0 && denied >= allowed) return `${address} is in access.addresses.deny`;
    if (allowed >= 0) return null;
    const why = special(judged);
    return why === null ? null : `${address} is ${why}`;
  }

  #isOwn(address: Address, port: number): boolean {
    for (const listener of this.#own) {
      if (listener.port !== port) continue;
      const text = address.toString();
      const wildcard = listener.host === '0.0.0.0' || listener.host === '::';
      if (text === listener.host) return true;
      // On Linux every loopback address and the unspecified one reach a wildcard listener; 0.0.0.0 also
      // reaches one on 127.0.0.1.
      const range: string = address.range();
      if (range === 'unspecified') return true;
      if (wildcard && (range === 'loopback' || isLocal(text))) return true;
    }
    return false;
  }
}

function isLocal(address: string): boolean {
  for (const list of Object.values(networkInterfaces())) {
    if (list?.some((one) => one.address === address)) return true;
  }
  return false;
}
