/**
 * Names to addresses, through the system's resolver: /etc/hosts and search domains count, as the
 * application expects. Callers that ask for the same name at the same time share one look-up, so that a
 * slow name occupies one thread of the pool and not one per caller.
 *
 * It keeps no cache: connections are reused, and the system may cache. It has no timer: who asks, leaves.
 */
import { lookup as systemLookup } from 'node:dns';

export type LookupCallback = (error: NodeJS.ErrnoException | null, addresses: readonly string[]) => void;
export type Lookup = (host: string, callback: LookupCallback) => void;

/** getaddrinfo, every address, in the order of RFC 6724 as the system gives it. */
export const lookupBySystem: Lookup = (host, callback) => {
  systemLookup(host, { all: true, order: 'verbatim' }, (error, addresses) => {
    callback(error, error ? [] : addresses.map((one) => one.address));
  });
};

export class Resolver {
  readonly #lookup: Lookup;
  readonly #underway = new Map<string, Set<LookupCallback>>();

  constructor(lookup: Lookup) {
    this.#lookup = lookup;
  }

  /** The callback is called once, later, unless forgotten. */
  resolve(host: string, callback: LookupCallback): void {
    const waiting = this.#underway.get(host);
    if (waiting) {
      waiting.add(callback);
      return;
    }
    const callbacks = new Set([callback]);
    this.#underway.set(host, callbacks);
    const answered: LookupCallback = (error, addresses) => {
      // A second answer tells nothing, and the next look-up of the name is not its business.
      if (this.#underway.get(host) !== callbacks) return;
      this.#underway.delete(host);
      for (const each of callbacks) each(error, addresses);
    };
    try {
      this.#lookup(host, answered);
    } catch (error) {
      // It would be waited for without an end, by everybody who asks for the name from now on.
      process.nextTick(answered, error, []);
    }
  }

  /** A caller that no longer waits is not called; a look-up that nobody waits for runs out by itself. */
  forget(host: string, callback: LookupCallback): void {
    this.#underway.get(host)?.delete(callback);
  }
}
