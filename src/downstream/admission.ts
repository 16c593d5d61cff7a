/**
 * From a request head to an exchange: its identity, its route, the headers that go on, and whether it is
 * let in at all. The same for requests and for CONNECT. It decides and writes nothing to any socket.
 */
import type { Socket } from 'node:net';
import { OutriggerError } from '../errors.ts';
import { Exchange, type ExchangeObserver, type Target, type Via } from '../exchange.ts';
import { findField, removeFields } from '../headers/edits.ts';
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
import { beneathOf } from '../socket-reset.ts';
import { Access, type AccessRules, challenged } from './access.ts';
import type { CallerRequest } from './caller.ts';
import type { Caller, Clients, KnownClient } from './clients.ts';
import { itineraryOf } from './itinerary.ts';
import type { TargetReader } from './target.ts';
import type { Inside, Way } from './way.ts';

export interface AdmissionOptions {
  readonly observer: ExchangeObserver;
  readonly routes: RouteTable;
  readonly fallback: Route;
  readonly requestId: { readonly header: string; readonly accept: boolean };
  readonly ids: RequestIds;
  readonly random: RandomPool;
  readonly pseudonym: string;
  readonly targets: TargetReader;
  /** Null: nobody is told from anybody. */
  readonly clients: Clients | null;
  readonly access: AccessRules;
}

export interface Admitted {
  readonly exchange: Exchange;
  readonly facts: RequestHeaderFacts;
  /** Null: it may pass. */
  readonly refusal: OutriggerError | null;
  /** It is a rule of access that refuses, and what is inside a tunnel may be let in by another. */
  readonly byAccess: boolean;
}

/** What is read of a request before there is an exchange. */
export type RequestHead = Pick<
  CallerRequest,
  'method' | 'url' | 'rawHeaders' | 'httpVersionMajor' | 'httpVersionMinor' | 'http2' | 'socket'
>;

/** Not told by the version number alone, for a line that ends in HTTP/2.0 is no HTTP/2. */
function isHttp2(request: RequestHead): boolean {
  return request.http2 === true;
}

export function isHttp10({ httpVersionMajor, httpVersionMinor }: RequestHead): boolean {
  return httpVersionMajor === 1 && httpVersionMinor === 0;
}

/** For Via (RFC 9110, section 7.6.3). */
function versionOf(request: RequestHead): string {
  return isHttp2(request) ? '2.0' : isHttp10(request) ? '1.0' : '1.1';
}

const LABEL = Symbol('client');

/** The caller as `address:port`, worked out once for a connection, for Node forgets it with the connection. */
export function clientOf(socket: Socket & { [LABEL]?: string }): string {
  let label = socket[LABEL];
  if (label === undefined) {
    const beneath = beneathOf(socket);
    if (beneath !== null) label = clientOf(beneath);
    else if (socket.remoteAddress === undefined) label = 'unknown';
    else {
      const { remoteAddress: address, remotePort: port } = socket;
      label = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    }
    socket[LABEL] = label;
  }
  return label;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #requestIdLower: string;
  readonly #access: Access;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#access = new Access(options.access);
    this.#requestIdLower = options.requestId.header.toLowerCase();
  }

  get requestIdHeader(): string {
    return this.#options.requestId.header;
  }

  /** Who calls; null: nobody is told from anybody. */
  callerOf({ rawHeaders, socket }: RequestHead, inside: Inside | null): Caller | null {
    const { clients } = this.#options;
    if (clients === null) return null;
    // Who opened a tunnel is who sends what is inside.
    return inside === null ? clients.identify(rawHeaders, socket) : clients.within(socket);
  }

  /** What is denied, unless that is only to be reported. */
  settle(exchange: Exchange, denial: OutriggerError): OutriggerError | null {
    return this.#access.settle(exchange, denial);
  }

  /**
   * `way` null: it could not be understood, for the reason given. `inside`: the tunnel that it came through.
   * `interception`: the route by which a CONNECT is intercepted.
   */
  admit(
    request: RequestHead,
    way: Way | null,
    inside: Inside | null,
    unusable: OutriggerError | null,
    interception: Route | null = null,
  ): Admitted {
    const { observer, fallback, requestId, ids, random, pseudonym, targets } = this.#options;
    const method = request.method ?? '';
    const url = request.url ?? '';
    // A path that leads nowhere is what somebody asked for, all the same; a fragment is nobody's but the caller's.
    const path = way?.path ?? (inside === null && url.startsWith('/') ? url.replace(/#.*/s, '') : '');
    const caller = this.callerOf(request, inside);
    const client = caller?.client ?? null;
    const clientName = client?.name ?? null;
    const itinerary = way && itineraryOf(this.#options, method, way, clientName, interception);
    const route = itinerary?.route ?? fallback;
    const target: Target | null = itinerary?.target ?? null;
    const via: Via = itinerary?.via ?? 'forward';
    // RFC 9110, section 7.2: Host comes first, and from the target.
    const headers: string[] = target ? ['Host', target.authority] : [];
    const version = versionOf(request);
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
    const exchange = new Exchange(
      observer,
      id,
      traceIdOf(traceparent),
      clientOf(request.socket),
      method,
      target,
      isServerWide(method, url, way) ? '*' : path,
      route,
      via,
    );
    exchange.headers = headers;
    exchange.idempotencyKey = facts.idempotencyKey;
    exchange.teTrailers = facts.teTrailers;
    exchange.clientName = clientName;
    // A loop first: traffic that is sent back to us by other means than a proxy setting comes in origin form.
    const loop = facts.loop ? new OutriggerError('loop_detected', 'Via names this sidecar') : null;
    let refusal =
      loop ??
      malformedOf(facts) ??
      unusable ??
      misdirected(facts, inside, targets) ??
      refusalOf(request, facts);
    const denial = refusal === null ? this.#access.denial(exchange, caller) : null;
    refusal ??= challenged(denial, caller, inside !== null, this.#options.clients?.hasCredentials === true);
    refusal ??= spendForward(method, facts, headers) ?? settleCredentials(method, headers, route);
    refusal ??= countOf(exchange, client);
    return { exchange, facts, refusal, byAccess: denial?.name === 'access_denied' };
  }

  /** Of one that was refused by access and goes on all the same, until it is known what is inside. */
  count(exchange: Exchange): OutriggerError | null {
    return countOf(exchange, this.#options.clients?.named(exchange.clientName).client ?? null);
  }

  /** By its route and port alone: of a request of our own, and of a tunnel whose client has been asked about. */
  denialOf(exchange: Exchange): OutriggerError | null {
    return this.#access.denial(exchange, null);
  }
}

/** One more exchange in flight of its client. */
function countOf(exchange: Exchange, client: KnownClient | null): OutriggerError | null {
  if (client === null) return null;
  if (!client.tryAcquire())
    return new OutriggerError('client_limit', `${client.limit} of ${client.name} are in flight`, 1);
  exchange.onFinish(client);
  return null;
}

/** RFC 9112, section 3.2.4: an OPTIONS in absolute form without a path asks about the server; the last proxy says so. */
function isServerWide(method: string, url: string, way: Way | null): boolean {
  return method === 'OPTIONS' && way?.path === '/' && !url.startsWith('/') && !url.endsWith('/');
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

/** What becomes of the caller's own credentials; those of a CONNECT go nowhere. */
function settleCredentials(method: string, headers: string[], route: Route): OutriggerError | null {
  const { credentials } = route;
  if (credentials === null || credentials.caller === 'keep' || method === 'CONNECT') return null;
  if (credentials.caller === 'remove') {
    removeFields(headers, credentials.fields);
    return null;
  }
  const field = findField(headers, credentials.fields);
  return field === null ? null : new OutriggerError('credentials_denied', `${field}, by route ${route.name}`);
}

/** RFC 9110, section 7.4: a request whose Host is another than its tunnel's is meant for somewhere else. */
function misdirected(
  { host, hostCount }: RequestHeaderFacts,
  inside: Inside | null,
  targets: TargetReader,
): OutriggerError | null {
  if (inside === null || host === null || hostCount !== 1 || targets.names(host, inside.target)) return null;
  return new OutriggerError('request_misdirected', `Host inside ${inside.target.origin}`);
}

/** On whichever way it came. */
function malformedOf({ invalid }: RequestHeaderFacts): OutriggerError | null {
  return invalid === null ? null : new OutriggerError('request_malformed', invalid);
}

function refusalOf(request: RequestHead, facts: RequestHeaderFacts): OutriggerError | null {
  // RFC 9112, section 3.2: an HTTP/1.1 request has exactly one Host.
  if (facts.hostCount === 0 && !isHttp10(request)) {
    return new OutriggerError('request_malformed', 'no Host');
  }
  // RFC 9112, section 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing.
  if (facts.chunked && isHttp10(request)) {
    return new OutriggerError('request_malformed', 'Transfer-Encoding in HTTP/1.0');
  }
  if (request.method === 'TRACE') return new OutriggerError('method_unsupported', 'TRACE');
  return facts.expectUnknown ? new OutriggerError('expectation_failed') : null;
}
