/**
 * The composition root: the only file beside `generation.ts` that sees the whole configuration and every part. It
 * builds what lasts and the generation that counts, starts the listeners, puts another generation in its place, and
 * takes everything down in the right order. No part knows it.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SecureContext } from 'node:tls';
import type { Operations, Readiness } from './admin/routes.ts';
import { AdminServer } from './admin/server.ts';
import { defaultBundlePath, removeBundle } from './certificates/bundle.ts';
import { type Interception, openInterception } from './certificates/interception.ts';
import { TlsFileError } from './certificates/tls-files.ts';
import { applicable, changes } from './config/change.ts';
import type { Config, ListenAddress } from './config/config.ts';
import { type Disclosure, disclose } from './config/disclosure.ts';
import { type Applied, type ReloadCause, type ReloadResult, Reloads } from './config/reloads.ts';
import { configSchema } from './config/schema.ts';
import type { ConfigSource, Loaded } from './config/source.ts';
import { succeed, unite } from './config/succession.ts';
import { SecretFiles, type SecretObserver } from './credentials/secret-files.ts';
import { BodyGate } from './downstream/body-gate.ts';
import { ClientMemory } from './downstream/interceptor.ts';
import { Listener } from './downstream/listener.ts';
import { SlowPeers } from './downstream/slow-peers.ts';
import { TargetReader } from './downstream/target.ts';
import { OutriggerError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { explainQuery } from './explanation/explain-query.ts';
import { Explainer } from './explanation/explanation.ts';
import { breakersOf, Generation, keyTest, type Lasting, policiesOf } from './generation.ts';
import { pseudonymOf } from './headers/forwarding.ts';
import { RandomPool, RequestIds } from './headers/request-id.ts';
import { originKeyOf } from './layers/origin.ts';
import { LiveExchanges } from './live-exchanges.ts';
import type { Route } from './policy/policy.ts';
import { storyOf } from './telemetry/error-story.ts';
import type { LogSink } from './telemetry/log.ts';
import { Metrics } from './telemetry/metrics.ts';
import { RecentExchanges } from './telemetry/recent-exchanges.ts';
import type { UpstreamSnapshot } from './telemetry/snapshot.ts';
import { Origins } from './upstream/origins.ts';
import { ReplayBound } from './upstream/replay-body.ts';
import { type Lookup, lookupBySystem, Resolver } from './upstream/resolver.ts';
import { Semaphore } from './upstream/semaphore.ts';
import { rootsOf, type TlsObserver, TlsProfiles } from './upstream/tls-profile.ts';

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

/** So many keys of a change are named in the log; the answer to POST /reload names all. */
const SHOWN_MAX = 50;

/** After a cut, the log lines of what was cut come within this time, milliseconds. */
const CUT_MS = 500;

/** A configuration that is to run, as it was read, and where it can be read again. */
export interface Origination {
  readonly loaded: Loaded;
  readonly source: ConfigSource;
}

export class Sidecar {
  readonly #sink: LogSink;
  readonly #metrics: Metrics;
  readonly #listener: Listener;
  readonly #admin: AdminServer;
  readonly #telemetry: AdminServer | null;
  readonly #origins: Origins;
  readonly #exchanges: Semaphore;
  readonly #connections: Semaphore;
  readonly #replay: ReplayBound;
  readonly #profiles: TlsProfiles;
  readonly #tlsLookMs: number;
  readonly #secrets: SecretFiles;
  readonly #secretLookMs: number;
  readonly #live = new LiveExchanges();
  readonly #slow: SlowPeers;
  readonly #recent: RecentExchanges;
  readonly #lasting: Lasting;
  readonly #reloads: Reloads | null;
  readonly #drainAsked = Promise.withResolvers<'request'>();
  #generation: Generation;
  /** Counts configurations that counted. */
  #number = 1;
  #loaded: Loaded | null;
  #configAt = new Date();
  /** Keys of what was read that count after a restart only. */
  #restart: readonly string[] = [];
  /** Written by us at the default place, and of no use after us. */
  #spareBundle: string | null = null;
  #disclosure: Disclosure | null = null;
  #explainer: Explainer | null = null;
  /** Called whenever an exchange has finished and it was the last. */
  #onIdle: (() => void) | null = null;
  #tunnels = 0;
  /** Opened when a route first intercepts; `hosts` null: its authority may sign for every name. */
  #interception: (Interception & { readonly hosts: ReadonlySet<string> | null }) | null = null;
  #addresses: Addresses | null = null;
  #draining: Promise<DrainEnd> | null = null;
  #started = false;

  /** `origination` null: the configuration cannot be read again. */
  constructor(
    first: Config,
    version: string,
    sink: LogSink,
    edges: Edges = {},
    origination: Origination | null = null,
  ) {
    this.#sink = sink;
    const config = unite(first);
    const { limits } = config;
    this.#exchanges = new Semaphore(limits.exchanges);
    this.#connections = new Semaphore(limits.connections);
    this.#origins = new Origins(limits.origins, this.#connections);
    this.#replay = new ReplayBound(limits.replayBytes);
    this.#recent = new RecentExchanges(config.admin.exchanges);
    this.#slow = new SlowPeers(this.#live, windowsOf(config));
    this.#metrics = new Metrics({
      version,
      routes: routeNames(config),
      snapshot: () => this.snapshot(),
      dropped: () => sink.dropped,
    });
    const metrics = this.#metrics;
    const random = new RandomPool((bytes) => randomFillSync(bytes));
    const roots = edges.secureContext
      ? { context: edges.secureContext, pem: null }
      : rootsOf(edges.roots ?? null);
    this.#profiles = new TlsProfiles(roots, config.routes);
    this.#tlsLookMs = edges.tlsLookMs ?? TLS_LOOK_MS;
    this.#secrets = new SecretFiles(config.secrets);
    this.#secretLookMs = edges.secretLookMs ?? SECRET_LOOK_MS;
    const exchanges = this.#exchanges;
    this.#lasting = {
      sink,
      metrics,
      recent: this.#recent,
      live: this.#live,
      exchanges,
      origins: this.#origins,
      replay: this.#replay,
      profiles: this.#profiles,
      resolver: new Resolver(edges.lookup ?? lookupBySystem),
      slow: this.#slow,
      gate: new BodyGate({
        get exchanges() {
          return exchanges.limit;
        },
        refuses: (exchange) => this.#refuses(exchange),
      }),
      random,
      ids: new RequestIds(random),
      pseudonym: pseudonymOf(randomFillSync(new Uint8Array(4))),
      targets: new TargetReader(),
      memory: new ClientMemory(),
      tokens: new Map(),
      // An upgraded connection is a tunnel, too.
      counter: {
        tunnelBytes: (direction, bytes) => metrics.tunnelBytes(direction, bytes),
        tunnelOpened: () => {
          this.#tunnels++;
          metrics.tunnelOpened();
        },
        tunnelClosed: () => {
          this.#tunnels--;
          metrics.tunnelClosed();
        },
      },
      contextFor: (host) => (this.#interception as Interception).leaves.contextFor(host),
      finished: () => {
        if (this.#onIdle !== null && this.#live.size === 0) this.#onIdle();
      },
      now: edges.now ?? (() => performance.now()),
      current: () => this.#generation,
    };
    this.#generation = new Generation(config, this.#lasting, null);
    this.#listener = new Listener({
      ...this.#generation.services,
      shed: (reason) => metrics.callerShed(reason),
    });
    this.#loaded = origination?.loaded ?? null;
    this.#reloads =
      origination &&
      new Reloads({
        source: origination.source,
        apply: (loaded) => this.#apply(loaded),
        told: (cause, result) => this.#told(cause, result),
        problemsOf: (error) => this.#problemsOf(error),
      });
    const sources = {
      ready: () => this.#readiness(),
      metrics: async () => ({ body: await metrics.render(), contentType: metrics.contentType }),
      origins: () => this.#origins.snapshot(),
    };
    const { token, hosts } = config.admin;
    this.#admin = new AdminServer({ ...sources, operations: this.#operations(), token, hosts, paths: 'all' });
    this.#telemetry = config.listen.telemetry
      ? new AdminServer({ ...sources, operations: null, paths: 'telemetry', token: null, hosts: [] })
      : null;
  }

  get #config(): Config {
    return this.#generation.config;
  }

  /** Whether its stack would refuse it now, so that nobody need wait for its body. */
  #refuses(exchange: Exchange): boolean {
    if (this.#exchanges.held >= this.#exchanges.limit) return true;
    const { breaker } = exchange.route.policy;
    if (breaker === null) return false;
    const origin = this.#origins.get(originKeyOf(exchange, this.#profiles));
    return origin?.circuit(breaker).state === 'open';
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
      this.#addresses = { admin, telemetry, proxy };
      this.#generation.protect(listening(this.#addresses));
      this.#started = true;
      this.#warnOfInsecure();
      this.#profiles.watch(this.#tlsLookMs, tlsLog(this.#sink));
      this.#secrets.watch(this.#secretLookMs, secretLog(this.#sink));
      this.#follow();
      // The roots take longer than a handshake: where a route speaks TLS they are there before anybody waits for them.
      if (this.#config.routes.some(speaksTls)) setImmediate(() => this.#profiles.warm());
      return this.#addresses;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** An authority, if a route intercepts and there is none; true: it was opened now. */
  async #openInterception({ routes, intercept, access }: Config = this.#config): Promise<boolean> {
    const intercepted = routes.filter(({ https }) => https === 'intercept');
    if (this.#interception !== null || intercepted.length === 0) return false;
    const hosts = intercepted.flatMap(({ match }) => match.hosts);
    const known =
      access.tunnelServerName === 'match' && intercepted.every(({ match }) => match.hosts.length > 0);
    try {
      const opened = await openInterception(intercept, known ? hosts : null);
      const isMade = intercept.ca === null;
      this.#interception = { ...opened, hosts: isMade && known ? new Set(hosts) : null };
    } catch (error) {
      throw new StartError('intercept', error as Error);
    }
    const names = hosts.filter((host) => !host.startsWith('*'));
    void makeLeaves(this.#interception.leaves, names.slice(0, intercept.leaves));
    return true;
  }

  /** What applications must trust. */
  #writeBundle(port: number, { intercept } = this.#config): void {
    if (this.#interception === null) return;
    try {
      const path = intercept.bundle ?? defaultBundlePath(port);
      const { truststorePath, count } = this.#interception.writeBundle(path);
      // Its authority dies with the process, and nobody else chose the place.
      if (intercept.bundle === null && intercept.ca === null) this.#spareBundle = path;
      this.#sink.log.info(
        { bundle: path, truststore: truststorePath, certificates: count },
        'certificates written',
      );
    } catch (error) {
      throw new StartError('intercept.bundle', error as Error);
    }
  }

  // Reload

  /** Reads the configuration again. All of it counts from now on, or nothing. */
  reload(cause: ReloadCause): Promise<ReloadResult> {
    if (this.#reloads !== null && this.#started) return this.#reloads.reload(cause);
    return Promise.resolve({ ok: false, problems: ['there is no configuration that could be read again'] });
  }

  /** Throws what is wrong with it, and nothing has changed but that an authority may be there. */
  async #apply(loaded: Loaded): Promise<Applied> {
    const before = this.#loaded as Loaded;
    const changed = changes(before.written, loaded.written);
    const kept = applicable(this.#config, loaded.config, this.#interception !== null);
    const number = this.#number + 1;
    const succession = succeed(this.#config, kept.config, number);
    const { config } = succession;
    const prepared = this.#profiles.prepare(config.routes, number);
    const addresses = this.#addresses as Addresses;
    const opened = await this.#openInterception(config);
    if (opened) {
      try {
        this.#writeBundle(addresses.proxy.port, config);
      } catch (error) {
        this.#interception = null;
        throw error;
      }
    }
    const generation = new Generation(config, this.#lasting, this.#generation);
    generation.protect(listening(addresses));
    const redial = JSON.stringify(config.access.addresses) !== JSON.stringify(this.#config.access.addresses);

    // From here on nothing fails, and nothing else happens in between.
    const { limits, admin } = config;
    this.#generation = generation;
    this.#number = number;
    this.#loaded = loaded;
    this.#configAt = new Date();
    this.#disclosure = null;
    this.#explainer = null;
    succession.settle();
    this.#profiles.adopt(prepared);
    this.#secrets.hold(config.secrets);
    this.#exchanges.setLimit(limits.exchanges);
    this.#connections.setLimit(limits.connections);
    this.#replay.limit = limits.replayBytes;
    this.#slow.setWindows(windowsOf(config));
    this.#recent.setLimit(admin.exchanges);
    this.#metrics.setRoutes(routeNames(config));
    this.#sink.setLevel(config.log.level);
    this.#admin.setAskers(admin.token, admin.hosts);
    this.#dropTokens();
    this.#listener.serveBy(generation.services);
    this.#origins.settle({
      breakers: breakersOf(config),
      key: keyTest(config, this.#profiles.suffixes),
      redial,
    });
    this.#origins.setLimit(limits.origins);
    this.#follow();
    this.#restart = [...kept.restart, ...this.#unsigned(config)];
    return { changed, restart: this.#restart };
  }

  /** Those of routes that have gone, or fetch them otherwise now. */
  #dropTokens(): void {
    const { tokens } = this.#lasting;
    const oauth2s = new Map(this.#config.routes.map(({ name, credentials }) => [name, credentials?.oauth2]));
    for (const [name, { oauth2 }] of tokens) if (oauth2s.get(name) !== oauth2) tokens.delete(name);
  }

  /** Routes whose hosts the authority that was made at the start may not sign for. */
  #unsigned({ routes }: Config): string[] {
    const hosts = this.#interception?.hosts ?? null;
    if (hosts === null) return [];
    return routes
      .filter(({ https, match }) => https === 'intercept' && !match.hosts.every((host) => hosts.has(host)))
      .map(({ name }) => `routes.${name}.https`);
  }

  #told(cause: ReloadCause, result: ReloadResult): void {
    const { log } = this.#sink;
    this.#metrics.configReload(result.ok ? 'success' : 'failure');
    if (!result.ok) {
      const { problems } = result;
      log.error({ cause, problems }, 'the configuration was not reloaded; what runs stays');
      return;
    }
    const { changed, restart, warnings } = result;
    const shown = changed.slice(0, SHOWN_MAX);
    const more = changed.length - shown.length;
    log.info({ cause, changed: shown, more, hash: this.#hash() }, 'the configuration was reloaded');
    for (const warning of warnings) log.warn({}, warning);
    if (restart.length > 0) log.warn({ keys: restart }, 'a restart is needed for these keys');
    this.#warnOfInsecure();
  }

  #problemsOf(error: unknown): string[] {
    if (error instanceof StartError) return [`${error.key}: ${error.message}`];
    // A file of TLS was exchanged since it was inspected.
    if (error instanceof TlsFileError) return [error.message];
    this.#metrics.unhandledError();
    this.#sink.log.error({ cause: storyOf(error) }, 'internal error');
    return ['the sidecar has a bug; see the line before'];
  }

  #warnOfInsecure(): void {
    for (const insecure of this.#profiles.snapshot().insecure) {
      this.#sink.log.warn(insecure, 'certificates of origins are not verified on this route');
    }
  }

  #follow(): void {
    const { watch, intervalMs } = this.#config.reload;
    if (this.#loaded !== null) this.#reloads?.follow(this.#loaded.digests, watch ? intervalMs : null);
  }

  /** Of the configuration that runs; made when somebody asks. */
  #explained(): Explainer | null {
    if (this.#loaded === null) return null;
    const { written, provenance } = this.#loaded;
    this.#explainer ??= new Explainer({ config: this.#config, written, provenance }, this.#addresses?.proxy);
    return this.#explainer;
  }

  #disclosed(): Disclosure | null {
    if (this.#loaded !== null) this.#disclosure ??= disclose(configSchema, this.#loaded.written);
    return this.#disclosure;
  }

  /** Of what may be seen of the configuration: it tells nothing of a secret, and is the same in every pod. */
  #hash(): string | null {
    const values = this.#disclosed()?.values;
    if (values === undefined) return null;
    return createHash('sha256').update(JSON.stringify(values)).digest('hex').slice(0, 12);
  }

  // What operators may do

  #operations(): Operations {
    return {
      config: () => {
        const disclosed = this.#disclosed();
        return disclosed && { ...disclosed, restart: this.#restart };
      },
      explain: (query) => {
        const explainer = this.#explained();
        return explainer && explainQuery(explainer, query);
      },
      exchanges: () => this.#recent.list(),
      timelines: (id) => this.#recent.timelines(id),
      reload: () => this.reload('request'),
      drain: () => {
        void this.drain();
        this.#drainAsked.resolve('request');
      },
      force: (key, state) => {
        const origin = this.#origins.get(key);
        if (origin === undefined) return 'unknown';
        if (!origin.force(state)) return 'no circuit';
        this.#sink.log.warn({ origin: key, state }, 'an operator has set a circuit');
        return this.#origins.snapshot().find((one) => one.origin === key) ?? 'unknown';
      },
    };
  }

  /** Resolves when an operator has asked for the drain, which has begun. */
  get drainAsked(): Promise<'request'> {
    return this.#drainAsked.promise;
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
    // While the port is still ours, for the next sidecar on it writes its own there.
    if (this.#spareBundle !== null) removeBundle(this.#spareBundle);
    this.#spareBundle = null;
    this.#reloads?.close();
    this.#profiles.close();
    this.#secrets.close();
    const stopped = this.#listener.stop();
    const cut = new OutriggerError('draining');
    for (const exchange of this.#live) exchange.abort(cut);
    // One turn of the event loop and what it puts off to its end, so that the answers of what was cut get out.
    await new Promise((resolve) => setImmediate(() => setTimeout(resolve)));
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
        config: {
          at: this.#configAt.toISOString(),
          hash: this.#hash(),
          problem: this.#reloads?.problem ?? null,
        },
        tls: { ...this.#profiles.snapshot(), pinned: this.#generation.interceptor.snapshot() },
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

const speaksTls = ({ https, origin, tls }: Route): boolean =>
  https === 'originate' || https === 'intercept' || origin?.scheme === 'https' || tls !== null;

const routeNames = ({ routes }: Config): string[] => ['default', ...routes.map(({ name }) => name)];

const windowsOf = (config: Config): number[] =>
  policiesOf(config).map(({ limits: { minRateWindowMs } }) => minRateWindowMs);

const listening = ({ admin, telemetry, proxy }: Addresses): ListenAddress[] =>
  telemetry === null ? [admin, proxy] : [admin, telemetry, proxy];

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
