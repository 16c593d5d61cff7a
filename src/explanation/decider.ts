/**
 * What the sidecar decides about a request before it touches the network: which route, on which way, whether
 * access lets it pass. Made of the very parts that decide in the running sidecar, without a socket.
 *
 * It does not know what depends on the moment: load, circuits, tokens, hosts that are pinned, addresses of names.
 */
import type { Config, ListenAddress } from '../config/config.ts';
import { Access, challenged, type Judged } from '../downstream/access.ts';
import { type Caller, Clients } from '../downstream/clients.ts';
import { type Itineraries, type Itinerary, itineraryOf } from '../downstream/itinerary.ts';
import { TargetReader } from '../downstream/target.ts';
import { type TunnelRules, tunnelEntry } from '../downstream/tunnel-entry.ts';
import { type Inside, type Way, Ways } from '../downstream/way.ts';
import { asOutriggerError, OutriggerError } from '../errors.ts';
import type { Target, Via } from '../exchange.ts';
import { defaultRoute } from '../policy/default-route.ts';
import type { Route } from '../policy/policy.ts';
import { type Conditions, RouteTable } from '../policy/route.ts';
import { AddressGuard } from '../upstream/address-guard.ts';

export interface Decision {
  readonly method: string;
  /** What the caller writes: a URL, a path, or `host:port`. */
  readonly asked: string;
  /** As it goes on; '' for CONNECT. */
  readonly path: string;
  readonly client: string | null;
  readonly route: Route;
  readonly reason: Itinerary['reason'];
  readonly via: Via;
  /** Null: it could not be read. */
  readonly target: Target | null;
  /** Where routes were looked for, which is not yet where TLS is originated to. */
  readonly matched: Target | null;
  /** By which prefix. */
  readonly prefix: string | null;
  /** Null: it may pass. */
  readonly refusal: OutriggerError | null;
  readonly wouldRefuse: string | null;
  /** Of a CONNECT: whether the far end is dialled before anything of the inside is seen. */
  readonly atOnce: boolean;
}

export class Decider {
  readonly routes: readonly Route[];
  readonly fallback: Route;
  readonly #table: RouteTable;
  readonly #itineraries: Itineraries;
  readonly #targets = new TargetReader();
  readonly #ways: Ways;
  readonly #access: Access;
  readonly #clients: Clients | null;
  readonly #guard: AddressGuard;
  readonly #tunnels: TunnelRules;
  readonly #dialled: { readonly localAddress: string; readonly localPort: number };

  /** `proxy`: where the sidecar is reached, which a configuration with port 0 does not say. */
  constructor({ routes, policy, access, clients, listen }: Config, proxy: ListenAddress = listen.proxy) {
    this.routes = routes;
    this.fallback = defaultRoute(policy, access);
    this.#table = new RouteTable(routes, this.fallback);
    this.#itineraries = { routes: this.#table, fallback: this.fallback, targets: this.#targets };
    this.#ways = new Ways(this.#targets, routes);
    this.#access = new Access(access);
    this.#clients = access.clients === 'known' || clients.length > 0 ? new Clients(clients) : null;
    this.#guard = new AddressGuard(access.addresses);
    for (const address of [proxy, listen.admin, listen.telemetry])
      if (address !== null) this.#guard.protect(address);
    this.#tunnels = {
      ports: access.tunnelPorts,
      protocols: access.tunnelProtocols,
      serverName: access.tunnelServerName,
    };
    this.#dialled = { localAddress: proxy.host, localPort: proxy.port };
  }

  /** A request in absolute form, or to a path of the sidecar itself; `inside`: the tunnel it comes through. */
  request(method: string, asked: string, client: string | null, inside: Inside | null = null): Decision {
    let way: Way | null = null;
    let unusable: OutriggerError | null = null;
    try {
      way = this.#ways.read(asked, inside, this.#dialled);
    } catch (error) {
      unusable = asOutriggerError(error);
    }
    if (unusable === null && method === 'TRACE') unusable = new OutriggerError('method_unsupported', 'TRACE');
    const decided = this.#decide(method, way, client, null);
    const refusal = unusable ?? this.#denial(decided.judged, client, inside !== null).refusal;
    const { judged, reason, via } = decided;
    return {
      method,
      asked,
      path: way?.path ?? '',
      client,
      route: judged.route,
      reason,
      via,
      target: judged.target,
      matched: way?.target ?? null,
      prefix: way?.prefix?.route.prefix ?? null,
      refusal,
      wouldRefuse: judged.wouldRefuse,
      atOnce: false,
    };
  }

  /** A CONNECT to `host:port`. */
  connect(asked: string, client: string | null): Decision {
    let target: Target | null = null;
    let unusable: OutriggerError | null = null;
    try {
      target = this.#targets.authority(asked);
    } catch (error) {
      unusable = asOutriggerError(error);
    }
    const interception = target && this.#table.intercepting(target.host, target.port, client);
    const tunnel: Via = interception === null ? 'tunnel' : 'intercept';
    const way = target && { target, path: '', via: tunnel, prefix: null };
    const { judged, reason, via } = this.#decide('CONNECT', way, client, interception);
    const entry = tunnelEntry(this.#tunnels, { ...judged, via });
    let refusal = unusable;
    if (refusal === null) {
      const denied = this.#denial(judged, client, false);
      refusal = denied.refusal;
      // What is inside is asked about by itself.
      if (entry.undecided && denied.byAccess) refusal = null;
      if (entry.undecided && judged.wouldRefuse?.startsWith('access_denied')) judged.wouldRefuse = null;
    }
    if (refusal === null && !entry.open)
      refusal = this.#access.settle(
        judged,
        new OutriggerError('tunnel_port_denied', `port ${target?.port ?? 0}`),
      );
    return {
      method: 'CONNECT',
      asked,
      path: '',
      client,
      route: judged.route,
      reason,
      via,
      target,
      matched: target,
      prefix: null,
      refusal,
      wouldRefuse: judged.wouldRefuse,
      atOnce: entry.atOnce,
    };
  }

  /** What TLS meets inside a tunnel that was let in; its server name is the host of the CONNECT. */
  tlsInside(connect: Decision): Pick<Decision, 'refusal' | 'wouldRefuse'> {
    const { ports, protocols } = this.#tunnels;
    const { route, target, via, atOnce } = connect;
    const judged: Judged = { route, target, wouldRefuse: connect.wouldRefuse };
    let refusal: OutriggerError | null = null;
    if (!protocols.includes('tls')) refusal = new OutriggerError('tunnel_protocol_denied', 'TLS');
    else if (!atOnce) {
      // Its client has been asked about.
      if (via === 'tunnel') refusal = this.#access.denial(judged, null);
      if (refusal === null && !ports.includes(target?.port ?? 0))
        refusal = this.#access.settle(
          judged,
          new OutriggerError('tunnel_port_denied', 'only plain HTTP may go there'),
        );
    }
    return { refusal, wouldRefuse: judged.wouldRefuse };
  }

  /** A request inside a tunnel that is intercepted. */
  inside(method: string, path: string, { target, client }: Decision): Decision {
    const secure = this.#targets.secure(target as Target);
    return this.request(method, path, client, { target: secure, via: 'intercept' });
  }

  /** Why an address may not be dialled by that route; null: it may. */
  addressRefusal(address: string, port: number, route: Route): string | null {
    return this.#guard.refusal(address, port, route.addresses);
  }

  /** Which conditions of a route the request meets. */
  conditions(route: Route, { method, matched, path, client }: Decision): Conditions | null {
    return matched && this.#table.conditions(route, method, matched, path, client);
  }

  #decide(
    method: string,
    way: Way | null,
    client: string | null,
    interception: Route | null,
  ): { judged: Judged; reason: Itinerary['reason']; via: Via } {
    const itinerary = way && itineraryOf(this.#itineraries, method, way, client, interception);
    return {
      judged: {
        route: itinerary?.route ?? this.fallback,
        target: itinerary?.target ?? null,
        wouldRefuse: null,
      },
      reason: itinerary?.reason ?? 'match',
      via: itinerary?.via ?? 'forward',
    };
  }

  #denial(
    judged: Judged,
    clientName: string | null,
    inside: boolean,
  ): { refusal: OutriggerError | null; byAccess: boolean } {
    const caller: Caller | null = this.#clients && this.#clients.named(clientName);
    const denial = this.#access.denial(judged, caller);
    const canAnswer = this.#clients?.hasCredentials === true;
    return {
      refusal: challenged(denial, caller, inside, canAnswer),
      byAccess: denial?.name === 'access_denied',
    };
  }
}
