/**
 * Routes that are never taken, because routes ahead of them take all that they match. Pure.
 *
 * Rules: what is said of a route is certain; a route that is shadowed by several only together is found where each of
 * its hosts, ports, methods, paths and clients has one of its own. A path that access depends on is read in many
 * ways, so a route that lets it pass takes less than it says, and shadows nothing by its paths.
 */
import type { Route } from './policy.ts';

/** One of each: what a route matches is all combinations of these. Null: anything. */
interface Atom {
  readonly host: string | null;
  readonly port: number | null;
  readonly method: string | null;
  readonly path: string | null;
  readonly client: string | null;
}

/** More combinations are not looked at. */
const ATOMS_MAX = 20_000;

export interface Shadow {
  readonly route: Route;
  /** Those that take what it matches. */
  readonly by: readonly Route[];
}

/** `defaultAccess`: of what matches no route. */
export function shadowedRoutes(routes: readonly Route[], defaultAccess: 'allow' | 'deny'): Shadow[] {
  const lastDenial =
    defaultAccess === 'deny' ? routes.length : routes.findLastIndex(({ access }) => access === 'deny');
  // A guard that lets pass: it takes a path only if every reading of it is meant.
  const narrow = (i: number): boolean => i <= lastDenial && (routes[i] as Route).access === 'allow';
  const found: Shadow[] = [];
  for (const [i, route] of routes.entries()) {
    // It has its prefix for itself.
    if (i === 0 || route.prefix !== null) continue;
    const earlier = routes.slice(0, i);
    const by = coverOf(route, earlier, (n) => narrow(n));
    if (by === null) continue;
    // How a CONNECT is handled is asked of the first route that says so, whatever else matches.
    const says = route.https === 'tunnel' || route.https === 'intercept';
    if (says && !isConnectingCovered(route, earlier)) continue;
    found.push({ route, by });
  }
  return found;
}

/** The routes that take all of it; null: something is left. */
function coverOf(
  { match, https, access }: Route,
  earlier: readonly Route[],
  narrow: (index: number) => boolean,
): Route[] | null {
  const parts = [match.hosts, match.ports, match.methods, match.paths, match.clients];
  if (parts.reduce((count, list) => count * Math.max(1, list.length), 1) * earlier.length > ATOMS_MAX)
    return null;
  const denies = access === 'deny';
  const taking = new Set<Route>();
  const orAny = <T>(list: readonly T[]): readonly (T | null)[] => (list.length === 0 ? [null] : list);
  // http:// on its own port comes here, too, if TLS is originated.
  const ports = https === 'originate' && match.ports.includes(443) ? [...match.ports, 80] : match.ports;
  for (const host of orAny(match.hosts))
    for (const port of orAny(ports))
      for (const method of orAny(match.methods))
        for (const path of orAny(match.paths))
          for (const client of orAny(match.clients)) {
            const atom = { host, port, method, path, client };
            const one = earlier.find((route, i) => takes(route, atom, narrow(i), denies));
            if (one === undefined) return null;
            taking.add(one);
          }
  return [...taking];
}

/** `denied`: what is matched is a denial, which holds for a method in any case. */
function takes(
  { match, access }: Route,
  { host, port, method, path, client }: Atom,
  narrow: boolean,
  denied: boolean,
): boolean {
  const { hosts, ports, methods, paths, clients } = match;
  if (hosts.length > 0 && (host === null || !hosts.some((wider) => holdsHost(wider, host)))) return false;
  if (ports.length > 0 && (port === null || !ports.includes(port))) return false;
  if (methods.length > 0 && (method === null || !methods.includes(method))) return false;
  if (methods.length > 0 && denied && access === 'allow') return false;
  if (clients.length > 0 && (client === null || !clients.includes(client))) return false;
  if (paths.length === 0) return true;
  return !narrow && path !== null && method !== 'CONNECT' && paths.some((wider) => holdsPath(wider, path));
}

function isConnectingCovered({ match }: Route, earlier: readonly Route[]): boolean {
  const says = earlier.filter(({ https }) => https === 'tunnel' || https === 'intercept');
  return says.some(({ match: wider }) => {
    const { hosts, ports, clients } = wider;
    return (
      (hosts.length === 0 ||
        (match.hosts.length > 0 && match.hosts.every((host) => hosts.some((it) => holdsHost(it, host))))) &&
      (ports.length === 0 || (match.ports.length > 0 && match.ports.every((it) => ports.includes(it)))) &&
      (clients.length === 0 ||
        (match.clients.length > 0 && match.clients.every((it) => clients.includes(it))))
    );
  });
}

/** Whether every host of the narrower pattern is one of the wider. */
function holdsHost(wider: string, narrower: string): boolean {
  if (wider === narrower) return true;
  if (!wider.startsWith('*.')) return false;
  const bare = narrower.startsWith('*') ? narrower.slice(1) : narrower;
  return bare.length > wider.length - 1 && bare.endsWith(wider.slice(1));
}

/** Whether every path of the narrower pattern is one of the wider; of a path that has other readings, nobody says so. */
function holdsPath(wider: string, narrower: string): boolean {
  if (/[%\\;]|\/[/.]/.test(narrower) || /[%\\;]|\/[/.]/.test(wider)) return false;
  if (wider === narrower) return true;
  return wider.endsWith('*') && narrower.startsWith(wider.slice(0, -1));
}
