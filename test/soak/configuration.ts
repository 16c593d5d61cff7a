/**
 * The configuration that is soaked: every timer short, every limit low enough to be met, one route for each way
 * to a vendor. What a reload changes are knobs; bounds by which callers are judged stay as they are.
 */
import type { Vendors } from './vendors.ts';

export interface Knobs {
  /** policy.pool.connections */
  readonly pool: number;
  /** limits.connections */
  readonly connections: number;
  /** limits.exchanges */
  readonly exchanges: number;
  readonly attempts: number;
  readonly watch: boolean;
}

export const KNOBS: Knobs = { pool: 8, connections: 40, exchanges: 120, attempts: 3, watch: true };

/** The most attempts that any knobs allow. */
export const MOST_ATTEMPTS = 3;

export const TOTAL_MS = 5_000;
export const IDLE_MS = 1_500;
const RATE_WINDOW_MS = 2_000;
export const HEAD_TIMEOUT_MS = 1_500;
/** Before a body is there, the total does not run yet; it has its own bounds. */
export const UPLOAD_MS = IDLE_MS + RATE_WINDOW_MS + TOTAL_MS;
/** A stream has no end, but no silence either. */
export const STREAM_MS = IDLE_MS + RATE_WINDOW_MS;

export interface Places {
  readonly folder: string;
  readonly ca: string;
  readonly bundle: string;
}

export function configurationText(vendors: Vendors, places: Places, knobs: Knobs): string {
  const { quotes, grid, claims, vault, events, chat, files, scores } = vendors.byName;
  const ports = [...new Set(Object.values(vendors.byName).map(({ port }) => port))];
  const ca = `tls: { ca: ${JSON.stringify(places.ca)} }`;
  return `listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:0", headTimeout: ${HEAD_TIMEOUT_MS}ms, idleTimeout: 60s }
limits: { connections: ${knobs.connections}, exchanges: ${knobs.exchanges}, origins: 48, replayBytes: 2MiB }
policy:
  pool: { connections: ${knobs.pool}, queue: 24, queueTimeout: 1s, idleTimeout: 1s, maxAge: 10s }
  timeouts: { dns: 800ms, connect: 1s, tls: 1s, head: 1s, idle: ${IDLE_MS}ms, total: ${TOTAL_MS}ms }
  limits: { minRate: 512B, minRateWindow: ${RATE_WINDOW_MS}ms }
  retry:
    attempts: ${knobs.attempts}
    backoff: { initial: 20ms, max: 200ms }
    retryAfterMax: 1s
  breaker: { minimumCalls: 20, window: 2s, openFor: 300ms, openForMax: 1s }
routes:
  - { name: events, match: { hosts: [${events.host}] }, policy: { timeouts: { total: null } } }
  - { name: chat, match: { hosts: [${chat.host}] }, policy: { timeouts: { total: null } } }
  - { name: quotes, match: { hosts: [${quotes.host}] }, https: originate, ${ca} }
  - { name: grid, match: { hosts: [${grid.host}] }, https: originate, http2: true, ${ca} }
  - { name: claims, match: { hosts: [${claims.host}] }, https: intercept, ${ca} }
  - { name: vault, match: { hosts: [${vault.host}] }, https: tunnel }
  - { name: files, match: { hosts: [${files.host}] } }
  - { name: scores, prefix: /scores, origin: "${scores.url}" }
  - { name: closed, match: { hosts: [closed.vendor.test] }, access: deny }
access:
  addresses: { allow: [127.0.0.0/8] }
  tunnelPorts: [${ports.join(', ')}]
intercept: { bundle: ${JSON.stringify(places.bundle)}, pinned: refuse }
log: { format: json }
reload: { watch: ${knobs.watch}, interval: 300ms }
shutdown: { drainTimeout: 10s, quiet: 200ms }
`;
}

/** Each is wrong in another way. */
export const INVALID_TEXTS: readonly string[] = [
  'policy: { pool: { connections: many } }\n',
  'routes: [\n',
  'polity: {}\n',
  'policy: { timeouts: { head: "${file:no-such-file}" } }\n',
];
