/**
 * An answer of ours in the words of gRPC: a client of it reads the status of the call in a trailer, and would
 * make no more of a problem document than of any other HTTP error. Pure.
 *
 * Keeps: gRPC over HTTP/2 (Trailers-Only; Percent-Encoded grpc-message) and its mapping from HTTP status to
 * gRPC status.
 */
import type { OutriggerError } from '../errors.ts';
import { isNamed } from '../headers/field-names.ts';
import type { CallerRequest } from './caller.ts';
import type { Reply } from './reply.ts';

const INTERNAL = 13;
const UNAVAILABLE = 14;

/** What is not here is unavailable: 429, 502, 503 and 504, which may go better another time. */
const STATUS: Readonly<Record<number, number>> = Object.freeze({
  400: INTERNAL,
  401: 16, // UNAUTHENTICATED
  403: 7, // PERMISSION_DENIED
  404: 12, // UNIMPLEMENTED
  405: 12,
  407: 16,
  413: 8, // RESOURCE_EXHAUSTED
  417: INTERNAL,
  421: INTERNAL,
  431: 8,
  500: INTERNAL,
  508: INTERNAL,
});

/** Only over HTTP/2, which is where gRPC has trailers. */
export function isGrpc({ http2, rawHeaders }: CallerRequest): boolean {
  if (http2 !== true) return false;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (isNamed(rawHeaders[i] as string, 'content-type'))
      return /^application\/grpc(?:$|[+;])/i.test(rawHeaders[i + 1] as string);
  }
  return false;
}

/** The same answer: its fields stay, its body becomes a message. */
export function grpcReply({ status, headers }: Reply, error: OutriggerError): Reply {
  const { title, hint } = error.row;
  const message = error.detail === '' ? `${title}. ${hint}` : `${title}: ${error.detail}. ${hint}`;
  const kept: string[] = ['Content-Type', 'application/grpc'];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    if (!isNamed(name, 'content-type') && !isNamed(name, 'content-length'))
      kept.push(name, headers[i + 1] as string);
  }
  kept.push('grpc-status', String(STATUS[status] ?? UNAVAILABLE), 'grpc-message', percentEncoded(message));
  return { status: 200, statusText: 'OK', headers: kept, body: '' };
}

/** Visible ASCII and space but for the percent sign; all else byte by byte. */
function percentEncoded(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}
