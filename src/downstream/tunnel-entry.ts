/**
 * What a CONNECT meets before anything is dialled: whether its port is open to tunnels, and whether it can be said
 * yet where it goes. Pure.
 */
import { isIP } from 'node:net';
import type { Target, Via } from '../exchange.ts';
import type { Route } from '../policy/policy.ts';

type TunnelProtocol = 'tls' | 'http' | 'other';

export interface TunnelRules {
  readonly ports: readonly number[];
  readonly protocols: readonly TunnelProtocol[];
  readonly serverName: 'match' | 'any';
}

/** Where plain HTTP is spoken, and so nothing is dialled before it is known to be. */
const HTTP_PORT = 80;

/** An exchange, or what would become one. */
interface Entering {
  readonly target: Target | null;
  readonly via: Via;
  readonly route: Route;
}

interface TunnelEntry {
  /** No route was found for what has said little yet; or plain HTTP is asked about request by request. */
  readonly undecided: boolean;
  /** CONNECT is allowed to the port, though perhaps for plain HTTP only. */
  readonly open: boolean;
  /** The far end is dialled before a byte of the inside has been seen. */
  readonly atOnce: boolean;
}

/**
 * A CONNECT to an address says nothing that a route could be found by, unless one names the address; its
 * server name may.
 */
export function isRoutedByName({ serverName }: Pick<TunnelRules, 'serverName'>, entering: Entering): boolean {
  const { target, via, route } = entering;
  return (
    serverName === 'any' &&
    via === 'tunnel' &&
    target !== null &&
    isIP(target.host) !== 0 &&
    !route.match.hosts.includes(target.host)
  );
}

export function tunnelEntry(rules: TunnelRules, entering: Entering): TunnelEntry {
  const { target, via, route } = entering;
  const port = target?.port ?? 0;
  const byName = isRoutedByName(rules, entering);
  const plain = port === HTTP_PORT;
  return {
    undecided: byName || (plain && route.name === 'default'),
    open: rules.ports.includes(port) || (plain && rules.protocols.includes('http')),
    atOnce: via === 'tunnel' && !plain && !byName,
  };
}
