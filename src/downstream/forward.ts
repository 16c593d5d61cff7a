/**
 * Requests in absolute form: an exchange is admitted, sent through its stack, and its response written
 * back as it flows; or it is answered by us. One object per exchange sees to both sides and to its end.
 *
 * Rules: an exchange finishes when the caller's side of it is over, whatever came before; once the head is
 * out, a failure cuts the connection so that the caller sees a truncated message; a caller that leaves
 * ends whatever is under way.
 */
import { asOutriggerError, OutriggerError } from '../errors.ts';
import type { Dispatch, Exchange, InformationalSink, Pending, Phase } from '../exchange.ts';
import { applyEdits } from '../headers/edits.ts';
import { isNamed } from '../headers/field-names.ts';
import { proxyStatusOf } from '../headers/forwarding.ts';
import type { RetryPolicy, Route } from '../policy/policy.ts';
import type { Response, ResponseSink } from '../response.ts';
import { resetSocket } from '../socket-reset.ts';
import { bodyPassed } from '../spent-buffers.ts';
import { type Admission, isHttp10 } from './admission.ts';
import { type CallerRequest, type CallerResponse, insideOf } from './caller.ts';
import { drain } from './drain.ts';
import { grpcReply, isGrpc } from './grpc-reply.ts';
import { replyOf } from './reply.ts';
import type { Holder } from './turns.ts';
import type { Prefix, Way, Ways } from './way.ts';

/** An answer of ours that ends the connection has so long to get out, milliseconds; each byte gives it more. */
const LAST_ANSWER_MS = 1_000;

export interface ForwardOptions {
  readonly admission: Admission;
  readonly ways: Ways;
  readonly dispatchFor: (route: Route) => Dispatch<Response>;
  readonly openBody: (
    source: CallerRequest,
    length: number | null,
    retry: RetryPolicy,
  ) => NonNullable<Exchange['body']>;
  /** Exchanges that have not finished, for the drain. */
  readonly live: Set<Exchange>;
}

export class Forwarder {
  readonly #options: ForwardOptions;

  constructor(options: ForwardOptions) {
    this.#options = options;
  }

  handle(request: CallerRequest, response: CallerResponse): Forwarding {
    const { admission, ways, dispatchFor, live, openBody } = this.#options;
    const inside = insideOf(request.socket);
    if (inside !== null) inside.used = true;
    let way: Way | null = null;
    let unusable = request.refusal ?? null;
    try {
      way = ways.read(request.url ?? '', inside, request.socket);
    } catch (error) {
      unusable ??= asOutriggerError(error);
    }
    const { exchange, facts, refusal } = admission.admit(request, way, inside, unusable);
    live.add(exchange);
    const forwarding = new Forwarding(exchange, request, response, admission.requestIdHeader, live);
    if (way !== null && way.prefix !== null) forwarding.prefixed = { prefix: way.prefix, host: facts.host };
    // RFC 9110, section 10.1.1: refused before it was asked for, the body may come or not.
    forwarding.holdsBack = facts.expectContinue && !isHttp10(request);
    if (refusal) {
      // At once, for what Node throws away by itself is not counted.
      if (facts.hasBody) drain(request, request.socket);
      forwarding.fail(refusal);
      return forwarding;
    }
    const { policy } = exchange.route;
    applyEdits(exchange.headers, policy.headers.request);
    const dispatch = dispatchFor(exchange.route);
    if (!facts.hasBody) {
      forwarding.follow(dispatch(exchange));
      return forwarding;
    }
    const body = openBody(request, facts.contentLength, policy.retry);
    exchange.body = body;
    exchange.onFinish(body);
    if (forwarding.holdsBack) {
      // The body is wanted once the exchange has been admitted and has a connection.
      body.onWanted = () => {
        forwarding.holdsBack = false;
        response.writeContinue();
      };
    }
    // Later, so that a small body that came with the head is here whole and can go out with it.
    queueMicrotask(() => {
      // A body that came with the head may have been found wrong meanwhile.
      if (exchange.aborted === null) forwarding.follow(dispatch(exchange));
    });
    return forwarding;
  }
}

export class Forwarding implements ResponseSink, InformationalSink, Holder, Pending {
  readonly exchange: Exchange;
  /** The caller sends its body only after 100 Continue, and has not had it. */
  holdsBack = false;
  /** The caller reached the origin by a prefix, and us by this Host. */
  prefixed: { readonly prefix: Prefix; readonly host: string | null } | null = null;
  readonly request: CallerRequest;
  readonly #response: CallerResponse;
  readonly #requestIdHeader: string;
  readonly #live: Set<Exchange>;
  #upstream: Response | null = null;
  #error: OutriggerError | null = null;
  /** What the exchange was busy with when the caller broke off its body. */
  #left: Phase | null = null;
  /** Its end is told by the framing and not by a length, so that trailers can follow. */
  #chunked = false;
  /** Something of the body, or its end, has followed the head. */
  #flows = false;
  /** We closed the connection, and not the caller. */
  #wasCut = false;
  #flushTimer: NodeJS.Timeout | null = null;

  constructor(
    exchange: Exchange,
    request: CallerRequest,
    response: CallerResponse,
    requestIdHeader: string,
    live: Set<Exchange>,
  ) {
    this.exchange = exchange;
    this.request = request;
    this.#response = response;
    this.#requestIdHeader = requestIdHeader;
    this.#live = live;
    exchange.informational = this;
    response.sendDate = false;
    response.on('close', this.#onClose);
    request.on('error', ignore);
  }

  follow(dispatched: Promise<Response>): void {
    dispatched.then(this.#respond, this.#failed);
  }

  /** The request's own bytes turned out to be wrong after its head had been taken. */
  malformed(error: OutriggerError): void {
    if (this.exchange.finished) return;
    // A caller that closes in the middle of its body has left; one that only half-closed gets to know why.
    if (error.name === 'request_body_incomplete') this.#left = this.exchange.phase;
    this.exchange.abort(error);
    if (!this.#error) this.fail(error);
  }

  informational(status: number, headers: readonly string[]): void {
    // RFC 9110, section 15.2: never to an HTTP/1.0 caller.
    if (isHttp10(this.request) || this.#response.headersSent) return;
    const fields: Record<string, string[]> = Object.create(null);
    for (let i = 0; i + 1 < headers.length; i += 2)
      (fields[headers[i] as string] ??= []).push(headers[i + 1] as string);
    try {
      this.#response.writeInformation(status, fields);
    } catch {
      // A header that Node would not write: an interim response may be left out.
    }
  }

  #respond = (upstream: Response): void => {
    const { exchange } = this;
    if (exchange.finished) {
      upstream.discard();
      return;
    }
    const response = this.#response;
    const { status, headers } = upstream;
    this.#upstream = upstream;
    this.prefixed?.prefix.rewriter.rewrite(headers, this.prefixed.host);
    headers.push(this.#requestIdHeader, exchange.id);
    headers.push('Proxy-Status', proxyStatusOf(exchange.attempts.length, status));
    applyEdits(headers, exchange.route.policy.headers.response);
    this.#chunked =
      (upstream.length === null || this.request.http2 === true) &&
      !isHttp10(this.request) &&
      this.request.method !== 'HEAD' &&
      status !== 204 &&
      status !== 304;
    // RFC 9110, section 6.6.2: it announces trailers, which only a chunked body has.
    if (upstream.trailer && !this.#chunked) removeField(headers, 'trailer');
    const socket = response.socket;
    socket?.cork();
    try {
      response.writeHead(status, upstream.statusText, headers, upstream.length === 0);
    } catch (error) {
      socket?.uncork();
      this.#upstream = null;
      exchange.pending?.cancel(new OutriggerError('response_malformed'));
      this.fail(new OutriggerError('response_malformed', (error as NodeJS.ErrnoException).code ?? ''));
      return;
    }
    exchange.status = status;
    upstream.pipe(this);
    // Node keeps a head for the first of the body, and that may take its time.
    if (!this.#flows) response.flushHeaders?.();
    socket?.uncork();
  };

  #failed = (thrown: unknown): void => {
    // Whoever aborted the exchange may have answered already.
    if (!this.exchange.finished && !this.#error) this.fail(asOutriggerError(thrown));
  };

  // The body

  data(chunk: Buffer): boolean {
    this.#flows = true;
    bodyPassed(chunk.length);
    this.exchange.responseBytes += chunk.length;
    if (this.#response.write(chunk)) return true;
    if (this.#response.listenerCount('drain') === 0) this.#response.on('drain', this.#onDrain);
    return false;
  }

  end(trailers: readonly string[]): void {
    const response = this.#response;
    this.#flows = true;
    if (trailers.length > 0 && this.#chunked) {
      const pairs: [string, string][] = [];
      for (let i = 0; i + 1 < trailers.length; i += 2)
        pairs.push([trailers[i] as string, trailers[i + 1] as string]);
      try {
        response.addTrailers(pairs);
      } catch {
        this.#cut(new OutriggerError('response_malformed', 'a trailer'));
        return;
      }
    }
    response.end();
    this.#boundFlush();
  }

  failed(error: OutriggerError): void {
    this.#cut(error);
  }

  drained(): void {
    this.#onDrain();
  }

  #onDrain = (): void => this.#upstream?.resume();

  /** Once upstream is done nobody else watches a caller that does not read the rest. */
  #boundFlush(isLast = false): void {
    const response = this.#response;
    if (response.writableLength === 0 || response.writableFinished) return;
    let { idleMs } = this.exchange.route.policy.timeouts;
    if (isLast) idleMs = Math.min(idleMs, LAST_ANSWER_MS);
    this.exchange.pending = this;
    let left = response.writableLength;
    const watch = (): void => {
      if (response.writableLength < left) {
        left = response.writableLength;
        this.#flushTimer?.refresh();
      } else this.#cut(new OutriggerError('caller_stalled', `after ${idleMs} ms`));
    };
    this.#flushTimer = setTimeout(watch, idleMs);
  }

  // The end

  /** The deadline has passed, or the sidecar stops, while the caller takes its time with the rest. */
  cancel(error: OutriggerError): void {
    if (!this.#wasCut) this.#cut(error);
  }

  /** Answers with an error of ours. */
  fail(error: OutriggerError): void {
    const response = this.#response;
    if (response.headersSent) {
      this.#cut(error);
      return;
    }
    if (error.name === 'caller_left') return;
    this.#error = error;
    let reply = replyOf(this.exchange, error, this.#requestIdHeader);
    if (isGrpc(this.request)) reply = grpcReply(reply, error);
    // Where the framing is in doubt, or a body is yet to come that nobody wants, the connection ends.
    const { outcome, status } = error.row;
    const doubtful = error.row.fault === 'caller' && outcome === 'refused';
    const closes =
      doubtful ||
      error.name === 'request_malformed' ||
      error.name === 'request_body_incomplete' ||
      error.name === 'draining' ||
      this.holdsBack ||
      status === 408;
    if (closes) reply.headers.push('Connection', 'close');
    this.exchange.status = reply.status;
    const body = this.request.method === 'HEAD' ? '' : reply.body;
    response.writeHead(reply.status, reply.statusText, reply.headers, body === '');
    response.end(body === '' ? undefined : body);
    this.exchange.responseBytes += Buffer.byteLength(body);
    // A stream takes nothing else along.
    this.#boundFlush(closes && this.request.http2 !== true);
  }

  #cut(error: OutriggerError): void {
    this.#error = error;
    this.#wasCut = true;
    this.#flows = true;
    const response = this.#response;
    const socket = response.socket;
    // An end that only the connection's end tells must not look like one.
    if (response.headersSent && !this.#chunked && this.#upstream?.length === null && socket)
      resetSocket(socket);
    else response.destroy();
  }

  #onClose = (): void => {
    const { exchange } = this;
    const error = this.#error;
    if (this.#flushTimer) clearTimeout(this.#flushTimer);
    this.#live.delete(exchange);
    const whole = this.#response.writableFinished;
    if (this.#left) exchange.finish('aborted', error, `caller left while ${this.#left}`);
    else if (whole) exchange.finish(error ? error.row.outcome : 'completed', error);
    else if (error && this.#wasCut) {
      exchange.pending?.cancel(error);
      exchange.finish(this.#response.headersSent ? 'truncated' : error.row.outcome, error);
    } else if (error) exchange.finish('aborted', error, 'caller left before it had the answer');
    else {
      const { phase } = exchange;
      exchange.abort(new OutriggerError('caller_left'));
      exchange.finish('aborted', null, `caller left while ${phase}`);
    }
    if (whole && exchange.body && !this.request.complete) drain(this.request, this.request.socket);
  };
}

function removeField(headers: string[], lower: string): void {
  for (let i = headers.length - 2; i >= 0; i -= 2)
    if (isNamed(headers[i] as string, lower)) headers.splice(i, 2);
}

function ignore(): void {
  // A request that breaks off is seen by the close of its response.
}
