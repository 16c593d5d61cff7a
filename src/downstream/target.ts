/**
 * The request target, read strictly: absolute form for requests, authority form for CONNECT. The host is
 * brought into one canonical spelling, for it is the key of all upstream state; the path goes on byte for
 * byte.
 *
 * Rules: RFC 9112, section 3.2; RFC 9110, section 4.2. User information, fragments, backslashes and empty
 * hosts are refused. It knows no sockets and no configuration.
 */
import { isIP } from 'node:net';
import { OutriggerError } from '../errors.ts';
import type { Target } from '../exchange.ts';
import { spellHost } from '../headers/host.ts';

/** A target and the path (with its query) that was asked for. */
export interface RequestTarget {
  readonly target: Target;
  readonly path: string;
}

/** Canonical authorities by the spelling they came in; bounded, since callers choose the spelling. */
const KNOWN_MAX = 4_096;

function unusable(detail: string): OutriggerError {
  return new OutriggerError('target_unusable', detail);
}

/** Some take it for a slash, but nobody does in a query, where clients send it as it is. */
function hasBackslash(path: string): boolean {
  const at = path.indexOf('\\');
  if (at < 0) return false;
  const query = path.indexOf('?');
  return query < 0 || at < query;
}

/** reg-name without percent-encoding, or an address, as the URL standard spells it; null: none. */
function canonicalHost(text: string): string | null {
  // Only what a host may be made of; the URL parser would drop or map much else.
  if (!/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~!$&'()*+;=-]+)$/.test(text)) return null;
  const host = spellHost(text);
  if (host === null || text.startsWith('[')) return host;
  return host === '' || host.length > 253 || host.split('.').includes('') ? null : host;
}

function parsePort(text: string): number | null {
  if (!/^[0-9]{1,5}$/.test(text)) return null;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : null;
}

function makeTarget(scheme: 'http' | 'https', host: string, port: number, portInAuthority: boolean): Target {
  const bracketed = isIP(host) === 6 ? `[${host}]` : host;
  return Object.freeze({
    scheme,
    host,
    port,
    authority: portInAuthority ? `${bracketed}:${port}` : bracketed,
    origin: `${scheme}://${bracketed}:${port}`,
  });
}

export class TargetReader {
  readonly #known = new Map<string, Target>();

  /** Throws `target_unusable`. */
  absolute(url: string): RequestTarget {
    const schemeEnd = url.indexOf('://');
    if (schemeEnd < 0) {
      if (url === '*') throw new OutriggerError('method_unsupported', 'OPTIONS *');
      if (url.startsWith('/')) throw unusable('the target is not in absolute form');
      throw unusable('the target is not a URL');
    }
    const authorityAt = schemeEnd + 3;
    let end = authorityAt;
    while (end < url.length) {
      const code = url.charCodeAt(end);
      if (code === 0x2f /* / */ || code === 0x3f /* ? */ || code === 0x23 /* # */ || code === 0x5c /* \ */)
        break;
      end++;
    }
    const prefix = url.slice(0, end);
    const target = this.#known.get(prefix) ?? this.#learn(prefix, schemeEnd);
    if (url.indexOf('#', end) >= 0) throw unusable('the target has a fragment');
    const rest = url.slice(end);
    if (hasBackslash(rest)) throw unusable('the target has a backslash');
    // RFC 9110, section 4.2.3: an empty path is the root.
    return { target, path: rest === '' ? '/' : rest.charCodeAt(0) === 0x3f ? `/${rest}` : rest };
  }

  /** The path of a target in origin form. Throws `target_unusable`. */
  path(url: string): string {
    if (url.includes('#')) throw unusable('the target has a fragment');
    if (hasBackslash(url)) throw unusable('the target has a backslash');
    return url;
  }

  /** What a configuration names. */
  origin({ scheme, host, port }: Pick<Target, 'scheme' | 'host' | 'port'>): Target {
    return makeTarget(scheme, host, port, port !== (scheme === 'http' ? 80 : 443));
  }

  /** Whether a Host field names the target. */
  names(host: string, target: Target): boolean {
    if (/[/?#\\@]/.test(host)) return false;
    try {
      return this.absolute(`${target.scheme}://${host}`).target.origin === target.origin;
    } catch {
      return false;
    }
  }

  /** The same host for TLS: the port of plain HTTP becomes that of HTTPS, any other stays. */
  originated(target: Target): Target {
    const { host, port } = target;
    const key = `TLS ${target.origin}`;
    const known = this.#known.get(key);
    if (known) return known;
    const tlsPort = port === 80 ? 443 : port;
    return this.#remember(key, makeTarget('https', host, tlsPort, tlsPort !== 443));
  }

  /** Plain HTTP to what a CONNECT names. */
  plain(target: Target): Target {
    const { host, port } = target;
    const key = `HTTP ${target.origin}`;
    return this.#known.get(key) ?? this.#remember(key, makeTarget('http', host, port, port !== 80));
  }

  /** HTTPS to what a CONNECT names. */
  secure(target: Target): Target {
    const { host, port } = target;
    const key = `HTTPS ${target.origin}`;
    return this.#known.get(key) ?? this.#remember(key, makeTarget('https', host, port, port !== 443));
  }

  /** `host:port` of CONNECT; both are required (RFC 9110, section 9.3.6). Throws `target_unusable`. */
  authority(text: string): Target {
    const key = `CONNECT ${text}`;
    const known = this.#known.get(key);
    if (known) return known;
    const colon = text.lastIndexOf(':');
    const port = colon < 0 ? null : parsePort(text.slice(colon + 1));
    const host = colon < 0 ? null : canonicalHost(text.slice(0, colon));
    if (port === null || host === null) throw unusable('CONNECT needs host:port');
    return this.#remember(key, makeTarget('https', host, port, true));
  }

  #learn(prefix: string, schemeEnd: number): Target {
    const scheme = prefix.slice(0, schemeEnd).toLowerCase();
    if (scheme !== 'http' && scheme !== 'https') throw unusable('the scheme is neither http nor https');
    const authority = prefix.slice(schemeEnd + 3);
    if (authority.includes('@')) throw unusable('the target carries user information');
    const bracket = authority.lastIndexOf(']');
    const colon = authority.indexOf(':', bracket + 1);
    const defaultPort = scheme === 'http' ? 80 : 443;
    const portText = colon < 0 ? '' : authority.slice(colon + 1);
    // RFC 3986, section 3.2.3: the port may be empty.
    const port = portText === '' ? defaultPort : parsePort(portText);
    const host = canonicalHost(colon < 0 ? authority : authority.slice(0, colon));
    if (host === null) throw unusable('the host is not a valid name or address');
    if (port === null) throw unusable('the port is not a number from 1 to 65535');
    return this.#remember(prefix, makeTarget(scheme, host, port, port !== defaultPort));
  }

  #remember(key: string, target: Target): Target {
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(key, target);
    return target;
  }
}
