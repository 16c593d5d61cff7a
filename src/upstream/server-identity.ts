/**
 * Whether a certificate is for the host that was dialled.
 *
 * Rules: only its alternative names say so (RFC 9525, section 2; RFC 9110, section 4.3.4). Node would look at the
 * common name where there are none; nothing in it says that it is a host at all.
 */
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

/** Undefined: it is. */
export function checkAlternativeNames(host: string, certificate: PeerCertificate): Error | undefined {
  const named = { ...certificate.subject, CN: '' };
  return checkServerIdentity(host, { ...certificate, subject: named });
}
