/**
 * A generation: everything that is made of one configuration. Its routes, policies and clients, the guard, the stacks,
 * and who serves callers by them. With `sidecar.ts` it is the composition root.
 *
 * Rules: a request, a CONNECT or a handshake is taken by the generation that counts when its head is here, and keeps
 * it to its end, whatever it waits for; a new one shares with the old what lasts (`Lasting`), and holds no
 * generation before it. It is made without a trace: before it counts, nobody can tell.
 */
import { Readable } from 'node:stream';
import type { Config, ListenAddress } from './config/config.ts';
import { fetchToken, type TokenFetchOptions, type TokenWay } from './credentials/token-fetch.ts';
import { Tokens } from './credentials/tokens.ts';
import { Admission } from './downstream/admission.ts';
import type { BodyGate } from './downstream/body-gate.ts';
import { Clients } from './downstream/clients.ts';
import { Tunnels } from './downstream/connect.ts';
import { Forwarder } from './downstream/forward.ts';
import { type ClientMemory, Interceptor } from './downstream/interceptor.ts';
import type { ListenerOptions } from './downstream/listener.ts';
import type { SlowPeers } from './downstream/slow-peers.ts';
import type { TargetReader } from './downstream/target.ts';
import { Ways } from './downstream/way.ts';
import { WebSockets } from './downstream/web-socket.ts';
import type { Dispatch, ExchangeObserver } from './exchange.ts';
import type { RandomPool, RequestIds } from './headers/request-id.ts';
import { originKeyOf } from './layers/origin.ts';
import { acceptance, inside, type Shared, stack } from './layers/stack.ts';
import type { LiveExchanges } from './live-exchanges.ts';
import { defaultRoute } from './policy/default-route.ts';
import type { BreakerPolicy, OAuth2Policy, Policy, Route } from './policy/policy.ts';
import { RouteTable } from './policy/route.ts';
import type { Response } from './response.ts';
import { AccessLog } from './telemetry/access-log.ts';
import type { LogSink } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';
import type { RecentExchanges } from './telemetry/recent-exchanges.ts';
import { AddressGuard } from './upstream/address-guard.ts';
import { type CarryContext, carry } from './upstream/dispatch.ts';
import type { Origins } from './upstream/origins.ts';
import { type BodyBounds, type ReplayBound, RequestBody } from './upstream/replay-body.ts';
import type { Resolver } from './upstream/resolver.ts';
import type { Semaphore } from './upstream/semaphore.ts';
import type { TlsProfiles } from './upstream/tls-profile.ts';
import { openTunnel, openUpgrade, type TunnelSocket } from './upstream/tunnel-dial.ts';
import { type Verified, verify } from './upstream/verification.ts';

/** What lives as long as the process, whatever is configured. */
export interface Lasting {
  readonly sink: LogSink;
  readonly metrics: Metrics;
  readonly recent: RecentExchanges;
  /** Exchanges that have not finished. */
  readonly live: LiveExchanges;
  readonly exchanges: Semaphore;
  readonly origins: Origins;
  readonly replay: ReplayBound;
  readonly profiles: TlsProfiles;
  readonly resolver: Resolver;
  readonly slow: SlowPeers;
  readonly gate: BodyGate;
  readonly random: RandomPool;
  readonly ids: RequestIds;
  readonly pseudonym: string;
  readonly targets: TargetReader;
  readonly memory: ClientMemory;
  /** By the name of their route. */
  readonly tokens: Map<string, HeldTokens>;
  readonly counter: {
    tunnelBytes(direction: 'upstream' | 'downstream', bytes: number): void;
    tunnelOpened(): void;
    tunnelClosed(): void;
  };
  readonly contextFor: ConstructorParameters<typeof Interceptor>[0]['contextFor'];
  /** Told of every exchange that has finished, and been logged. */
  readonly finished: () => void;
  /** The clock by which tokens end, milliseconds. */
  readonly now: () => number;
  /** The generation that counts. */
  readonly current: () => Generation;
}

/** Tokens go on as long as what they are fetched by is the same. */
interface HeldTokens {
  readonly oauth2: OAuth2Policy;
  readonly tokens: Tokens;
}

interface Stacks {
  readonly forwards: (route: Route) => Dispatch<Response>;
  readonly upgrades: (route: Route) => Dispatch<TunnelSocket>;
  readonly tunnels: (policy: Policy) => Dispatch<TunnelSocket>;
  readonly verifies: (policy: Policy) => Dispatch<Verified>;
  readonly acceptedTunnels: (policy: Policy) => Dispatch<TunnelSocket>;
  readonly accepts: (policy: Policy) => Dispatch<void>;
}

export class Generation {
  readonly config: Config;
  readonly interceptor: Interceptor;
  /** For the listener. */
  readonly services: Omit<ListenerOptions, 'shed'>;
  readonly clients: Clients | null;
  readonly #guard: AddressGuard;
  readonly #fetching: TokenFetchOptions;

  /** `before`: whose clients' exchanges count on; it is not kept. */
  constructor(config: Config, lasting: Lasting, before: Generation | null) {
    const { metrics, sink, random, ids, pseudonym, targets, live, profiles, replay } = lasting;
    const { access, listen, limits, requestId } = config;
    this.config = config;
    this.#guard = new AddressGuard(access.addresses);
    const accessLog = new AccessLog(sink, {
      query: config.log.query,
      level: config.log.level,
      recent: lasting.recent,
    });
    const observer: ExchangeObserver = {
      exchangeFinished: (exchange) => {
        accessLog.exchangeFinished(exchange);
        metrics.exchangeFinished(exchange);
        lasting.finished();
      },
    };
    const fallback = defaultRoute(config.policy, access);
    const routes = new RouteTable(config.routes, fallback);
    this.clients =
      access.clients === 'known' || config.clients.length > 0
        ? new Clients(config.clients, before?.clients ?? null)
        : null;
    const admission = new Admission({
      observer,
      routes,
      fallback,
      requestId,
      ids,
      random,
      pseudonym,
      targets,
      clients: this.clients,
      access,
    });
    const context: CarryContext = {
      resolver: lasting.resolver,
      guard: this.#guard,
      profiles,
      headerBytes: limits.headerBytes,
      requestIdHeader: requestId.header.toLowerCase(),
      pseudonym,
    };
    const bounds = new Map<Policy, BodyBounds>();
    const boundsOf = (policy: Policy): BodyBounds =>
      remember(bounds, policy, () => ({
        keepBytes: policy.retry.replayBytes,
        once: policy.retry.attempts === 1,
        maxBytes: policy.limits.requestBytes,
      }));
    const shared: Shared = {
      exchanges: lasting.exchanges,
      slow: lasting.slow,
      origins: lasting.origins,
      profiles,
    };
    const carrying = carry(context);
    this.#fetching = {
      observer,
      live,
      requestIdHeader: requestId.header,
      nextId: () => ids.next(Date.now()),
      wayOf: (oauth2) => wayOf(oauth2, targets, routes),
      denialOf: (exchange) => admission.denialOf(exchange),
      dispatchFor: ({ policy }, totalMs) => inside(policy, shared, totalMs, carrying),
      openBody: (body, { policy }) =>
        new RequestBody(Readable.from([body]), body.length, boundsOf(policy), replay),
    };
    const stacks = stacksOf(context, shared, carrying, (route) => tokensOf(route, lasting));
    const ways = new Ways(targets, config.routes);
    this.interceptor = new Interceptor({
      memory: lasting.memory,
      routes,
      contextFor: lasting.contextFor,
      verify: (exchange) => {
        const { policy } = exchange.route;
        const origin = lasting.origins.get(originKeyOf(exchange, profiles));
        const known = origin !== undefined && performance.now() - origin.verifiedAt < policy.pool.maxAgeMs;
        return known ? Promise.resolve() : stacks.verifies(policy)(exchange);
      },
      pinned: config.intercept.pinned,
      pinnedForMs: config.intercept.pinnedForMs,
      pinnedMax: config.intercept.leaves,
      handshakeEnded: (result) => metrics.interceptHandshake(result),
      warn: (fields, message) => sink.log.warn(fields, message),
    });
    const { counter } = lasting;
    this.services = {
      forwarder: new Forwarder({
        admission,
        ways,
        dispatchFor: stacks.forwards,
        openBody: (source, length, policy) => new RequestBody(source, length, boundsOf(policy), replay),
        gate: lasting.gate,
        slow: lasting.slow,
        live,
      }),
      tunnels: new Tunnels({
        admission,
        targets,
        routes,
        ports: access.tunnelPorts,
        protocols: access.tunnelProtocols,
        serverName: access.tunnelServerName,
        headTimeoutMs: listen.headTimeoutMs,
        accept: (exchange) => stacks.accepts(exchange.route.policy)(exchange),
        dispatchAccepted: (route) => stacks.acceptedTunnels(route.policy),
        dispatchFor: (route) => stacks.tunnels(route.policy),
        interceptor: this.interceptor,
        counter,
        live,
      }),
      webSockets: new WebSockets({
        admission,
        ways,
        dispatchFor: stacks.upgrades,
        handshake: context,
        counter,
        live,
      }),
      observer,
      fallback,
      ids,
      requestIdHeader: requestId.header,
      streams: listen.streams,
      bounds: {
        startLineBytes: limits.targetBytes,
        headBytes: limits.headerBytes,
        fields: limits.headerFields,
      },
      connections: listen.connections,
      connectionsPerClient: listen.connectionsPerClient,
      headTimeoutMs: listen.headTimeoutMs,
      idleTimeoutMs: listen.idleTimeoutMs,
    };
  }

  /** Our own listeners, as bound. */
  protect(addresses: readonly ListenAddress[]): void {
    for (const address of addresses) this.#guard.protect(address);
  }

  fetchToken(oauth2: OAuth2Policy, route: string, secret: string): ReturnType<typeof fetchToken> {
    return fetchToken(oauth2, route, secret, this.#fetching);
  }
}

/** Every policy that an exchange may have. */
export function policiesOf({ policy, routes }: Config): Policy[] {
  return [policy, ...routes.map((route) => route.policy)];
}

export function breakersOf(config: Config): Set<BreakerPolicy> {
  return new Set(policiesOf(config).flatMap(({ breaker }) => breaker ?? []));
}

/**
 * Whether an origin of that key can be asked for: what follows its port names the TLS and the exceptions of a
 * route, and names of these that were given up do not come again.
 */
export function keyTest({ routes }: Config, suffixes: readonly string[]): (key: string) => boolean {
  const spoken = new Set(['', ...suffixes]);
  const excepted = new Set(['']);
  for (const { addresses } of routes) {
    if (addresses === null) continue;
    excepted.add(addresses.key);
    if (addresses.denials !== null) excepted.add(addresses.denials.key);
  }
  return (key) => {
    const [, tls = '', addresses = ''] = /^[^#@]*(#[^@]*)?(@.*)?$/.exec(key) ?? [];
    return spoken.has(tls) && excepted.has(addresses);
  };
}

/** Fetched by the generation that counts, for they outlive the one that asked first. */
function tokensOf({ name, credentials }: Route, { tokens, now, current }: Lasting): Tokens | null {
  const oauth2 = credentials?.oauth2 ?? null;
  if (oauth2 === null) return null;
  const held = tokens.get(name);
  if (held?.oauth2 === oauth2) return held.tokens;
  const made = new Tokens(oauth2, (secret) => current().fetchToken(oauth2, name, secret), now);
  tokens.set(name, { oauth2, tokens: made });
  return made;
}

/** One stack for each policy, and for each route that has tokens; made when it is first met. */
function stacksOf(
  context: CarryContext,
  shared: Shared,
  carrying: Dispatch<Response>,
  tokensFor: (route: Route) => Tokens | null,
): Stacks {
  const forwards = new Map<Policy | Route, Dispatch<Response>>();
  const tunnels = new Map<Policy, Dispatch<TunnelSocket>>();
  const upgrades = new Map<Policy | Route, Dispatch<TunnelSocket>>();
  const verifies = new Map<Policy, Dispatch<Verified>>();
  const acceptedTunnels = new Map<Policy, Dispatch<TunnelSocket>>();
  const accepts = new Map<Policy, Dispatch<void>>();
  const verifying = verify(context);
  const tunnelling = openTunnel(context);
  const upgrading = openUpgrade(context);
  const keyOf = (route: Route) => (route.credentials?.oauth2 ? route : route.policy);
  return {
    forwards: (route) =>
      remember(forwards, keyOf(route), () =>
        stack(route.policy, shared, false, carrying, false, tokensFor(route)),
      ),
    tunnels: (policy) => remember(tunnels, policy, () => stack(policy, shared, true, tunnelling)),
    acceptedTunnels: (policy) =>
      remember(acceptedTunnels, policy, () => stack(policy, shared, true, tunnelling, true)),
    accepts: (policy) => remember(accepts, policy, () => acceptance(policy, shared)),
    verifies: (policy) =>
      remember(verifies, policy, () => stack(once(policy), shared, false, verifying, true)),
    upgrades: (route) =>
      remember(upgrades, keyOf(route), () =>
        stack(route.policy, shared, true, upgrading, false, tokensFor(route)),
      ),
  };
}

/** As if the sidecar were a caller of the token URL. */
function wayOf({ tokenUrl }: OAuth2Policy, targets: TargetReader, routes: RouteTable): TokenWay {
  const target = targets.origin(tokenUrl);
  const route = routes.match('POST', target, tokenUrl.path);
  if (tokenUrl.scheme === 'https' || route.https !== 'originate') return { target, route };
  const secure = targets.originated(target);
  const there = routes.match('POST', secure, tokenUrl.path);
  return { target: secure, route: there.name !== 'default' && there.access === 'deny' ? there : route };
}

/** A caller waits for the handshake: the requests inside have all the attempts. */
const once = (policy: Policy): Policy => ({ ...policy, retry: { ...policy.retry, attempts: 1 } });

function remember<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  let value = known.get(key);
  if (value === undefined) {
    value = make();
    known.set(key, value);
  }
  return value;
}
