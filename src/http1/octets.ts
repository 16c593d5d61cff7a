/**
 * Which octets may stand where in a head of HTTP/1.1, as tables: one look per octet.
 *
 * Keeps: RFC 9110, section 5.6.2 (token) and section 5.5 (field-value); RFC 9112, section 3.2 (a target has no
 * white space and nothing outside ASCII).
 */

const table = (test: (octet: number) => boolean): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, octet) => (test(octet) ? 1 : 0));

const TOKEN = new Set(Buffer.from("!#$%&'*+-.^_`|~"));

const isAlphanumeric = (octet: number): boolean =>
  (octet >= 0x30 && octet <= 0x39) || (octet >= 0x41 && octet <= 0x5a) || (octet >= 0x61 && octet <= 0x7a);

/** tchar */
export const IN_TOKEN = table((octet) => isAlphanumeric(octet) || TOKEN.has(octet));

/** VCHAR, obs-text, SP and HTAB: no CR, LF, NUL or other control. */
export const IN_VALUE = table((octet) => octet === 0x09 || (octet >= 0x20 && octet !== 0x7f));

/** VCHAR */
export const IN_TARGET = table((octet) => octet > 0x20 && octet < 0x7f);

/** The value of a hexadecimal digit; -1: it is none. */
export const HEX_VALUE = Int8Array.from({ length: 256 }, (_, octet) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCharCode(octet).toLowerCase());
  return digit;
});
