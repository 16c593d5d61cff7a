/**
 * What the head of a response of HTTP/1.1 says about the bytes that follow: how long the body is, and whether
 * the connection outlives it. Pure.
 *
 * Keeps: RFC 9112, section 6.3 (in this order: no body, chunked, a length, the end of the connection), section
 * 6.1 (a Transfer-Encoding in HTTP/1.0 is faulty), section 9.3 (who keeps a connection open).
 */
import { hasToken, isNamed } from '../headers/field-names.ts';
import { type Framing, settleFraming, takeContentLength, takeTransferEncoding } from '../headers/framing.ts';
import type { ResponseHead } from '../http1/response-head.ts';

export interface ResponseFraming extends Framing {
  /** Another request may follow on the connection. */
  keepAlive: boolean;
}

/** Of a final response, whatever was asked. */
export function framingOf({ fields, minorVersion }: ResponseHead): ResponseFraming {
  const framing: ResponseFraming = {
    contentLength: null,
    chunked: false,
    invalid: null,
    keepAlive: minorVersion === 1,
  };
  let closes = false;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string;
    switch (name.length) {
      case 10:
        if (!isNamed(name, 'connection')) break;
        if (hasToken(fields[i + 1] as string, 'close')) closes = true;
        else if (hasToken(fields[i + 1] as string, 'keep-alive')) framing.keepAlive = true;
        break;
      case 14:
        if (isNamed(name, 'content-length')) takeContentLength(framing, fields[i + 1] as string);
        break;
      case 17:
        if (isNamed(name, 'transfer-encoding')) takeTransferEncoding(framing, fields[i + 1] as string);
        break;
      default:
    }
  }
  settleFraming(framing);
  if (framing.chunked && minorVersion === 0) framing.invalid ??= 'Transfer-Encoding in HTTP/1.0';
  if (closes) framing.keepAlive = false;
  return framing;
}

/** Whether no body follows, whatever the fields say (RFC 9112, section 6.3, the first two rules). */
export function isBodiless(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}
