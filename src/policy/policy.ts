/**
 * The policy of a route as plain, frozen values: what the configuration says once units are numbers and
 * defaults are filled in. Durations are milliseconds and sizes are bytes; the unit is in the name.
 *
 * It knows no HTTP library, no clock and no state. Policies that are equal by value are the same object
 * (the configuration interns them), so state may be kept by identity. Only secrets from files change while
 * the sidecar runs, inside a holder that stays.
 */
import type { SecretText } from './secret-text.ts';

/** Limits on the connections to one origin. */
export interface PoolPolicy {
  /** Connections to the origin at once, idle ones, handshakes and tunnels included; at least 1. */
  readonly connections: number;
  /** Exchanges that may wait for a connection; one more is shed at once. */
  readonly queue: number;
  readonly queueTimeoutMs: number;
  /** Time without use after which a connection is closed; the origin's Keep-Alive hint less a margin wins. */
  readonly idleTimeoutMs: number;
  /** Age at which a connection is replaced, so that DNS changes are seen. */
  readonly maxAgeMs: number;
}

/** One timer each; every one has its own error. */
export interface TimeoutPolicy {
  readonly dnsMs: number;
  readonly connectMs: number;
  readonly tlsMs: number;
  /** Per attempt: from the request sent to the response head. */
  readonly headMs: number;
  /** Between two pieces of a body, in either direction; also of a tunnel. */
  readonly idleMs: number;
  /** The whole exchange, waits and retries included; null: no end. */
  readonly totalMs: number | null;
}

/** Bounds of bodies: how large, and how slow they may be. */
export interface BodyLimits {
  /** Null: no bound. */
  readonly requestBytes: number | null;
  readonly responseBytes: number | null;
  /** Bytes per second, of what is owed; null: however slowly. */
  readonly minRate: number | null;
  /** Over so long it is judged. */
  readonly minRateWindowMs: number;
}

export interface BudgetPolicy {
  /** Retries as a share of the exchanges of the last 10 s; 0.2 is 20 %. */
  readonly ratio: number;
  /** Retries per second that are always allowed. */
  readonly floor: number;
}

export interface BackoffPolicy {
  readonly initialMs: number;
  readonly maxMs: number;
}

export interface RetryPolicy {
  /** Attempts in all; 1 switches retries off. */
  readonly attempts: number;
  readonly statuses: readonly number[];
  readonly backoff: BackoffPolicy;
  /** A longer Retry-After is not waited for. */
  readonly retryAfterMaxMs: number;
  readonly budget: BudgetPolicy;
  /** Bytes of a request body kept for another attempt; a larger body is sent once. */
  readonly replayBytes: number;
}

export interface BreakerPolicy {
  /** Share of failures at which the circuit opens; 0.5 is 50 %. */
  readonly failureRatio: number;
  readonly minimumCalls: number;
  readonly windowMs: number;
  /** First open time; doubles with each failed probe. */
  readonly openForMs: number;
  readonly openForMaxMs: number;
}

/** Edits of a header list; names to remove are lower case. */
export interface HeaderEdits {
  readonly set: readonly (readonly [name: string, value: string | SecretText])[];
  readonly remove: readonly string[];
}

export interface Policy {
  readonly pool: PoolPolicy;
  readonly timeouts: TimeoutPolicy;
  readonly limits: BodyLimits;
  readonly retry: RetryPolicy;
  readonly breaker: BreakerPolicy | null;
  readonly headers: { readonly request: HeaderEdits; readonly response: HeaderEdits };
}

/** What a route matches; an empty list matches everything. */
export interface RouteMatch {
  /** Exact names, or `*.example.com` for every name below example.com (not itself); lower case. */
  readonly hosts: readonly string[];
  readonly ports: readonly number[];
  readonly methods: readonly string[];
  /** Exact paths, or a prefix that ends in `*`; the query does not count. */
  readonly paths: readonly string[];
  /** Names of clients; who is none of them is not meant. */
  readonly clients: readonly string[];
}

/** CIDRs laid over those of the whole sidecar, for what a route dials. */
export interface RouteAddresses {
  /** Part of the key of upstream state: what was dialled under an exception is shared only with its like. */
  readonly key: string;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  /** The denials alone, for whoever came to the route by nothing but their own word; null: none. */
  readonly denials: RouteAddresses | null;
}

/** An application beside the sidecar, and how it is told from others. */
export interface Client {
  readonly name: string;
  /** CIDRs of its source addresses; with credentials, both must be right. */
  readonly addresses: readonly string[];
  /** Null: told by its address alone. */
  readonly credentials: { readonly username: string; readonly password: string } | null;
  /** Its exchanges in flight at once; null: no limit of its own. */
  readonly exchanges: number | null;
}

/**
 * How HTTPS is handled. Tunnel: opaque, as CONNECT is by itself. Originate: `http://` comes in and TLS goes
 * out. Intercept: TLS ends here and begins anew.
 */
type HttpsMode = 'tunnel' | 'originate' | 'intercept';

/** Verification of an origin's certificate switched off, for a reason and for a time. */
export interface InsecurePolicy {
  readonly reason: string;
  /** As written: a day of the calendar. */
  readonly until: string;
  /** The first moment at which it no longer holds, milliseconds since the epoch. */
  readonly untilMs: number;
}

/** How TLS is spoken to the origins of a route; files are PEM, and are read again when they change. */
export interface TlsPolicy {
  /** Trusted instead of the system's roots; null: those. */
  readonly ca: string | null;
  /** For mutual TLS; both or neither. */
  readonly cert: string | null;
  readonly key: string | null;
  /** Sent and verified in the place of the host's own name; null: that. */
  readonly servername: string | null;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly insecure: InsecurePolicy | null;
}

/** Where tokens are fetched. */
export interface TokenUrl {
  readonly scheme: 'http' | 'https';
  /** Lower case, without brackets. */
  readonly host: string;
  readonly port: number;
  /** With its query. */
  readonly path: string;
}

/** Tokens by client credentials (RFC 6749, section 4.4), in every request of a route. */
export interface OAuth2Policy {
  readonly tokenUrl: TokenUrl;
  readonly clientId: string;
  readonly clientSecret: string | SecretText;
  readonly scopes: readonly string[];
  readonly audience: string | null;
  /** Where the client's own credentials are: in Authorization, or in the form. */
  readonly auth: 'basic' | 'body';
  /** A token this close to its end is replaced, while it is still used. */
  readonly refreshBeforeMs: number;
  /** The whole fetch, retries included. */
  readonly timeoutMs: number;
  /** The field that carries the token. */
  readonly header: string;
}

/** By what requests of a route show who they are. */
export interface CredentialsPolicy {
  /** What becomes of the caller's own. */
  readonly caller: 'keep' | 'remove' | 'refuse';
  /** The fields that are such, lower case. */
  readonly fields: readonly string[];
  readonly oauth2: OAuth2Policy | null;
}

/** Where requests of a prefix go. */
export interface RouteOrigin {
  readonly scheme: 'http' | 'https';
  /** Lower case, without brackets. */
  readonly host: string;
  readonly port: number;
  /** In front of what is left of the path; no slash at its end, '' for the root. */
  readonly basePath: string;
}

export interface Route {
  readonly name: string;
  readonly match: RouteMatch;
  readonly access: 'allow' | 'deny';
  /** What it denies is let through, and the log says what would have been refused. */
  readonly report: boolean;
  /** Null: those of the whole sidecar. */
  readonly addresses: RouteAddresses | null;
  /** Null: not said; then a later route about the host may, else a CONNECT is a tunnel and `http://` stays what it is. */
  readonly https: HttpsMode | null;
  /** `/fraud` takes requests for `/fraud` and below to `origin`; null: none. */
  readonly prefix: string | null;
  readonly origin: RouteOrigin | null;
  /** Null: the system's roots, TLS 1.2 and later. */
  readonly tls: TlsPolicy | null;
  /** Offer HTTP/2 to the origin, over TLS. */
  readonly http2: boolean;
  /** Null: the caller's own go on, and nothing is added but what `policy.headers` says. */
  readonly credentials: CredentialsPolicy | null;
  readonly policy: Policy;
}
