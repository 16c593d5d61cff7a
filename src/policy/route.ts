/**
 * Which route an exchange takes: the first in the order of the configuration that matches.
 *
 * Routes are found by host (exact, then by every suffix, then those for any host), those of one host by path, where
 * there are many, and the smallest number wins, so that 500 routes cost an exchange a few look-ups. A path that chooses a
 * policy is compared byte for byte: no dot segment is resolved and no escape decoded. Where access depends on
 * it (the route denies, or stands in front of a denial) every reading of it counts: `path-guard.ts`. The path
 * itself goes on as it came. It knows no configuration.
 */
import { PathGuard, PathLook } from './path-guard.ts';
import type { Route } from './policy.ts';
import { type Asker, RouteList } from './route-list.ts';

/** In the place of port 80 of plain HTTP. */
const PLAIN = -80;

/** Where an exchange is to go, as far as routes look at it. */
export interface Destination {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
}

/** Null: the route says nothing about it. */
export interface Conditions {
  readonly hosts: boolean | null;
  readonly ports: boolean | null;
  readonly methods: boolean | null;
  readonly paths: boolean | null;
  readonly clients: boolean | null;
}

export class RouteTable implements Asker {
  readonly #routes: readonly Route[];
  readonly #fallback: Route;
  /** The routes that name the host. */
  readonly #exact: ReadonlyMap<string, RouteList>;
  /** Those that name everything below a host; the key has no leading dot. */
  readonly #below: ReadonlyMap<string, RouteList>;
  readonly #anywhere: RouteList;
  /** Those that say how a CONNECT is handled. */
  readonly #connecting: readonly Route[];
  /** Routes on whose paths access depends. */
  readonly #guards = new Map<Route, PathGuard>();
  readonly #look = new PathLook();
  /** What is asked for, while routes are looked at. */
  #method = '';
  #port = 0;
  #path = '';
  #client: string | null = null;

  constructor(routes: readonly Route[], fallback: Route) {
    this.#routes = routes;
    this.#connecting = routes.filter(({ https }) => https === 'tunnel' || https === 'intercept');
    this.#fallback = fallback;
    const lastDenial = fallback.access === 'deny' ? routes.length : routes.findLastIndex(denies);
    const exact = new Map<string, number[]>();
    const below = new Map<string, number[]>();
    const anywhere: number[] = [];
    for (const [i, route] of routes.entries()) {
      if (route.match.paths.length > 0 && i <= lastDenial)
        this.#guards.set(route, new PathGuard(route.match.paths, denies(route)));
      if (route.match.hosts.length === 0) anywhere.push(i);
      for (const host of route.match.hosts) {
        if (host.startsWith('*.')) note(below, host.slice(2), i);
        else note(exact, host, i);
      }
    }
    const list = (numbers: readonly number[]) => new RouteList(numbers, routes, this.#guards);
    this.#exact = new Map(Array.from(exact, ([host, numbers]) => [host, list(numbers)]));
    this.#below = new Map(Array.from(below, ([host, numbers]) => [host, list(numbers)]));
    this.#anywhere = list(anywhere);
  }

  /**
   * How a CONNECT to that host and port is handled: by the first route that is about them and says so. The
   * CONNECT itself shows neither the methods nor the paths that will be asked for.
   */
  connecting(host: string, port: number, client: string | null = null): Route | null {
    return this.#connecting.find((route) => isFor(route, client) && isAbout(route, host, port)) ?? null;
  }

  /** The route by which a CONNECT to that host and port is intercepted; null: it is a tunnel. */
  intercepting(host: string, port: number, client: string | null = null): Route | null {
    const route = this.connecting(host, port, client);
    return route?.https === 'intercept' ? route : null;
  }

  /** Whether it depends on the requests to a host which of them may pass: then they must be seen. */
  dependsOnRequests(host: string, port: number): boolean {
    return this.#routes.some((route) => {
      const { paths, methods } = route.match;
      // A credential that is refused would go in through what nobody looks into.
      if (route.credentials?.caller === 'refuse') return isAbout(route, host, port);
      if (paths.length === 0 && methods.length === 0) return false;
      if (route.access === 'allow' && this.#fallback.access === 'allow') return false;
      return isAbout(route, host, port);
    });
  }

  /** Whether a route is about such requests, wherever they go. */
  asksFor(route: Route, method: string, path: string, client: string | null = null): boolean {
    return isFor(route, client) && this.#asksFor(route, method, path);
  }

  /** `path` may carry a query, which does not count; it is '' for CONNECT. `client`: null for nobody known. */
  match(
    method: string,
    { scheme, host, port: asked }: Destination,
    path: string,
    client: string | null = null,
  ): Route {
    // Plain HTTP to its own port may be about to become HTTPS: then it goes to the port of that.
    this.#port = scheme === 'http' && asked === 80 ? PLAIN : asked;
    this.#method = method;
    this.#path = path;
    this.#client = client;
    let best = this.#firstOf(this.#anywhere, this.#routes.length);
    best = this.#firstOf(this.#exact.get(host), best);
    if (this.#below.size > 0) {
      // A name below x has at least one label in front of it: `*.x` is neither x nor `.x`.
      for (let dot = host.indexOf('.', 1); dot !== -1; dot = host.indexOf('.', dot + 1)) {
        best = this.#firstOf(this.#below.get(host.slice(dot + 1)), best);
      }
    }
    return this.#routes[best] ?? this.#fallback;
  }

  #firstOf(list: RouteList | undefined, best: number): number {
    return list === undefined ? best : list.first(best, this.#path, this.#look, this);
  }

  /** For a list of routes: whether this one takes what is asked for, the host aside. */
  takes(i: number): boolean {
    const route = this.#routes[i] as Route;
    return (
      matchesPort(route, this.#port) &&
      isFor(route, this.#client) &&
      this.#asksFor(route, this.#method, this.#path)
    );
  }

  /** Which of its conditions a request meets: all of them where the route matches. For whoever asks why. */
  conditions(
    route: Route,
    method: string,
    { scheme, host, port: asked }: Destination,
    path: string,
    client: string | null = null,
  ): Conditions {
    const { hosts, ports, methods, paths, clients } = route.match;
    const port = scheme === 'http' && asked === 80 ? PLAIN : asked;
    return {
      hosts: hosts.length === 0 ? null : hosts.some((pattern) => matchesHost(pattern, host)),
      ports: ports.length === 0 ? null : matchesPort(route, port),
      methods: methods.length === 0 ? null : takesMethod(route, method),
      paths: paths.length === 0 ? null : this.#takesPath(route, method, path),
      clients: clients.length === 0 ? null : isFor(route, client),
    };
  }

  #asksFor(route: Route, method: string, path: string): boolean {
    return takesMethod(route, method) && this.#takesPath(route, method, path);
  }

  #takesPath(route: Route, method: string, path: string): boolean {
    const { paths } = route.match;
    if (paths.length === 0) return true;
    // A tunnel shows no path, so a route that asks for one cannot mean it.
    if (method === 'CONNECT') return false;
    const guard = this.#guards.get(route);
    if (guard !== undefined) return guard.takes(this.#look.at(path));
    for (const pattern of paths) if (matchesPath(pattern, path)) return true;
    return false;
  }
}

const denies = ({ access }: Route): boolean => access === 'deny';

/** Methods are case-sensitive (RFC 9110, section 9.1), but not to every origin: a denial holds in any case. */
function takesMethod(route: Route, method: string): boolean {
  const { methods } = route.match;
  if (methods.length === 0 || methods.includes(method)) return true;
  if (!denies(route)) return false;
  const upper = method.toUpperCase();
  return methods.some((one) => one.toUpperCase() === upper);
}

/** Whoever is not told from others is nobody's client. */
function isFor({ match: { clients } }: Route, client: string | null): boolean {
  return clients.length === 0 || (client !== null && clients.includes(client));
}

/** Whatever is asked for there. */
function isAbout({ match: { hosts, ports } }: Route, host: string, port: number): boolean {
  if (ports.length > 0 && !ports.includes(port)) return false;
  return hosts.length === 0 || hosts.some((pattern) => matchesHost(pattern, host));
}

function matchesHost(pattern: string, host: string): boolean {
  if (!pattern.startsWith('*.')) return pattern === host;
  return host.length >= pattern.length && host.endsWith(pattern.slice(1));
}

function note(index: Map<string, number[]>, host: string, i: number): void {
  const numbers = index.get(host);
  if (numbers === undefined) index.set(host, [i]);
  else numbers.push(i);
}

function matchesPort({ https, match }: Route, port: number): boolean {
  if (match.ports.length === 0) return true;
  if (port !== PLAIN) return match.ports.includes(port);
  return match.ports.includes(80) || (https === 'originate' && match.ports.includes(443));
}

function matchesPath(pattern: string, path: string): boolean {
  const query = path.indexOf('?');
  const end = query === -1 ? path.length : query;
  if (pattern.endsWith('*')) {
    const length = pattern.length - 1;
    if (length > end) return false;
    for (let i = 0; i < length; i++) if (pattern.charCodeAt(i) !== path.charCodeAt(i)) return false;
    return true;
  }
  return pattern.length === end && path.startsWith(pattern);
}
