/**
 * Requests in absolute form: an exchange is admitted, sent through its stack, and its response written
 * back as it flows; or it is answered by us. One object per exchange sees to both sides and to its end.
 *
 * Rules: an exchange finishes when the caller's side of it is over, whatever came before; once the head is
 * out, a failure cuts the connection so that the caller sees a truncated message; a caller that leaves
 * ends whatever is under way.
 */
import { asOutriggerError, type ErrorName, OutriggerError } from '../errors.ts';
import type { Dispatch, Exchange, Flow, InformationalSink, Owing, Pending, Phase } from '../exchange.ts';
import { applyEdits, leaves, withoutSettled } from '../headers/edits.ts';
import { isNamed } from '../headers/field-names.ts';
import { proxyStatusOf } from '../headers/forwarding.ts';
import type { LiveExchanges } from '../live-exchanges.ts';
import type { Policy, Route } from '../policy/policy.ts';
import type { Response, ResponseSink } from '../response.ts';
import { bodyPassed } from '../spent-buffers.ts';
import { type Admission, isHttp10 } from './admission.ts';
import type { BodyGate } from './body-gate.ts';
import { type CallerRequest, type CallerResponse, insideOf, type ResponseOwner } from './caller.ts';
import { grpcReply, isGrpc } from './grpc-reply.ts';
import { replyOf } from './reply.ts';
import type { SlowPeers } from './slow-peers.ts';
import type { Prefix, Way, Ways } from './way.ts';

/** The errors of the idle timers, for a rate below `policy.limits.minRate`. */
const TOO_SLOW: Readonly<Record<Owing, ErrorName>> = Object.freeze({
  upload: 'request_body_stalled',
  stream: 'request_body_stalled',
  request: 'write_timeout',
  response: 'body_timeout',
  download: 'caller_stalled',
});

/** An answer of ours that ends the connection has so long to get out, milliseconds; each byte gives it more. */
const LAST_ANSWER_MS = 1_000;

/** What a caller is refused for without any doubt about its request: the connection goes on. */
const UNDERSTOOD: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'client_unauthenticated',
  'credentials_denied',
  'prefix_unknown',
]);

const NONE: readonly string[] = [];

export interface ForwardOptions {
  readonly admission: Admission;
  readonly ways: Ways;
  readonly dispatchFor: (route: Route) => Dispatch<Response>;
  readonly openBody: (
    source: CallerRequest,
    length: number | null,
    policy: Policy,
  ) => NonNullable<Exchange['body']>;
  readonly gate: BodyGate;
  readonly slow: SlowPeers;
  /** Exchanges that have not finished, for the drain. */
  readonly live: LiveExchanges;
}

export class Forwarder {
  readonly #options: ForwardOptions;

  constructor(options: ForwardOptions) {
    this.#options = options;
  }

  /** The response may be over when this returns. */
  handle(request: CallerRequest, response: CallerResponse): void {
    const { admission, ways, dispatchFor, live, openBody, gate, slow } = this.#options;
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
    slow.begin();
    const forwarding = new Forwarding(exchange, request, response, admission.requestIdHeader, live);
    if (way !== null && way.prefix !== null) forwarding.prefixed = { prefix: way.prefix, host: facts.host };
    // RFC 9110, section 10.1.1: refused before it was asked for, the body may come or not.
    forwarding.holdsBack = facts.expectContinue && !isHttp10(request);
    if (refusal) {
      forwarding.fail(refusal);
      return;
    }
    const { policy } = exchange.route;
    applyEdits(exchange.headers, policy.headers.request);
    // The key promises that twice is the same as once, to an origin that sees it.
    exchange.idempotencyKey &&= leaves(policy.headers.request, 'idempotency-key');
    const dispatch = dispatchFor(exchange.route);
    if (!facts.hasBody) {
      forwarding.follow(dispatch(exchange));
      return;
    }
    const { requestBytes } = policy.limits;
    if (requestBytes !== null && (facts.contentLength ?? 0) > requestBytes) {
      forwarding.fail(new OutriggerError('request_too_large', `${facts.contentLength} bytes`));
      return;
    }
    const body = openBody(request, facts.contentLength, policy);
    exchange.body = body;
    exchange.onFinish(body);
    if (body.length === null) body.settleTrailers = (raw) => settleTrailers(raw, exchange.route);
    if (requestBytes !== null)
      body.onTooLarge = () =>
        forwarding.malformed(new OutriggerError('request_too_large', `more than ${requestBytes} bytes`));
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
      if (exchange.aborted !== null) return;
      const waits = gate.pass(exchange, body);
      forwarding.follow(waits === null ? dispatch(exchange) : after(waits, dispatch, exchange));
    });
  }
}

export class Forwarding implements ResponseSink, ResponseOwner, InformationalSink, Pending, Flow {
  readonly exchange: Exchange;
  /** The caller sends its body only after 100 Continue, and has not had it. */
  holdsBack = false;
  /** The caller reached the origin by a prefix, and us by this Host. */
  prefixed: { readonly prefix: Prefix; readonly host: string | null } | null = null;
  readonly request: CallerRequest;
  mark: Flow['mark'] = null;
  readonly #response: CallerResponse;
  readonly #requestIdHeader: string;
  readonly #live: LiveExchanges;
  #upstream: Response | null = null;
  #error: OutriggerError | null = null;
  /** What the exchange was busy with when the caller broke off its body. */
  #left: Phase | null = null;
  /** Its end is told by the framing and not by a length, so that trailers can follow. */
  #chunked = false;
  /** An answer of ours that ends the connection. */
  #isLast = false;
  /** We closed the connection, and not the caller. */
  #wasCut = false;
  #flushTimer: NodeJS.Timeout | null = null;
  /** Bytes that the caller had not taken when it was last looked at. */
  #untaken = 0;

  constructor(
    exchange: Exchange,
    request: CallerRequest,
    response: CallerResponse,
    requestIdHeader: string,
    live: LiveExchanges,
  ) {
    this.exchange = exchange;
    this.request = request;
    this.#response = response;
    this.#requestIdHeader = requestIdHeader;
    this.#live = live;
    exchange.informational = this;
    exchange.flow = this;
    response.owner = this;
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
    try {
      this.#response.writeInformation(status, headers);
    } catch {
      // A field that cannot be written: an interim response may be left out.
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
    exchange.body?.onAnswered?.();
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
    try {
      response.writeHead(status, upstream.statusText, headers, upstream.length === 0);
    } catch (error) {
      this.#upstream = null;
      exchange.pending?.cancel(new OutriggerError('response_malformed'));
      this.fail(new OutriggerError('response_malformed', (error as NodeJS.ErrnoException).code ?? ''));
      return;
    }
    exchange.status = status;
    upstream.pipe(this);
    // What of the body was here has come with the head; the rest may take its time.
    response.flush();
  };

  #failed = (thrown: unknown): void => {
    // Whoever aborted the exchange may have answered already.
    if (!this.exchange.finished && !this.#error) this.fail(asOutriggerError(thrown));
  };

  // The body

  data(chunk: Buffer): boolean {
    bodyPassed(chunk.length);
    this.exchange.responseBytes += chunk.length;
    return this.#response.write(chunk);
  }

  end(trailers: readonly string[]): void {
    const response = this.#response;
    if (trailers.length > 0 && this.#chunked) {
      try {
        response.addTrailers(trailers);
      } catch {
        this.#cut(new OutriggerError('response_malformed', 'a trailer'));
        return;
      }
    }
    response.end();
    this.#boundFlush();
  }

  failed(error: OutriggerError): void {
    if (this.#isWhole) this.end(NONE);
    else this.#cut(error);
  }

  /** For the caller: an origin of HTTP/2 may have sent all bytes of a body and not its end. */
  get #isWhole(): boolean {
    const length = this.#upstream?.length ?? null;
    if (this.#chunked || length === null || this.request.http2 === true) return false;
    return this.request.method === 'HEAD' || this.exchange.responseBytes === length;
  }

  drained(): void {
    this.#upstream?.resume();
  }

  /** Once upstream is done nobody else watches a caller that does not read the rest. */
  #boundFlush(): void {
    const response = this.#response;
    if (response.writableLength === 0 || response.writableFinished) return;
    this.#untaken = response.writableLength;
    // What was held until the end of the turn is no sign that the caller stands still.
    if (this.#flushTimer !== null) return;
    let { idleMs } = this.exchange.route.policy.timeouts;
    if (this.#isLast) idleMs = Math.min(idleMs, LAST_ANSWER_MS);
    this.exchange.pending = this;
    const watch = (): void => {
      if (response.writableLength < this.#untaken) {
        this.#untaken = response.writableLength;
        this.#flushTimer?.refresh();
      } else this.#cut(new OutriggerError('caller_stalled', `after ${idleMs} ms`));
    };
    this.#flushTimer = setTimeout(watch, idleMs);
  }

  lagging(): void {
    if (!this.exchange.finished) this.#boundFlush();
  }

  // Who owes bytes

  get owing(): Owing | null {
    const { body, phase, attempts } = this.exchange;
    if (this.#flushTimer !== null) return 'download';
    if (this.#upstream !== null && phase === 'in the body') {
      const witness = attempts[attempts.length - 1]?.witness;
      if (witness?.stalledOn === 'caller') return 'download';
      if (this.#upstream.length !== null) return 'response';
    }
    if (body === null || this.#error !== null) return null;
    if (phase === 'sending the body' && this.exchange.attempt.witness?.stalledOn === 'origin')
      return 'request';
    if (!body.owed) return null;
    if (body.length !== null) return 'upload';
    // Once it is answered it may have nothing to say for as long as it likes.
    return phase === 'sending the body' ? 'stream' : null;
  }

  get holds(): boolean {
    return this.exchange.phase !== 'receiving the body' && this.#error === null;
  }

  moved(owing: Owing): number {
    const { body, requestBytes, responseBytes } = this.exchange;
    if (owing === 'request') return requestBytes;
    if (owing === 'response') return responseBytes;
    if (owing === 'download') return responseBytes - this.#response.writableLength;
    return body?.received ?? 0;
  }

  tooSlow(owing: Owing, detail: string): void {
    this.#endFor(owing, new OutriggerError(TOO_SLOW[owing], detail));
  }

  yield(owing: Owing, detail: string): void {
    const name = owing === 'download' ? 'caller_yielded' : 'request_body_yielded';
    this.#endFor(owing, new OutriggerError(name, detail));
  }

  #endFor(owing: Owing, error: OutriggerError): void {
    if (owing === 'upload' || owing === 'stream') this.malformed(error);
    else this.exchange.pending?.cancel(error);
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
    const { fault, outcome, status } = error.row;
    const doubtful = fault === 'caller' && outcome === 'refused' && !UNDERSTOOD.has(error.name);
    const closes =
      doubtful ||
      error.name === 'request_malformed' ||
      error.name === 'request_body_incomplete' ||
      error.name === 'draining' ||
      error.name === 'internal' ||
      this.holdsBack ||
      status === 408;
    if (closes) reply.headers.push('Connection', 'close');
    this.exchange.status = reply.status;
    const body = this.request.method === 'HEAD' ? '' : reply.body;
    response.writeHead(reply.status, reply.statusText, reply.headers, body === '');
    this.exchange.responseBytes += body.length;
    // A stream takes nothing else along.
    this.#isLast = closes && this.request.http2 !== true;
    response.end(body === '' ? undefined : body);
    this.#boundFlush();
  }

  #cut(error: OutriggerError): void {
    this.#error = error;
    this.#wasCut = true;
    this.#response.destroy();
  }

  closed(): void {
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
  }
}

/** The head has been settled by the route, and the trailers are no way round that. */
function settleTrailers(raw: readonly string[], { policy, credentials }: Route): readonly string[] {
  const own = credentials === null || credentials.caller === 'keep' ? NONE : credentials.fields;
  return withoutSettled(raw, policy.headers.request, own);
}

async function after<R>(waits: Promise<void>, dispatch: Dispatch<R>, exchange: Exchange): Promise<R> {
  await waits;
  // No attempt is begun for who left while this was on its way here.
  if (exchange.aborted !== null) throw exchange.aborted;
  return dispatch(exchange);
}

function removeField(headers: string[], lower: string): void {
  for (let i = headers.length - 2; i >= 0; i -= 2)
    if (isNamed(headers[i] as string, lower)) headers.splice(i, 2);
}
