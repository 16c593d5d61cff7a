/**
 * From the keys of the file to the values of the parts: units into names, maps into lists, and everything
 * frozen. Values that are equal are made the same object, so that a route which overrides only its timeouts
 * shares the pool and the breaker of the default policy, and state may be kept by identity.
 *
 * It checks nothing; what comes in is valid.
 */
import type { Policy, Route, RouteMatch, RouteOrigin, TlsPolicy } from '../policy/policy.ts';
import type { Config } from './config.ts';
import { dayEndMs } from './route-schema.ts';
import type { Settings } from './schema.ts';

type Intern = <T>(value: T) => T;

/** Everything here is plain data in a fixed order of keys, so its JSON is its identity. */
function interner(): Intern {
  const known = new Map<string, unknown>();
  return <T>(value: T): T => {
    const key = JSON.stringify(value);
    if (!known.has(key)) known.set(key, deepFreeze(value));
    return known.get(key) as T;
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}

export function effectiveConfig(settings: Settings): Config {
  const intern = interner();
  const { listen, limits, access, intercept, requestId, log, shutdown } = settings;
  return deepFreeze({
    listen: {
      proxy: listen.proxy,
      admin: listen.admin,
      telemetry: listen.telemetry,
      headTimeoutMs: listen.headTimeout,
      idleTimeoutMs: listen.idleTimeout,
      streams: listen.streams,
    },
    limits,
    policy: effectivePolicy(settings.policy, intern),
    routes: settings.routes.map(
      (route): Route => ({
        name: route.name,
        match: effectiveMatch(route.match, route.origin),
        access: route.access,
        https: route.https,
        prefix: route.prefix,
        origin: route.origin,
        tls: route.tls && intern(effectiveTls(route.tls)),
        http2: route.http2,
        policy: effectivePolicy(route.policy, intern),
      }),
    ),
    access,
    intercept: {
      ca: intercept.ca,
      bundle: intercept.bundle,
      leaves: intercept.leaves,
      pinned: intercept.pinned,
      pinnedForMs: intercept.pinnedFor,
    },
    requestId,
    log,
    shutdown: { drainTimeoutMs: shutdown.drainTimeout, quietMs: shutdown.quiet },
  });
}

/** A route that only says where its prefix goes is about that origin, and not about everything. */
function effectiveMatch(match: RouteMatch, origin: RouteOrigin | null): RouteMatch {
  if (origin === null || match.hosts.length > 0) return match;
  return { ...match, hosts: [origin.host], ports: match.ports.length > 0 ? match.ports : [origin.port] };
}

function effectiveTls(tls: NonNullable<Settings['routes'][number]['tls']>): TlsPolicy {
  const { ca, cert, key, servername, minVersion, insecure } = tls;
  return {
    ca,
    cert,
    key,
    servername,
    minVersion,
    insecure: insecure && { ...insecure, untilMs: dayEndMs(insecure.until) },
  };
}

function effectivePolicy(
  { pool, timeouts, retry, breaker, headers }: Settings['policy'],
  intern: Intern,
): Policy {
  return intern({
    pool: intern({
      connections: pool.connections,
      queue: pool.queue,
      queueTimeoutMs: pool.queueTimeout,
      idleTimeoutMs: pool.idleTimeout,
      maxAgeMs: pool.maxAge,
    }),
    timeouts: intern({
      dnsMs: timeouts.dns,
      connectMs: timeouts.connect,
      tlsMs: timeouts.tls,
      headMs: timeouts.head,
      idleMs: timeouts.idle,
      totalMs: timeouts.total,
    }),
    retry: intern({
      attempts: retry.attempts,
      statuses: retry.statuses,
      backoff: intern({ initialMs: retry.backoff.initial, maxMs: retry.backoff.max }),
      retryAfterMaxMs: retry.retryAfterMax,
      budget: intern({ ratio: retry.budget.ratio, floor: retry.budget.floor }),
      replayBytes: retry.replayBytes,
    }),
    breaker:
      breaker &&
      intern({
        failureRatio: breaker.failureRatio,
        minimumCalls: breaker.minimumCalls,
        windowMs: breaker.window,
        openForMs: breaker.openFor,
        openForMaxMs: breaker.openForMax,
      }),
    headers: intern({
      request: effectiveEdits(headers.request, intern),
      response: effectiveEdits(headers.response, intern),
    }),
  });
}

type Edits = Settings['policy']['headers']['request'];

function effectiveEdits({ set, remove }: Edits, intern: Intern): Policy['headers']['request'] {
  return intern({ set: Object.entries(set), remove: remove.map((name) => name.toLowerCase()) });
}
