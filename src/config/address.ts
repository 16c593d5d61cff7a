/**
 * Names and addresses as the configuration writes them: a socket address to listen on, a host pattern,
 * a CIDR. Each is checked and brought into the one spelling that the rest of the house compares with.
 *
 * It resolves nothing and opens nothing. What may be dialled is decided elsewhere.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import type { RouteOrigin, TokenUrl } from '../policy/policy.ts';
import type { ListenAddress } from './config.ts';

/** Underscores are no part of a host name by RFC 1123, but service names in clusters have them. */
const NAME =
  /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** A name whose last label is a number would be read as an IPv4 address (WHATWG URL, host parser). */
const isName = (host: string): boolean => NAME.test(host) && !/(?:^|\.)\d+$/.test(host);

const withoutDot = (host: string): string => (host.endsWith('.') ? host.slice(0, -1) : host);

/** `127.0.0.1:3128`, `[::1]:3128` or `localhost:3128`; port 0 means any free port. Null: not an address. */
export function parseListenAddress(text: string): ListenAddress | null {
  const [, bracketed, plain = '', digits = ''] = /^(?:\[([^\]%]*)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === '' || port > 65_535) return null;
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : null;
  const host = plain.toLowerCase();
  return isIPv4(host) || isName(host) ? { host, port } : null;
}

/** Whether only this machine can reach it: 127.0.0.0/8, ::1 or localhost. */
export function isLoopback(address: ListenAddress): boolean {
  const { host } = address;
  if (host === 'localhost') return true;
  if (isIPv4(host)) return host.startsWith('127.');
  return isIPv6(host) && domainToASCII(`[${host}]`) === '[::1]';
}

/** Whether two listeners would fight for one port. */
export function collide(a: ListenAddress, b: ListenAddress): boolean {
  const everywhere = (host: string): boolean => host === '0.0.0.0' || host === '::';
  return a.port !== 0 && a.port === b.port && (a.host === b.host || everywhere(a.host) || everywhere(b.host));
}

/**
 * An exact host or `*.example.com`, in canonical spelling: lower case, no trailing dot, names in other
 * scripts in their ASCII form, IPv6 without brackets, and IPv4 mapped into it as IPv4. Null: not a pattern; ports do not belong here.
 */
export function parseHostPattern(text: string): string | null {
  if (text.startsWith('*.')) {
    const rest = withoutDot(text.slice(2));
    const name = /[/?#@:%\s\\]/.test(rest) ? '' : domainToASCII(rest);
    return isName(name) ? `*.${name}` : null;
  }
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  if (isIPv6(bare)) return bare.includes('%') ? null : spellIPv6(bare);
  const host = /[/?#@:%\s\\]/.test(text) ? '' : withoutDot(domainToASCII(text));
  return isIPv4(host) || isName(host) ? host : null;
}

/** As targets are spelled: `::ffff:7f00:1` is `127.0.0.1`. */
function spellIPv6(address: string): string {
  const text = domainToASCII(`[${address}]`).slice(1, -1);
  const [, high = '', low = ''] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(text) ?? [];
  if (high === '') return text;
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return `${a >> 8}.${a & 0xff}.${b >> 8}.${b & 0xff}`;
}

/** An address, or an address and a prefix length: `10.0.0.0/8`, `::1`. */
export function isCidr(text: string): boolean {
  const [, address = '', prefix] = /^([^/%]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
  const version = isIP(address);
  return version !== 0 && (prefix === undefined || Number(prefix) <= (version === 4 ? 32 : 128));
}

/** `https://api.example.com` or `https://api.example.com:8443/v1`. Null: not the URL of an origin. */
export function parseOrigin(text: string): RouteOrigin | null {
  const [, scheme, host = '', digits, path = ''] =
    /^(https?):\/\/(\[[0-9a-fA-F:.]+\]|[^/?#@:[\]\\\s]+)(?::(\d{1,5}))?((?:\/[A-Za-z0-9._~!$&'()+,;=:@%-]*)*)$/.exec(
      text,
    ) ?? [];
  if (scheme !== 'http' && scheme !== 'https') return null;
  const name = parseHostPattern(host);
  const port = digits === undefined ? (scheme === 'http' ? 80 : 443) : Number(digits);
  if (name === null || name.startsWith('*') || port < 1 || port > 65_535) return null;
  // A dot segment or an empty one would mean another path than it says.
  const basePath = path.endsWith('/') ? path.slice(0, -1) : path;
  if (
    basePath
      .split('/')
      .slice(1)
      .some((it) => it === '' || /^(?:\.|%2e){1,2}$/i.test(it))
  )
    return null;
  return { scheme, host: name, port, basePath };
}

/** `https://auth.example.com/oauth2/token`; a path is needed, and there may be a query. Null: not such a URL. */
export function parseTokenUrl(text: string): TokenUrl | null {
  const [, base = '', path = ''] =
    /^(https?:\/\/[^/?#]+)(\/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)$/.exec(
      text,
    ) ?? [];
  const origin = parseOrigin(base);
  return origin && { scheme: origin.scheme, host: origin.host, port: origin.port, path };
}
