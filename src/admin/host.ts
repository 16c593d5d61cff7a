/**
 * Whether a Host header may be answered on the admin listener.
 *
 * DNS rebinding gives a web page the admin's address under a name of its own; what such a page cannot do is
 * send another Host than that name. So only names that no outsider can own are answered: localhost, loopback
 * addresses, the very address the connection came to, and names that the operator has listed. Pure; it knows
 * no request.
 */
import { isIPv4 } from 'node:net';

/** `authority` is the header's value; `boundTo` the local address of the connection; `listed` are lower case. */
export function hostIsOurs(
  authority: string | undefined,
  boundTo: string | undefined,
  listed: readonly string[],
): boolean {
  if (authority === undefined) return false;
  const name = authority.replace(/:\d*$/, '').toLowerCase();
  if (name === 'localhost' || name === '[::1]') return true;
  if (isIPv4(name) && name.startsWith('127.')) return true;
  if (listed.includes(name.replace(/^\[(.*)\]$/, '$1'))) return true;
  if (boundTo === undefined) return false;
  // A dual-stack listener tells IPv4 addresses in their mapped spelling.
  const bound = boundTo.replace(/^::ffff:(?=[\d.]+$)/i, '').toLowerCase();
  return name === bound || name === `[${bound}]`;
}
