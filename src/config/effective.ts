/**
 * From the keys of the file to the values of the parts: units into names, maps into lists, and everything
 * frozen. Values that are equal are made the same object, so that a route which overrides only its timeouts
 * shares the pool and the breaker of the default policy, and state may be kept by identity.
 *
 * It checks nothing; what comes in is valid.
 */
import type {
  Client,
  CredentialsPolicy,
  Policy,
  Route,
  RouteAddresses,
  RouteMatch,
  RouteOrigin,
  TlsPolicy,
} from '../policy/policy.ts';
import type { Config } from './config.ts';
import { dayEndMs } from './route-schema.ts';
import type { Settings } from './schema.ts';
import { SecretTexts } from './secret-texts.ts';
import type { MappingNode, Path } from './tree.ts';

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

/** @param tree what the settings were made of, for what is kept of how a value was written */
export function effectiveConfig(settings: Settings, tree: MappingNode): Config {
  const intern = interner();
  const addressesOf = addressesReader();
  const texts = new SecretTexts(tree);
  const { listen, admin, limits, access, intercept, requestId, log, reload, shutdown } = settings;
  return deepFreeze({
    listen: {
      proxy: listen.proxy,
      admin: listen.admin,
      telemetry: listen.telemetry,
      headTimeoutMs: listen.headTimeout,
      idleTimeoutMs: listen.idleTimeout,
      streams: listen.streams,
      connections: listen.connections,
      connectionsPerClient: listen.connectionsPerClient,
    },
    admin,
    limits,
    policy: effectivePolicy(settings.policy, intern, texts, ['policy']),
    routes: settings.routes.map(
      (route, i): Route => ({
        name: route.name,
        match: effectiveMatch(route.match, route.origin),
        access: route.access,
        report: route.report,
        addresses: addressesOf(route.addresses, route.name),
        https: route.https,
        prefix: route.prefix,
        origin: route.origin,
        tls: route.tls && intern(effectiveTls(route.tls)),
        http2: route.http2,
        credentials: effectiveCredentials(route, texts, ['routes', i]),
        policy: effectivePolicy(route.policy, intern, texts, ['routes', i, 'policy']),
      }),
    ),
    clients: settings.clients.map(effectiveClient),
    secrets: texts.all,
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
    reload: { watch: reload.watch, intervalMs: reload.interval },
    shutdown: { drainTimeoutMs: shutdown.drainTimeout, quietMs: shutdown.quiet },
  });
}

/** A route that only says where its prefix goes is about that origin, and not about everything. */
function effectiveMatch(match: RouteMatch, origin: RouteOrigin | null): RouteMatch {
  if (origin === null || match.hosts.length > 0) return match;
  return { ...match, hosts: [origin.host], ports: match.ports.length > 0 ? match.ports : [origin.port] };
}

type Lists = Settings['routes'][number]['addresses'];

/** Routes with the same lists share what they dial, under the name of the first. */
function addressesReader(): (lists: Lists, route: string) => RouteAddresses | null {
  const known = new Map<string, RouteAddresses>();
  return ({ allow, deny }, route) => {
    if (allow.length === 0 && deny.length === 0) return null;
    const lists = JSON.stringify([allow, deny]);
    let addresses = known.get(lists);
    if (addresses === undefined) {
      const denials =
        deny.length === 0 ? null : deepFreeze({ key: `@${route}!`, allow: [], deny, denials: null });
      addresses = deepFreeze({ key: `@${route}`, allow, deny, denials });
      known.set(lists, addresses);
    }
    return addresses;
  };
}

function effectiveClient({
  name,
  addresses,
  username,
  password,
  exchanges,
}: Settings['clients'][number]): Client {
  const credentials = username === null || password === null ? null : { username, password };
  return { name, addresses, credentials, exchanges };
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

/** Those of the caller, and those that the route sets in their place. */
function effectiveCredentials(
  { credentials, policy }: Settings['routes'][number],
  texts: SecretTexts,
  path: Path,
): CredentialsPolicy | null {
  if (credentials === null) return null;
  const { caller, oauth2 } = credentials;
  const edits = [...path, 'policy', 'headers', 'request', 'set'];
  const set = Object.keys(policy.headers.request.set).filter((name) => texts.isSecret([...edits, name]));
  const names = ['authorization', 'cookie', ...set, ...(oauth2 === null ? [] : [oauth2.header])];
  return {
    caller,
    fields: [...new Set(names.map((name) => name.toLowerCase()))],
    oauth2: oauth2 && {
      tokenUrl: oauth2.tokenUrl,
      clientId: oauth2.clientId,
      clientSecret: texts.at([...path, 'credentials', 'oauth2', 'clientSecret'], oauth2.clientSecret),
      scopes: oauth2.scopes,
      audience: oauth2.audience,
      auth: oauth2.auth,
      refreshBeforeMs: oauth2.refreshBefore,
      timeoutMs: oauth2.timeout,
      header: oauth2.header,
    },
  };
}

function effectivePolicy(
  { pool, timeouts, limits, retry, breaker, headers }: Settings['policy'],
  intern: Intern,
  texts: SecretTexts,
  path: Path,
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
    limits: intern({
      requestBytes: limits.requestBytes,
      responseBytes: limits.responseBytes,
      minRate: limits.minRate,
      minRateWindowMs: limits.minRateWindow,
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
      request: effectiveEdits(headers.request, intern, texts, [...path, 'headers', 'request', 'set']),
      response: effectiveEdits(headers.response, intern, texts, [...path, 'headers', 'response', 'set']),
    }),
  });
}

type Edits = Settings['policy']['headers']['request'];

function effectiveEdits(
  { set, remove }: Edits,
  intern: Intern,
  texts: SecretTexts,
  path: Path,
): Policy['headers']['request'] {
  return intern({
    set: Object.entries(set).map(([name, value]) => [name, texts.at([...path, name], value)] as const),
    remove: remove.map((name) => name.toLowerCase()),
  });
}
