/**
 * Answers of our own: an error of the table as a problem document (RFC 9457) with a Proxy-Status (RFC 9209),
 * so that nobody takes it for the origin's. An exchange and an error in, head and body out. It is made of prepared
 * pieces: when most is refused, an answer must cost next to nothing.
 */
import { ERRORS, type ErrorName, type OutriggerError } from '../errors.ts';
import type { Exchange } from '../exchange.ts';
import { proxyStatusOfError } from '../headers/forwarding.ts';
import { STATUS_CODES } from '../node-http.ts';

export interface Reply {
  readonly status: number;
  readonly statusText: string;
  /** Flat raw list. */
  readonly headers: string[];
  /** ASCII: as many bytes as characters. */
  readonly body: string;
}

/** What of a problem document is the same for all of one error, around its detail and its exchange. */
interface Frame {
  readonly statusText: string;
  readonly before: string;
  readonly between: string;
  readonly after: string;
}

const FRAMES = new Map<ErrorName, Frame>();

function frameOf(name: ErrorName): Frame {
  const known = FRAMES.get(name);
  if (known !== undefined) return known;
  const { title, status, token, retryable, hint } = ERRORS[name];
  const frame = Object.freeze({
    statusText: STATUS_CODES[status] ?? 'Error',
    before: `{"type":"urn:outrigger:error:${name}","title":${json(title)},"status":${status},"detail":`,
    between: `,"error":"${token}","requestId":`,
    after: `,"retryable":${retryable},"hint":${json(hint)}}\n`,
  });
  FRAMES.set(name, frame);
  return frame;
}

const NOT_ASCII = /[\x7f-\uffff]/g;

/** A string as JSON in ASCII. */
function json(text: string): string {
  const quoted = JSON.stringify(text);
  if (quoted.search(NOT_ASCII) < 0) return quoted;
  return quoted.replace(NOT_ASCII, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

let second = -1;
let date = '';

/** For Date (RFC 9110, section 6.6.1), which is the same for a whole second. */
function dateNow(): string {
  const now = Math.floor(Date.now() / 1_000);
  if (now !== second) {
    second = now;
    date = new Date(now * 1_000).toUTCString();
  }
  return date;
}

export function replyOf(exchange: Exchange, error: OutriggerError, requestIdHeader: string): Reply {
  const { row, detail } = error;
  const { id, route, target } = exchange;
  const { statusText, before, between, after } = frameOf(error.name);
  const attempts = exchange.attempts.length;
  const origin = target === null ? 'null' : json(target.origin);
  const body =
    `${before}${json(detail)}${between}${json(id)},"route":${json(route.name)}` +
    `,"origin":${origin},"attempts":${attempts}${after}`;
  const headers = [
    'Content-Type',
    'application/problem+json',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    'Proxy-Status',
    proxyStatusOfError(row.token, detail, attempts),
    requestIdHeader,
    id,
    'Date',
    dateNow(),
  ];
  if (error.retryAfterS !== null) headers.push('Retry-After', String(error.retryAfterS));
  // RFC 9110, section 15.5.8; RFC 7617, section 2.1
  if (row.status === 407) headers.push('Proxy-Authenticate', 'Basic realm="outrigger", charset="UTF-8"');
  // RFC 9110, section 15.5.6
  if (row.status === 405) headers.push('Allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT');
  return { status: row.status, statusText, headers, body };
}

/** The same as bytes, for a socket without a ServerResponse; the connection ends with it. */
export function replyBytes({ status, statusText, headers, body }: Reply): string {
  let text = `HTTP/1.1 ${status} ${statusText}\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${text}Connection: close\r\n\r\n${body}`;
}
