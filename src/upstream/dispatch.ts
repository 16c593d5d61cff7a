/**
 * Carries one attempt to its origin over the connection of its lease, and is the response that comes
 * back: the handler of undici, or of a stream of HTTP/2, on one side, a head and a flowing body on the other.
 *
 * Rules: the promise settles once, with the head or with the one error; after the head, only the sink
 * hears of the body's end. The connection goes back to the pool when the body ends, not before, and is
 * killed when anything is in doubt; of one that others hold, too, only the own stream is. Late callbacks decide
 * nothing. No method throws, for an
 * exception in a handler would end the process.
 */
import { STATUS_CODES } from 'node:http';
import type { Dispatcher } from 'undici';
import { OutriggerError } from '../errors.ts';
import type { Attempt, Dispatch, Exchange, Pending, Phase, StallWitness } from '../exchange.ts';
import { forwardResponseHeaders, forwardTrailers } from '../headers/hop-by-hop.ts';
import { classifyStatus } from '../policy/classify.ts';
import type { Response, ResponseSink } from '../response.ts';
import type { Connection } from './connection.ts';
import { StaleConnection } from './connection.ts';
import type { Dial, DialContext, DialObserver } from './dial.ts';
import { failureOf } from './failure.ts';
import { Http2Failure } from './http2-failure.ts';
import type { Lease } from './lease.ts';
import type { BodyReader } from './replay-body.ts';
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

function decode(raw: readonly Buffer[] | readonly string[]): string[] {
  const out: string[] = [];
  for (const part of raw) out.push(typeof part === 'string' ? part : part.toString('latin1'));
  return out;
}

/** As it came, if it can go on so; it means nothing (RFC 9112, section 4). Null: it would break the head. */
function reasonPhrase(status: number, text: string): string | null {
  const usual = STATUS_CODES[status] ?? '';
  if (text === usual) return text;
  let plain = true;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return null;
    if (code > 0x7e) plain = false;
  }
  return plain ? text : usual;
}

class Carrier implements Dispatcher.DispatchHandler, DialObserver, Pending, Response, StallWitness {
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
  #controller: Dispatcher.DispatchController | null = null;
  #reader: BodyReader | null = null;
  #sentAt = 0;
  #informational = 0;
  #keepAliveHintMs: number | null = null;
  /** The body ends with the connection: then a reset must not look like its end (RFC 9112, section 8). */
  #closeDelimited = false;
  #sink: ResponseSink | null = null;
  /** What came before there was a sink. */
  #early: Buffer[] = [];
  #trailers: readonly string[] | null = null;
  #failure: OutriggerError | null = null;
  #discarding: { left: number; timer: NodeJS.Timeout } | null = null;
  #paused = false;
  #headOut = false;
  /** The request has gone out whole. */
  #requestOut = false;
  /** The upstream side is finished with: whatever undici still says is late. */
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
      { host, port, tls, http1: false, halfOpen: false },
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
    if (connection.multiplexed) {
      this.#sendOnStream(connection, payload);
      return;
    }
    connection.dispatch(
      {
        method: exchange.method,
        path: exchange.path,
        headers: exchange.headers,
        body: payload as Buffer | null,
        // Left alone, undici closes the connection after a HEAD, or a DELETE with a body.
        reset: false,
      },
      this,
      this.#context.headerBytes,
    );
  }

  #sendOnStream(connection: Connection, payload: Buffer | BodyReader | null): void {
    const { method, target, path, headers, teTrailers } = this.#exchange;
    const { scheme } = target as NonNullable<Exchange['target']>;
    connection.request({ method, scheme, path, headers, teTrailers }, payload, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
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

  onBodySent(chunk: Buffer): void {
    if (this.#over) return;
    this.#exchange.requestBytes += chunk.length;
    this.#attempt.timer?.sending();
  }

  onRequestSent(): void {
    this.#requestOut = true;
    if (this.#over || this.#headOut) return;
    this.#exchange.phase = 'waiting for the head';
    this.#attempt.timer?.sent();
  }

  // The response

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusText?: string,
  ): void {
    if (this.#over) return;
    const raw = decode(controller.rawHeaders as Buffer[]);
    if (status < 100) {
      this.cancel(
        new OutriggerError('response_malformed', `${this.#exchange.target?.origin}: status ${status}`),
      );
      return;
    }
    if (status < 200) {
      this.#interim(status, raw);
      return;
    }
    const { requestIdHeader, pseudonym } = this.#context;
    const { multiplexed } = this.#lease.connection as Connection;
    const facts = forwardResponseHeaders(
      raw,
      this.headers,
      status,
      requestIdHeader,
      pseudonym,
      multiplexed ? '2.0' : '1.1',
    );
    const reason = reasonPhrase(status, statusText ?? STATUS_CODES[status] ?? '');
    const invalid = facts.invalid ?? (reason === null ? 'a control character in the reason phrase' : null);
    if (invalid !== null) {
      this.cancel(new OutriggerError('response_malformed', `${this.#exchange.target?.origin}: ${invalid}`));
      return;
    }
    this.status = status;
    this.statusText = reason as string;
    const empty = 'empty' in controller && controller.empty === true;
    this.length = facts.contentLength ?? (empty ? 0 : null);
    this.trailer = facts.trailer;
    this.retryAfter = facts.retryAfter;
    this.#keepAliveHintMs = facts.keepAliveTimeoutMs;
    this.#closeDelimited = facts.contentLength === null && !facts.chunked && !multiplexed;
    const attempt = this.#attempt;
    attempt.headMs = performance.now() - this.#sentAt;
    attempt.status = status;
    attempt.delivery = 'answered';
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
    const headers: string[] = [];
    forwardResponseHeaders(raw, headers, status);
    this.#exchange.informational?.informational(status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    if (this.#discarding) {
      this.#discarding.left -= chunk.length;
      if (this.#discarding.left < 0) this.#drop();
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

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#over) return;
    const broken = (this.#lease.connection as Connection).broken;
    if (this.#closeDelimited && broken !== null) {
      this.onResponseError(controller, broken);
      return;
    }
    this.#over = true;
    this.#reader?.close();
    this.#stopDiscarding();
    const connection = this.#lease.connection as Connection;
    if (connection.multiplexed) {
      if (this.#requestOut) this.#lease.release(null);
      // An answer to half a request: the rest is not wanted, and would never end.
      else this.#letGo();
    } else {
      // undici decides only after this returns whether the socket lives on.
      connection.deciding();
      process.nextTick(giveBack, this.#lease, this.#keepAliveHintMs, this.#requestOut);
    }
    const raw = controller.rawTrailers as Buffer[] | null;
    let trailers = NO_TRAILERS;
    if (raw && raw.length > 0) {
      const kept: string[] = [];
      forwardTrailers(decode(raw), kept);
      trailers = kept;
    }
    this.#trailers = trailers;
    this.#attempt.end(classifyStatus(this.status), null);
    this.#sink?.end(trailers);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
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
    // The parser's word is the more telling one where the socket was destroyed for it.
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

function giveBack(lease: Lease, hintMs: number | null, requestOut: boolean): void {
  lease.connection?.decided();
  if (requestOut) lease.release(hintMs);
  // An answer to half a request: the rest is not wanted, and would never end.
  else lease.kill();
}
