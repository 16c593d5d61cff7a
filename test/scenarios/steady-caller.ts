/**
 * Somebody who asks a service at a steady pace, whether or not it answers, and leaves after as long as patience lasts:
 * what a checkout does to its fraud service. Every question has a connection of its own, so that nothing waits here.
 */
import { request } from 'node:http';

export interface Asked {
  /** Since the epoch, as the service counts too. */
  readonly atMs: number;
  readonly ms: number;
  /** Null: no answer while patience lasted. */
  readonly status: number | null;
  readonly body: string;
}

export class SteadyCaller {
  readonly asked: Asked[] = [];
  readonly #url: string;
  readonly #patienceMs: number;
  readonly #open = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #count = 0;

  constructor(url: string, perSecond: number, patienceMs: number) {
    this.#url = url;
    this.#patienceMs = patienceMs;
    this.#timer = setInterval(() => {
      const asking = this.#ask().finally(() => this.#open.delete(asking));
      this.#open.add(asking);
    }, 1_000 / perSecond);
  }

  /** Those that were asked from one moment until before another, and are over, in the order of asking. */
  between(fromMs: number, toMs: number): readonly Asked[] {
    const those = this.asked.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
    return those.sort((a, b) => a.atMs - b.atMs);
  }

  /** Asks no more; resolves once nothing is open. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
  }

  #ask(): Promise<void> {
    const atMs = Date.now();
    const began = performance.now();
    return new Promise((resolve) => {
      let body = '';
      let status: number | null = null;
      const outgoing = request(`${this.#url}?payment=${++this.#count}`, {
        agent: false,
        signal: AbortSignal.timeout(this.#patienceMs),
      });
      outgoing.on('error', () => {});
      outgoing.on('response', (response) => {
        response.on('error', () => {});
        response.on('data', (text: Buffer) => (body += text.toString()));
        response.on('end', () => (status = response.statusCode ?? null));
      });
      outgoing.once('close', () => {
        this.asked.push({ atMs, ms: performance.now() - began, status, body });
        resolve();
      });
      outgoing.end();
    });
  }
}
