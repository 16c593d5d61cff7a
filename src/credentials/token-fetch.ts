/**
 * Fetches a token as an exchange of its own, as if the sidecar were one of its callers: with the route that the
 * token URL matches, its access, TLS, timeouts, retries and circuit, a log line and metrics.
 *
 * Rules: what that route adds to the requests of callers is not added, so that no credential of a route goes
 * into a token request, and none waits for a token that waits for itself; a redirect is not followed; the body of
 * the answer is bounded; no secret and nothing of a body is part of an error.
 */
import { asOutriggerError, OutriggerError } from '../errors.ts';
import { type Dispatch, Exchange, type ExchangeObserver, type Target } from '../exchange.ts';
import type { LiveExchanges } from '../live-exchanges.ts';
import type { OAuth2Policy, Route } from '../policy/policy.ts';
import type { Response, ResponseSink } from '../response.ts';
import { tokenForm } from './token-form.ts';
import { type Grant, readGrant } from './token-response.ts';

/** Bytes of an answer that are read. */
const BODY_BYTES = 65_536;

/** Where a token request goes, and by which policy. */
export interface TokenWay {
  readonly target: Target;
  readonly route: Route;
}

export interface TokenFetchOptions {
  readonly observer: ExchangeObserver;
  readonly live: LiveExchanges;
  readonly requestIdHeader: string;
  readonly nextId: () => string;
  /** As for a caller of that URL. */
  readonly wayOf: (policy: OAuth2Policy) => TokenWay;
  /** By the rules of access; null: it may pass. */
  readonly denialOf: (exchange: Exchange) => OutriggerError | null;
  readonly dispatchFor: (route: Route, timeoutMs: number) => Dispatch<Response>;
  readonly openBody: (body: Buffer, route: Route) => NonNullable<Exchange['body']>;
}

/** @param name of the route whose requests carry the token; for the log */
export function fetchToken(
  policy: OAuth2Policy,
  name: string,
  secret: string,
  options: TokenFetchOptions,
): Promise<Grant> {
  const { observer, live, requestIdHeader, nextId, wayOf, denialOf, dispatchFor, openBody } = options;
  const { target, route } = wayOf(policy);
  const id = nextId();
  const { path } = policy.tokenUrl;
  const exchange = new Exchange(observer, id, null, 'outrigger', 'POST', target, path, route, 'token');
  const { headers, body } = tokenForm(policy, secret);
  // To ask twice is the same as to ask once.
  exchange.idempotencyKey = true;
  exchange.headers = ['Host', target.authority, ...headers, requestIdHeader, id];
  live.add(exchange);
  const denial = denialOf(exchange);
  const fetched =
    denial !== null
      ? Promise.reject(denial)
      : read(exchange, () => {
          exchange.body = openBody(body, route);
          exchange.onFinish(exchange.body);
          return dispatchFor(route, policy.timeoutMs)(exchange);
        });
  return fetched.then(
    (grant) => {
      live.delete(exchange);
      exchange.finish('completed', null, `token of route ${name}`);
      return grant;
    },
    (thrown: unknown) => {
      const error = asOutriggerError(thrown);
      live.delete(exchange);
      exchange.pending?.cancel(error);
      exchange.finish(error.row.outcome, error);
      throw error;
    },
  );
}

async function read(exchange: Exchange, dispatch: () => Promise<Response>): Promise<Grant> {
  const response = await dispatch();
  exchange.status = response.status;
  const body = await new Promise<Buffer>((resolve, reject) =>
    response.pipe(new Body(exchange, resolve, reject)),
  );
  const grant = readGrant(response.status, body);
  if ('problem' in grant)
    throw new OutriggerError('token_unavailable', `${exchange.target?.origin} ${grant.problem}`);
  return grant;
}

/** Takes the body of the answer, within its bound. */
class Body implements ResponseSink {
  readonly #exchange: Exchange;
  readonly #resolve: (body: Buffer) => void;
  readonly #reject: (error: OutriggerError) => void;
  readonly #chunks: Buffer[] = [];

  constructor(exchange: Exchange, resolve: (body: Buffer) => void, reject: (error: OutriggerError) => void) {
    this.#exchange = exchange;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  data(chunk: Buffer): boolean {
    const exchange = this.#exchange;
    exchange.responseBytes += chunk.length;
    if (exchange.responseBytes <= BODY_BYTES) {
      // What a parser lends is only good for now.
      this.#chunks.push(Buffer.from(chunk));
      return true;
    }
    // It ends the exchange, and the connection with it.
    this.#reject(
      new OutriggerError('token_unavailable', `${exchange.target?.origin} answered with more than 64 KiB`),
    );
    return false;
  }

  end(): void {
    this.#resolve(Buffer.concat(this.#chunks));
  }

  failed(error: OutriggerError): void {
    this.#reject(error);
  }
}
