/**
 * Credentials that authenticate a connection in the place of a request: whoever uses it afterwards is taken for
 * who sent them. Pure.
 *
 * Rules: RFC 4559, section 6, and NTLM, which is like it, hold for the connection that they came on; a proxy
 * that shares connections must not share those. What came with such credentials ends with its exchange, so a
 * handshake of several steps fails and nobody gets another's name.
 */
import { isNamed } from '../headers/field-names.ts';

const SCHEME = /^(?:ntlm|negotiate)(?: |$)/i;

/** `fields`: flat list of a request. */
export function authenticatesConnection(fields: readonly string[]): boolean {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name.length === 13 && isNamed(name, 'authorization') && SCHEME.test(fields[i + 1] as string))
      return true;
  }
  return false;
}
