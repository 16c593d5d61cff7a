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
import {
  CIRCUIT_OPENINGS,
  type Level,
  ORIGIN_LEVELS,
  type OriginFamilies,
  writeOrigins,
} from './origin-metrics.ts';
import {
  type Count,
  type Distribution,
  type FamilyText,
  ROUTE_COUNTS,
  ROUTE_DISTRIBUTIONS,
  type RouteFamilies,
  RouteMetrics,
} from './route-metrics.ts';
import type { UpstreamSnapshot } from './snapshot.ts';

/** Routes come from the configuration, which may be reloaded many times in one process. */
const MAX_ROUTES = 256;
const RENDER_EVERY_MS = 1000;
/** From a local answer to the longest wait anybody allows. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface MetricsOptions {
  readonly version: string;
  /** Their series exist from the start. */
  readonly routes: readonly string[];
  /** Called when somebody scrapes, and at no other time. */
  readonly snapshot: () => UpstreamSnapshot;
  /** Log lines lost so far. */
  readonly dropped: () => number;
}

/**
 * Node's own metrics are the process's, not a sidecar's: their hooks are set once however many sidecars
 * there are, and only when there is one. A coarse event-loop monitor, since it wakes an idle process up.
 */
let processMetrics: Registry | null = null;

function processRegistry(): Registry {
  if (processMetrics === null) {
    processMetrics = new Registry();
    collectDefaultMetrics({ register: processMetrics, eventLoopMonitoringPrecision: 50 });
  }
  return processMetrics;
}

// biome-ignore format: one family per line reads as the table it is
const TEXT = Object.freeze({
  tunnels: ['tunnels', 'Tunnels that are open.'],
  tunnelBytes: ['tunnel_bytes_total', 'Bytes carried in tunnels.', 'direction'],
  inFlight: ['exchanges_in_flight', 'Exchanges that have not finished.'],
  connections: ['connections', 'Upstream connections, tunnels included.'],
  callers: ['caller_connections', 'Connections of the application to the sidecar.'],
  replayBytes: ['replay_bytes', 'Bytes of request bodies that are held for a retry.'],
  reloads: ['config_reloads_total', 'Reloads of the configuration.', 'result'],
  dropped: ['log_lines_dropped_total', 'Log lines lost because the output was blocked or gone.'],
  build: ['build_info', 'The version that runs; always 1.', 'version', 'node'],
} as const satisfies Record<string, FamilyText>);

export class Metrics implements ExchangeObserver {
  readonly contentType: string;
  readonly #options: MetricsOptions;
  readonly #registry = new Registry();
  readonly #process = processRegistry();
  readonly #families: RouteFamilies;
  readonly #origins: OriginFamilies;
  readonly #routes = new Map<string, RouteMetrics>();
  readonly #other: RouteMetrics;
  readonly #levels: {
    readonly [name in 'tunnels' | 'inFlight' | 'connections' | 'callers' | 'replayBytes']: Level;
  };
  readonly #dropped: Level;
  readonly #tunnelBytes: Level;
  readonly #reloads: Record<'success' | 'failure', Count>;
  readonly #bytes = { upstream: 0, downstream: 0 };
  #tunnels = 0;
  #page: Promise<string> | null = null;
  #pageAt = 0;

  constructor(options: MetricsOptions) {
    const registry = this.#registry;
    this.#options = options;
    this.contentType = registry.contentType;
    this.#families = routeFamilies(registry);
    this.#origins = originFamilies(registry);
    this.#levels = {
      tunnels: level(registry, TEXT.tunnels),
      inFlight: level(registry, TEXT.inFlight),
      connections: level(registry, TEXT.connections),
      callers: level(registry, TEXT.callers),
      replayBytes: level(registry, TEXT.replayBytes),
    };
    this.#dropped = total(registry, TEXT.dropped);
    this.#tunnelBytes = total(registry, TEXT.tunnelBytes);
    const reloads = counts(registry, TEXT.reloads);
    this.#reloads = { success: reloads('success'), failure: reloads('failure') };
    // A counter that starts at 1 hides its first increase.
    for (const count of Object.values(this.#reloads)) count.inc(0);
    level(registry, TEXT.build).set(1, options.version, process.versions.node);
    this.#other = new RouteMetrics('other', this.#families);
    for (const route of options.routes) this.#route(route);
  }

  exchangeFinished(exchange: Exchange): void {
    this.#route(exchange.route.name).exchangeFinished(exchange);
  }

  configReload(result: 'success' | 'failure'): void {
    this.#reloads[result].inc();
  }

  tunnelOpened(): void {
    this.#tunnels++;
  }

  tunnelClosed(): void {
    this.#tunnels--;
  }

  /** Called for every piece: only a sum here, the library hears of it at the next scrape. */
  tunnelBytes(direction: 'upstream' | 'downstream', bytes: number): void {
    this.#bytes[direction] += bytes;
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
    this.#levels.tunnels.set(this.#tunnels);
    this.#levels.inFlight.set(snapshot.exchangesInFlight);
    this.#levels.connections.set(snapshot.connections);
    this.#levels.replayBytes.set(snapshot.replayBytes);
    if (snapshot.callerConnections !== undefined) this.#levels.callers.set(snapshot.callerConnections);
    this.#dropped.set(this.#options.dropped());
    this.#tunnelBytes.set(this.#bytes.upstream, 'upstream');
    this.#tunnelBytes.set(this.#bytes.downstream, 'downstream');
    return `${await this.#registry.metrics()}\n${await this.#process.metrics()}`;
  }

  #route(name: string): RouteMetrics {
    const known = this.#routes.get(name);
    if (known !== undefined) return known;
    if (this.#routes.size >= MAX_ROUTES) return this.#other;
    const metrics = new RouteMetrics(name, this.#families);
    this.#routes.set(name, metrics);
    return metrics;
  }
}

const configuration = (registry: Registry, [name, help, ...labelNames]: FamilyText) => ({
  name: `outrigger_${name}`,
  help,
  labelNames,
  registers: [registry],
});

/** Counted by us. */
function counts(registry: Registry, text: FamilyText): (...values: string[]) => Count {
  const counter = new Counter<string>(configuration(registry, text));
  return (...values) => counter.labels(...values);
}

function distributions(registry: Registry, text: FamilyText): (...values: string[]) => Distribution {
  const histogram = new Histogram<string>({ ...configuration(registry, text), buckets: BUCKETS });
  return (...values) => histogram.labels(...values);
}

/** Read at a scrape, may fall. */
function level(registry: Registry, text: FamilyText): Level {
  const gauge = new Gauge<string>(configuration(registry, text));
  return {
    reset: () => gauge.reset(),
    set: (value, ...labels) => gauge.labels(...labels).set(value),
  };
}

/** Counted by somebody else and read at a scrape. */
function total(registry: Registry, text: FamilyText): Level {
  const counter = new Counter<string>(configuration(registry, text));
  return {
    reset: () => counter.reset(),
    set: (value, ...labels) => {
      counter.remove(...labels);
      counter.labels(...labels).inc(value);
    },
  };
}

function routeFamilies(registry: Registry): RouteFamilies {
  return {
    exchanges: counts(registry, ROUTE_COUNTS.exchanges),
    attempts: counts(registry, ROUTE_COUNTS.attempts),
    retries: counts(registry, ROUTE_COUNTS.retries),
    retriesRefused: counts(registry, ROUTE_COUNTS.retriesRefused),
    errors: counts(registry, ROUTE_COUNTS.errors),
    shed: counts(registry, ROUTE_COUNTS.shed),
    exchangeDuration: distributions(registry, ROUTE_DISTRIBUTIONS.exchangeDuration),
    attemptDuration: distributions(registry, ROUTE_DISTRIBUTIONS.attemptDuration),
    queueWait: distributions(registry, ROUTE_DISTRIBUTIONS.queueWait),
  };
}

function originFamilies(registry: Registry): OriginFamilies {
  return {
    connections: level(registry, ORIGIN_LEVELS.connections),
    limit: level(registry, ORIGIN_LEVELS.limit),
    queue: level(registry, ORIGIN_LEVELS.queue),
    circuit: level(registry, ORIGIN_LEVELS.circuit),
    circuitOpenings: total(registry, CIRCUIT_OPENINGS),
  };
}
