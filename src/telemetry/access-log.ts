/**
 * The access log: one line for every exchange that has finished, whatever its end, tunnels included.
 *
 * Rules: told, never asks; a line is written or, where its level is switched off, not even built. What
 * was our own bug is told a second time with the stack beneath it, for whoever has to repair it. It does
 * not know where lines go or what they cost to write.
 */
import type { Exchange, ExchangeObserver, Outcome } from '../exchange.ts';
import { accessLine } from './access-line.ts';
import { storyOf } from './error-story.ts';
import type { Level, Log } from './log.ts';
import { enabled } from './log.ts';
import type { RecentExchanges } from './recent-exchanges.ts';

const LEVELS: Readonly<Record<Outcome, 'info' | 'warn'>> = Object.freeze({
  completed: 'info',
  aborted: 'info',
  refused: 'warn',
  failed: 'warn',
  truncated: 'warn',
});

/** What the access log needs of a log sink. */
export interface AccessLogSink {
  readonly log: Log;
  writeLine(line: string): void;
}

export interface AccessLogOptions {
  readonly query: 'drop' | 'keep';
  readonly level: Level;
  /** Has every line, whatever the level; null: nobody has. */
  readonly recent?: Pick<RecentExchanges, 'add' | 'limit'> | null;
}

export class AccessLog implements ExchangeObserver {
  readonly #sink: AccessLogSink;
  readonly #recent: Pick<RecentExchanges, 'add' | 'limit'> | null;
  readonly #keepQuery: boolean;
  readonly #enabled: { readonly info: boolean; readonly warn: boolean };

  constructor(sink: AccessLogSink, options: AccessLogOptions) {
    this.#sink = sink;
    this.#recent = options.recent ?? null;
    this.#keepQuery = options.query === 'keep';
    this.#enabled = { info: enabled(options.level, 'info'), warn: enabled(options.level, 'warn') };
  }

  exchangeFinished(exchange: Exchange): void {
    const level = LEVELS[exchange.outcome ?? 'failed'];
    const recent = this.#recent !== null && this.#recent.limit > 0 ? this.#recent : null;
    if (this.#enabled[level] || recent !== null) {
      const line = accessLine(exchange, level, this.#keepQuery);
      recent?.add(line);
      if (this.#enabled[level]) this.#sink.writeLine(line);
    }
    const error = exchange.error;
    if (error !== null && error.name === 'internal') {
      this.#sink.log.error({ requestId: exchange.id, cause: storyOf(error.cause) }, 'internal error');
    }
  }
}
