/**
 * From the keys of the file to the values of the parts: units into names, maps into lists, and everything
 * frozen. Values that are equal are made the same object, so that a route which overrides only its timeouts
 * shares the pool and the breaker of the default policy, and state may be kept by identity.
 *
 * It checks nothing; what comes in is valid.
 */
import type { Policy, Route } from '../policy/policy.ts';
import type { Config } from './config.ts';
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
  const { listen, limits, access, requestId, log, shutdown } = settings;
  return deepFreeze({
    listen: {
      proxy: listen.proxy,
      admin: listen.admin,
      telemetry: listen.telemetry,
      headTimeoutMs: listen.headTimeout,
      idleTimeoutMs: listen.idleTimeout,
    },
    limits,
    policy: effectivePolicy(settings.policy, intern),
    routes: settings.routes.map(
      ({ name, match, access: verdict, policy }): Route => ({
        name,
        match,
        access: verdict,
        policy: effectivePolicy(policy, intern),
      }),
    ),
    access,
    requestId,
    log,
    shutdown: { drainTimeoutMs: shutdown.drainTimeout, quietMs: shutdown.quiet },
  });
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
