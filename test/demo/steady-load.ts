/**
 * People who pay: scores are asked for at a steady rate, whether or not those before were answered, each by somebody
 * who gives up after a while. They come a little early or late by chance, the same ones in every run.
 */
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { Chance } from '../fuzz/chance.ts';

export const PATIENCE_MS = 1_500;
const RATE_PER_S = 30;
const SEED = 11;

export interface Score {
  readonly id: number;
  /** Since the beginning of the run. */
  readonly atMs: number;
  readonly ms: number;
  /** full: with all signals; degraded: answered without some; failed: an error, or nobody waited any more. */
  readonly outcome: 'full' | 'degraded' | 'failed';
}

export class SteadyLoad {
  readonly scores: Score[] = [];
  inFlight = 0;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #chance = new Chance(SEED);
  readonly #port: number;
  readonly #signals: number;
  readonly #startedAt = performance.now();
  #begun = 0;
  #dueMs = 0;
  #timer: NodeJS.Timeout | null = null;

  /** `signals`: as many as a full score has. */
  constructor(port: number, signals: number) {
    this.#port = port;
    this.#signals = signals;
    this.#next();
  }

  get nowMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** No new ones; resolves when the last was answered or has given up. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    while (this.inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    this.#agent.destroy();
  }

  /** A late timer begins all that are due by now. */
  #next(): void {
    while (this.#dueMs <= this.nowMs) {
      void this.#score(this.#begun++);
      this.#dueMs += ((0.5 + this.#chance.number()) * 1_000) / RATE_PER_S;
    }
    this.#timer = setTimeout(() => this.#next(), Math.max(1, this.#dueMs - this.nowMs));
  }

  async #score(id: number): Promise<void> {
    const atMs = this.nowMs;
    this.inFlight++;
    const outcome = await this.#ask(id).catch(() => 'failed' as const);
    this.inFlight--;
    this.scores.push({ id, atMs, ms: this.nowMs - atMs, outcome });
  }

  async #ask(id: number): Promise<Score['outcome']> {
    const outgoing = request({
      port: this.#port,
      host: '127.0.0.1',
      path: '/score',
      method: 'POST',
      headers: { 'X-Score-Id': id },
      agent: this.#agent,
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    outgoing.on('error', () => {});
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of response) text += chunk;
    if (response.statusCode !== 200) return 'failed';
    return JSON.parse(text).signals === this.#signals ? 'full' : 'degraded';
  }
}
