/**
 * The request for a token as bytes: RFC 6749, section 4.4.2, and section 2.3.1 for the client's own
 * credentials. Pure. It holds secrets: nothing of it may be logged.
 */
import type { OAuth2Policy } from '../policy/policy.ts';

export interface TokenForm {
  /** Flat raw list: what is this request's own. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** application/x-www-form-urlencoded, which section 2.3.1 wants before Base64, too. */
const encode = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1);

export function tokenForm(policy: OAuth2Policy, secret: string): TokenForm {
  const { clientId, scopes, audience, auth } = policy;
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  if (scopes.length > 0) form.set('scope', scopes.join(' '));
  if (audience !== null) form.set('audience', audience);
  const headers = ['Accept', 'application/json', 'Content-Type', 'application/x-www-form-urlencoded'];
  if (auth === 'body') {
    form.set('client_id', clientId);
    form.set('client_secret', secret);
  } else {
    const pair = Buffer.from(`${encode(clientId)}:${encode(secret)}`, 'latin1').toString('base64');
    headers.push('Authorization', `Basic ${pair}`);
  }
  const body = Buffer.from(form.toString(), 'latin1');
  headers.push('Content-Length', String(body.length));
  return { headers, body };
}
