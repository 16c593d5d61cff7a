/**
 * A third party with an API, as its callers know it: a server of its own that keeps connections alive, answers after
 * a while in JSON, and can be told at any time to be slow, to hang, to fail, to limit, or to be gone (behaviour.ts).
 *
 * Rules: chance comes from the seed, so that a run can be had again; a request is read whole before anything is
 * decided about it; everything that can be seen from this side is counted (tally.ts).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { Chance } from '../fuzz/chance.ts';
import type { KeyPair } from '../support/certificates.ts';
import { answerTo } from './answer.ts';
import { type Behaviour, readBehaviour } from './behaviour.ts';
import { FAULT } from './fault.ts';
import { Tally, type TallySnapshot } from './tally.ts';
import { TokenBucket } from './token-bucket.ts';

export interface VendorOptions {
  readonly name: string;
  /** A text of behaviour.ts; healthy if it is left out. */
  readonly behaviour?: string;
  readonly seed?: number;
  readonly host?: string;
  /** 0, which is what is meant if it is left out: any that is free. It is kept when the vendor comes back. */
  readonly port?: number;
  /** How many `/v1/records` there are. */
  readonly records?: number;
  /** With it the vendor speaks TLS. */
  readonly tls?: KeyPair;
}

export interface VendorSnapshot extends TallySnapshot {
  readonly url: string;
  readonly behaviour: string;
}

/** What hangs, and how it would end. */
interface Held {
  readonly socket: Socket;
  readonly answer: () => void;
}

const REBIND_MS = 20;
const REBIND_ATTEMPTS = 250;

export class Vendor {
  readonly name: string;
  readonly tally = new Tally();
  readonly #chance: Chance;
  readonly #records: number;
  readonly #server: Server | TlsServer;
  readonly #host: string;
  readonly #held = new Set<Held>();
  #port: number;
  #behaviour: Behaviour;
  #bucket!: TokenBucket;
  /** Nobody should ask before, as the last 429 said. */
  #retryAt = 0;

  private constructor(options: VendorOptions) {
    this.name = options.name;
    this.#chance = new Chance(options.seed ?? 1);
    this.#records = options.records ?? 500;
    this.#host = options.host ?? '127.0.0.1';
    this.#port = options.port ?? 0;
    this.#behaviour = readBehaviour(options.behaviour ?? 'healthy');
    const serve = (request: IncomingMessage, response: ServerResponse): void => this.#read(request, response);
    const settings = { keepAliveTimeout: 60_000, requestTimeout: 0, headersTimeout: 0, noDelay: true };
    this.#server = options.tls
      ? createTlsServer({ ...settings, ...options.tls }, serve)
      : createServer(settings, serve);
    this.#server.on('connection', (socket: Socket) => this.tally.connected(socket));
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  static async start(options: VendorOptions): Promise<Vendor> {
    const vendor = new Vendor(options);
    vendor.#refill();
    if (vendor.#behaviour.listening || vendor.#port === 0) await vendor.#open();
    if (!vendor.#behaviour.listening) await vendor.#shut();
    return vendor;
  }

  get url(): string {
    return `${'setSecureContext' in this.#server ? 'https' : 'http'}://${this.#host}:${this.#port}`;
  }

  get behaviour(): string {
    return this.#behaviour.name;
  }

  /** From the next request on; resolves once the listener is closed or open, as it should be. */
  async behave(text: string): Promise<void> {
    const before = this.#behaviour;
    this.#behaviour = readBehaviour(text);
    this.#refill();
    this.#release(before);
    if (this.#behaviour.listening && !this.#server.listening) await this.#open();
    if (!this.#behaviour.listening && this.#server.listening) await this.#shut();
  }

  /** Another certificate, from the next handshake on. */
  present(tls: KeyPair): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(tls);
  }

  snapshot(): VendorSnapshot {
    return { url: this.url, behaviour: this.behaviour, ...this.tally.snapshot() };
  }

  close(): Promise<void> {
    return this.#shut();
  }

  #refill(): void {
    const { rate, burst } = this.#behaviour;
    this.#bucket = new TokenBucket(rate, burst, performance.now());
    this.#retryAt = 0;
  }

  async #open(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await new Promise<void>((resolve, reject) => {
          this.#server.once('error', reject);
          this.#server.listen(this.#port, this.#host, 4_096, () => {
            this.#server.off('error', reject);
            resolve();
          });
        });
        this.#port = (this.#server.address() as AddressInfo).port;
        return;
      } catch (error) {
        // Somebody's connection may have come by our port while we were gone; it will not have it for long.
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempt === REBIND_ATTEMPTS)
          throw error;
        await new Promise((resolve) => setTimeout(resolve, REBIND_MS));
      }
    }
  }

  #shut(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.tally.open) socket.resetAndDestroy();
    return closed;
  }

  #release({ release }: Behaviour): void {
    // Who goes down resets all that is open.
    if (release === 'keep' || !this.#behaviour.listening) return;
    const held = [...this.#held];
    this.#held.clear();
    for (const { answer, socket } of held) {
      if (release === 'answer') answer();
      else socket.resetAndDestroy();
    }
  }

  #read(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '/', headers, socket } = request;
    const operation = this.tally.arrived(method, headers);
    response.once('close', () => this.tally.left());
    request.on('error', () => {});
    response.on('error', () => {});
    let question = '';
    request.setEncoding('utf8');
    request.on('data', (text: string) => (question += text));
    request.on('end', () => {
      if (this.#limited(response)) return;
      const fault = this.#fault();
      if (operation !== null && fault !== 'error') this.tally.carriedOut(operation);
      const { body, link } = answerTo(this.name, url, question, this.#records);
      const answer = (): void => {
        if (response.destroyed) return;
        this.tally.count('answered');
        const length = Buffer.byteLength(body);
        const more = link === null ? {} : { Link: link };
        response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': length, ...more });
        response.end(body);
      };
      if (fault === null) {
        setTimeout(answer, this.#latencyMs());
        return;
      }
      this.tally.count('faulty');
      if (fault === 'hang') {
        const held = { socket, answer };
        this.#held.add(held);
        response.once('close', () => this.#held.delete(held));
        return;
      }
      const { status: statuses, stepMs } = this.#behaviour;
      const status = this.#chance.one(statuses);
      setTimeout(() => {
        if (!response.destroyed) FAULT[fault]({ response, socket, body, status, stepMs });
      }, this.#latencyMs());
    });
  }

  #fault(): Behaviour['faults'][number] | null {
    const { share, faults } = this.#behaviour;
    return faults.length > 0 && this.#chance.yes(share) ? this.#chance.one(faults) : null;
  }

  #latencyMs(): number {
    const { latencyMs, spreadMs, tailShare, tailMs } = this.#behaviour;
    if (this.#chance.yes(tailShare)) return tailMs;
    return Math.max(0, latencyMs + (2 * this.#chance.number() - 1) * spreadMs);
  }

  /** Whether it was told to come again later. */
  #limited(response: ServerResponse): boolean {
    const { rate, burst, retryAfterS } = this.#behaviour;
    if (rate === 0) return false;
    const now = performance.now();
    if (now < this.#retryAt) this.tally.count('early');
    const waitMs = this.#bucket.take(now);
    response.setHeader('X-RateLimit-Limit', burst);
    response.setHeader('X-RateLimit-Remaining', this.#bucket.left);
    if (waitMs === 0) return false;
    const seconds = retryAfterS > 0 ? retryAfterS : Math.max(1, Math.ceil(waitMs / 1_000));
    this.#retryAt = now + seconds * 1_000;
    this.tally.count('limited');
    response.writeHead(429, { 'Content-Type': 'application/json', 'Retry-After': seconds });
    response.end(JSON.stringify({ error: { type: 'rate_limit_exceeded', retry_after: seconds } }));
    return true;
  }
}
