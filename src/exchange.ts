/**
 * An exchange: one request of the application and its one response. It carries what every layer needs
 * to know, and it finishes exactly once: permits go back, one log line is written, metrics move.
 *
 * It does no I/O, and it does not know which way the bytes go; it is the only thing that downstream,
 * the layers, upstream and telemetry share.
 */
import type { OutriggerError, Verdict } from './errors.ts';
import type { Route, RouteAddresses } from './policy/policy.ts';
import type { Lease } from './upstream/lease.ts';
import type { Origin } from './upstream/origin.ts';
import type { RequestBody } from './upstream/replay-body.ts';

/** Where a request is to go, in canonical form. */
export interface Target {
  readonly scheme: 'http' | 'https';
  /** Lower case, without brackets; an address in its canonical spelling. */
  readonly host: string;
  readonly port: number;
  /** The Host header: brackets round IPv6, the port only where it is not the scheme's own. */
  readonly authority: string;
  /** The key of all upstream state: `scheme://host:port`. */
  readonly origin: string;
}

/**
 * The way on which an exchange came and goes on. Forward: as it came. Originate: plain HTTP came in, TLS
 * goes out. Prefix: sent to the sidecar itself. Intercept: TLS of the caller ends here. Tunnel: opaque. Token: our
 * own, for a token that a route needs.
 */
export type Via = 'forward' | 'originate' | 'prefix' | 'intercept' | 'tunnel' | 'token';

/**
 * How an exchange ended. Completed: the origin's response reached the caller whole. Refused: answered by
 * us without the origin. Failed: answered by us because the origin, or the way to it, failed. Aborted: the
 * caller left. Truncated: cut after the head was out.
 */
export type Outcome = 'completed' | 'refused' | 'failed' | 'aborted' | 'truncated';

/** How far an attempt's request got. Only `unsent` is safe to repeat for every method. */
export type Delivery = 'unsent' | 'maybe sent' | 'answered';

/** What the exchange is busy with; named in the log when the caller leaves. */
export type Phase =
  | 'deciding'
  | 'receiving the body'
  | 'waiting for a token'
  | 'queued'
  | 'resolving'
  | 'connecting'
  | 'handshaking'
  | 'sending the body'
  | 'waiting for the head'
  | 'in the body'
  | 'between two attempts'
  | 'in the tunnel';

/** What stands to be undone when an exchange is aborted. It must settle its own promise with the error. */
export interface Pending {
  cancel(error: OutriggerError): void;
}

/** Borrowed for the whole exchange; given back once, when it finishes. */
export interface Releasable {
  release(): void;
}

/** Takes the 1xx responses of the origin that the caller should see. */
export interface InformationalSink {
  informational(status: number, headers: readonly string[]): void;
}

/** Told of an attempt's good head and of its end, each once. */
export interface AttemptObserver {
  attemptAnswered(): void;
  attemptEnded(verdict: Verdict): void;
}

/** Knows whom an attempt waits for while bytes should be moving; names the culprit of an idle timeout. */
export interface StallWitness {
  readonly stalledOn: 'origin' | 'caller';
}

/**
 * What is owed. Upload: by the caller, of a body of known length; stream: the same without a length. Request: to be
 * taken by the origin. Response: by the origin, of known length. Download: to be taken by the caller.
 */
export type Owing = 'upload' | 'stream' | 'request' | 'response' | 'download';

/** Where an exchange's bytes are, as far as it is about peers that drip. */
export interface Flow {
  /** Null: nobody owes anything. */
  readonly owing: Owing | null;
  /** It holds a permit, and perhaps a connection. */
  readonly holds: boolean;
  /** For whoever looks at them alone. */
  mark: Mark | null;
  /** Bytes of what is owed that have come or gone so far. */
  moved(owing: Owing): number;
  tooSlow(owing: Owing, detail: string): void;
  /** Makes place for others. */
  yield(owing: Owing, detail: string): void;
}

/** What is known of a flow since it was first looked at. */
interface Mark {
  owing: Owing;
  /** Since when, and from which count on, the window is judged. */
  since: number;
  from: number;
  /** At the last look. */
  last: number;
  lastAt: number;
  /** For so many looks it came up with less than it should have. */
  slow: number;
}

/** Told of an attempt's progress by whoever carries it, so that its timers can be kept elsewhere. */
export interface AttemptTimer {
  /** A piece of the request body went out, or the origin made room for one. */
  sending(): void;
  /** The request is out whole: from here the head is awaited. */
  sent(): void;
  /** The head is here. */
  answered(): void;
  /** A piece of the response body moved. */
  receiving(): void;
  stop(): void;
}

/** What a dial came to; times are milliseconds, null: did not happen. */
type DialTimes = Pick<Attempt, 'address' | 'dnsMs' | 'connectMs' | 'tlsMs'>;

/** One try to carry the exchange to its origin. All times are milliseconds; null: did not happen. */
export class Attempt {
  readonly n: number;
  readonly startedAt: number;
  address: string | null = null;
  reused = false;
  queueMs: number | null = null;
  dnsMs: number | null = null;
  connectMs: number | null = null;
  tlsMs: number | null = null;
  headMs: number | null = null;
  durationMs: number | null = null;
  status: number | null = null;
  error: OutriggerError | null = null;
  delivery: Delivery = 'unsent';
  verdict: Verdict | null = null;
  /** Why it was, or was not, tried again. */
  retry: string | null = null;
  witness: StallWitness | null = null;
  timer: AttemptTimer | null = null;
  #observer: AttemptObserver | null = null;

  constructor(n: number, startedAt: number) {
    this.n = n;
    this.startedAt = startedAt;
  }

  /** The breaker's ear; at most one. */
  observe(observer: AttemptObserver): void {
    this.#observer = observer;
  }

  /** A dial has ended, well or not: what it came to. */
  dialled({ address, dnsMs, connectMs, tlsMs }: DialTimes): void {
    this.address = address;
    this.dnsMs = dnsMs;
    this.connectMs = connectMs;
    this.tlsMs = tlsMs;
  }

  /** The head is here, and it is a good one. */
  answeredWell(): void {
    this.#observer?.attemptAnswered();
  }

  /** The attempt's end: the first verdict counts, later ones decide nothing. */
  end(verdict: Verdict, error: OutriggerError | null): void {
    if (this.verdict !== null) return;
    this.verdict = verdict;
    this.error = error;
    this.durationMs = performance.now() - this.startedAt;
    this.timer?.stop();
    this.#observer?.attemptEnded(verdict);
    this.#observer = null;
  }
}

/** Told once of every exchange that has finished. */
export interface ExchangeObserver {
  exchangeFinished(exchange: Exchange): void;
}

/** One call shape for the whole inside: an exchange goes in, a response (or a tunnel's socket) comes out. */
export type Dispatch<R> = (exchange: Exchange) => Promise<R>;

/** A layer wraps a dispatch in another of the same shape. */
export type Layer<R> = (next: Dispatch<R>) => Dispatch<R>;

/** Where a body comes from: it flows from the moment on in which somebody listens. */
export interface BodySource {
  /** Behind the body, as a flat list; whole before its end is told. */
  readonly trailers?: readonly string[];
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  off(event: 'data', listener: (chunk: Buffer) => void): unknown;
  off(event: 'end', listener: () => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

export class Exchange {
  readonly id: string;
  readonly traceId: string | null;
  /** The caller's address and port. */
  readonly client: string;
  readonly method: string;
  /** Null where the request could not be understood that far. */
  readonly target: Target | null;
  /** Path and query byte for byte; '' for CONNECT. */
  readonly path: string;
  /** Settled at admission, but for tunnels: what is inside may decide anew, before anything is dialled. */
  route: Route;
  via: Via;
  /** Wall clock, milliseconds since the epoch: for the log only. */
  readonly time: number;
  /** Monotonic, milliseconds. */
  readonly startedAt: number;
  readonly attempts: Attempt[] = [];

  phase: Phase = 'deciding';
  /** What the caller was answered; null: nothing. */
  status: number | null = null;
  outcome: Outcome | null = null;
  error: OutriggerError | null = null;
  reason: string | null = null;
  /** The header list to send upstream: hop-by-hop fields gone, our own added. */
  headers: string[] = [];
  /** Null where the request has none. */
  body: RequestBody | null = null;
  idempotencyKey = false;
  /** The caller takes trailers, which HTTP/2 has to be told (RFC 9110, section 6.5.1). */
  teTrailers = false;
  /** Who called, by a name of the configuration; null: nobody that it knows. */
  clientName: string | null = null;
  /** Why it would have been refused, had the configuration not said only to report it; null: it would not. */
  wouldRefuse: string | null = null;
  /** The route was found by the server name of TLS, which a caller can make up. */
  byServerName = false;
  /** What TLS asked for inside the tunnel; null: nothing, or it was not looked at. */
  serverName: string | null = null;
  informational: InformationalSink | null = null;
  /** Who owes bytes; null: it is not looked at. */
  flow: Flow | null = null;
  /** The upstream state this exchange uses; set by the origin layer. */
  origin: Origin | null = null;
  /** The hold on a connection; set by the pool permit layer, anew for each attempt. */
  lease: Lease | null = null;
  requestBytes = 0;
  responseBytes = 0;
  /** Time spent waiting for a connection, all attempts together. */
  queueMs = 0;
  durationMs = 0;
  /** Whatever is under way and must be undone on abort. */
  pending: Pending | null = null;
  /** Why the exchange was aborted; no attempt is begun after it. */
  aborted: OutriggerError | null = null;

  /** Its number among the live; -1: it is none of them. */
  liveAt = -1;

  readonly #observer: ExchangeObserver;
  readonly #borrowed: Releasable[] = [];

  constructor(
    observer: ExchangeObserver,
    id: string,
    traceId: string | null,
    client: string,
    method: string,
    target: Target | null,
    path: string,
    route: Route,
    via: Via,
  ) {
    this.#observer = observer;
    this.id = id;
    this.traceId = traceId;
    this.client = client;
    this.method = method;
    this.target = target;
    this.path = path;
    this.route = route;
    this.via = via;
    this.time = Date.now();
    this.startedAt = performance.now();
  }

  /** What its route lays over the address guard. Nobody gets an exception by a name that they made up. */
  get addresses(): RouteAddresses | null {
    const { addresses } = this.route;
    return addresses !== null && this.byServerName ? addresses.denials : addresses;
  }

  get finished(): boolean {
    return this.outcome !== null;
  }

  /** The attempt under way, or the last one. Only called once there is one. */
  get attempt(): Attempt {
    return this.attempts[this.attempts.length - 1] as Attempt;
  }

  beginAttempt(): Attempt {
    const attempt = new Attempt(this.attempts.length + 1, performance.now());
    this.attempts.push(attempt);
    return attempt;
  }

  /** What is borrowed for the whole exchange goes back here, once, in reverse order. */
  onFinish(borrowed: Releasable): void {
    this.#borrowed.push(borrowed);
  }

  /** Before its end: an exchange that is over but for the last of its answer does not keep it from others. */
  giveBack(borrowed: Releasable): void {
    const at = this.#borrowed.lastIndexOf(borrowed);
    if (at < 0) return;
    this.#borrowed.splice(at, 1);
    borrowed.release();
  }

  /** Ends whatever is under way: the caller left, the deadline passed, the sidecar stops. */
  abort(error: OutriggerError): void {
    if (this.aborted !== null || this.finished) return;
    this.aborted = error;
    this.pending?.cancel(error);
  }

  /** The end. The first call counts. */
  finish(outcome: Outcome, error: OutriggerError | null = null, reason: string | null = null): void {
    if (this.outcome !== null) return;
    this.outcome = outcome;
    this.error = error;
    this.reason = reason;
    this.durationMs = performance.now() - this.startedAt;
    const last = this.attempts[this.attempts.length - 1];
    // A caller that left says nothing of the origin; an attempt that is still open then is nobody's failure.
    last?.end('ignored', null);
    for (let i = this.#borrowed.length - 1; i >= 0; i--) this.#borrowed[i]?.release();
    this.#borrowed.length = 0;
    this.pending = null;
    this.#observer.exchangeFinished(this);
  }
}
