/**
 * The metrics, in Prometheus' text format. The only file that knows prom-client.
 *
 * Rules: told of finished exchanges, never asks; what is state (pools, queues, circuits) is read from one
 * snapshot when somebody scrapes and at no other time. Every label's values are bounded, whatever callers
 * and origins send. The page is made at most once a second, so that scrapes cannot burn the event loop.
 * It does not know which classes keep the state.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Exchange, ExchangeObserver } from '../exchange.ts';
import { type CountFamily, Distribution, type FamilyText, type LevelFamily, Tally } from './families.ts';
import { CIRCUIT_OPENINGS, ORIGIN_LEVELS, type OriginFamilies, writeOrigins } from './origin-metrics.ts';
import { ROUTE_COUNTS, ROUTE_DISTRIBUTIONS, type RouteFamilies, RouteMetrics } from './route-metrics.ts';
import {
  CALLERS,
  DROPPED,
  SIDECAR_COUNTS,
  SIDECAR_LEVELS,
  type SidecarLevels,
  writeSidecar,
} from './sidecar-metrics.ts';
import type { UpstreamSnapshot } from './snapshot.ts';

/**
 * Routes come from the configuration, which may be reloaded many times in one process: those that have gone keep
 * their series, so that a count does not begin anew when they come back, until another needs the place.
 */
const MAX_ROUTES = 256;
const OTHER = 'other';
const RENDER_EVERY_MS = 1000;
const PREFIX = 'outrigger_';

export interface MetricsOptions {
  readonly version: string;
  /** Their series exist from the start. */
  readonly routes: readonly string[];
  /** Called when somebody scrapes, and at no other time. */
  readonly snapshot: () => UpstreamSnapshot;
  /** Log lines lost so far. */
  readonly dropped: () => number;
}

export class Metrics implements ExchangeObserver {
  readonly contentType: string;
  readonly #options: MetricsOptions;
  readonly #registry = new Registry();
  #counts: CountedSeries[] = [];
  readonly #distributions: CountedHistogram[] = [];
  readonly #families: RouteFamilies;
  readonly #origins: OriginFamilies;
  readonly #levels: SidecarLevels;
  readonly #dropped: LevelFamily;
  #callers: LevelFamily | null = null;
  readonly #tunnelBytes: Readonly<Record<'upstream' | 'downstream', Tally>>;
  readonly #handshakes: Readonly<Record<'completed' | 'distrusted' | 'failed', Tally>>;
  readonly #unhandled: Tally;
  readonly #callersShed: Readonly<Record<'no request' | 'idle' | 'refused', Tally>>;
  readonly #reloads: Readonly<Record<'success' | 'failure', Tally>>;
  readonly #routes = new Map<string, RouteMetrics>();
  #current: ReadonlySet<string> = new Set();
  #tunnels = 0;
  #page: Promise<string> | null = null;
  #pageAt = 0;

  constructor(options: MetricsOptions) {
    const registry = this.#registry;
    const count = (text: FamilyText) => countFamily(registry, text, (series) => this.#counts.push(series));
    const level = (text: FamilyText) => levelFamily(registry, text);
    const total = (text: FamilyText) => totalFamily(registry, text);
    this.#options = options;
    this.contentType = registry.contentType;
    this.#families = {
      ...each(ROUTE_COUNTS, count),
      ...each(ROUTE_DISTRIBUTIONS, (text) => {
        const histogram = new CountedHistogram(registry, text);
        this.#distributions.push(histogram);
        return (...values) => histogram.add(values);
      }),
    };
    this.#origins = { ...each(ORIGIN_LEVELS, level), circuitOpenings: total(CIRCUIT_OPENINGS) };
    this.#levels = each(SIDECAR_LEVELS, level);
    this.#dropped = total(DROPPED);
    const { tunnelBytes, handshakes, unhandled, callersShed, reloads } = each(SIDECAR_COUNTS, count);
    this.#tunnelBytes = { upstream: tunnelBytes('upstream'), downstream: tunnelBytes('downstream') };
    this.#handshakes = {
      completed: handshakes('completed'),
      distrusted: handshakes('distrusted'),
      failed: handshakes('failed'),
    };
    this.#unhandled = unhandled();
    this.#callersShed = {
      'no request': callersShed('no request'),
      idle: callersShed('idle'),
      refused: callersShed('refused'),
    };
    this.#reloads = { success: reloads('success'), failure: reloads('failure') };
    this.#levels.build.set(1, options.version, process.versions.node);
    this.setRoutes(options.routes);
    processRegistry();
  }

  exchangeFinished(exchange: Exchange): void {
    this.#route(exchange.route.name).exchangeFinished(exchange);
  }

  /** Those of the configuration from now on. */
  setRoutes(names: readonly string[]): void {
    this.#current = new Set(names);
    for (const name of names) this.#route(name);
  }

  configReload(result: 'success' | 'failure'): void {
    this.#reloads[result].inc();
  }

  callerShed(reason: 'no request' | 'idle' | 'refused'): void {
    this.#callersShed[reason].inc();
  }

  /** Of a caller whose connection is intercepted. */
  interceptHandshake(result: 'completed' | 'distrusted' | 'failed'): void {
    this.#handshakes[result].inc();
  }

  unhandledError(): void {
    this.#unhandled.inc();
  }

  tunnelOpened(): void {
    this.#tunnels++;
  }

  tunnelClosed(): void {
    this.#tunnels--;
  }

  tunnelBytes(direction: 'upstream' | 'downstream', bytes: number): void {
    this.#tunnelBytes[direction].add(bytes);
  }

  /** The page; up to a second old. */
  render(): Promise<string> {
    const now = performance.now();
    if (this.#page === null || now - this.#pageAt >= RENDER_EVERY_MS) {
      this.#pageAt = now;
      this.#page = this.#render();
    }
    return this.#page;
  }

  async #render(): Promise<string> {
    const snapshot = this.#options.snapshot();
    writeOrigins(this.#origins, snapshot.origins);
    writeSidecar(this.#levels, snapshot, this.#tunnels);
    if (snapshot.callerConnections !== undefined) {
      this.#callers ??= levelFamily(this.#registry, CALLERS);
      this.#callers.set(snapshot.callerConnections);
    }
    this.#dropped.reset();
    this.#dropped.set(this.#options.dropped());
    for (const { series, tally } of this.#counts) series.inc(tally.take());
    return `${await this.#registry.metrics()}\n${await processRegistry().metrics()}`;
  }

  #route(name: string): RouteMetrics {
    const known = this.#routes.get(name);
    if (known !== undefined) return known;
    if (this.#routes.size >= MAX_ROUTES && name !== OTHER) {
      // One that has gone, and finishes its last exchanges, takes nobody's place.
      if (!this.#current.has(name) || !this.#dropOne()) return this.#route(OTHER);
    }
    const metrics = new RouteMetrics(name, this.#families);
    this.#routes.set(name, metrics);
    return metrics;
  }

  /** A route that the configuration no longer has makes place; false: there is none. */
  #dropOne(): boolean {
    for (const name of this.#routes.keys()) {
      if (this.#current.has(name) || name === OTHER) continue;
      this.#routes.delete(name);
      for (const series of this.#counts) if (series.route === name) series.remove();
      this.#counts = this.#counts.filter(({ route }) => route !== name);
      for (const histogram of this.#distributions) histogram.drop(name);
      return true;
    }
    return false;
  }
}

interface CountedSeries {
  /** The first label's value, where that is a route. */
  readonly route: string | null;
  readonly series: { inc(by: number): void };
  readonly tally: Tally;
  remove(): void;
}

/**
 * Node's own metrics are the process's, not a sidecar's: their hooks are set once however many sidecars
 * there are. By default they keep an idle process busy for 1 % of a core: the event loop's delay is looked at
 * half as often (what it shows includes the 20 ms), its utilization every 5 s in the place of ten times a second.
 */
let processMetrics: Registry | null = null;

function processRegistry(): Registry {
  if (processMetrics === null) {
    processMetrics = new Registry();
    collectDefaultMetrics({
      register: processMetrics,
      eventLoopMonitoringPrecision: 20,
      eventLoopUtilizationTimeout: 5000,
    });
  }
  return processMetrics;
}

const configuration = (registry: Registry, [name, help, ...labelNames]: FamilyText) => ({
  name: PREFIX + name,
  help,
  labelNames,
  registers: [registry],
});

const each = <K extends string, F>(texts: Readonly<Record<K, FamilyText>>, make: (text: FamilyText) => F) =>
  Object.fromEntries(Object.entries<FamilyText>(texts).map(([key, text]) => [key, make(text)])) as Record<
    K,
    F
  >;

function countFamily(
  registry: Registry,
  text: FamilyText,
  counted: (series: CountedSeries) => void,
): CountFamily {
  const counter = new Counter<string>(configuration(registry, text));
  return (...values) => {
    const tally = new Tally();
    const route = text[2] === 'route' ? (values[0] ?? null) : null;
    counted({ route, series: counter.labels(...values), tally, remove: () => counter.remove(...values) });
    return tally;
  };
}

function levelFamily(registry: Registry, text: FamilyText): LevelFamily {
  const gauge = new Gauge<string>(configuration(registry, text));
  return {
    reset: () => gauge.reset(),
    set: (value, ...values) => gauge.labels(...values).set(value),
  };
}

/** Counted by somebody else: what is set is the sum so far. */
function totalFamily(registry: Registry, text: FamilyText): LevelFamily {
  const counter = new Counter<string>(configuration(registry, text));
  return {
    reset: () => counter.reset(),
    set: (value, ...values) => counter.labels(...values).inc(value),
  };
}

/** A histogram whose observations are counted by us; the library is shown the sums. */
class CountedHistogram extends Histogram<string> {
  readonly #text: FamilyText;
  #series: { readonly labels: Record<string, string>; readonly distribution: Distribution }[] = [];

  constructor(registry: Registry, text: FamilyText) {
    super(configuration(registry, text));
    this.#text = text;
  }

  add(values: readonly string[]): Distribution {
    const [, , ...names] = this.#text;
    const distribution = new Distribution();
    const labels = Object.fromEntries(names.map((name, i) => [name, values[i] as string]));
    this.#series.push({ labels, distribution });
    return distribution;
  }

  drop(route: string): void {
    this.#series = this.#series.filter(({ labels }) => labels['route'] !== route);
  }

  override get(): ReturnType<Histogram<string>['get']> {
    return this.getForPromString();
  }

  /** What the registry of this library asks a histogram for in the place of `get`. */
  async getForPromString() {
    const [name, help] = [PREFIX + this.#text[0], this.#text[1]];
    const values = this.#series.flatMap(({ labels, distribution }) => distribution.samples(name, labels));
    return { name, help, type: 'histogram' as const, aggregator: 'sum' as const, values, collect: () => {} };
  }
}
