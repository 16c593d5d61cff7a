/**
 * What a token server answered, read strictly: RFC 6749, section 5. Pure.
 *
 * Rules: nothing of the body is part of a message, but for the error codes that the standard itself lists;
 * a token that could not stand in a header field is none; a kind of token that is not Bearer is not understood, and
 * so not used (section 7.1).
 */

export interface Grant {
  readonly token: string;
  /** Null: the server does not say. */
  readonly expiresInS: number | null;
}

/** The problem completes a sentence that begins with the token server. */
export type GrantResult = Grant | { readonly problem: string };

/** RFC 6749, appendix A.12, without the space; longer than any that a header field should carry. */
const TOKEN = /^[\x21-\x7e]{1,8000}$/;

/** RFC 6749, section 5.2. */
const CODES = new Set([
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_scope',
]);

export function readGrant(status: number, body: Buffer): GrantResult {
  const fields = fieldsOf(body);
  if (status !== 200) {
    const code = fields?.['error'];
    const known = typeof code === 'string' && CODES.has(code) ? `: ${code}` : '';
    return { problem: `answered ${status}${known}` };
  }
  if (fields === null) return { problem: 'answered with what is no JSON object' };
  const { access_token: token, token_type: type, expires_in: expiresIn } = fields;
  if (typeof token !== 'string') return { problem: 'answered without an access_token' };
  if (!TOKEN.test(token)) return { problem: 'answered with an access_token that no header field can carry' };
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer')
    return { problem: 'answered with a token_type that is not Bearer' };
  if (expiresIn === undefined) return { token, expiresInS: null };
  if (typeof expiresIn !== 'number' || !(expiresIn > 0))
    return { problem: 'answered with an expires_in that is no number of seconds above 0' };
  return { token, expiresInS: expiresIn };
}

/** Own keys of a JSON object in UTF-8; null: it is none. */
function fieldsOf(body: Buffer): Readonly<Record<string, unknown>> | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  return Object.assign(Object.create(null), value);
}
