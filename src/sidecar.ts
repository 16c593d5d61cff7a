/**
 * The composition root: the only file that sees the whole configuration and every part. It builds the
 * parts, starts the listeners, and takes them down in the right order. No part knows it.
 */
import { randomFillSync } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SecureContext } from 'node:tls';
import type { Readiness } from './admin/routes.ts';
import { AdminServer } from './admin/server.ts';
import { defaultBundlePath } from './certificates/bundle.ts';
import { type Interception, openInterception } from './certificates/interception.ts';
import type { Config, ListenAddress } from './config/config.ts';
import { SecretFiles, type SecretObserver } from './credentials/secret-files.ts';
import { fetchToken, type TokenFetchOptions, type TokenWay } from './credentials/token-fetch.ts';
import { Tokens } from './credentials/tokens.ts';
import { Admission } from './downstream/admission.ts';
import { BodyGate } from './downstream/body-gate.ts';
import { Clients } from './downstream/clients.ts';
import { Tunnels } from './downstream/connect.ts';
import { Forwarder } from './downstream/forward.ts';
import { Interceptor } from './downstream/interceptor.ts';
import { Listener } from './downstream/listener.ts';
import { SlowPeers } from './downstream/slow-peers.ts';
import { TargetReader } from './downstream/target.ts';
import { Ways } from './downstream/way.ts';
import { WebSockets } from './downstream/web-socket.ts';
import { OutriggerError } from './errors.ts';
import type { Dispatch, Exchange, ExchangeObserver } from './exchange.ts';
import { pseudonymOf } from './headers/forwarding.ts';
import { RandomPool, RequestIds } from './headers/request-id.ts';
import { originKeyOf } from './layers/origin.ts';
import { acceptance, inside, stack } from './layers/stack.ts';
import { defaultRoute } from './policy/default-route.ts';
import type { OAuth2Policy, Policy, Route } from './policy/policy.ts';
import { RouteTable } from './policy/route.ts';
import type { Response } from './response.ts';
import { AccessLog } from './telemetry/access-log.ts';
import type { LogSink } from './telemetry/log.ts';
import { Metrics } from './telemetry/metrics.ts';
import type { UpstreamSnapshot } from './telemetry/snapshot.ts';
import { AddressGuard } from './upstream/address-guard.ts';
import { type CarryContext, carry } from './upstream/dispatch.ts';
import { Origins } from './upstream/origins.ts';
import { type BodyBounds, ReplayBound, RequestBody } from './upstream/replay-body.ts';
import { type Lookup, lookupBySystem, Resolver } from './upstream/resolver.ts';
import { Semaphore } from './upstream/semaphore.ts';
import { rootsOf, type TlsObserver, TlsProfiles } from './upstream/tls-profile.ts';
import { openTunnel, openUpgrade, type TunnelSocket } from './upstream/tunnel-dial.ts';
import { type Verified, verify } from './upstream/verification.ts';

/** What a test may replace: the edges of the process, and nothing inside. */
export interface Edges {
  readonly lookup?: Lookup;
  readonly secureContext?: SecureContext;
  /** PEM, trusted where a route says nothing else, in the place of the roots of the process. */
  readonly roots?: readonly string[];
  /** How often the files of TLS are looked at. */
  readonly tlsLookMs?: number;
  /** How often the files of secrets are looked at. */
  readonly secretLookMs?: number;
  /** The clock by which tokens end, milliseconds. */
  readonly now?: () => number;
}

export interface Addresses {
  readonly proxy: ListenAddress;
  readonly admin: ListenAddress;
  readonly telemetry: ListenAddress | null;
}

/** How a drain ended: the callers had gone, or the time was up and the rest was cut. */
export type DrainEnd = 'quiet' | 'timeout';

/** A listener that could not be opened, by the configuration key that names it. */
export class ListenError extends Error {
  readonly key: string;
  readonly address: ListenAddress;
  /** Node's own: EADDRINUSE and its like. */
  readonly code: string;

  constructor(key: string, address: ListenAddress, cause: NodeJS.ErrnoException) {
    super(cause.message, { cause });
    this.name = 'ListenError';
    this.key = key;
    this.address = address;
    this.code = cause.code ?? cause.message;
  }
}

/** What the start needs and cannot have, by the configuration key that names it. */
export class StartError extends Error {
  readonly key: string;

  constructor(key: string, cause: Error) {
    super(cause.message, { cause });
    this.name = 'StartError';
    this.key = key;
  }
}

/** The files of TLS are looked at this often, milliseconds. */
const TLS_LOOK_MS = 5_000;

/** The files of secrets are looked at this often, milliseconds. */
const SECRET_LOOK_MS = 5_000;

/** After a cut, the log lines of what was cut come within this time, milliseconds. */
const CUT_MS = 500;

export class Sidecar {
  readonly #config: Config;
  readonly #sink: LogSink;
  readonly #metrics: Metrics;
  readonly #listener: Listener;
  readonly #interceptor: Interceptor;
  readonly #admin: AdminServer;
  readonly #telemetry: AdminServer | null;
  readonly #guard: AddressGuard;
  readonly #origins: Origins;
  readonly #exchanges: Semaphore;
  readonly #connections: Semaphore;
  readonly #replay: ReplayBound;
  readonly #profiles: TlsProfiles;
  readonly #tlsLookMs: number;
  readonly #secrets: SecretFiles;
  readonly #secretLookMs: number;
  readonly #live = new Set<Exchange>();
  readonly #slow: SlowPeers;
  /** Called whenever an exchange has finished and it was the last. */
  #onIdle: (() => void) | null = null;
  #tunnels = 0;
  /** Opened at the start, where a route intercepts. */
  #interception: Interception | null = null;
  #draining: Promise<DrainEnd> | null = null;
  #started = false;

  constructor(config: Config, version: string, sink: LogSink, edges: Edges = {}) {
    this.#config = config;
    this.#sink = sink;
    const { limits, access, requestId } = config;
    this.#exchanges = new Semaphore(limits.exchanges);
    this.#connections = new Semaphore(limits.connections);
    this.#origins = new Origins(limits.origins, this.#connections);
    this.#replay = new ReplayBound(limits.replayBytes);
    this.#guard = new AddressGuard(access.addresses);
    const policies = [config.policy, ...config.routes.map((route) => route.policy)];
    this.#slow = new SlowPeers(
      this.#live,
      policies.map(({ limits: { minRateWindowMs } }) => minRateWindowMs),
    );

    this.#metrics = new Metrics({
      version,
      routes: ['default', ...config.routes.map((route) => route.name)],
      snapshot: () => this.snapshot(),
      dropped: () => sink.dropped,
    });
    const accessLog = new AccessLog(sink, { query: config.log.query, level: config.log.level });
    const metrics = this.#metrics;
    const observer: ExchangeObserver = {
      exchangeFinished: (exchange) => {
        accessLog.exchangeFinished(exchange);
        metrics.exchangeFinished(exchange);
        if (this.#onIdle !== null && this.#live.size === 0) this.#onIdle();
      },
    };

    const random = new RandomPool((bytes) => randomFillSync(bytes));
    const ids = new RequestIds(random);
    const pseudonym = pseudonymOf(randomFillSync(new Uint8Array(4)));
    const fallback = defaultRoute(config.policy, access);
    const roots = edges.secureContext
      ? { context: edges.secureContext, pem: null }
      : rootsOf(edges.roots ?? null);
    const profiles = new TlsProfiles(roots, config.routes);
    this.#profiles = profiles;
    this.#tlsLookMs = edges.tlsLookMs ?? TLS_LOOK_MS;
    this.#secrets = new SecretFiles(config.secrets);
    this.#secretLookMs = edges.secretLookMs ?? SECRET_LOOK_MS;
    const context: CarryContext = {
      resolver: new Resolver(edges.lookup ?? lookupBySystem),
      guard: this.#guard,
      profiles,
      headerBytes: limits.headerBytes,
      requestIdHeader: requestId.header.toLowerCase(),
      pseudonym,
    };
    const targets = new TargetReader();
    const routes = new RouteTable(config.routes, fallback);
    const admission = new Admission({
      observer,
      routes,
      fallback,
      requestId,
      ids,
      random,
      pseudonym,
      targets,
      clients: access.clients === 'known' || config.clients.length > 0 ? new Clients(config.clients) : null,
      access,
    });
    const fetching = {
      observer,
      live: this.#live,
      requestIdHeader: requestId.header,
      nextId: () => ids.next(Date.now()),
      wayOf: (oauth2: OAuth2Policy) => wayOf(oauth2, targets, routes),
      denialOf: (exchange: Exchange) => admission.denialOf(exchange),
      openBody: (body: Buffer, { policy }: Route) =>
        new RequestBody(Readable.from([body]), body.length, boundsOf(policy), this.#replay),
    };
    const bodyBounds = new Map<Policy, BodyBounds>();
    const boundsOf = (policy: Policy): BodyBounds =>
      remember(bodyBounds, policy, () => ({
        keepBytes: policy.retry.replayBytes,
        once: policy.retry.attempts === 1,
        maxBytes: policy.limits.requestBytes,
      }));
    const now = edges.now ?? (() => performance.now());
    const stacks = this.#stacks(context, fetching, now);
    const { forwards, tunnels, acceptedTunnels, upgrades, verifies, accepts } = stacks;
    const ways = new Ways(targets, config.routes);
    // An upgraded connection is a tunnel, too.
    const counter = {
      tunnelBytes: (direction: 'upstream' | 'downstream', bytes: number) =>
        metrics.tunnelBytes(direction, bytes),
      tunnelOpened: () => {
        this.#tunnels++;
        metrics.tunnelOpened();
      },
      tunnelClosed: () => {
        this.#tunnels--;
        metrics.tunnelClosed();
      },
    };
    this.#interceptor = new Interceptor({
      routes,
      contextFor: (host) => (this.#interception as Interception).leaves.contextFor(host),
      verify: (exchange) => {
        const { policy } = exchange.route;
        const origin = this.#origins.get(originKeyOf(exchange, profiles));
        const known = origin !== undefined && performance.now() - origin.verifiedAt < policy.pool.maxAgeMs;
        return known ? Promise.resolve() : verifies(policy)(exchange);
      },
      pinned: config.intercept.pinned,
      pinnedForMs: config.intercept.pinnedForMs,
      pinnedMax: config.intercept.leaves,
      handshakeEnded: (result) => metrics.interceptHandshake(result),
      warn: (fields, message) => sink.log.warn(fields, message),
    });
    this.#listener = new Listener({
      forwarder: new Forwarder({
        admission,
        ways,
        dispatchFor: forwards,
        openBody: (source, length, policy) => new RequestBody(source, length, boundsOf(policy), this.#replay),
        gate: new BodyGate({
          exchanges: limits.exchanges,
          refuses: (exchange) => this.#refuses(exchange),
        }),
        slow: this.#slow,
        live: this.#live,
      }),
      tunnels: new Tunnels({
        admission,
        targets,
        routes,
        ports: access.tunnelPorts,
        protocols: access.tunnelProtocols,
        serverName: access.tunnelServerName,
        headTimeoutMs: config.listen.headTimeoutMs,
        accept: (exchange) => accepts(exchange.route.policy)(exchange),
        dispatchAccepted: (route) => acceptedTunnels(route.policy),
        dispatchFor: (route) => tunnels(route.policy),
        interceptor: this.#interceptor,
        counter,
        live: this.#live,
      }),
      webSockets: new WebSockets({
        admission,
        ways,
        dispatchFor: upgrades,
        handshake: context,
        counter,
        live: this.#live,
      }),
      observer,
      fallback,
      ids,
      requestIdHeader: requestId.header,
      streams: config.listen.streams,
      bounds: {
        startLineBytes: limits.targetBytes,
        headBytes: limits.headerBytes,
        fields: limits.headerFields,
      },
      connections: config.listen.connections,
      connectionsPerClient: config.listen.connectionsPerClient,
      shed: (reason) => metrics.callerShed(reason),
      headTimeoutMs: config.listen.headTimeoutMs,
      idleTimeoutMs: config.listen.idleTimeoutMs,
    });

    const sources = {
      ready: () => this.#readiness(),
      metrics: async () => ({ body: await metrics.render(), contentType: metrics.contentType }),
      origins: () => this.#origins.snapshot(),
    };
    this.#admin = new AdminServer({ ...sources, ...config.admin, paths: 'all' });
    this.#telemetry = config.listen.telemetry
      ? new AdminServer({ ...sources, paths: 'telemetry', token: null, hosts: [] })
      : null;
  }

  /** Whether its stack would refuse it now, so that nobody need wait for its body. */
  #refuses(exchange: Exchange): boolean {
    if (this.#exchanges.held >= this.#exchanges.limit) return true;
    const { breaker } = exchange.route.policy;
    if (breaker === null) return false;
    const origin = this.#origins.get(originKeyOf(exchange, this.#profiles));
    return origin?.circuit(breaker).state === 'open';
  }

  /** One stack for each policy, and for each route that has tokens; made when it is first met. */
  #stacks(
    context: CarryContext,
    fetching: Omit<TokenFetchOptions, 'dispatchFor'>,
    now: () => number,
  ): {
    forwards: (route: Route) => Dispatch<Response>;
    tunnels: (policy: Policy) => Dispatch<TunnelSocket>;
    verifies: (policy: Policy) => Dispatch<Verified>;
    acceptedTunnels: (policy: Policy) => Dispatch<TunnelSocket>;
    accepts: (policy: Policy) => Dispatch<void>;
    upgrades: (route: Route) => Dispatch<TunnelSocket>;
  } {
    const shared = {
      exchanges: this.#exchanges,
      slow: this.#slow,
      origins: this.#origins,
      profiles: context.profiles,
    };
    const forwards = new Map<Policy | Route, Dispatch<Response>>();
    const tunnels = new Map<Policy, Dispatch<TunnelSocket>>();
    const upgrades = new Map<Policy | Route, Dispatch<TunnelSocket>>();
    const verifies = new Map<Policy, Dispatch<Verified>>();
    const acceptedTunnels = new Map<Policy, Dispatch<TunnelSocket>>();
    const accepts = new Map<Policy, Dispatch<void>>();
    const carrying = carry(context);
    const verifying = verify(context);
    const tunnelling = openTunnel(context);
    const upgrading = openUpgrade(context);
    const tokens = new Map<Route, Tokens>();
    const dispatchFor = ({ policy }: Route, totalMs: number) => inside(policy, shared, totalMs, carrying);
    const tokensOf = (route: Route): Tokens | null => {
      const oauth2 = route.credentials?.oauth2 ?? null;
      if (oauth2 === null) return null;
      const fetch = (secret: string) => fetchToken(oauth2, route.name, secret, { ...fetching, dispatchFor });
      return remember(tokens, route, () => new Tokens(oauth2, fetch, now));
    };
    const keyOf = (route: Route) => (route.credentials?.oauth2 ? route : route.policy);
    return {
      forwards: (route) =>
        remember(forwards, keyOf(route), () =>
          stack(route.policy, shared, false, carrying, false, tokensOf(route)),
        ),
      tunnels: (policy) => remember(tunnels, policy, () => stack(policy, shared, true, tunnelling)),
      acceptedTunnels: (policy) =>
        remember(acceptedTunnels, policy, () => stack(policy, shared, true, tunnelling, true)),
      accepts: (policy) => remember(accepts, policy, () => acceptance(policy, shared)),
      verifies: (policy) =>
        remember(verifies, policy, () => stack(once(policy), shared, false, verifying, true)),
      upgrades: (route) =>
        remember(upgrades, keyOf(route), () =>
          stack(route.policy, shared, true, upgrading, false, tokensOf(route)),
        ),
    };
  }

  /** Opens every listener, the application's last; rejects with a StartError or a ListenError, and nothing stays open. */
  async start(): Promise<Addresses> {
    const { listen } = this.#config;
    try {
      const admin = await open('listen.admin', this.#admin, listen.admin);
      const telemetry =
        this.#telemetry && listen.telemetry
          ? await open('listen.telemetry', this.#telemetry, listen.telemetry)
          : null;
      await this.#openInterception();
      const proxy = await open('listen.proxy', this.#listener, listen.proxy);
      // Last, for a start that fails must not write over the bundle of a sidecar that runs.
      this.#writeBundle(proxy.port);
      for (const address of [admin, telemetry, proxy]) if (address) this.#guard.protect(address);
      this.#started = true;
      for (const insecure of this.#profiles.snapshot().insecure) {
        this.#sink.log.warn(insecure, 'certificates of origins are not verified on this route');
      }
      this.#profiles.watch(this.#tlsLookMs, tlsLog(this.#sink));
      this.#secrets.watch(this.#secretLookMs, secretLog(this.#sink));
      return { admin, telemetry, proxy };
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** An authority, if a route intercepts. */
  async #openInterception(): Promise<void> {
    const { routes, intercept, access } = this.#config;
    const intercepted = routes.filter(({ https }) => https === 'intercept');
    if (intercepted.length === 0) return;
    const hosts = intercepted.flatMap(({ match }) => match.hosts);
    const known =
      access.tunnelServerName === 'match' && intercepted.every(({ match }) => match.hosts.length > 0);
    try {
      this.#interception = await openInterception(intercept, known ? hosts : null);
    } catch (error) {
      throw new StartError('intercept', error as Error);
    }
    const names = hosts.filter((host) => !host.startsWith('*'));
    void makeLeaves(this.#interception.leaves, names.slice(0, intercept.leaves));
  }

  /** What applications must trust. */
  #writeBundle(port: number): void {
    if (this.#interception === null) return;
    try {
      const path = this.#config.intercept.bundle ?? defaultBundlePath(port);
      const { truststorePath, count } = this.#interception.writeBundle(path);
      this.#sink.log.info(
        { bundle: path, truststore: truststorePath, certificates: count },
        'certificates written',
      );
    } catch (error) {
      throw new StartError('intercept.bundle', error as Error);
    }
  }

  /**
   * New exchanges are still served while the application is alive: until no caller has been connected for
   * `quietMs`, or `shutdown.drainTimeout` is over.
   */
  drain(quietMs = this.#config.shutdown.quietMs): Promise<DrainEnd> {
    this.#draining ??= new Promise((resolve) => {
      const { drainTimeoutMs } = this.#config.shutdown;
      let quiet: NodeJS.Timeout | null = null;
      const settle = (end: DrainEnd): void => {
        this.#listener.onConnections = null;
        clearTimeout(deadline);
        if (quiet) clearTimeout(quiet);
        resolve(end);
      };
      const deadline = setTimeout(() => settle('timeout'), drainTimeoutMs);
      const look = (): void => {
        if (this.#listener.connections > 0) {
          if (quiet) clearTimeout(quiet);
          quiet = null;
        } else quiet ??= setTimeout(() => settle('quiet'), quietMs);
      };
      this.#listener.onConnections = look;
      look();
    });
    return this.#draining;
  }

  /** Somebody saw an error that nobody caught. */
  unhandledError(): void {
    this.#metrics.unhandledError();
  }

  /** Ends now: what is still under way is cut, and logged. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#profiles.close();
    this.#secrets.close();
    const stopped = this.#listener.stop();
    const cut = new OutriggerError('draining');
    for (const exchange of this.#live) exchange.abort(cut);
    // One turn of the event loop, so that the answers of what was cut get out.
    await new Promise((resolve) => setImmediate(resolve));
    this.#listener.cut();
    // The last socket is closed before those who wait for its end are told of it.
    await Promise.race([Promise.all([stopped, this.#idle()]), sleep(CUT_MS, undefined, { ref: false })]);
    this.#origins.close();
    await Promise.all([this.#admin.close(), this.#telemetry?.close()]);
    this.#sink.flush();
  }

  /** Resolves once every exchange has finished, and so has been logged. */
  #idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      if (this.#live.size === 0) resolve();
    });
  }

  /** Upstream state of this moment. */
  snapshot(): UpstreamSnapshot {
    return {
      origins: this.#origins.snapshot(),
      exchangesInFlight: this.#live.size,
      connections: this.#connections.held,
      tunnels: this.#tunnels,
      replayBytes: this.#replay.used,
      callerConnections: this.#listener.connections,
    };
  }

  #readiness(): Readiness {
    const draining = this.#draining !== null;
    return {
      ready: this.#started && !draining,
      state: { started: this.#started, draining },
      detail: {
        exchangesInFlight: this.#live.size,
        tls: { ...this.#profiles.snapshot(), pinned: this.#interceptor.snapshot() },
        secrets: this.#secrets.snapshot(),
      },
    };
  }
}

function tlsLog({ log }: LogSink): TlsObserver {
  return {
    tlsRenewed: (routes) => log.info({ routes }, 'TLS files were renewed'),
    tlsUnusable: (routes, problem) =>
      log.error(
        { routes, problem },
        'TLS files have changed and cannot be used; what they held before stays',
      ),
    tlsVerifiedAgain: (route) =>
      log.info({ route }, 'certificates of origins are verified again on this route'),
  };
}

function secretLog({ log }: LogSink): SecretObserver {
  return {
    secretsRenewed: (files) => log.info({ files }, 'secrets were renewed'),
    secretUnusable: (problem) =>
      log.error(
        { problem },
        'the file of a secret has changed and cannot be used; what it held before stays',
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

/** Ahead of the first callers, where it is known whom they will ask for; one at a time, beside everything else. */
async function makeLeaves(leaves: Interception['leaves'], hosts: readonly string[]): Promise<void> {
  for (const host of hosts) {
    // A host that no certificate can name: whoever asks for it is told.
    await leaves.contextFor(host).catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function open(
  key: string,
  listener: { listen(address: ListenAddress): Promise<ListenAddress> },
  address: ListenAddress,
): Promise<ListenAddress> {
  try {
    return await listener.listen(address);
  } catch (error) {
    throw new ListenError(key, address, error as NodeJS.ErrnoException);
  }
}

function remember<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  let value = known.get(key);
  if (value === undefined) {
    value = make();
    known.set(key, value);
  }
  return value;
}
