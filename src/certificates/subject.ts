/**
 * Whom a certificate speaks for: one DNS name or one IP address, in the canonical spelling that goes into a
 * subjectAltName.
 *
 * Rules: RFC 5280, section 4.2.1.6, with the preferred name syntax of RFC 1034, section 3.5, save that an
 * underscore is a letter, as resolvers and browsers have it. No wildcards, no zones (`fe80::1%eth0`), no
 * names that a client would take for an IPv4 address. It knows no encoding and no authority.
 */
import { isIP } from 'node:net';

export interface Subject {
  readonly type: 'dns' | 'ip';
  readonly value: string;
}

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const NAME_MAX = 253;

/** Throws where a host cannot be in a certificate. An IPv6 address may be in brackets. */
export function subjectOf(host: string): Subject {
  if (isIP(host) === 4) return { type: 'ip', value: host };
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  if (isIP(bare) === 6 && !bare.includes('%')) {
    // The URL standard has one spelling for each address: no leading zeros, no IPv4 at the end.
    return { type: 'ip', value: new URL(`http://[${bare}]/`).hostname.slice(1, -1) };
  }
  const name = host.toLowerCase().replace(/\.$/, '');
  const labels = name.split('.');
  const last = labels.at(-1) ?? '';
  if (
    name.length > NAME_MAX ||
    !labels.every((label) => LABEL.test(label)) ||
    /^(?:\d+|0x[0-9a-f]*)$/.test(last)
  )
    throw new Error(`no certificate can name the host ${JSON.stringify(host.slice(0, 300))}`);
  return { type: 'dns', value: name };
}
