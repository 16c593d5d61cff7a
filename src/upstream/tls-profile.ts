/**
 * How TLS is spoken to the origins of a route: the trusted roots, our own certificate, the server name, the
 * versions, and whether HTTP/2 is offered. Connections of different profiles are never shared.
 *
 * A secure context is made once per profile and not per connection, for it costs more than a handshake's
 * bookkeeping.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Route, TlsPolicy } from '../policy/policy.ts';

const HTTP1: readonly string[] = ['http/1.1'];
const HTTP2: readonly string[] = ['h2', 'http/1.1'];

export class TlsProfile {
  /** Part of the key of upstream state; '' for what has no settings of its own. */
  readonly suffix: string;
  readonly #policy: TlsPolicy | null;
  readonly #http2: boolean;
  readonly secureContext: SecureContext;

  constructor(suffix: string, policy: TlsPolicy | null, http2: boolean, roots: SecureContext) {
    this.suffix = suffix;
    this.#policy = policy;
    this.#http2 = http2;
    this.secureContext = policy === null ? roots : contextOf(policy, roots);
  }

  /** RFC 7301; `http1`: nothing else can be used, as for an upgrade. */
  alpn(http1: boolean): readonly string[] {
    return this.#http2 && !http1 ? HTTP2 : HTTP1;
  }

  /** RFC 6066, section 3: a literal address is not sent as a server name. */
  servername(host: string): string {
    return this.#policy?.servername ?? (isIP(host) === 0 ? host : '');
  }

  get minVersion(): 'TLSv1.2' | 'TLSv1.3' {
    return this.#policy?.minVersion ?? 'TLSv1.2';
  }

  /** Whether the origin's certificate must be valid. */
  get verifies(): boolean {
    const insecure = this.#policy?.insecure ?? null;
    return insecure === null || Date.now() >= insecure.untilMs;
  }
}

function contextOf(policy: TlsPolicy, roots: SecureContext): SecureContext {
  const { ca, cert, key } = policy;
  if (ca === null && cert === null) return roots;
  return createSecureContext({
    ...(ca === null ? {} : { ca: readFileSync(ca) }),
    ...(cert === null || key === null ? {} : { cert: readFileSync(cert), key: readFileSync(key) }),
  });
}

export class TlsProfiles {
  readonly #roots: SecureContext;
  readonly #byRoute = new Map<Route, TlsProfile>();
  readonly #standard: TlsProfile;

  constructor(roots: SecureContext, routes: readonly Route[]) {
    this.#roots = roots;
    this.#standard = new TlsProfile('', null, false, roots);
    const known = new Map<string, TlsProfile>();
    for (const route of routes) {
      if (route.tls === null && !route.http2) continue;
      const key = JSON.stringify([route.tls, route.http2]);
      let profile = known.get(key);
      if (profile === undefined) {
        profile = new TlsProfile(`#${route.name}`, route.tls, route.http2, this.#roots);
        known.set(key, profile);
      }
      this.#byRoute.set(route, profile);
    }
  }

  of(route: Route): TlsProfile {
    return this.#byRoute.get(route) ?? this.#standard;
  }
}
