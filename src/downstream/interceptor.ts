/**
 * TLS inside a CONNECT ends here: the origin is verified, the caller is shown a certificate of the local
 * authority, and what comes out is HTTP like any other.
 *
 * Rules: the origin's certificate is verified before ours is shown; a bad one is no blind pass, for every
 * request inside meets the same error and the caller reads it over TLS. A caller that does not accept our
 * certificate and says so is not intercepted for a while, if the configuration allows that: a client that
 * pins its origin's certificate works, and somebody is warned. It makes no certificates and dials nothing.
 */
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { asOutriggerError, OutriggerError } from '../errors.ts';
import type { Exchange, Target } from '../exchange.ts';
import type { Route } from '../policy/policy.ts';
import type { RouteTable } from '../policy/route.ts';
import { laidOver } from '../socket-reset.ts';

type HandshakeResult = 'completed' | 'distrusted' | 'failed';

/** What has been learned of clients; it outlives a configuration. */
export class ClientMemory {
  /** `host:port` whose client did not accept us, and until when, since the epoch; the oldest first. */
  readonly pinned = new Map<string, number>();
  /** `host:port` whose client came and asked for nothing, and until when nobody is warned of it again. */
  readonly unused = new Map<string, number>();
}

export interface InterceptorOptions {
  readonly memory: ClientMemory;
  readonly routes: RouteTable;
  /** The certificate of a host, with its key; rejects where there can be none. */
  readonly contextFor: (host: string) => Promise<SecureContext>;
  /** Settles once the origin is known to be verified, or why it is not. */
  readonly verify: (exchange: Exchange) => Promise<unknown>;
  readonly pinned: 'tunnel' | 'refuse';
  readonly pinnedForMs: number;
  /** Hosts remembered as pinned. */
  readonly pinnedMax: number;
  readonly handshakeEnded: (result: HandshakeResult) => void;
  readonly warn: (fields: object, message: string) => void;
}

/** The secured connection, or why there is none. */
export type Intercepted = (secured: TLSSocket | null, error: OutriggerError | null) => void;

/** RFC 8446, section 6.2: what a client says of a certificate that it does not accept. */
const DISTRUST =
  /ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED)$/;

export class Interceptor {
  readonly #options: InterceptorOptions;
  readonly #pinned: Map<string, number>;
  readonly #unused: Map<string, number>;

  constructor(options: InterceptorOptions) {
    this.#options = options;
    this.#pinned = options.memory.pinned;
    this.#unused = options.memory.unused;
  }

  /** The route by which a CONNECT is intercepted; null: it is a tunnel. */
  routeFor(
    target: Pick<Target, 'host' | 'port' | 'authority'>,
    clientName: string | null = null,
  ): Route | null {
    const route = this.#options.routes.intercepting(target.host, target.port, clientName);
    return route !== null && !this.isPinned(target) ? route : null;
  }

  /** Whether a tunnel is one because a client of its host did not accept our certificate. */
  isPinned({ authority }: Pick<Target, 'authority'>): boolean {
    const until = this.#pinned.get(authority);
    if (until === undefined) return false;
    if (Date.now() < until) return true;
    this.#pinned.delete(authority);
    return false;
  }

  /** For operators: which hosts are not intercepted, and until when. */
  snapshot(): { readonly host: string; readonly until: string }[] {
    const now = Date.now();
    return Array.from(this.#pinned, ([host, until]) => ({
      host,
      until: new Date(until).toISOString(),
    })).filter(({ until }) => Date.parse(until) > now);
  }

  /** The caller has gone without a request: some clients look at certificates only then, and say nothing. */
  unused(exchange: Exchange): void {
    const { pinnedForMs, warn } = this.#options;
    const { authority } = exchange.target as Target;
    if ((this.#unused.get(authority) ?? 0) > Date.now()) return;
    this.#remember(this.#unused, authority, pinnedForMs);
    warn(
      describe(exchange),
      'a client left an intercepted connection without a request; perhaps it does not trust our certificate',
    );
  }

  #remember(hosts: Map<string, number>, authority: string, forMs: number): void {
    hosts.delete(authority);
    if (hosts.size >= this.#options.pinnedMax) hosts.delete(hosts.keys().next().value as string);
    hosts.set(authority, Date.now() + forMs);
  }

  /** The certificate to show; the exchange's attempts say how the origin was verified, or why it was not. */
  async prepare(exchange: Exchange): Promise<{ context: SecureContext; unverified: OutriggerError | null }> {
    const { host } = exchange.target as Target;
    const { tlsMs } = exchange.route.policy.timeouts;
    const verified = this.#options.verify(exchange).then(
      () => null,
      (thrown: unknown) => asOutriggerError(thrown),
    );
    // A caller that waits longer gives up, and never reads why.
    const late = Promise.withResolvers<OutriggerError>();
    const timer = setTimeout(
      () => late.resolve(new OutriggerError('tls_timeout', `not verified within ${tlsMs} ms`)),
      tlsMs,
    );
    try {
      // Both at once, for a first handshake waits for them.
      const context = await this.#options.contextFor(host);
      return { context, unverified: await Promise.race([verified, late.promise]) };
    } finally {
      clearTimeout(timer);
    }
  }

  /** `early`: what has been read of the caller's side. Calls back once. */
  secure(
    socket: Socket,
    early: readonly Buffer[],
    exchange: Exchange,
    context: SecureContext,
    done: Intercepted,
  ): void {
    socket.pause();
    if (early.length > 0) socket.unshift(Buffer.concat(early));
    const secured = new TLSSocket(socket, {
      isServer: true,
      secureContext: context,
      ALPNProtocols: ['h2', 'http/1.1'],
      requestCert: false,
    });
    laidOver(secured, socket);
    const { tlsMs } = exchange.route.policy.timeouts;
    let over = false;
    const end = (result: HandshakeResult, error: OutriggerError | null): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      this.#options.handshakeEnded(result);
      if (error !== null) secured.destroy();
      done(error === null ? secured : null, error);
    };
    const timer = setTimeout(() => {
      end('failed', new OutriggerError('caller_tls_failed', `no handshake within ${tlsMs} ms`));
    }, tlsMs);
    exchange.pending = { cancel: (error) => end('failed', error) };
    secured.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? '';
      if (!DISTRUST.test(code)) end('failed', new OutriggerError('caller_tls_failed', code));
      else if (!over) {
        this.#pin(exchange);
        end('distrusted', new OutriggerError('caller_distrusts', code));
      }
    });
    // Half-open as it is, its end is no close.
    const left = (): void => end('failed', new OutriggerError('caller_tls_failed', 'the client hung up'));
    secured.once('end', left);
    secured.once('close', left);
    secured.once('secure', () => end('completed', null));
  }

  #pin(exchange: Exchange): void {
    const { routes, pinned, pinnedForMs, warn } = this.#options;
    const { host, port, authority } = exchange.target as Target;
    const fields = describe(exchange);
    if (pinned === 'refuse') {
      warn(fields, 'a client does not trust our certificate; it pins, or has not been given the CA bundle');
      return;
    }
    // In a tunnel nobody would see what is to be denied.
    if (routes.dependsOnRequests(host, port)) {
      warn(
        fields,
        'a client does not trust our certificate, and there is no tunnel for it: access depends on methods, paths or credentials',
      );
      return;
    }
    this.#remember(this.#pinned, authority, pinnedForMs);
    warn(
      { ...fields, tunnelForMs: pinnedForMs },
      'a client does not trust our certificate: its host is a tunnel for a while; it pins, or has not been given the CA bundle',
    );
  }
}

function describe({ target, route, id, client }: Exchange): object {
  return { host: (target as Target).authority, route: route.name, requestId: id, client };
}
