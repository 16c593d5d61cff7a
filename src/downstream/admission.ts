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
import type { CallerRequest } from './caller.ts';
import type { Caller, Clients, KnownClient } from './clients.ts';
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

/** What is denied whatever the route. */
interface AccessRules {
  readonly clients: 'any' | 'known';
  /** Denials are only reported. */
  readonly report: boolean;
  readonly deniedPorts: readonly number[];
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
  readonly #deniedPorts: ReadonlySet<number>;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#deniedPorts = new Set(options.access.deniedPorts);
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
    return inside === null ? clients.identify(rawHeaders, socket) : clients.named(inside.clientName);
  }

  /** What is denied, unless that is only to be reported. */
  settle(exchange: Exchange, denial: OutriggerError): OutriggerError | null {
    const ofRoute = denial.name === 'access_denied' && exchange.route.report;
    if (!this.#options.access.report && !ofRoute) return denial;
    exchange.wouldRefuse ??= denial.detail === '' ? denial.name : `${denial.name}: ${denial.detail}`;
    return null;
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
    const { observer, routes, fallback, requestId, ids, random, pseudonym, targets } = this.#options;
    const method = request.method ?? '';
    const url = request.url ?? '';
    // A path that leads nowhere is what somebody asked for, all the same.
    const path = way?.path ?? (inside === null && url.startsWith('/') ? url : '');
    let target: Target | null = way?.target ?? null;
    let via: Via = way?.via ?? 'forward';
    const caller = this.callerOf(request, inside);
    const client = caller?.client ?? null;
    const clientName = client?.name ?? null;
    let route = way ? routeOf(routes, fallback, method, way, clientName) : fallback;
    // Unless a route denies the CONNECT itself, the requests inside are what access is about.
    if (interception?.access === 'allow' && (route === fallback || route.access === 'allow'))
      route = interception;
    if (target !== null && via === 'forward' && target.scheme === 'http' && route.https === 'originate') {
      via = 'originate';
      target = targets.originated(target);
      // Somebody may have denied where it goes now.
      const there = routes.match(method, target, path, clientName);
      if (there !== fallback && there.access === 'deny') route = there;
    }
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
    const denial = refusal === null ? this.#denial(exchange, caller) : null;
    refusal ??= challenged(denial, caller, inside, this.#options.clients);
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
    return this.#denial(exchange, null);
  }

  /** By the rules of access: who, which route, which port. Null: none, or it is only reported. */
  #denial(exchange: Exchange, caller: Caller | null): OutriggerError | null {
    const { target, route } = exchange;
    if (caller !== null) {
      if (caller.wrong) return new OutriggerError('client_unauthenticated', 'the credentials are wrong');
      if (caller.client === null && this.#options.access.clients === 'known') {
        const denial = this.settle(exchange, new OutriggerError('client_unknown'));
        if (denial !== null) return denial;
      }
    }
    if (route.access === 'deny') {
      const denial = this.settle(exchange, new OutriggerError('access_denied', `route ${route.name}`));
      if (denial !== null) return denial;
    }
    if (target === null || !this.#deniedPorts.has(target.port) || opens(route, target)) return null;
    return this.settle(exchange, new OutriggerError('port_denied', `port ${target.port}`));
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

/** Whether a route says itself that its requests may go to that port. */
function opens({ access, match, origin }: Route, { host, port }: Target): boolean {
  if (access === 'deny') return false;
  return match.ports.includes(port) || (origin !== null && origin.port === port && origin.host === host);
}

/**
 * Who has not said who they are, and could, is asked to (RFC 9110, section 15.5.8): some clients wait for that.
 * Inside a tunnel nobody would take the question for ours.
 */
function challenged(
  denial: OutriggerError | null,
  caller: Caller | null,
  inside: Inside | null,
  clients: Clients | null,
): OutriggerError | null {
  if (denial === null || inside !== null || denial.name === 'port_denied') return denial;
  if (caller?.client !== null || clients?.hasCredentials !== true) return denial;
  if (denial.name === 'client_unauthenticated') return denial;
  return new OutriggerError('client_unauthenticated', denial.detail);
}

/**
 * A prefix belongs to its route, as far as that is about such requests: what its methods and paths leave out
 * meets the other routes, as if it had come in absolute form.
 */
function routeOf(
  routes: RouteTable,
  fallback: Route,
  method: string,
  { target, path, prefix }: Way,
  client: string | null,
): Route {
  const matched = routes.match(method, target, path, client);
  if (prefix === null || !routes.asksFor(prefix.route, method, path, client)) return matched;
  // What another route denies is denied on every way.
  return matched !== fallback && matched.access === 'deny' ? matched : prefix.route;
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
