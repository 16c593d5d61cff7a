/**
 * A path with its query as it may be written down: values whose names say that they are secret are taken out.
 *
 * Rules: too much is taken out rather than too little; names are compared decoded, in any case and whatever
 * separates their words; a value in which another query can be read is looked at, too. What is not secret stays as
 * it came, byte for byte. Pure. It cannot know of a secret under a name that says nothing.
 */

/** In the place of a value. */
const REDACTED = '***';

/** Anywhere in a name. */
const WITHIN =
  /token|secret|passw|passphrase|pwd|signature|credential|apikey|accesskey|privatekey|authorization|session|cookie|jwt|bearer|otp/;

/** A whole name, or the last word of one. */
const LAST = /(?:key|sig|auth|pass|pin|code|hmac|mac|sid|assertion|ticket|nonce)$/;

export function redactQuery(path: string): string {
  const query = path.indexOf('?');
  if (query < 0) return path;
  const pairs = path.slice(query + 1).split('&');
  return `${path.slice(0, query + 1)}${pairs.map(redactPair).join('&')}`;
}

function redactPair(pair: string): string {
  const equals = pair.indexOf('=');
  if (equals < 0) return hidesSecret(pair, 3) ? REDACTED : pair;
  const value = pair.slice(equals + 1);
  if (value === '') return pair;
  return isSecret(pair.slice(0, equals)) || hidesSecret(value, 3)
    ? `${pair.slice(0, equals + 1)}${REDACTED}`
    : pair;
}

function isSecret(name: string): boolean {
  // Some decode twice.
  const plain = decode(decode(name))
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '');
  return WITHIN.test(plain) || LAST.test(plain);
}

/** `next=https%3A%2F%2Fb%2F%3Ftoken%3Dx`, `a=1;token=x`; as deep as somebody might have encoded it. */
function hidesSecret(value: string, depth: number): boolean {
  for (const piece of value.split(/[?&;#\s,]/)) {
    const equals = piece.search(/[=:]/);
    if (equals > 0 && isSecret(piece.slice(0, equals))) return true;
  }
  if (depth === 0) return false;
  const decoded = decode(value);
  return decoded !== value && hidesSecret(decoded, depth - 1);
}

/** Broken escapes stay as they are; what is not ASCII is in no name that is looked for. */
function decode(text: string): string {
  return text.includes('%')
    ? text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : text;
}
