/**
 * A tunnel: the same stack as a request, with a socket in the place of a response. Opaque, but not blind: the
 * first bytes tell what is inside, and that must be what may be there.
 *
 * Rules: 200 only once the far end is connected, except where nothing is known of the far end before the
 * first bytes (plain HTTP on its own port, interception, a CONNECT to an address that is routed by its
 * server name); what the caller sends before is kept, bounded, and delivered after; after a refusal it is
 * thrown away and the connection closed, so that it is never read as another request (RFC 9110, section
 * 9.3.6). No byte of what may not be inside reaches the far end. Plain HTTP inside is handed to the
 * listener, where each request is an exchange of its own; TLS that is intercepted to the interceptor.
 */
import type { Socket } from 'node:net';
import { asOutriggerError, OutriggerError } from '../errors.ts';
import type { Dispatch, Exchange, Pending, Target } from '../exchange.ts';
import { proxyStatusOf } from '../headers/forwarding.ts';
import type { LiveExchanges } from '../live-exchanges.ts';
import type { Route } from '../policy/policy.ts';
import type { RouteTable } from '../policy/route.ts';
import { resetSocket } from '../socket-reset.ts';
import type { Admission } from './admission.ts';
import type { ClientHello } from './client-hello.ts';
import type { Opening } from './first-bytes.ts';
import type { Interceptor } from './interceptor.ts';
import { type OpeningListener, OpeningReader } from './opening.ts';
import { type FarEnd, Relay, type RelayCounter } from './relay.ts';
import { replyBytes, replyOf } from './reply.ts';
import type { TargetReader } from './target.ts';
import { isRoutedByName, type TunnelRules, tunnelEntry } from './tunnel-entry.ts';
import type { Inside } from './way.ts';

export interface TunnelOptions extends TunnelRules {
  readonly admission: Admission;
  readonly targets: TargetReader;
  readonly routes: RouteTable;
  /** For the first bytes inside, milliseconds. */
  readonly headTimeoutMs: number;
  /** Before it is known what is inside: it is one exchange, and its time runs. */
  readonly accept: Dispatch<void>;
  /** For what has been accepted so. */
  readonly dispatchAccepted: (route: Route) => Dispatch<FarEnd>;
  readonly dispatchFor: (route: Route) => Dispatch<FarEnd>;
  readonly interceptor: Interceptor;
  readonly counter: RelayCounter & { tunnelOpened(): void; tunnelClosed(): void };
  readonly live: LiveExchanges;
}

/** Takes over a connection inside a tunnel on which HTTP is spoken, with what has been read of it. */
export interface InsideListener {
  takeInside(socket: Socket, protocol: 'http' | 'http2', early: readonly Buffer[], inside: Inside): void;
}

/** After a refusal the caller has this long to read it and close, milliseconds. */
const LINGER_MS = 1_000;

/** Why a host that is to be intercepted has a tunnel all the same. */
const PINNED = 'not intercepted: a client of this host did not accept our certificate';

/** RFC 8446, section 6: fatal alerts, each as a record of its own. */
const ALERTS = Object.freeze({ decodeError: 50, accessDenied: 49, unrecognizedName: 112, internalError: 80 });

/** One CONNECT, from its admission to its end. */
export class Tunnel implements OpeningListener {
  readonly #exchange: Exchange;
  readonly #socket: Socket;
  readonly #options: TunnelOptions;
  readonly #inside: InsideListener;
  readonly #opening: OpeningReader;
  #far: FarEnd | null = null;
  /** What the far end has said before the caller has. */
  readonly #farEarly: Buffer[] = [];
  #settled = false;
  /** While it is not known what is inside. */
  readonly #cancelling: Pending = { cancel: (error) => this.#cut(error, ALERTS.internalError) };

  constructor(
    exchange: Exchange,
    socket: Socket,
    head: Buffer,
    options: TunnelOptions,
    inside: InsideListener,
  ) {
    this.#exchange = exchange;
    this.#socket = socket;
    this.#options = options;
    this.#inside = inside;
    // The socket must be read for its end to be seen; it is half-open, so an end is no close.
    this.#opening = new OpeningReader(socket, head, this);
    socket.on('error', ignore);
  }

  /** `byAccess`: it is a rule of access that refuses. */
  begin(refusal: OutriggerError | null, byAccess: boolean): void {
    const { admission, accept, dispatchFor, headTimeoutMs } = this.#options;
    const exchange = this.#exchange;
    const { undecided, open, atOnce } = tunnelEntry(this.#options, exchange);
    const refused = undecided && byAccess ? admission.count(exchange) : refusal;
    if (refused !== null) {
      this.#refuse(refused);
      return;
    }
    // What is inside is asked about by itself.
    if (undecided && exchange.wouldRefuse?.startsWith('access_denied')) exchange.wouldRefuse = null;
    if (!open) {
      const { port } = exchange.target ?? { port: 0 };
      const denial = admission.settle(exchange, new OutriggerError('tunnel_port_denied', `port ${port}`));
      if (denial !== null) {
        this.#refuse(denial);
        return;
      }
    }
    if (atOnce) {
      this.#follow(dispatchFor(exchange.route));
      return;
    }
    accept(exchange).then(
      () => {
        if (exchange.finished) return;
        this.#accept();
        exchange.pending = this.#cancelling;
        this.#opening.look(headTimeoutMs, headTimeoutMs);
      },
      (thrown: unknown) => {
        if (!exchange.finished) this.#refuse(asOutriggerError(thrown));
      },
    );
  }

  get #isRoutedByName(): boolean {
    return isRoutedByName(this.#options, this.#exchange);
  }

  #follow(dispatch: Dispatch<FarEnd>, opened = false): void {
    dispatch(this.#exchange).then(
      (far) => this.#connected(far, opened),
      (thrown: unknown) => {
        if (this.#exchange.finished) return;
        const error = asOutriggerError(thrown);
        if (this.#exchange.status === null) this.#refuse(error);
        else this.#cut(error, ALERTS.internalError);
      },
    );
  }

  /** `opened`: what is inside is known, and may pass. */
  #connected(far: FarEnd, opened: boolean): void {
    const exchange = this.#exchange;
    if (exchange.finished) {
      far.kill();
      return;
    }
    this.#far = far;
    this.#options.counter.tunnelOpened();
    if (exchange.status === null) this.#accept();
    if (opened) {
      this.#relay();
      return;
    }
    exchange.pending = this.#cancelling;
    far.socket.on('data', this.#onFarData);
    far.socket.on('end', this.#onFarEnd);
    far.socket.on('close', this.#onFarClose);
    far.socket.resume();
    this.#opening.look(exchange.route.policy.timeouts.idleMs, this.#options.headTimeoutMs);
  }

  #accept(): void {
    const exchange = this.#exchange;
    exchange.status = 200;
    exchange.phase = 'in the tunnel';
    this.#socket.write(
      `HTTP/1.1 200 Connection Established\r\n${this.#options.admission.requestIdHeader}: ${exchange.id}\r\n` +
        `Proxy-Status: ${proxyStatusOf(exchange.attempts.length, 200)}\r\n\r\n`,
    );
  }

  // What is inside

  opened(opening: Opening): void {
    const { protocols } = this.#options;
    switch (opening.kind) {
      case 'tls':
        this.#openedTls(opening);
        return;
      case 'http':
      case 'http2':
        if (protocols.includes('http')) this.#handOver(opening.kind);
        else this.#cut(new OutriggerError('tunnel_protocol_denied', 'plain HTTP'), null);
        return;
      case 'broken-tls':
        this.#cut(new OutriggerError('tunnel_hello_malformed', opening.reason), ALERTS.decodeError);
        return;
      case 'other':
        if (protocols.includes('other')) this.#pass();
        else this.#cut(new OutriggerError('tunnel_protocol_denied', opening.reason), null);
        return;
      default:
    }
  }

  #openedTls({ serverName }: ClientHello): void {
    const exchange = this.#exchange;
    const { host, port } = exchange.target as Target;
    exchange.serverName = serverName;
    const { protocols, serverName: agreement, routes, interceptor } = this.#options;
    if (!protocols.includes('tls')) {
      this.#cut(new OutriggerError('tunnel_protocol_denied', 'TLS'), ALERTS.accessDenied);
      return;
    }
    // A certificate of ours is for the host that was asked for, and the origin's is verified for it.
    const mustAgree = agreement === 'match' || exchange.via === 'intercept';
    if (mustAgree && serverName !== null && serverName !== host) {
      const detail = `${serverName} inside ${host}`;
      this.#cut(new OutriggerError('server_name_denied', detail), ALERTS.unrecognizedName);
      return;
    }
    if (exchange.via === 'intercept') {
      if (this.#isPortOpen) void this.#intercept();
      return;
    }
    if (this.#isRoutedByName && serverName !== null) {
      const named = { host: serverName, port, authority: `${serverName}:${port}` };
      if (interceptor.routeFor(named, exchange.clientName) !== null) {
        const detail = `${serverName} is intercepted: CONNECT has to name it`;
        this.#cut(new OutriggerError('server_name_denied', detail), ALERTS.unrecognizedName);
        return;
      }
      const destination = { scheme: 'https', host: serverName, port } as const;
      exchange.route = routes.match('CONNECT', destination, '', exchange.clientName);
      exchange.byServerName = true;
    }
    this.#pass();
  }

  /** To the port of plain HTTP nothing else may go unless the configuration says so; then it is cut. */
  get #isPortOpen(): boolean {
    if (this.#options.ports.includes((this.#exchange.target as Target).port)) return true;
    const error = new OutriggerError('tunnel_port_denied', 'only plain HTTP may go there');
    const denial = this.#options.admission.settle(this.#exchange, error);
    if (denial !== null) this.#cut(denial, ALERTS.accessDenied);
    return denial === null;
  }

  async #intercept(): Promise<void> {
    const { interceptor, targets } = this.#options;
    const exchange = this.#exchange;
    let prepared: Awaited<ReturnType<Interceptor['prepare']>>;
    try {
      prepared = await interceptor.prepare(exchange);
    } catch (thrown) {
      const error = new OutriggerError('caller_tls_failed', `no certificate: ${(thrown as Error).message}`);
      // Nobody waits for the origin any more.
      exchange.abort(error);
      this.#cut(error, ALERTS.internalError);
      return;
    }
    // The caller has left meanwhile, or the sidecar stops.
    if (this.#settled || exchange.finished) return;
    if (exchange.aborted !== null) {
      this.#cut(exchange.aborted, ALERTS.internalError);
      return;
    }
    this.#settle();
    const { context, unverified } = prepared;
    const { kept } = this.#opening;
    interceptor.secure(this.#socket, kept, exchange, context, (secured, error) => {
      if (secured === null) {
        this.#socket.destroy();
        this.#finish(error?.row.outcome ?? 'failed', error);
        return;
      }
      const reason = unverified && `origin not verified: ${unverified.name}: ${unverified.detail}`;
      this.#finish('completed', null, reason);
      const target = targets.secure(exchange.target as Target);
      const protocol = secured.alpnProtocol === 'h2' ? 'http2' : 'http';
      const inside: Inside = { target, via: 'intercept' };
      secured.once('close', () => {
        if (!inside.used) interceptor.unused(exchange);
      });
      this.#inside.takeInside(secured, protocol, [], inside);
    });
  }

  /** On to the far end as it is; to one that is connected now, where it was not before. */
  #pass(): void {
    const exchange = this.#exchange;
    const { route } = exchange;
    exchange.via = 'tunnel';
    if (this.#far !== null) this.#relay();
    else if (this.#isRouteOpen && this.#isPortOpen) this.#follow(this.#options.dispatchAccepted(route), true);
  }

  /** By the route that the server name has found, of a CONNECT that it was to let in, and its ports; else it is cut. */
  get #isRouteOpen(): boolean {
    const denial = this.#options.admission.denialOf(this.#exchange);
    if (denial !== null) this.#cut(denial, ALERTS.accessDenied);
    return denial === null;
  }

  /** Every request inside is an exchange of its own, over connections of the pool; ours was only the way to it. */
  #handOver(protocol: 'http' | 'http2'): void {
    const target = this.#options.targets.plain(this.#exchange.target as Target);
    this.#settle();
    this.#far?.kill();
    this.#finish('completed', null, 'plain HTTP inside');
    const inside: Inside = { target, via: 'forward' };
    this.#inside.takeInside(this.#socket, protocol, this.#opening.kept, inside);
  }

  #relay(): void {
    const exchange = this.#exchange;
    const { counter } = this.#options;
    this.#settle();
    const relay = new Relay(
      this.#socket,
      this.#far as FarEnd,
      exchange,
      counter,
      (outcome, error, reason) => {
        this.#finish(outcome, error, reason);
      },
    );
    relay.start(this.#opening.kept, this.#farEarly);
  }

  // Before it is known what is inside

  /** The far end speaks first, as neither TLS nor HTTP does. */
  #onFarData = (chunk: Buffer): void => {
    this.#farEarly.push(chunk);
    if (this.#options.protocols.includes('other')) this.#relay();
    else this.#cut(new OutriggerError('tunnel_protocol_denied', 'the far end speaks first'), null);
  };

  /** Nothing will be answered any more; only what is neither TLS nor HTTP may have use for that. */
  #onFarEnd = (): void => {
    if (this.#options.protocols.includes('other')) this.#relay();
    else this.#far?.socket.end();
  };

  #onFarClose = (hadError: boolean): void => {
    this.#settle();
    if (hadError) resetSocket(this.#socket);
    else this.#socket.destroySoon();
    if (hadError) this.#finish('truncated', null, 'origin reset the tunnel');
    else this.#finish('completed', null, 'origin closed the tunnel');
  };

  late(silent: boolean): void {
    const { timeouts } = this.#exchange.route.policy;
    if (silent && this.#far !== null)
      this.#cut(new OutriggerError('tunnel_idle', `after ${timeouts.idleMs} ms`), null);
    else
      this.#cut(new OutriggerError('tunnel_hello_timeout', `after ${this.#options.headTimeoutMs} ms`), null);
  }

  left(half: boolean): void {
    if (this.#settled) return;
    // Nothing was sent, so nothing can be inside that may not be; the far end may still have something to say.
    if (half && this.#far !== null) {
      this.#relay();
      return;
    }
    this.#settle();
    this.#far?.kill();
    this.#socket.destroy();
    const { phase } = this.#exchange;
    this.#exchange.abort(new OutriggerError('caller_left'));
    // Its end has not been seen, and yet it is gone.
    const reason = this.#far === null ? `caller left while ${phase}` : 'caller reset the tunnel';
    this.#finish('aborted', null, reason);
  }

  // The end

  #refuse(error: OutriggerError): void {
    const exchange = this.#exchange;
    const socket = this.#socket;
    this.#settle();
    const reply = replyOf(exchange, error, this.#options.admission.requestIdHeader);
    exchange.status = reply.status;
    exchange.responseBytes = Buffer.byteLength(reply.body);
    socket.end(replyBytes(reply));
    this.#linger();
    this.#finish(error.row.outcome, error);
  }

  /** After the 200 there is no answer in HTTP any more; TLS has one. */
  #cut(error: OutriggerError, alert: number | null): void {
    if (this.#settled) return;
    const began = this.#opening.kept[0]?.[0] === 0x16;
    this.#settle();
    this.#far?.kill();
    if (alert !== null && began) this.#socket.end(Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, alert]));
    else this.#socket.end();
    this.#linger();
    this.#finish(error.row.outcome === 'refused' ? 'refused' : 'truncated', error);
  }

  /** What still comes is thrown away, but not for ever. */
  #linger(): void {
    const socket = this.#socket;
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  }

  #isPinned(error: OutriggerError | null): boolean {
    const { target } = this.#exchange;
    return error === null && target !== null && this.#options.interceptor.isPinned(target);
  }

  #settle(): void {
    this.#settled = true;
    this.#opening.stop();
    this.#far?.socket.off('data', this.#onFarData);
    this.#far?.socket.off('end', this.#onFarEnd);
    this.#far?.socket.off('close', this.#onFarClose);
  }

  #finish(
    outcome: Parameters<Exchange['finish']>[0],
    error: OutriggerError | null,
    reason: string | null = null,
  ): void {
    if (this.#far !== null && !this.#exchange.finished) this.#options.counter.tunnelClosed();
    this.#options.live.delete(this.#exchange);
    this.#exchange.finish(outcome, error, reason ?? (this.#isPinned(error) ? PINNED : null));
  }
}

function ignore(): void {
  // Every error is followed by a close, which is what is acted upon.
}
