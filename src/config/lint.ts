/**
 * What a valid configuration says that will not happen: policies that cannot apply the way their route is
 * reached, and settings that nothing asks for. Warnings, for nothing breaks by them.
 *
 * Rules: only what was written for that very route is spoken of, never what it inherits; what says nothing
 * (a null, an empty list) is left alone; each warning says why, and what to write instead. Pure.
 */
import { backoffMs } from '../policy/backoff.ts';
import type { Policy, Route } from '../policy/policy.ts';
import { shadowedRoutes } from '../policy/shadow.ts';
import { isLoopback } from './address.ts';
import type { Config } from './config.ts';
import { at, type Problem } from './problem.ts';
import { formatPath, locate, type MappingNode, type Path, type TreeNode } from './tree.ts';
import { formatDuration } from './units.ts';

/** @param written the tree as it was written: merged, before routes inherit anything */
export function lint(config: Config, written: MappingNode): Problem[] {
  const found: Problem[] = [];
  for (const [i, route] of config.routes.entries()) {
    const warn: Warn = (keys, message) => {
      const path = ['routes', i, ...keys];
      const place = locate(written, path);
      if (place.exact && says(place.node)) found.push(at(place.keyPlace, `${formatPath(path)} ${message}`));
    };
    lintTunnel(route, warn);
    lintTls(route, warn);
    lintPorts(route, config, warn);
    lintPrefix(route, warn);
    lintDenial(route, config, warn);
    lintSecrets(route, warn, secretsOf(route.policy, written, ['routes', i, 'policy']));
    lintPolicy(route.policy, isTunnel(route), route.http2, config, written, ['routes', i], found);
  }
  lintPolicy(config.policy, false, false, config, written, [], found);
  lintShadows(config, written, found);
  for (const [path, name] of secretsOf(config.policy, written, ['policy'])) {
    const { exact, keyPlace } = locate(written, path);
    if (exact)
      found.push(
        at(
          keyPlace,
          `${formatPath(path)} is for every origin that is asked without a route of its own: set ${name} on a route with match.hosts`,
        ),
      );
  }
  const proxy = locate(written, ['listen', 'proxy']);
  if (!isLoopback(config.listen.proxy) && config.access.clients === 'any')
    found.push(
      at(
        proxy.keyPlace,
        'listen.proxy is no loopback address, so whoever reaches it may send by it: say access.clients: known',
      ),
    );
  const intercept = locate(written, ['intercept']);
  if (intercept.exact && asks(config.intercept) && !config.routes.some(({ https }) => https === 'intercept'))
    found.push(
      at(
        intercept.keyPlace,
        'intercept is for nothing: no route says https: intercept, so nothing is intercepted',
      ),
    );
  return found;
}

/** Warns if there is something at that place of the route. */
type Warn = (keys: Path, message: string) => void;

/** What is denied goes nowhere, unless that is only reported. */
function lintDenial({ access, report, match }: Route, config: Config, warn: Warn): void {
  if (report && access === 'allow') warn(['report'], 'is for nothing: the route denies nothing');
  if (access === 'deny' && !report && !config.access.report)
    warn(['addresses'], 'is for nothing: what the route matches is denied, so nothing is dialled');
  const refused = match.ports.filter((port) => config.access.deniedPorts.includes(port));
  if (access === 'deny' && refused.length > 0)
    warn(['match', 'ports'], `names ${refused[0]}, which access.deniedPorts denies already`);
}

/** Whether anything was written that could have an effect. */
function says(node: TreeNode): boolean {
  if (node.kind === 'list') return node.items.length > 0;
  if (node.kind === 'scalar') return node.value !== null && node.value !== false;
  return [...node.entries.values()].some((entry) => says(entry.node));
}

/** Whether there is more than settings of how often and how long. */
const asks = ({ ca, bundle }: Config['intercept']): boolean => ca !== null || bundle !== null;

/** Whether all that comes over this route's TLS are tunnels. */
const isTunnel = ({ https, prefix, match }: Route): boolean =>
  prefix === null &&
  (https === 'tunnel' ||
    (https === null && match.methods.length > 0 && match.methods.every((it) => it === 'CONNECT')));

const INSTEAD = 'with https: intercept or originate it would';

/** What needs more of a request or a response than a tunnel shows. */
const UNSEEN: readonly (readonly [keys: Path, why: string])[] = [
  [['policy', 'retry', 'statuses'], 'which show no status'],
  [['policy', 'retry', 'retryAfterMax'], 'which show no Retry-After'],
  [['policy', 'retry', 'replayBytes'], 'which show no request body'],
  [['policy', 'timeouts', 'head'], 'which show no response head'],
  [['policy', 'timeouts', 'tls'], "whose handshake is the application's own"],
  [['policy', 'headers'], 'which show no header fields'],
  [['credentials'], 'which show no header fields'],
  [['match', 'paths'], 'which show no path, so none takes this route'],
  [['tls'], "whose TLS is the application's own"],
  [['http2'], 'in which nobody speaks but the application'],
];

function lintTunnel(route: Route, warn: Warn): void {
  if (!isTunnel(route)) return;
  for (const [keys, why] of UNSEEN) warn(keys, `does not apply to tunnels, ${why}; ${INSTEAD}`);
  if (route.policy.retry.attempts > 1)
    warn(
      ['policy', 'retry', 'attempts'],
      `repeats nothing in a tunnel but a connection that could not be made: requests inside are not seen; ${INSTEAD}`,
    );
  const { methods } = route.match;
  if (methods.length > 0 && !methods.includes('CONNECT'))
    warn(
      ['match', 'methods'],
      `does not apply to tunnels, which show no method but CONNECT, so none takes this route; ${INSTEAD}`,
    );
}

/** Numbers that do not go together; spoken of where one of them was written for that very policy. */
function lintPolicy(
  { pool, timeouts, retry, breaker }: Policy,
  tunnel: boolean,
  http2: boolean,
  { limits }: Config,
  written: MappingNode,
  owner: Path,
  found: Problem[],
): void {
  /** At the first of these keys that was written. */
  const warn = (keys: readonly Path[], message: string): void => {
    for (const key of keys) {
      const path = [...owner, 'policy', ...key];
      const { exact, keyPlace } = locate(written, path);
      if (!exact) continue;
      found.push(at(keyPlace, `${formatPath(path)} ${message}`));
      return;
    }
  };
  const { totalMs, headMs, connectMs } = timeouts;
  let waits = 0;
  for (let made = 1; made < retry.attempts; made++) waits += backoffMs(retry.backoff, made, 1);
  const heads = retry.attempts * headMs + waits;
  if (totalMs !== null && totalMs < heads && !tunnel) {
    const sum = `${retry.attempts} × ${formatDuration(headMs)}${waits > 0 ? ` + ${formatDuration(waits)} of backoff` : ''}`;
    warn(
      [
        ['timeouts', 'total'],
        ['timeouts', 'head'],
        ['retry', 'attempts'],
        ['retry', 'backoff'],
      ],
      `leaves less time than the attempts may take: timeouts.total is ${formatDuration(totalMs)}, and ${sum} is ${formatDuration(heads)}; lower timeouts.head or retry.attempts, or raise timeouts.total`,
    );
  }
  if (pool.connections > limits.connections)
    warn(
      [['pool', 'connections']],
      `is never reached: limits.connections is ${limits.connections}, of all origins together`,
    );
  if (breaker === null) return;
  // An origin that hangs is seen to fail once in each timeout, on as many connections as there may be.
  const slowest = tunnel ? connectMs : headMs;
  const key = tunnel ? 'timeouts.connect' : 'timeouts.head';
  const connections = Math.min(pool.connections, limits.connections);
  const atOnce = Math.min(connections * (http2 ? 100 : 1), limits.exchanges);
  const seen = atOnce * (Math.floor(breaker.windowMs / slowest) + 1);
  if (seen < breaker.minimumCalls)
    warn(
      [
        ['breaker', 'minimumCalls'],
        ['breaker', 'window'],
        ['pool', 'connections'],
        ['timeouts', tunnel ? 'connect' : 'head'],
      ],
      `keeps the circuit closed however long an origin hangs: with ${atOnce} at once and ${key} ${formatDuration(slowest)}, no more than ${seen} attempts end within ${formatDuration(breaker.windowMs)}, and breaker.minimumCalls is ${breaker.minimumCalls}`,
    );
}

/** Routes that nothing takes. */
function lintShadows({ routes, access }: Config, written: MappingNode, found: Problem[]): void {
  for (const { route, by } of shadowedRoutes(routes, access.default)) {
    const path = ['routes', routes.indexOf(route)];
    const names = by.slice(0, 5).map(({ name }) => name);
    const more = by.length > names.length ? ` and ${by.length - names.length} more` : '';
    found.push(
      at(
        locate(written, [...path, 'name']).keyPlace,
        `${formatPath(path)} (${route.name}) is never taken: ${names.join(', ')}${more} ahead of it ${by.length === 1 ? 'takes' : 'take'} all that it matches; move it up, or leave it out`,
      ),
    );
  }
}

/** TLS settings of what dials no TLS. */
function lintTls(route: Route, warn: Warn): void {
  const { https, prefix, origin, match } = route;
  if (https === 'originate' || https === 'intercept' || isTunnel(route)) return;
  let why: string | null = null;
  if (origin?.scheme === 'http' && match.hosts.every((host) => host === origin.host))
    why = 'does not apply: the origin of the route is http://, without TLS';
  else if (prefix === null)
    why =
      'applies to https:// URLs in absolute form only, which few clients send: a CONNECT of this route is a tunnel; for its requests, say https: intercept or originate';
  if (why === null) return;
  warn(['tls'], why);
  warn(['http2'], why);
}

/** A CONNECT to a port that is closed to it never comes to its route. */
function lintPorts(route: Route, { access }: Config, warn: Warn): void {
  const { https, prefix, match } = route;
  if ((https !== 'tunnel' && https !== 'intercept') || prefix !== null) return;
  // To port 80, plain HTTP may come through a tunnel.
  const open = [80, ...access.tunnelPorts];
  if (match.ports.length > 0 && !match.ports.some((port) => open.includes(port)))
    warn(
      ['match', 'ports'],
      `has no port to which CONNECT is allowed, so nothing takes this route; access.tunnelPorts is ${JSON.stringify(access.tunnelPorts)}`,
    );
}

/** Requests of a prefix have its route whatever its hosts; others have it by their host. */
function lintPrefix({ prefix, origin, match }: Route, warn: Warn): void {
  if (prefix === null || origin === null) return;
  const { host } = origin;
  const named = match.hosts.some((it) => it === host || (it.startsWith('*.') && host.endsWith(it.slice(1))));
  if (!named)
    warn(
      ['match', 'hosts'],
      `does not name ${host}, where the prefix goes: what goes there otherwise than by ${prefix} takes another route; leave it out, or add the host`,
    );
  if (match.ports.length > 0 && !match.ports.includes(origin.port))
    warn(
      ['match', 'ports'],
      `does not name ${origin.port}, where the prefix goes: leave it out, or add the port`,
    );
  if (prefix !== '/' && match.paths.length > 0 && match.paths.every((path) => path.startsWith(`${prefix}/`)))
    warn(
      ['match', 'paths'],
      `is about the paths of the origin, which is asked without ${prefix}: leave that out, unless the origin has such paths`,
    );
}

/** Fields that are set to what nobody else should have: by their name, or because a file or the environment has it. */
function secretsOf({ headers }: Policy, written: MappingNode, policy: Path): [path: Path, name: string][] {
  return headers.request.set.flatMap(([name, value]) => {
    const path = [...policy, 'headers', 'request', 'set', name];
    const { exact, node } = locate(written, path);
    const resolved = exact && node.kind === 'scalar' && node.origin === 'resolved';
    const secret = typeof value !== 'string' || resolved || /^(?:authorization|cookie)$/i.test(name);
    return secret ? [[path, name] as [Path, string]] : [];
  });
}

/** What is secret goes to the origins of its route: which these are should be said, and they should speak TLS. */
function lintSecrets(
  { match, https, origin, credentials }: Route,
  warn: Warn,
  secrets: readonly (readonly [path: Path, name: string])[],
): void {
  // `warn` puts the route in front.
  const paths = secrets.map(([path]) => path.slice(2));
  if (credentials?.oauth2) paths.push(['credentials', 'oauth2']);
  if (credentials?.oauth2?.tokenUrl.scheme === 'http')
    warn(
      ['credentials', 'oauth2', 'tokenUrl'],
      'is plain http://, by which the client secret and the token go in clear: write https://',
    );
  // A route about the port of HTTPS alone takes no plain HTTP.
  const plain =
    origin?.scheme === 'http' ||
    (https !== 'originate' && https !== 'tunnel' && !(match.ports.length === 1 && match.ports[0] === 443));
  for (const path of paths) {
    if (match.hosts.length === 0)
      warn(path, 'goes to every origin, for the route has no match.hosts: name those that it is for');
    else if (plain)
      warn(
        path,
        'goes in clear to origins that are asked by plain http://: say https: originate, or match.ports: [443]',
      );
  }
}
