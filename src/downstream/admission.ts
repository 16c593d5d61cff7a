/**
 * From a request head to an exchange: its identity, its route, the headers that go on, and whether it is
 * let in at all. The same for requests and for CONNECT. It decides and writes nothing to any socket.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { OutriggerError } from '../errors.ts';
import { Exchange, type ExchangeObserver, type Target } from '../exchange.ts';
import { forwardRequestHeaders, type RequestHeaderFacts } from '../headers/hop-by-hop.ts';
import type { RandomPool, RequestIds } from '../headers/request-id.ts';
import {
  isForwardableTracestate,
  isValidTraceparent,
  newTraceparent,
  traceIdOf,
} from '../headers/trace-context.ts';
import type { Route } from '../policy/policy.ts';
import type { RouteTable } from '../policy/route.ts';

export interface AdmissionOptions {
  readonly observer: ExchangeObserver;
  readonly routes: RouteTable;
  readonly fallback: Route;
  readonly requestId: { readonly header: string; readonly accept: boolean };
  readonly ids: RequestIds;
  readonly random: RandomPool;
  readonly pseudonym: string;
}

export interface Admitted {
  readonly exchange: Exchange;
  readonly facts: RequestHeaderFacts;
  /** Null: it may pass. */
  readonly refusal: OutriggerError | null;
}

const LABEL = Symbol('client');

/** The caller as `address:port`, worked out once for a connection. */
export function clientOf(socket: Socket & { [LABEL]?: string }): string {
  let label = socket[LABEL];
  if (label === undefined) {
    const address = socket.remoteAddress ?? 'unknown';
    label = address.includes(':') ? `[${address}]:${socket.remotePort}` : `${address}:${socket.remotePort}`;
    socket[LABEL] = label;
  }
  return label;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #requestIdLower: string;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#requestIdLower = options.requestId.header.toLowerCase();
  }

  get requestIdHeader(): string {
    return this.#options.requestId.header;
  }

  /** `target` null: it could not be understood, for the reason given. */
  admit(
    request: IncomingMessage,
    target: Target | null,
    path: string,
    unusable: OutriggerError | null,
  ): Admitted {
    const { observer, routes, fallback, requestId, ids, random, pseudonym } = this.#options;
    const method = request.method ?? '';
    // RFC 9110, section 7.2: Host comes first, and from the target.
    const headers: string[] = target ? ['Host', target.authority] : [];
    const version = request.httpVersionMinor === 0 ? '1.0' : '1.1';
    const facts = forwardRequestHeaders(
      request.rawHeaders,
      headers,
      this.#requestIdLower,
      pseudonym,
      version,
    );
    const accepted = requestId.accept ? facts.requestId : null;
    const id = accepted ?? ids.next(Date.now());
    let traceparent = facts.traceparent;
    if (traceparent !== null && isValidTraceparent(traceparent)) {
      headers.push('traceparent', traceparent);
      if (facts.tracestate !== null && isForwardableTracestate(facts.tracestate)) {
        headers.push('tracestate', facts.tracestate);
      }
    } else {
      traceparent = newTraceparent(random);
      headers.push('traceparent', traceparent);
    }
    headers.push(requestId.header, id);
    const route = target ? routes.match(method, target.host, target.port, path) : fallback;
    const exchange = new Exchange(
      observer,
      id,
      traceIdOf(traceparent),
      clientOf(request.socket),
      method,
      target,
      path,
      route,
    );
    exchange.headers = headers;
    exchange.idempotencyKey = facts.idempotencyKey;
    // A loop first: traffic that is sent back to us by other means than a proxy setting comes in origin form.
    const loop = facts.loop ? new OutriggerError('loop_detected', 'Via names this sidecar') : null;
    const refusal = loop ?? unusable ?? refusalOf(request, facts, route);
    return { exchange, facts, refusal: refusal ?? spendForward(method, facts, headers) };
  }
}

/** RFC 9110, section 7.6.2: counted down for OPTIONS (TRACE goes nowhere); at 0 the request ends here. */
function spendForward(method: string, facts: RequestHeaderFacts, headers: string[]): OutriggerError | null {
  if (method !== 'OPTIONS' || facts.maxForwardsAt < 0) return null;
  const left = headers[facts.maxForwardsAt] as string;
  if (!/^[0-9]{1,9}$/.test(left)) return null;
  if (Number(left) === 0) return new OutriggerError('method_unsupported', 'OPTIONS with Max-Forwards: 0');
  headers[facts.maxForwardsAt] = String(Number(left) - 1);
  return null;
}

function refusalOf(request: IncomingMessage, facts: RequestHeaderFacts, route: Route): OutriggerError | null {
  // Node's parser lets 0.9 and 2.0 through.
  if (request.httpVersionMajor !== 1)
    return new OutriggerError('request_malformed', 'not HTTP/1.0 or HTTP/1.1');
  if (facts.invalid !== null) return new OutriggerError('request_malformed', facts.invalid);
  // RFC 9112, section 3.2: an HTTP/1.1 request has exactly one Host.
  if (facts.hostCount === 0 && request.httpVersionMinor > 0) {
    return new OutriggerError('request_malformed', 'no Host');
  }
  // RFC 9112, section 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing.
  if (facts.chunked && request.httpVersionMinor === 0) {
    return new OutriggerError('request_malformed', 'Transfer-Encoding in HTTP/1.0');
  }
  if (request.method === 'TRACE') return new OutriggerError('method_unsupported', 'TRACE');
  if (facts.expectUnknown) return new OutriggerError('expectation_failed');
  if (route.access === 'deny') return new OutriggerError('access_denied', `route ${route.name}`);
  return null;
}
