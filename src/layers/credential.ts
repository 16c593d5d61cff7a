/**
 * Puts the route's token of OAuth 2 into the request: at once where there is one that holds, else after it has
 * been fetched. A 401 of the origin drops the token. Absent where the route has none.
 */
import type { Tokens } from '../credentials/tokens.ts';
import type { Exchange, Layer, Releasable } from '../exchange.ts';
import { setField } from '../headers/edits.ts';

/** Looks at the end what the origin made of the token: of an upgrade nobody here sees the answer before. */
class Verdict implements Releasable {
  readonly #exchange: Exchange;
  readonly #tokens: Tokens;
  readonly #token: string;

  constructor(exchange: Exchange, tokens: Tokens, token: string) {
    this.#exchange = exchange;
    this.#tokens = tokens;
    this.#token = token;
  }

  release(): void {
    if (this.#exchange.attempts.at(-1)?.status === 401) this.#tokens.rejected(this.#token);
  }
}

export function credential<R extends { readonly status: number }>(tokens: Tokens): Layer<R> {
  return (next) => async (exchange) => {
    const token = tokens.current() ?? (await tokens.wait(exchange));
    exchange.pending = null;
    // Aborted in the very moment in which the token came.
    if (exchange.aborted !== null) throw exchange.aborted;
    setField(exchange.headers, tokens.header, token);
    exchange.onFinish(new Verdict(exchange, tokens, token));
    const result = await next(exchange);
    if (result.status === 401) tokens.rejected(token);
    return result;
  };
}
