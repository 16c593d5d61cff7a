/**
 * One dial: name, address, TCP, TLS; one phase after the other, each on its own timer. The only place
 * that opens a socket to the outside, so the address guard stands here and nowhere else.
 *
 * Rules: never more than one socket at a time, so that an origin sees no more connections than
 * configured; every address that is tried has passed the guard; cancelling closes what is open at once.
 * It knows no pool and no HTTP.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type ErrorName, OutriggerError } from '../errors.ts';
import type { Phase } from '../exchange.ts';
import type { RouteAddresses, TimeoutPolicy } from '../policy/policy.ts';
import type { AddressGuard } from './address-guard.ts';
import { giveUp, reset } from './parting.ts';
import type { LookupCallback, Resolver } from './resolver.ts';
import { checkAlternativeNames } from './server-identity.ts';
import type { TlsProfile } from './tls-profile.ts';

/** What every dial of the process shares. */
export interface DialContext {
  readonly resolver: Resolver;
  readonly guard: AddressGuard;
}

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Null: none. */
  readonly tls: TlsProfile | null;
  /** Laid over the address guard; null: nothing. */
  readonly addresses: RouteAddresses | null;
  /** Only HTTP/1.1 can be used, as for an upgrade. */
  readonly http1: boolean;
  /** A tunnel keeps its half-closed state; HTTP does not need it. */
  readonly halfOpen: boolean;
}

export interface DialObserver {
  phase(phase: Phase): void;
  dialled(dial: Dial): void;
  failed(error: OutriggerError, dial: Dial): void;
}

/** RFC 8305, section 4: families in turn, the resolver's first choice first. */
function interleave(addresses: readonly string[]): string[] {
  const first = addresses.filter((one) => isIP(one) === isIP(addresses[0] as string));
  const second = addresses.filter((one) => isIP(one) !== isIP(addresses[0] as string));
  const out: string[] = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    if (i < first.length) out.push(first[i] as string);
    if (i < second.length) out.push(second[i] as string);
  }
  return out;
}

const CERTIFICATE_ERROR =
  /^(CERT_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_(CA|PURPOSE)|PATH_LENGTH|CRL_|ERR_TLS_CERT)/;

function connectError(code: string | undefined): ErrorName {
  switch (code) {
    case 'ECONNREFUSED':
      return 'connection_refused';
    case 'ETIMEDOUT':
      return 'connection_timeout';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
    case 'EACCES':
    case 'EPERM':
      return 'address_unroutable';
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOBUFS':
      return 'file_limit';
    default:
      return 'connection_terminated';
  }
}

export class Dial {
  readonly target: DialTarget;
  /** The address dialled last; null before the name is resolved. */
  address: string | null = null;
  dnsMs: number | null = null;
  connectMs: number | null = null;
  tlsMs: number | null = null;
  /** The TCP socket, and what to speak through: the same, or TLS on top of it. */
  tcp: Socket | null = null;
  socket: Socket | TLSSocket | null = null;

  readonly #context: DialContext;
  readonly #timeouts: TimeoutPolicy;
  readonly #observer: DialObserver;
  #addresses: string[] = [];
  #lookedUp: LookupCallback | null = null;
  #timer: NodeJS.Timeout | null = null;
  #phaseBeganAt = 0;
  #connectBeganAt = 0;
  #over = false;

  constructor(target: DialTarget, context: DialContext, timeouts: TimeoutPolicy, observer: DialObserver) {
    this.target = target;
    this.#context = context;
    this.#timeouts = timeouts;
    this.#observer = observer;
  }

  start(): void {
    const { host } = this.target;
    if (isIP(host) !== 0) {
      this.#vet([host]);
      return;
    }
    this.#begin('resolving', this.#timeouts.dnsMs, 'dns_timeout');
    this.#lookedUp = (error, addresses) => {
      this.#lookedUp = null;
      this.dnsMs = performance.now() - this.#phaseBeganAt;
      this.#settleTimer();
      if (error || addresses.length === 0) {
        this.#fail(new OutriggerError('dns_error', `${host}: ${error?.code ?? 'no address'}`));
        return;
      }
      this.#vet(addresses);
    };
    this.#context.resolver.resolve(host, this.#lookedUp);
  }

  /** Closes what is open; the observer hears nothing more. `tcp` says when the socket has gone. */
  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#settleTimer();
    if (this.#lookedUp) this.#context.resolver.forget(this.target.host, this.#lookedUp);
    if (this.tcp?.connecting) giveUp(this.tcp);
    else if (this.tcp) reset(this.tcp, this.socket);
  }

  #begin(phase: Phase, timeoutMs: number, error: ErrorName): void {
    this.#phaseBeganAt = performance.now();
    this.#observer.phase(phase);
    this.#timer = setTimeout(() => {
      this.#fail(new OutriggerError(error, `${this.target.host}:${this.target.port} after ${timeoutMs} ms`));
    }, timeoutMs);
  }

  #settleTimer(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #fail(error: OutriggerError): void {
    if (this.#over) return;
    this.cancel();
    this.#observer.failed(error, this);
  }

  /** The guard sees every address, and only what passes is ever dialled. */
  #vet(addresses: readonly string[]): void {
    let refusal: string | null = null;
    const { port, addresses: exceptions } = this.target;
    const permitted = addresses.filter((address) => {
      const reason = this.#context.guard.refusal(address, port, exceptions);
      refusal ??= reason;
      return reason === null;
    });
    if (permitted.length === 0) {
      this.#fail(new OutriggerError('address_denied', refusal ?? this.target.host));
      return;
    }
    this.#addresses = interleave(permitted);
    this.#connect();
  }

  /** Tries the next address; the connect timeout covers all of them together. */
  #connect(): void {
    const { host, port, halfOpen } = this.target;
    const address = this.#addresses.shift() as string;
    this.address = address;
    const now = performance.now();
    if (this.#connectBeganAt === 0) this.#connectBeganAt = now;
    // What is left of the timeout is shared among the addresses left, so that a silent first address
    // (IPv6 without a route, say) does not use up the time of a good second one.
    const left = Math.max(1, this.#timeouts.connectMs - (now - this.#connectBeganAt));
    const last = this.#addresses.length === 0;
    this.#observer.phase('connecting');
    const tcp = connectTcp({
      host: address,
      port,
      noDelay: true,
      keepAlive: true,
      allowHalfOpen: halfOpen,
      autoSelectFamily: false,
    });
    this.tcp = tcp;
    const next = (error: OutriggerError) => {
      this.#settleTimer();
      tcp.destroy();
      if (last) this.#fail(error);
      else this.#connect();
    };
    this.#timer = setTimeout(
      () =>
        next(
          new OutriggerError(
            'connection_timeout',
            `${host}:${port} at ${address} after ${this.#timeouts.connectMs} ms`,
          ),
        ),
      last ? left : left / (this.#addresses.length + 1),
    );
    const onError = (error: NodeJS.ErrnoException) => {
      if (!this.#over)
        next(
          new OutriggerError(
            connectError(error.code),
            `${host}:${port} at ${address}: ${error.code ?? error.message}`,
          ),
        );
    };
    tcp.on('error', onError);
    tcp.once('connect', () => {
      if (this.#over) return;
      this.#settleTimer();
      this.connectMs = performance.now() - this.#connectBeganAt;
      if (this.target.tls) this.#handshake(tcp, this.target.tls, onError);
      else this.#done(tcp, tcp, onError);
    });
  }

  #handshake(tcp: Socket, profile: TlsProfile, onError: (error: NodeJS.ErrnoException) => void): void {
    const { host, port } = this.target;
    tcp.off('error', onError);
    tcp.on('error', () => {}); // the TLS socket reports it
    this.#begin('handshaking', this.#timeouts.tlsMs, 'tls_timeout');
    const tls = connectTls({
      socket: tcp,
      host,
      servername: profile.servername(host),
      ALPNProtocols: profile.alpn(this.target.http1),
      secureContext: profile.secureContext,
      rejectUnauthorized: profile.verifies,
      checkServerIdentity: checkAlternativeNames,
    });
    this.socket = tls;
    const onTlsError = (error: NodeJS.ErrnoException) => {
      const code = error.code ?? '';
      let name: ErrorName = 'tls_protocol_error';
      if (CERTIFICATE_ERROR.test(code)) name = 'tls_certificate_error';
      else if (code === 'ECONNRESET' || code === 'EPIPE') name = 'connection_terminated';
      this.#fail(new OutriggerError(name, `${host}:${port}: ${code === '' ? error.message : code}`));
    };
    tls.on('error', onTlsError);
    tls.once('secureConnect', () => {
      if (this.#over) return;
      this.#settleTimer();
      this.tlsMs = performance.now() - this.#phaseBeganAt;
      this.#done(tcp, tls, onTlsError);
    });
  }

  #done(tcp: Socket, socket: Socket | TLSSocket, onError: (error: NodeJS.ErrnoException) => void): void {
    this.#over = true;
    this.tcp = tcp;
    this.socket = socket;
    socket.off('error', onError);
    this.#observer.dialled(this);
  }
}
