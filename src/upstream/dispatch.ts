/**
 * Carries one attempt to its origin over the connection of its lease, and is the response that comes
 * back: the handler of an HTTP/1.1 exchange or of a stream of HTTP/2 on one side, a head and a flowing body on
 * the other.
 *
 * Rules: the promise settles once, with the head or with the one error; after the head, only the sink
 * hears of the body's end. The connection goes back to the pool when the body ends, not before, and is
 * killed when anything is in doubt; of one that others hold, too, only the own stream is. Late callbacks decide
 * nothing. No method throws, for an
 * exception in a handler would end the process.
 */
import { OutriggerError } from '../errors.ts';
import type { Attempt, Dispatch, Exchange, Pending, Phase, StallWitness } from '../exchange.ts';
import { forwardResponseHeaders, forwardTrailers } from '../headers/hop-by-hop.ts';
import { STATUS_CODES } from '../node-http.ts';
import { classifyStatus } from '../policy/classify.ts';
import type { Response, ResponseSink } from '../response.ts';
import type { Connection } from './connection.ts';
import type { Dial, DialContext, DialObserver } from './dial.ts';
import { failureOf } from './failure.ts';
import { StaleConnection } from './http1-session.ts';
import { Http2Failure } from './http2-failure.ts';
import type { Lease } from './lease.ts';
import type { BodyReader } from './replay-body.ts';
import type { StreamController, StreamHandler } from './stream-handler.ts';
import type { TlsProfiles } from './tls-profile.ts';

export interface CarryContext extends DialContext {
  /** Bound of a response head, bytes. */
  readonly headerBytes: number;
  /** Lower case; the origin's own field of that name is not passed on. */
  readonly requestIdHeader: string;
  readonly pseudonym: string;
  readonly profiles: TlsProfiles;
}

/** Of a response that is not wanted, so much is read to keep the connection; bytes and milliseconds. */
const DISCARD_BYTES = 65_536;
const DISCARD_MS = 1_000;

/** More interim responses than this are an attack. */
const MAX_INFORMATIONAL = 32;

const NO_TRAILERS: readonly string[] = [];

/** The innermost dispatch of every stack for HTTP. */
export function carry(context: CarryContext): Dispatch<Response> {
  return (exchange) =>
    new Promise((resolve, reject) => {
      new Carrier(exchange, context, resolve, reject).begin();
    });
}

/** As it came, if it can go on so; it means nothing (RFC 9112, section 4). */
function reasonPhrase(status: number, text: string): string {
  const usual = STATUS_CODES[status] ?? '';
  if (text === usual) return text;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7e) return usual;
  return text;
}

class Carrier implements StreamHandler, DialObserver, Pending, Response, StallWitness {
  status = 0;
  statusText = '';
  headers: string[] = [];
  retryAfter: string | null = null;
  length: number | null = null;
  trailer = false;

  readonly #exchange: Exchange;
  readonly #attempt: Attempt;
  readonly #lease: Lease;
  readonly #context: CarryContext;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: OutriggerError) => void;
  #controller: StreamController | null = null;
  #reader: BodyReader | null = null;
  #sentAt = 0;
  #informational = 0;
  #keepAliveHintMs: number | null = null;
  #sink: ResponseSink | null = null;
  /** What came before there was a sink. */
  #early: Buffer[] = [];
  #trailers: readonly string[] | null = null;
  #failure: OutriggerError | null = null;
  #discarding: { left: number; timer: NodeJS.Timeout } | null = null;
  #paused = false;
  /** Of the response body; and how much of it there may be. */
  #received = 0;
  #maxBytes = Number.POSITIVE_INFINITY;
  #headOut = false;
  /** The request has gone out whole. */
  #requestOut = false;
  /** The upstream side is finished with: whatever is still said is late. */
  #over = false;

  constructor(
    exchange: Exchange,
    context: CarryContext,
    resolve: (response: Response) => void,
    reject: (error: OutriggerError) => void,
  ) {
    this.#exchange = exchange;
    this.#attempt = exchange.attempt;
    this.#lease = exchange.lease as Lease;
    this.#context = context;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get stalledOn(): 'origin' | 'caller' {
    return this.#headOut ? (this.#paused ? 'caller' : 'origin') : this.#reader?.waiting ? 'caller' : 'origin';
  }

  begin(): void {
    this.#exchange.pending = this;
    this.#attempt.witness = this;
    const connection = this.#lease.connection as Connection;
    if (connection.ready) {
      this.#send(connection);
      return;
    }
    const { scheme, host, port } = this.#exchange.target as NonNullable<Exchange['target']>;
    const { route } = this.#exchange;
    const tls = scheme === 'https' ? this.#context.profiles.of(route) : null;
    connection.dial(
      { host, port, tls, addresses: this.#exchange.addresses, http1: false, halfOpen: false },
      this.#context,
      route.policy.timeouts,
      this,
    );
  }

  // The dial

  phase(phase: Phase): void {
    this.#exchange.phase = phase;
  }

  dialled(dial: Dial): void {
    if (this.#over) return;
    this.#attempt.dialled(dial);
    const connection = this.#lease.connection as Connection;
    connection.attach(dial, this.#context.headerBytes);
    const { origin } = this.#exchange;
    if (dial.target.tls !== null && origin !== null) origin.verifiedAt = performance.now();
    this.#send(connection);
  }

  failed(error: OutriggerError, dial: Dial): void {
    if (this.#over) return;
    this.#attempt.dialled(dial);
    this.#fail(error);
  }

  // The request

  #send(connection: Connection): void {
    const exchange = this.#exchange;
    this.#attempt.address = connection.address;
    this.#attempt.reused = connection.used;
    const body = exchange.body;
    exchange.phase = body ? 'sending the body' : 'waiting for the head';
    let payload: Buffer | BodyReader | null = null;
    if (body) payload = body.whole() ?? (this.#reader = body.open());
    if (connection.multiplexed) this.#sendOnStream(connection, payload);
    else connection.send(exchange, payload, this);
  }

  #sendOnStream(connection: Connection, payload: Buffer | BodyReader | null): void {
    const { method, target, path, headers, teTrailers } = this.#exchange;
    const { scheme } = target as NonNullable<Exchange['target']>;
    connection.request({ method, scheme, path, headers, teTrailers }, payload, this);
  }

  onRequestStart(controller: StreamController): void {
    this.#controller = controller;
    if (this.#over) {
      controller.abort(new Error('the attempt is over'));
      return;
    }
    this.#sentAt = performance.now();
    this.#attempt.delivery = 'maybe sent';
    const { body } = this.#exchange;
    if (!body) return;
    if (!this.#reader) body.sent();
    this.#attempt.timer?.sending();
  }

  onBodySent(bytes: number): void {
    if (this.#over) return;
    this.#exchange.requestBytes += bytes;
    // Behind the head of the answer, silence is that of its body.
    if (this.#headOut) this.#attempt.timer?.receiving();
    else this.#attempt.timer?.sending();
  }

  onRequestSent(): void {
    this.#requestOut = true;
    if (this.#over || this.#headOut) return;
    this.#exchange.phase = 'waiting for the head';
    this.#attempt.timer?.sent();
  }

  // The response

  onResponseStart(
    controller: StreamController,
    status: number,
    fields: readonly string[],
    reason: string | null,
  ): void {
    if (this.#over) return;
    if (status < 200) {
      this.#interim(status, fields);
      return;
    }
    const { requestIdHeader, pseudonym } = this.#context;
    const { multiplexed } = this.#lease.connection as Connection;
    const facts = forwardResponseHeaders(
      fields,
      this.headers,
      status,
      requestIdHeader,
      pseudonym,
      multiplexed ? '2.0' : '1.1',
    );
    if (facts.invalid !== null) {
      this.cancel(
        new OutriggerError('response_malformed', `${this.#exchange.target?.origin}: ${facts.invalid}`),
      );
      return;
    }
    this.status = status;
    this.statusText = reasonPhrase(status, reason ?? STATUS_CODES[status] ?? '');
    this.length = facts.contentLength ?? (controller.empty ? 0 : null);
    this.trailer = facts.trailer;
    this.retryAfter = facts.retryAfter;
    this.#keepAliveHintMs = facts.keepAliveTimeoutMs;
    const attempt = this.#attempt;
    attempt.headMs = performance.now() - this.#sentAt;
    attempt.status = status;
    attempt.delivery = 'answered';
    const { responseBytes } = this.#exchange.route.policy.limits;
    if (responseBytes !== null) {
      this.#maxBytes = responseBytes;
      const announced = this.#exchange.method === 'HEAD' || status === 304 ? 0 : (this.length ?? 0);
      if (announced > responseBytes) {
        this.#fail(new OutriggerError('response_too_large', `${announced} bytes`));
        return;
      }
    }
    attempt.timer?.answered();
    if (classifyStatus(status) === 'success') attempt.answeredWell();
    this.#headOut = true;
    this.#exchange.phase = 'in the body';
    this.#resolve(this);
  }

  #interim(status: number, raw: readonly string[]): void {
    if (++this.#informational > MAX_INFORMATIONAL) {
      this.cancel(
        new OutriggerError('response_malformed', `more than ${MAX_INFORMATIONAL} interim responses`),
      );
      return;
    }
    // RFC 9110, section 15.2.1: 100 is for who expects it, and the sidecar has answered that itself.
    if (status === 100) return;
    const headers: string[] = [];
    forwardResponseHeaders(raw, headers, status);
    this.#exchange.informational?.informational(status, headers);
  }

  onResponseData(controller: StreamController, chunk: Buffer): void {
    if (this.#over) return;
    if (this.#discarding) {
      this.#discarding.left -= chunk.length;
      if (this.#discarding.left < 0) this.#drop();
      return;
    }
    this.#received += chunk.length;
    if (this.#received > this.#maxBytes) {
      this.#fail(new OutriggerError('response_too_large', `more than ${this.#maxBytes} bytes`));
      return;
    }
    if (!this.#sink) {
      this.#early.push(chunk);
      return;
    }
    this.#attempt.timer?.receiving();
    if (!this.#sink.data(chunk)) {
      this.#paused = true;
      controller.pause();
    }
  }

  onResponseEnd(_controller: StreamController, raw: readonly string[]): void {
    if (this.#over) return;
    this.#over = true;
    this.#reader?.close();
    this.#stopDiscarding();
    let trailers = NO_TRAILERS;
    if (raw.length > 0) {
      const kept: string[] = [];
      forwardTrailers(raw, kept);
      trailers = kept;
    }
    this.#trailers = trailers;
    this.#attempt.end(classifyStatus(this.status), null);
    this.#sink?.end(trailers);
    // Last, for whoever waits for the connection begins at once.
    if (this.#requestOut) this.#lease.release(this.#keepAliveHintMs);
    // An answer to half a request: the rest is not wanted, and would never end.
    else this.#letGo();
  }

  onResponseError(_controller: StreamController | null, error: Error): void {
    if (this.#over) return;
    if (error instanceof StaleConnection) {
      this.#again();
      return;
    }
    // RFC 9113, section 8.7: not processed, so it may be sent again whatever the method.
    if (!this.#headOut && error instanceof Http2Failure && error.unsent) this.#attempt.delivery = 'unsent';
    // TLS 1.3 lets a client finish its handshake before it hears that its certificate is wanted, or not.
    const alert = this.#headOut
      ? undefined
      : /^ERR_SSL_.*_ALERT_(\w+)/.exec(this.#lease.connection?.broken?.code ?? '');
    if (alert) {
      const said =
        alert[1] === 'CERTIFICATE_REQUIRED' ? 'wants a client certificate (tls.cert, tls.key)' : alert[1];
      this.#fail(new OutriggerError('tls_protocol_error', `${this.#exchange.target?.origin}: ${said}`));
      return;
    }
    this.#fail(failureOf(error, this.#exchange.target?.origin ?? '', this.#headOut));
  }

  /** The kept-alive connection had gone before a byte was written: the same attempt, on another one. */
  #again(): void {
    this.#reader = null;
    this.#lease.kill();
    try {
      const taken = this.#lease.take((error) => {
        if (error) this.#fail(error);
        else this.begin();
      });
      if (taken) this.begin();
      else this.#exchange.phase = 'queued';
    } catch (error) {
      this.#fail(error as OutriggerError);
    }
  }

  // The body

  pipe(sink: ResponseSink): void {
    this.#sink = sink;
    for (const chunk of this.#early) {
      if (!sink.data(chunk) && this.#trailers === null) {
        this.#paused = true;
        this.#controller?.pause();
      }
    }
    this.#early = [];
    if (this.#failure) sink.failed(this.#failure);
    else if (this.#trailers) sink.end(this.#trailers);
    else this.#attempt.timer?.receiving();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#over) return;
    this.#attempt.timer?.receiving();
    this.#controller?.resume();
  }

  discard(): void {
    this.#early = [];
    this.#attempt.end(classifyStatus(this.status), null);
    if (this.#over) return;
    this.#discarding = { left: DISCARD_BYTES, timer: setTimeout(() => this.#drop(), DISCARD_MS) };
    this.#controller?.resume();
  }

  #stopDiscarding(): void {
    if (this.#discarding) clearTimeout(this.#discarding.timer);
    this.#discarding = null;
  }

  #drop(): void {
    this.#stopDiscarding();
    this.#over = true;
    this.#reader?.close();
    this.#letGo();
  }

  // The end

  cancel(error: OutriggerError): void {
    this.#fail(error);
  }

  /** The connection, or what is ours of it, is of no more use. */
  #letGo(error: OutriggerError | null = null): void {
    const { connection } = this.#lease;
    if (connection?.multiplexed) {
      this.#controller?.abort(NOT_WANTED);
      if (error !== null && SILENCE.has(error.name)) connection.probe();
    }
    this.#lease.kill();
  }

  #fail(error: OutriggerError): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = error;
    this.#reader?.close();
    this.#stopDiscarding();
    if (this.#lease.connection) this.#letGo(error);
    else this.#lease.leave();
    this.#attempt.end(error.row.verdict, error);
    if (!this.#headOut) this.#reject(error);
    else this.#sink?.failed(error);
  }
}

/** An origin of which nothing was heard for so long may have gone, and the connection with it. */
const SILENCE: ReadonlySet<string> = new Set(['head_timeout', 'write_timeout', 'body_timeout']);

const NOT_WANTED = new Error('the attempt is over');
