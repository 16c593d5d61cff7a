/**
 * The exchanges that have not finished: counted, for the drain, and looked at, for peers that drip.
 *
 * An array in which each knows its number, and no Set: of a Set that is added to and taken from all the time, the
 * engine leaves tables behind, each of which holds the next and what was in it. One that has grown old then keeps
 * alive whatever came after it, finished or not, until the next collection of everything.
 */
import type { Exchange } from './exchange.ts';

export class LiveExchanges {
  readonly #all: Exchange[] = [];

  get size(): number {
    return this.#all.length;
  }

  add(exchange: Exchange): void {
    if (exchange.liveAt >= 0) return;
    exchange.liveAt = this.#all.length;
    this.#all.push(exchange);
  }

  /** The last takes its place. */
  delete(exchange: Exchange): void {
    const at = exchange.liveAt;
    if (at < 0) return;
    exchange.liveAt = -1;
    const last = this.#all.pop() as Exchange;
    if (last === exchange) return;
    this.#all[at] = last;
    last.liveAt = at;
  }

  /**
   * Everyone who is here all the while; who finishes meanwhile may have another seen twice. Who comes meanwhile may be
   * left out.
   */
  *[Symbol.iterator](): Generator<Exchange, undefined> {
    for (let i = this.#all.length - 1; i >= 0; i = Math.min(i, this.#all.length) - 1)
      yield this.#all[i] as Exchange;
    return undefined;
  }
}
