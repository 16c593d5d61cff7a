/** The route of what matches no route. */
import type { Policy, Route } from './policy.ts';

export function defaultRoute(
  policy: Policy,
  access: { readonly default: Route['access']; readonly report: boolean },
): Route {
  return Object.freeze({
    name: 'default',
    match: { hosts: [], ports: [], methods: [], paths: [], clients: [] },
    access: access.default,
    report: access.report,
    addresses: null,
    https: null,
    prefix: null,
    origin: null,
    tls: null,
    http2: false,
    credentials: null,
    policy,
  });
}
