/**
 * What an authority may sign for, as the subtrees of its name constraints (RFC 5280, section 4.2.1.10).
 *
 * Rules: a constraint binds only names of its own type, so a type of which nothing is permitted is excluded
 * as a whole: without that, an authority for one DNS name could sign for every IP address. A dNSName stands
 * for itself and all below it; the RFC has no way to permit a name alone, or only what is below. Thus both
 * `x` and `*.x` become the subtree x. An iPAddress is an address with a mask, here a full one.
 *
 * OpenSSL, Node, Go, GnuTLS and Python hold a root to its constraints. Java does not: section 6.1 leaves open
 * whether those of a trust anchor count.
 *
 * It knows no encoding.
 */
import { type Subject, subjectOf } from './subject.ts';

export interface Subtrees {
  readonly permitted: readonly Subject[];
  readonly excluded: readonly Subject[];
}

/** The empty name is a suffix of every name. */
const ALL_NAMES: Subject = { type: 'dns', value: '' };
/** Each family by itself: a constraint matches addresses of its own length. */
const ALL_ADDRESSES: readonly Subject[] = [
  { type: 'ip', value: '0.0.0.0/0' },
  { type: 'ip', value: '::/0' },
];

/** Hosts are names, addresses, or `*.x` for what is below x. Throws where one is none of them. */
export function subtreesFor(hosts: readonly string[]): Subtrees {
  const subjects = hosts.map((host) => subjectOf(host.startsWith('*.') ? host.slice(2) : host));
  const names = new Set(subjects.filter(({ type }) => type === 'dns').map(({ value }) => value));
  const addresses = new Set(subjects.filter(({ type }) => type === 'ip').map(({ value }) => value));
  const permitted: Subject[] = [];
  for (const value of names) if (!hasAncestor(value, names)) permitted.push({ type: 'dns', value });
  for (const value of addresses) {
    permitted.push({ type: 'ip', value: `${value}/${value.includes(':') ? 128 : 32}` });
  }
  return {
    permitted,
    excluded: [...(names.size === 0 ? [ALL_NAMES] : []), ...(addresses.size === 0 ? ALL_ADDRESSES : [])],
  };
}

/** A subtree within another says nothing more. */
function hasAncestor(name: string, names: ReadonlySet<string>): boolean {
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    if (names.has(name.slice(dot + 1))) return true;
  }
  return false;
}
