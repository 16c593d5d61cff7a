/**
 * How a proxy signs what it passes on: Via and Proxy-Status, as strings.
 *
 * Keeps: RFC 9110, section 7.6.3 (Via is appended, and is where a loop shows); RFC 9209, section 2
 * (Proxy-Status) in the structured syntax of RFC 9651, section 4.1. It knows no clock and no list of
 * errors: a token is handed in.
 */

/** The name under which this program answers in Proxy-Status. */
const NAME = 'outrigger';

/** Details are for a person's glance; the rest is in the log. */
const DETAILS_MAX = 256;

/**
 * The name in Via carries a part of its own for each process: two sidecars in a chain are no loop. `random`
 * holds at least four bytes.
 */
export function pseudonymOf(random: Uint8Array): string {
  let hex = '';
  for (let i = 0; i < 4; i++) hex += (random[i] ?? 0).toString(16).padStart(2, '0');
  return `${NAME}-${hex}`;
}

/** The list as it came, with us at its end. */
export function appendVia(existing: string | null, receivedVersion: string, pseudonym: string): string {
  return existing === null || existing === ''
    ? `${receivedVersion} ${pseudonym}`
    : `${existing}, ${receivedVersion} ${pseudonym}`;
}

/** Whether a member of the list was received by us: the pseudonym as a whole word, after the protocol. */
export function hasPassed(via: string, pseudonym: string): boolean {
  for (let at = via.indexOf(pseudonym); at !== -1; at = via.indexOf(pseudonym, at + 1)) {
    const end = at + pseudonym.length;
    if (isBlank(via.charCodeAt(at - 1)) && (end === via.length || isBoundary(via.charCodeAt(end))))
      return true;
  }
  return false;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function isBoundary(code: number): boolean {
  return isBlank(code) || code === 0x2c;
}

/** Of a response of the origin; `receivedStatus` is what the origin sent. */
export function proxyStatusOf(attempts: number, receivedStatus: number): string {
  return `${NAME}; attempts=${attempts}; received-status=${receivedStatus}`;
}

/**
 * Of a response of ours. The token is one of the RFC's and comes from a table; the details may come from
 * anywhere.
 */
export function proxyStatusOfError(token: string, details: string, attempts = 0): string {
  const head = `${NAME}; error=${token}`;
  const counted = attempts > 0 ? `${head}; attempts=${attempts}` : head;
  return details === '' ? counted : `${counted}; details=${quoted(details)}`;
}

/** What a string of the structured syntax may hold as it is. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/**
 * RFC 9651, section 4.1.6: visible ASCII and space; a quote and a backslash are escaped, anything else is a
 * `?`.
 */
function quoted(text: string): string {
  if (text.length <= DETAILS_MAX && PLAIN.test(text)) return `"${text}"`;
  let escaped = '"';
  const length = Math.min(text.length, DETAILS_MAX);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22 || code === 0x5c) escaped += `\\${text[i]}`;
    else escaped += code < 0x20 || code > 0x7e ? '?' : text[i];
  }
  return `${escaped}"`;
}
