/**
 * The handshake of an upgrade with the origin (RFC 6455, section 4), spoken by http-proxy over a socket that
 * the stack has dialled: the only door of that library. It ends in one of three ways: the origin has
 * switched, has answered otherwise, or has failed.
 *
 * Rules: what goes out is the exchange's own head, byte for byte; only a 101 that switches to WebSocket is
 * one (RFC 9110, section 15.2.2), and only with the answer to this very key, which shows that the origin has
 * read the handshake as one (RFC 6455, section 4.1): what follows is seen by nobody; any other answer is a response like all others, with backpressure and an
 * end that tells whether it was whole. http-proxy is handed a stand-in for the caller: it would write heads
 * and bodies of its own making to a real one, and would keep the origin's socket open where the caller has
 * left. Nothing here throws. It knows the caller's side by its interface only.
 */
import { createHash } from 'node:crypto';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { createProxyServer } from 'http-proxy';
import { type ErrorName, OutriggerError } from '../errors.ts';
import type { Exchange, Pending, StallWitness } from '../exchange.ts';
import { isNamed } from '../headers/field-names.ts';
import { forwardResponseHeaders, forwardTrailers } from '../headers/hop-by-hop.ts';
import { Agent, IncomingMessage as Incoming } from '../node-http.ts';
import type { Response, ResponseSink } from '../response.ts';

/** The origin's end, as the stack delivers it. */
export interface UpgradeEnd {
  readonly socket: Socket;
  /** In good order. */
  close(): void;
  /** At once. */
  kill(): void;
}

export interface HandshakeOptions {
  /** Bound of a response head, bytes. */
  readonly headerBytes: number;
  /** Lower case; the origin's own field of that name is not passed on. */
  readonly requestIdHeader: string;
  readonly pseudonym: string;
}

/** One of these is called, once. */
export interface HandshakeObserver {
  /** 101: the socket is free, and paused. `headers` without those of the hop. */
  switched(headers: string[]): void;
  answered(response: Response): void;
  failed(error: OutriggerError): void;
}

/** More interim responses than this are an attack. */
const MAX_INFORMATIONAL = 32;

const NOTHING = Buffer.alloc(0);

/** Stands where http-proxy expects the caller's socket: takes all, has nothing to say. */
class StandIn extends Duplex {
  override _read(): void {}

  override _write(_chunk: unknown, _encoding: unknown, callback: () => void): void {
    callback();
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  destroySoon(): void {
    this.destroy();
  }
}

/** Has the one socket, and neither keeps nor closes it: how it ends is ours to say. */
class OneSocket extends Agent {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
  }

  addRequest(request: ClientRequest): void {
    request.onSocket(this.#socket);
  }
}

/** http-proxy copies names and values of an object: lines of one name become a list. */
function fieldsOf(list: readonly string[]): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = Object.create(null);
  const spelling: Record<string, string> = Object.create(null);
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = (spelling[(list[i] as string).toLowerCase()] ??= list[i] as string);
    const value = list[i + 1] as string;
    const known = fields[name];
    if (known === undefined) fields[name] = value;
    else if (Array.isArray(known)) known.push(value);
    else fields[name] = [known, value];
  }
  return fields;
}

function failureOf(error: NodeJS.ErrnoException, origin: string): OutriggerError {
  const code = error.code ?? '';
  let name: ErrorName = 'connection_terminated';
  if (code === 'HPE_HEADER_OVERFLOW') name = 'response_head_too_large';
  else if (code.startsWith('HPE_')) name = 'response_malformed';
  return new OutriggerError(name, `${origin}: ${error.message}`);
}

export class Handshake implements Pending, StallWitness, Response {
  status = 0;
  statusText = '';
  readonly headers: string[] = [];
  retryAfter: string | null = null;
  length: number | null = null;
  trailer = false;

  readonly #exchange: Exchange;
  readonly #far: UpgradeEnd;
  readonly #options: HandshakeOptions;
  readonly #observer: HandshakeObserver;
  readonly #standIn = new StandIn();
  #sentAt = 0;
  #informational = 0;
  /** What the origin answered with, 101 or not. */
  #answer: IncomingMessage | null = null;
  #headOut = false;
  /** The socket has failed: what ends with it is not whole (RFC 9112, section 8). */
  #broken: Error | null = null;
  #sink: ResponseSink | null = null;
  /** What came before there was a sink. */
  #early: Buffer[] = [];
  #trailers: readonly string[] | null = null;
  #failure: OutriggerError | null = null;
  #paused = false;
  /** Of the body of an answer. */
  #received = 0;
  #over = false;

  constructor(exchange: Exchange, far: UpgradeEnd, options: HandshakeOptions, observer: HandshakeObserver) {
    this.#exchange = exchange;
    this.#far = far;
    this.#options = options;
    this.#observer = observer;
  }

  get stalledOn(): 'origin' | 'caller' {
    return this.#paused ? 'caller' : 'origin';
  }

  begin(): void {
    const exchange = this.#exchange;
    const { attempt } = exchange;
    const { socket } = this.#far;
    exchange.pending = this;
    exchange.phase = 'waiting for the head';
    attempt.witness = this;
    if (socket.destroyed || !socket.readable) {
      this.#fail(new OutriggerError('connection_terminated', this.#origin));
      return;
    }
    // Before Node's own, which would take a reset for the end of a body.
    socket.on('error', this.#onSocketError);
    socket.on('close', this.#onSocketClose);
    const proxy = createProxyServer();
    proxy.on('error', this.#onError);
    proxy.on('proxyReqWs', this.#onRequest);
    proxy.on('open', this.#onOpen);
    const head = new Incoming(socket);
    head.method = 'GET';
    // Not the exchange's, which http-proxy would bring into another spelling.
    head.url = '/';
    head.headers = fieldsOf([...exchange.headers, 'Connection', 'Upgrade', 'upgrade', 'websocket']);
    const options = {
      // The dial has seen to TLS.
      target: { protocol: 'http:', host: 'origin.invalid', port: 80 },
      agent: new OneSocket(socket),
      // What the options of the outgoing request are made from.
      ssl: { maxHeaderSize: this.#options.headerBytes, insecureHTTPParser: false, setHost: false },
    };
    attempt.delivery = 'maybe sent';
    try {
      proxy.ws(head, this.#standIn, NOTHING, options, this.#onError);
    } catch (error) {
      this.#fail(new OutriggerError('internal', '', null, error));
      return;
    }
    this.#sentAt = performance.now();
    attempt.timer?.sent();
  }

  get #origin(): string {
    return this.#exchange.target?.origin ?? '';
  }

  // What http-proxy tells

  #onRequest = (request: ClientRequest): void => {
    request.path = this.#exchange.path;
    // http-proxy wants to see it in lower case.
    request.setHeader('Upgrade', 'websocket');
    // Left alone, Node drops fields beyond the two thousandth without a word.
    request.maxHeadersCount = 0;
    // Before http-proxy's own listeners.
    request.on('information', this.#onInformation);
    request.on('upgrade', this.#onUpgrade);
    request.on('response', this.#onResponse);
  };

  #onInformation = ({ statusCode }: { statusCode: number }): void => {
    // Without Upgrade and Connection it switches to nothing, and Node takes it for an interim response.
    if (statusCode === 101) this.#malformed('a 101 without Upgrade');
    else if (++this.#informational > MAX_INFORMATIONAL)
      this.#malformed(`more than ${MAX_INFORMATIONAL} interim responses`);
  };

  #onUpgrade = (answer: IncomingMessage): void => {
    this.#answer = answer;
  };

  /** http-proxy has joined the origin's socket to the stand-in, and is to let go of it again. */
  #onOpen = (socket: Socket): void => {
    const standIn = this.#standIn;
    socket.unpipe(standIn);
    standIn.unpipe(socket);
    this.#dismiss();
    if (this.#over) return;
    if (!this.#read(this.#answer as IncomingMessage)) return;
    this.#over = true;
    socket.off('error', this.#onSocketError);
    socket.off('close', this.#onSocketClose);
    this.#exchange.attempt.end('success', null);
    this.#observer.switched(this.headers);
  };

  /** Anything but a 101. It is taken from http-proxy, which keeps neither framing nor backpressure. */
  #onResponse = (answer: IncomingMessage): void => {
    this.#dismiss();
    if (this.#over || !this.#read(answer)) {
      answer.on('error', ignore);
      return;
    }
    // RFC 9110, section 15.4.5: a length that is not of what follows.
    if (this.status !== 304 && this.#isTooLarge(this.length ?? 0)) {
      answer.on('error', ignore);
      this.#fail(new OutriggerError('response_too_large', `${this.length} bytes`));
      return;
    }
    this.#answer = answer;
    this.#headOut = true;
    this.#exchange.phase = 'in the body';
    const { attempt } = this.#exchange;
    if (this.status < 500) attempt.answeredWell();
    // First, so that the socket has begun to close in good order when Node would destroy it.
    answer.prependListener('end', this.#onEnd);
    answer.on('data', this.#onData);
    answer.on('error', this.#onAnswerError);
    this.#observer.answered(this);
  };

  /** The stand-in is of no more use. */
  #dismiss(): void {
    this.#standIn.removeAllListeners();
    this.#standIn.on('error', ignore);
    this.#standIn.destroy();
  }

  /** False: it is not acceptable, and the handshake has failed. */
  #read(answer: IncomingMessage): boolean {
    const { requestIdHeader, pseudonym } = this.#options;
    const status = answer.statusCode ?? 0;
    const { headers } = this;
    const facts = forwardResponseHeaders(answer.rawHeaders, headers, status, requestIdHeader, pseudonym);
    let invalid = facts.invalid;
    if (status < 100) invalid = `status ${status}`;
    else if (status === 101 && !isNamed(facts.upgrade ?? '', 'websocket')) {
      invalid = 'a 101 to what nobody asked for';
    } else if (status === 101 && !isAnswerTo(this.#exchange.headers, headers)) {
      invalid = 'a 101 without the answer to its Sec-WebSocket-Key';
    }
    if (invalid !== null) {
      this.#malformed(invalid);
      return false;
    }
    this.status = status;
    this.statusText = answer.statusMessage ?? '';
    this.length = facts.contentLength;
    this.trailer = facts.trailer;
    this.retryAfter = facts.retryAfter;
    // RFC 9110, section 15.5.22: it names what would have been accepted.
    const upgrade = status === 426 ? facts.upgrade : null;
    if (upgrade !== null) headers.push('Upgrade', upgrade);
    if (status !== 101) headers.push('Connection', upgrade === null ? 'close' : 'close, Upgrade');
    const { attempt } = this.#exchange;
    attempt.headMs = performance.now() - this.#sentAt;
    attempt.status = status;
    attempt.delivery = 'answered';
    attempt.timer?.answered();
    return true;
  }

  #isTooLarge(bytes: number): boolean {
    const { responseBytes } = this.#exchange.route.policy.limits;
    return responseBytes !== null && bytes > responseBytes;
  }

  #malformed(detail: string): void {
    this.#fail(new OutriggerError('response_malformed', `${this.#origin}: ${detail}`));
  }

  #onError = (error: Error): void => {
    if (!this.#headOut) this.#fail(failureOf(error, this.#origin));
  };

  #onSocketError = (error: Error): void => {
    this.#broken ??= error;
  };

  #onSocketClose = (): void => {
    if (!this.#headOut) this.#fail(new OutriggerError('connection_terminated', this.#origin));
  };

  // The body of an answer

  #onData = (chunk: Buffer): void => {
    if (this.#over) return;
    this.#received += chunk.length;
    if (this.#isTooLarge(this.#received)) {
      this.#fail(
        new OutriggerError(
          'response_too_large',
          `more than ${this.#exchange.route.policy.limits.responseBytes} bytes`,
        ),
      );
      return;
    }
    const sink = this.#sink;
    if (sink === null) {
      this.#early.push(chunk);
      this.#answer?.pause();
      return;
    }
    this.#exchange.attempt.timer?.receiving();
    if (!sink.data(chunk)) {
      this.#paused = true;
      this.#answer?.pause();
    }
  };

  #onEnd = (): void => {
    if (this.#over) return;
    if (this.#broken !== null || this.#answer?.complete !== true) {
      this.#onAnswerError(this.#broken ?? new Error('it ended early'));
      return;
    }
    this.#over = true;
    this.#far.close();
    this.#exchange.attempt.end(this.status >= 500 ? 'failure' : 'success', null);
    const trailers: string[] = [];
    forwardTrailers(this.#answer.rawTrailers, trailers);
    this.#trailers = trailers;
    this.#sink?.end(trailers);
  };

  #onAnswerError = (error: Error): void => {
    this.#fail(new OutriggerError('response_incomplete', `${this.#origin}: ${error.message}`));
  };

  pipe(sink: ResponseSink): void {
    this.#sink = sink;
    let wanted = true;
    for (const chunk of this.#early) wanted = sink.data(chunk) && wanted;
    this.#early = [];
    if (this.#failure) sink.failed(this.#failure);
    else if (this.#trailers) sink.end(this.#trailers);
    else {
      this.#exchange.attempt.timer?.receiving();
      this.#paused = !wanted;
      if (wanted) this.#answer?.resume();
    }
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#over) return;
    this.#exchange.attempt.timer?.receiving();
    this.#answer?.resume();
  }

  discard(): void {
    this.cancel(new OutriggerError('caller_left'));
  }

  // The end

  cancel(error: OutriggerError): void {
    this.#fail(error);
  }

  #fail(error: OutriggerError): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = error;
    this.#dismiss();
    this.#far.kill();
    this.#exchange.attempt.end(error.row.verdict, error);
    if (!this.#headOut) this.#observer.failed(error);
    else this.#sink?.failed(error);
  }
}

/** RFC 6455, section 1.3. */
const KEY_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Whether the one Sec-WebSocket-Accept of the response is that of the request's key (RFC 6455, section 4.2.2). */
function isAnswerTo(request: readonly string[], response: readonly string[]): boolean {
  const [key, ...moreKeys] = valuesOf(request, 'sec-websocket-key');
  const [accept, ...moreAccepts] = valuesOf(response, 'sec-websocket-accept');
  if (key === undefined || moreKeys.length > 0 || moreAccepts.length > 0) return false;
  return accept === createHash('sha1').update(`${key}${KEY_SUFFIX}`, 'latin1').digest('base64');
}

function valuesOf(fields: readonly string[], lower: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2)
    if (isNamed(fields[i] as string, lower)) values.push(fields[i + 1] as string);
  return values;
}

function ignore(): void {
  // Whoever is not there any more has nothing to report.
}
