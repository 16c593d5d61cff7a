/** Gives the exchange the state of its origin, and keeps that state from being evicted until it finishes. */
import { rejected } from '../errors.ts';
import type { Exchange, Layer } from '../exchange.ts';
import type { Origins } from '../upstream/origins.ts';
import type { TlsProfiles } from '../upstream/tls-profile.ts';

/** Connections that are spoken to differently are never shared; a tunnel's are spoken to by nobody here. */
export function originKeyOf(exchange: Exchange, profiles: TlsProfiles): string {
  const { target, route, via, addresses } = exchange;
  const { origin: key, scheme } = target as NonNullable<Exchange['target']>;
  const spoken = scheme === 'http' || via === 'tunnel' ? key : key + profiles.of(route).suffix;
  // What was dialled under the exceptions of a route is for nobody without them.
  return addresses === null ? spoken : spoken + addresses.key;
}

export function origin<R>(origins: Origins, profiles: TlsProfiles): Layer<R> {
  return (next) => (exchange) => {
    try {
      exchange.origin = origins.enter(originKeyOf(exchange, profiles));
    } catch (error) {
      return rejected(error);
    }
    exchange.onFinish(exchange.origin);
    return next(exchange);
  };
}
