/**
 * Answers of our own: an error of the table as a problem document (RFC 9457) with a Proxy-Status (RFC 9209),
 * so that nobody takes it for the origin's. Pure: an exchange and an error in, head and body out.
 */
import type { OutriggerError } from '../errors.ts';
import type { Exchange } from '../exchange.ts';
import { proxyStatusOfError } from '../headers/forwarding.ts';
import { STATUS_CODES } from '../node-http.ts';

export interface Reply {
  readonly status: number;
  readonly statusText: string;
  /** Flat raw list. */
  readonly headers: string[];
  readonly body: string;
}

export function replyOf(exchange: Exchange, error: OutriggerError, requestIdHeader: string): Reply {
  const { row } = error;
  const attempts = exchange.attempts.length;
  const body = `${JSON.stringify({
    type: `urn:outrigger:error:${error.name}`,
    title: row.title,
    status: row.status,
    detail: error.detail,
    error: row.token,
    requestId: exchange.id,
    route: exchange.route.name,
    origin: exchange.target?.origin ?? null,
    attempts,
    retryable: row.retryable,
    hint: row.hint,
  })}\n`;
  const headers = [
    'Content-Type',
    'application/problem+json',
    'Content-Length',
    String(Buffer.byteLength(body)),
    'Cache-Control',
    'no-store',
    'Proxy-Status',
    proxyStatusOfError(row.token, error.detail, attempts),
    requestIdHeader,
    exchange.id,
    'Date',
    new Date().toUTCString(),
  ];
  if (error.retryAfterS !== null) headers.push('Retry-After', String(error.retryAfterS));
  // RFC 9110, section 15.5.8; RFC 7617, section 2.1
  if (row.status === 407) headers.push('Proxy-Authenticate', 'Basic realm="outrigger", charset="UTF-8"');
  // RFC 9110, section 15.5.6
  if (row.status === 405) headers.push('Allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT');
  return { status: row.status, statusText: STATUS_CODES[row.status] ?? 'Error', headers, body };
}

/** The same as bytes, for a socket without a ServerResponse; the connection ends with it. */
export function replyBytes({ status, statusText, headers, body }: Reply): string {
  let text = `HTTP/1.1 ${status} ${statusText}\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${text}Connection: close\r\n\r\n${body}`;
}
