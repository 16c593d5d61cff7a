/** Exchanges for the tests of telemetry: as the sidecar would hand them over once they have finished. */
import type { OutriggerError } from '../../../src/errors.ts';
import { Attempt, Exchange, type Outcome, type Target } from '../../../src/exchange.ts';
import type { Route } from '../../../src/policy/policy.ts';

const silent = { exchangeFinished(): void {} };

export interface Wish {
  readonly id?: string;
  readonly traceId?: string | null;
  readonly client?: string;
  readonly method?: string;
  readonly target?: Target | null;
  readonly path?: string;
  readonly route?: string;
  readonly status?: number | null;
  readonly outcome?: Outcome;
  readonly error?: OutriggerError | null;
  readonly reason?: string | null;
  readonly attempts?: readonly Partial<Attempt>[];
}

export const target = (host: string): Target => ({
  scheme: 'http',
  host,
  port: 80,
  authority: host,
  origin: `http://${host}:80`,
});

const route = (name: string): Route => ({ name }) as Route;

export function finished(wish: Wish = {}): Exchange {
  const exchange = new Exchange(
    silent,
    wish.id ?? 'id-1',
    wish.traceId ?? null,
    wish.client ?? '127.0.0.1:40000',
    wish.method ?? 'GET',
    wish.target === undefined ? target('api.example') : wish.target,
    wish.path ?? '/v1/orders',
    route(wish.route ?? 'default'),
    'forward',
  );
  for (const [i, fields] of (wish.attempts ?? [{}]).entries()) {
    const attempt = new Attempt(i + 1, exchange.startedAt);
    exchange.attempts.push(
      Object.assign(attempt, { verdict: 'success', durationMs: 12.5, delivery: 'answered' }, fields),
    );
  }
  exchange.status = wish.status === undefined ? 200 : wish.status;
  exchange.finish(wish.outcome ?? 'completed', wish.error ?? null, wish.reason ?? null);
  return exchange;
}
