/**
 * What an answer says about the origin, and what a method says about repeating it. Pure; errors have
 * their verdict in the error table.
 */
import type { Verdict } from '../errors.ts';

/**
 * 5xx is the origin's failure; everything else, 429 and other 4xx included, is an origin that works. RFC
 * 9110, section 15: a status outside of 100..599 is to be processed as if it were 5xx.
 */
export function classifyStatus(status: number): Verdict {
  return status >= 500 || status < 100 ? 'failure' : 'success';
}

/** RFC 9110, section 9.2.2; and QUERY, a read with a body, made to be repeated (RFC 10008). */
export function isIdempotent(method: string): boolean {
  switch (method) {
    case 'GET':
    case 'HEAD':
    case 'OPTIONS':
    case 'PUT':
    case 'DELETE':
    case 'TRACE':
    case 'QUERY':
      return true;
    default:
      // Methods are case-sensitive (RFC 9110, section 9.1): `get` is an unknown method, and not ours to
      // repeat.
      return false;
  }
}
