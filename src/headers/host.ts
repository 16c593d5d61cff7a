/** The one spelling of a host, by which targets, keys and references are compared. Pure. */

/**
 * Case, a final dot, and the forms of an address, as the URL standard spells them (WHATWG URL, section 3.5); an
 * IPv6 address without brackets. Null: the URL standard has no such host. Whoever asks has made sure that the
 * text is a host and nothing more.
 */
export function spellHost(text: string): string | null {
  let host: string;
  try {
    host = new URL(`http://${text}/`).hostname;
  } catch {
    return null;
  }
  if (host.startsWith('[')) return host.slice(1, -1);
  // One spelling for one name: the final dot of a fully qualified name is not part of it.
  return host.endsWith('.') ? host.slice(0, -1) : host;
}
