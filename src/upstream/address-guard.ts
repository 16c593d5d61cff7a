/**
 * Decides whether an address may be dialled. It is asked with the very address of the dial, after
 * resolution and for every new connection, so no spelling of a name and no change of DNS gets past it.
 *
 * Rules: what is not public unicast is refused, unless an exception names it; of all CIDRs that hold the
 * address, those of the sidecar and those of the route together, the longest prefix wins, and on a tie the
 * denial. Our own listeners are refused whatever the lists say. IPv6 that carries IPv4 (RFC 4291 mapped and
 * compatible, RFC 2765 translated, RFC 6052 NAT64, 6to4, Teredo, ISATAP) is judged as the IPv4 it reaches and
 * as itself: an exception for IPv6 says nothing of the IPv4 inside. It knows no names and opens no sockets.
 */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import type { ListenAddress } from '../config/config.ts';
import type { RouteAddresses } from '../policy/policy.ts';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Cidr = readonly [Address, number];

interface Lists {
  readonly allow: readonly Cidr[];
  readonly deny: readonly Cidr[];
}

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

/** The library takes `::1.2.3.4` for `::ffff:1.2.3.4`, and the kernel does not: it is shown hexadecimals. */
function parseAddress(text: string): Address {
  const [, head, ...digits] = /^(.*:)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text) ?? [];
  if (head === undefined) return ipaddr.parse(text);
  const [a = 0, b = 0, c = 0, d = 0] = digits.map(Number);
  return ipaddr.parse(`${head}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`);
}

function parseCidr(text: string): Cidr {
  const [written = '', length] = text.split('/');
  const address = parseAddress(written);
  const bits = length === undefined ? null : Number(length);
  const whole = address.kind() === 'ipv4' ? 32 : 128;
  // ::ffff:10.0.0.0/104 is 10.0.0.0/8: mapped addresses are compared as the IPv4 that they are.
  if (address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress() && (bits ?? whole) >= 96)
    return [(address as ipaddr.IPv6).toIPv4Address(), (bits ?? whole) - 96];
  return [address, bits ?? whole];
}

const parseLists = ({ allow, deny }: { allow: readonly string[]; deny: readonly string[] }): Lists => ({
  allow: allow.map(parseCidr),
  deny: deny.map(parseCidr),
});

/** The longest prefix among the CIDRs that hold the address; -1: none does. */
function longestMatch(address: Address, cidrs: readonly Cidr[]): number {
  let longest = -1;
  for (const [network, bits] of cidrs) {
    if (bits > longest && network.kind() === address.kind() && address.match(network, bits)) longest = bits;
  }
  return longest;
}

/** IPv4 inside IPv6. `plain`: nothing but a spelling of it, or the way to it: it is judged by it alone. */
interface Inner {
  readonly address: ipaddr.IPv4;
  readonly plain: boolean;
}

function inner(bytes: readonly number[], offset: number, plain: boolean, invert = 0): Inner {
  const part = bytes.slice(offset, offset + 4).map((byte) => byte ^ invert);
  return { address: new ipaddr.IPv4(part), plain };
}

/** The IPv4 address that an IPv6 address stands for; null: none. */
function innerIPv4(address: ipaddr.IPv6): Inner | null {
  const { parts } = address;
  const [a, b, c, d, e, f, g] = parts as [number, number, number, number, number, number, number];
  const bytes = address.toByteArray();
  const zeros = a === 0 && b === 0 && c === 0 && d === 0;
  if (zeros && e === 0 && f === 0xffff) return inner(bytes, 12, true); // RFC 4291, section 2.5.5.2: mapped
  if (zeros && e === 0xffff && f === 0) return inner(bytes, 12, false); // RFC 2765, section 2.1: translated
  // RFC 4291, section 2.5.5.1: compatible; :: and ::1 are not among them.
  if (zeros && e === 0 && f === 0 && g !== 0) return inner(bytes, 12, false);
  if (a === 0x64 && b === 0xff9b) {
    // RFC 6052, section 2.1: the well-known prefix of NAT64, which reaches the IPv4 and nothing else.
    const wellKnown = c === 0 && d === 0 && e === 0 && f === 0;
    return inner(bytes, 12, wellKnown); // RFC 8215: and prefixes of a network's own
  }
  if (a === 0x2002) return inner(bytes, 2, false); // RFC 3056: 6to4
  if (a === 0x2001 && b === 0) return inner(bytes, 12, false, 0xff); // RFC 4380: Teredo
  // RFC 5214, section 6.1: ISATAP, under any prefix.
  if (f === 0x5efe && (e === 0 || e === 0x200)) return inner(bytes, 12, false);
  return null;
}

/** Public by its range, and yet answered by the host of every machine of Azure: its metadata and certificates. */
const AZURE_HOST = '168.63.129.16';

/** Why an address is special; null: it is public unicast. */
function special(address: Address): string | null {
  if (address.toString() === AZURE_HOST) return 'the metadata service of Azure';
  const range: string = address.range();
  if (range === 'unicast') {
    // RFC 4291, section 2.4: global unicast is assigned from 2000::/3 only.
    if (address.kind() === 'ipv6' && ((address as ipaddr.IPv6).parts[0] as number) >> 13 !== 1)
      return 'reserved';
    return null;
  }
  return WORDS[range] ?? 'reserved';
}

export class AddressGuard {
  readonly #lists: Lists;
  readonly #byRoute = new Map<RouteAddresses, Lists>();
  readonly #own: { readonly address: string; readonly wildcard: boolean; readonly port: number }[] = [];

  constructor(lists: { readonly deny: readonly string[]; readonly allow: readonly string[] }) {
    this.#lists = parseLists(lists);
  }

  /** Our own listeners, as bound: never a destination. */
  protect({ host, port }: ListenAddress): void {
    const address = isIP(host) === 0 ? host : unmapped(parseAddress(host)).toString();
    this.#own.push({ address, wildcard: address === '0.0.0.0' || address === '::', port });
  }

  /**
   * Null where the address may be dialled, else the reason. `address` is a literal as Node prints it;
   * `exceptions` are those of the route.
   */
  refusal(address: string, port: number, exceptions: RouteAddresses | null = null): string | null {
    // What Node takes for a name it would look up once more, past us.
    if (isIP(address) === 0) return `${address} is not an address`;
    const parsed = parseAddress(address);
    if (parsed.kind() === 'ipv6' && (parsed as ipaddr.IPv6).zoneId) return `${address} names a zone`;
    const within = parsed.kind() === 'ipv6' ? innerIPv4(parsed as ipaddr.IPv6) : null;
    if (this.#isOwn(parsed, port) || (within !== null && this.#isOwn(within.address, port)))
      return `${address}:${port} is a listener of this sidecar`;
    const route = exceptions === null ? null : this.#listsOf(exceptions);
    const itself = within?.plain === true ? null : this.#rule(parsed, route);
    const inside = within === null ? null : this.#rule(within.address, route);
    if (itself === 'deny' || inside === 'deny') {
      const named = route !== null && this.#isDeniedBy(route, parsed, within);
      return `${address} is in ${named ? 'addresses.deny of the route' : 'access.addresses.deny'}`;
    }
    // An exception for the IPv4 inside holds in every IPv6 that carries it.
    if (inside === 'allow') return null;
    const why = within === null ? null : special(within.address);
    if (why !== null) return `${address} is ${why}`;
    if (itself === 'allow' || within?.plain === true) return null;
    const whyItself = special(parsed);
    return whyItself === null ? null : `${address} is ${whyItself}`;
  }

  /** What the lists say of an address; null: nothing. */
  #rule(address: Address, route: Lists | null): 'allow' | 'deny' | null {
    let allowed = longestMatch(address, this.#lists.allow);
    let denied = longestMatch(address, this.#lists.deny);
    if (route !== null) {
      allowed = Math.max(allowed, longestMatch(address, route.allow));
      denied = Math.max(denied, longestMatch(address, route.deny));
    }
    if (denied >= 0 && denied >= allowed) return 'deny';
    return allowed >= 0 ? 'allow' : null;
  }

  /** Whether it is a list of the route, and none of the sidecar's, that holds the address. */
  #isDeniedBy(route: Lists, parsed: Address, within: Inner | null): boolean {
    const holds = ({ deny }: Lists): boolean =>
      longestMatch(parsed, deny) >= 0 || (within !== null && longestMatch(within.address, deny) >= 0);
    return holds(route) && !holds(this.#lists);
  }

  #listsOf(exceptions: RouteAddresses): Lists {
    let lists = this.#byRoute.get(exceptions);
    if (lists === undefined) {
      lists = parseLists(exceptions);
      this.#byRoute.set(exceptions, lists);
    }
    return lists;
  }

  #isOwn(address: Address, port: number): boolean {
    for (const listener of this.#own) {
      if (listener.port !== port) continue;
      const text = address.toString();
      if (text === listener.address) return true;
      // On Linux every loopback address and the unspecified one reach a wildcard listener; the unspecified
      // also reaches one on loopback.
      const range: string = address.range();
      if (range === 'unspecified') return true;
      if (listener.wildcard && (range === 'loopback' || isLocal(text))) return true;
    }
    return false;
  }
}

function unmapped(address: Address): Address {
  return address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress()
    ? (address as ipaddr.IPv6).toIPv4Address()
    : address;
}

function isLocal(address: string): boolean {
  for (const list of Object.values(networkInterfaces())) {
    if (list?.some((one) => parseAddress(one.address).toString() === address)) return true;
  }
  return false;
}
