/**
 * What of a header list may go on, in both directions. Pure: flat lists of names and values go in and out,
 * in their order and spelling; what a decision needs to know is collected on the same pass.
 *
 * Keeps: RFC 9110, section 7.6.1 (hop-by-hop fields and those that Connection names stay here), section
 * 7.6.3 (Via), section 6.5.1 (what a trailer may not say); RFC 9112, section 6 (one framing, or none). It
 * trusts the parser for names and values that are well formed, and it knows no sockets and no policy.
 */
import { isNamed, mayBeInTrailers, namedByConnection } from './field-names.ts';
import { appendVia, hasPassed } from './forwarding.ts';
import type { Framing } from './framing.ts';
import { keepAliveTimeoutMs, settleFraming, takeContentLength, takeTransferEncoding } from './framing.ts';
import { isHostField } from './host.ts';
import { isWellFormedRequestId } from './request-id.ts';

/** `invalid` is a reason to answer 400. */
export interface RequestHeaderFacts extends Framing {
  hasBody: boolean;
  expectContinue: boolean;
  /** Anything else was expected: 417. */
  expectUnknown: boolean;
  idempotencyKey: boolean;
  /** `TE: trailers` (RFC 9110, section 10.1.4); the field itself is about our hop. */
  teTrailers: boolean;
  /** The caller's, if there is exactly one and it is well formed. */
  requestId: string | null;
  /** As it came, unchecked; null unless there is exactly one. */
  traceparent: string | null;
  /** All lines as one, unchecked. */
  tracestate: string | null;
  /** The request has passed here before. */
  loop: boolean;
  hostCount: number;
  /** As it came. */
  host: string | null;
  /** The protocol that the caller wants to change to, as it came; null unless Connection names it, too. */
  upgrade: string | null;
  /** Where the value of Max-Forwards stands in the outgoing list, or -1 (RFC 9110, section 7.6.2). */
  maxForwardsAt: number;
}

/** `invalid` is a reason to answer 502. */
export interface ResponseHeaderFacts extends Framing {
  retryAfter: string | null;
  /** The hint of `Keep-Alive: timeout=N`. */
  keepAliveTimeoutMs: number | null;
  trailer: boolean;
  /** Not forwarded; a 426 needs it (RFC 9110, section 15.5.22). */
  upgrade: string | null;
  /** Of the origin, if it sent the field that we answer with; not forwarded. */
  requestId: string | null;
}

export function forwardRequestHeaders(
  raw: readonly string[],
  out: string[],
  requestIdHeaderLower: string,
  pseudonym: string,
  receivedVersion = '1.1',
): RequestHeaderFacts {
  const facts: RequestHeaderFacts = {
    contentLength: null,
    chunked: false,
    hasBody: false,
    expectContinue: false,
    expectUnknown: false,
    idempotencyKey: false,
    teTrailers: false,
    requestId: null,
    traceparent: null,
    tracestate: null,
    loop: false,
    hostCount: 0,
    host: null,
    upgrade: null,
    maxForwardsAt: -1,
    invalid: null,
  };
  const named = namedByConnection(raw);
  let via: string | null = null;
  let requestIds = 0;
  let traceparents = 0;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    if (isNamed(name, requestIdHeaderLower)) {
      // The sidecar adds its own afterwards; two of them are none.
      facts.requestId = ++requestIds === 1 && isWellFormedRequestId(value) ? value : null;
      continue;
    }
    switch (name.length) {
      case 2:
        // TE is about our hop (RFC 9110, section 10.1.4): trailers are not asked for in the caller's name.
        if (isNamed(name, 'te')) {
          if (/(?:^|,)\s*trailers\s*(?:$|,)/i.test(value)) facts.teTrailers = true;
          continue;
        }
        break;
      case 3:
        if (isNamed(name, 'via')) {
          via = via === null ? value : `${via}, ${value}`;
          continue;
        }
        break;
      case 4:
        if (isNamed(name, 'host')) {
          // Made anew from the target (RFC 9112, section 3.2.2); two of them are an attack (section 3.2).
          if (++facts.hostCount > 1) facts.invalid ??= 'more than one Host';
          else if (!isHostField(value)) facts.invalid ??= 'a Host that is not host[:port]';
          facts.host = value;
          continue;
        }
        break;
      case 6:
        if (isNamed(name, 'expect')) {
          if (isNamed(value, '100-continue')) facts.expectContinue = true;
          else facts.expectUnknown = true;
          continue;
        }
        break;
      case 7:
        if (isNamed(name, 'upgrade')) {
          if (named?.has('upgrade')) facts.upgrade = value;
          continue;
        }
        if (isNamed(name, 'trailer')) continue;
        break;
      case 10:
        if (isNamed(name, 'connection') || isNamed(name, 'keep-alive')) continue;
        if (isNamed(name, 'tracestate')) {
          facts.tracestate = facts.tracestate === null ? value : `${facts.tracestate},${value}`;
          continue;
        }
        break;
      case 11:
        if (isNamed(name, 'traceparent')) {
          facts.traceparent = ++traceparents === 1 ? value : null;
          continue;
        }
        break;
      case 12:
        if (isNamed(name, 'max-forwards')) facts.maxForwardsAt = out.length + 1;
        break;
      case 14:
        if (isNamed(name, 'content-length')) {
          if (!takeContentLength(facts, value)) continue;
        } else if (isNamed(name, 'http2-settings')) continue;
        break;
      case 15:
        if (isNamed(name, 'idempotency-key')) facts.idempotencyKey = value.length > 0;
        break;
      case 16:
        if (isNamed(name, 'proxy-connection')) continue;
        break;
      case 17:
        if (isNamed(name, 'transfer-encoding')) {
          takeTransferEncoding(facts, value);
          continue;
        }
        break;
      case 18:
        if (isNamed(name, 'proxy-authenticate')) continue;
        break;
      case 19:
        // For us, if for anyone (RFC 9110, section 11.7.2).
        if (isNamed(name, 'proxy-authorization')) continue;
        break;
      default:
    }
    if (named?.has(name.toLowerCase())) continue;
    out.push(name, value);
  }
  settleFraming(facts);
  facts.hasBody = facts.chunked || (facts.contentLength ?? 0) > 0;
  facts.loop = via !== null && hasPassed(via, pseudonym);
  out.push('Via', appendVia(via, receivedVersion, pseudonym));
  return facts;
}

/**
 * `status` decides what a length means and `requestIdHeaderLower` names the field that we answer with;
 * without a `pseudonym` no Via is added.
 */
export function forwardResponseHeaders(
  raw: readonly string[],
  out: string[],
  status = 200,
  requestIdHeaderLower = '',
  pseudonym: string | null = null,
  receivedVersion = '1.1',
): ResponseHeaderFacts {
  const facts: ResponseHeaderFacts = {
    contentLength: null,
    chunked: false,
    retryAfter: null,
    keepAliveTimeoutMs: null,
    trailer: false,
    upgrade: null,
    requestId: null,
    invalid: null,
  };
  const named = namedByConnection(raw);
  let via: string | null = null;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    if (isNamed(name, requestIdHeaderLower)) {
      facts.requestId ??= value;
      continue;
    }
    switch (name.length) {
      case 2:
        if (isNamed(name, 'te')) continue;
        break;
      case 3:
        if (pseudonym !== null && isNamed(name, 'via')) {
          via = via === null ? value : `${via}, ${value}`;
          continue;
        }
        break;
      case 7:
        if (isNamed(name, 'upgrade')) {
          facts.upgrade = value;
          continue;
        }
        if (isNamed(name, 'trailer')) facts.trailer = true;
        break;
      case 10:
        if (isNamed(name, 'connection')) continue;
        if (isNamed(name, 'keep-alive')) {
          facts.keepAliveTimeoutMs = keepAliveTimeoutMs(value);
          continue;
        }
        break;
      case 11:
        if (isNamed(name, 'retry-after')) facts.retryAfter = value;
        break;
      case 14:
        if (isNamed(name, 'content-length')) {
          if (!takeContentLength(facts, value)) continue;
          // RFC 9110, section 8.6: never in a 1xx or 204.
          if (status < 200 || status === 204) continue;
        } else if (isNamed(name, 'http2-settings')) continue;
        break;
      case 16:
        if (isNamed(name, 'proxy-connection')) continue;
        break;
      case 17:
        if (isNamed(name, 'transfer-encoding')) {
          takeTransferEncoding(facts, value);
          continue;
        }
        break;
      case 18:
        // It is meant for the next client on the way, which is us (RFC 9110, section 11.7.1). Passed on, it
        // would ask the caller for credentials that the caller would send to us and we would never send on.
        if (isNamed(name, 'proxy-authenticate')) continue;
        break;
      case 19:
        if (isNamed(name, 'proxy-authorization')) continue;
        break;
      case 25:
        // RFC 9110, section 11.7.3: for the next client on the way, too.
        if (isNamed(name, 'proxy-authentication-info')) continue;
        break;
      default:
    }
    if (named?.has(name.toLowerCase())) continue;
    out.push(name, value);
  }
  settleFraming(facts);
  if (pseudonym !== null) out.push('Via', appendVia(via, receivedVersion, pseudonym));
  return facts;
}

/** Trailers stay trailers and are never merged into the head (RFC 9110, section 6.5.1). */
export function forwardTrailers(raw: readonly string[], out: string[]): void {
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    if (mayBeInTrailers(name)) out.push(name, raw[i + 1] as string);
  }
}
