/**
 * The leaf of each intercepted host, as the secure context that its TLS handshakes need.
 *
 * Rules: one leaf per host, however many ask for it at once; the least recently used goes first, so that
 * memory is bounded whatever hosts callers invent. A leaf is renewed in its last day, and never outlives its
 * authority. A host that no certificate can name is an error, as is an authority that has expired.
 *
 * It opens no sockets and does not decide which hosts are intercepted.
 */
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { contextDropped } from '../spent-buffers.ts';
import { type Authority, CLOCK_SKEW_MS } from './authority.ts';
import { subjectOf } from './subject.ts';

const DAY_MS = 86_400_000;
const VALID_MS = 7 * DAY_MS;
const RENEW_MS = DAY_MS;
const CAPACITY = 1_024;

interface Leaf {
  readonly context: Promise<SecureContext>;
  readonly renewAtMs: number;
}

interface LeavesOptions {
  readonly authority: Authority;
  /** How many leaves are kept; those in use by a connection live on without being kept. */
  readonly capacity?: number;
  readonly now?: () => number;
}

export class Leaves {
  readonly #authority: Authority;
  readonly #capacity: number;
  readonly #now: () => number;
  /** By canonical host, the least recently used first. */
  readonly #leaves = new Map<string, Leaf>();

  constructor({ authority, capacity = CAPACITY, now = Date.now }: LeavesOptions) {
    this.#authority = authority;
    this.#capacity = capacity;
    this.#now = now;
  }

  get size(): number {
    return this.#leaves.size;
  }

  /** Rejects where there can be no leaf; what failed is not kept. */
  async contextFor(host: string): Promise<SecureContext> {
    const { value } = subjectOf(host);
    const nowMs = this.#now();
    const known = this.#leaves.get(value);
    const leaf = known !== undefined && nowMs < known.renewAtMs ? known : this.#begin(value, nowMs);
    this.#leaves.delete(value);
    this.#leaves.set(value, leaf);
    if (known !== undefined && known !== leaf) contextDropped();
    if (this.#leaves.size > this.#capacity) this.#evict();
    return leaf.context;
  }

  #begin(host: string, nowMs: number): Leaf {
    const endMs = this.#authority.notAfter.getTime();
    if (nowMs >= endMs)
      throw new Error(`the local certificate authority expired at ${this.#authority.notAfter.toISOString()}`);
    const notAfterMs = Math.min(nowMs + VALID_MS, endMs);
    const context = this.#make(host, nowMs, notAfterMs);
    // Nothing would be won by renewing a leaf that ends with its authority.
    const leaf = { context, renewAtMs: notAfterMs === endMs ? endMs : notAfterMs - RENEW_MS };
    context.catch(() => {
      if (this.#leaves.get(host) === leaf) this.#leaves.delete(host);
    });
    return leaf;
  }

  async #make(host: string, nowMs: number, notAfterMs: number): Promise<SecureContext> {
    const notBeforeMs = Math.max(nowMs - CLOCK_SKEW_MS, this.#authority.notBefore.getTime());
    const cert = await this.#authority.issue({
      host,
      notBefore: new Date(notBeforeMs),
      notAfter: new Date(notAfterMs),
    });
    // No client certificates are asked for, so no roots are needed; Node would add its own to every context.
    return createSecureContext({
      cert,
      key: this.#authority.leafKey,
      ca: [],
      minVersion: 'TLSv1.2',
      // Each would cost us a handshake, and a caller nothing (CVE-2011-1473).
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    });
  }

  #evict(): void {
    for (const host of this.#leaves.keys()) {
      this.#leaves.delete(host);
      contextDropped();
      return;
    }
  }
}
