/**
 * Which route a request takes on its way, and where that leads it: what a prefix, an interception and an
 * originated connection change about the first route that matches. Pure; it knows no sockets and no heads.
 */
import type { Target, Via } from '../exchange.ts';
import type { Route } from '../policy/policy.ts';
import type { RouteTable } from '../policy/route.ts';
import type { TargetReader } from './target.ts';
import type { Way } from './way.ts';

/**
 * Why it is this route. Match: the first that matches. Prefix: the request came by its prefix. Intercept: it says
 * that the CONNECT is intercepted. Denied: what goes on from here by TLS is denied by it.
 */
type Reason = 'match' | 'prefix' | 'intercept' | 'denied';

export interface Itinerary {
  readonly route: Route;
  readonly target: Target;
  readonly via: Via;
  readonly reason: Reason;
}

export interface Itineraries {
  readonly routes: RouteTable;
  readonly fallback: Route;
  readonly targets: TargetReader;
}

/** `interception`: the route by which a CONNECT is intercepted; null: it is not. */
export function itineraryOf(
  { routes, fallback, targets }: Itineraries,
  method: string,
  { target, path, via, prefix }: Way,
  client: string | null,
  interception: Route | null,
): Itinerary {
  let route = routes.match(method, target, path, client);
  let reason: Reason = 'match';
  // A prefix belongs to its route, as far as that is about such requests: what its methods and paths leave out
  // meets the other routes, as if it had come in absolute form. What another route denies is denied on every way.
  if (
    prefix !== null &&
    routes.asksFor(prefix.route, method, path, client) &&
    (route === fallback || route.access === 'allow')
  ) {
    route = prefix.route;
    reason = 'prefix';
  }
  // Unless a route denies the CONNECT itself, the requests inside are what access is about.
  if (interception?.access === 'allow' && (route === fallback || route.access === 'allow')) {
    route = interception;
    reason = 'intercept';
  }
  if (via !== 'forward' || target.scheme !== 'http' || route.https !== 'originate')
    return { route, target, via, reason };
  const secure = targets.originated(target);
  // Somebody may have denied where it goes now.
  const there = routes.match(method, secure, path, client);
  if (there !== fallback && there.access === 'deny' && there !== route) {
    route = there;
    reason = 'denied';
  }
  return { route, target: secure, via: 'originate', reason };
}
