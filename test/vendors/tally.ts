/**
 * What a vendor has seen, in numbers: connections, requests, what it did to them, and how often the same
 * operation was asked for.
 *
 * An operation is a POST or PATCH; its key is the Idempotency-Key of the request, else its request ID. It has an
 * **effect** when the vendor has carried it out, whatever becomes of the answer: a vendor that hangs, resets or
 * truncates has acted. Of an Idempotency-Key it carries out the first only, and answers the others alike.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';

interface Operation {
  seen: number;
  effects: number;
  readonly idempotent: boolean;
}

const OPERATIONS: ReadonlySet<string> = new Set(['POST', 'PATCH']);

const text = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value[0] : value;

export class Tally {
  readonly open = new Set<Socket>();
  readonly operations = new Map<string, Operation>();
  #methods: Record<string, number> = {};
  #counts: Record<string, number> = {};
  #accepted = 0;
  #openMost = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  #inFlight = 0;
  #inFlightMost = 0;

  connected(socket: Socket): void {
    this.open.add(socket);
    this.#accepted++;
    this.#openMost = Math.max(this.#openMost, this.open.size);
    const gone = (): void => {
      if (!this.open.delete(socket)) return;
      this.#bytesIn += socket.bytesRead;
      this.#bytesOut += socket.bytesWritten;
    };
    // A connection that was reset is none any more from here; its close comes a phase of the event loop later.
    socket.on('error', gone).once('close', gone);
  }

  /** A request is here; returns its operation, if it is one that has a key. */
  arrived(method: string, headers: IncomingHttpHeaders): Operation | null {
    this.#methods[method] = (this.#methods[method] ?? 0) + 1;
    this.#inFlightMost = Math.max(this.#inFlightMost, ++this.#inFlight);
    if (!OPERATIONS.has(method)) return null;
    const promised = text(headers['idempotency-key']);
    const key = promised ?? text(headers['x-request-id']);
    if (key === undefined) {
      this.count('unkeyed');
      return null;
    }
    const known = this.operations.get(key);
    const operation = known ?? { seen: 0, effects: 0, idempotent: promised !== undefined };
    if (known === undefined) this.operations.set(key, operation);
    else this.count(operation.idempotent ? 'repeats' : 'duplicates');
    operation.seen++;
    return operation;
  }

  /** It was carried out, or had been before. */
  carriedOut(operation: Operation): void {
    if (operation.idempotent && operation.effects > 0) return;
    if (operation.effects++ > 0) this.count('doubled');
    else this.count('effects');
  }

  left(): void {
    this.#inFlight--;
  }

  count(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }

  /** Begins again with what is open now. */
  forget(): void {
    this.operations.clear();
    this.#methods = {};
    this.#counts = {};
    this.#accepted = 0;
    this.#openMost = this.open.size;
    this.#bytesIn = 0;
    this.#bytesOut = 0;
    this.#inFlightMost = this.#inFlight;
  }

  snapshot() {
    const of = (what: string): number => this.#counts[what] ?? 0;
    let bytesIn = this.#bytesIn;
    let bytesOut = this.#bytesOut;
    for (const socket of this.open) {
      bytesIn += socket.bytesRead;
      bytesOut += socket.bytesWritten;
    }
    return {
      connections: { accepted: this.#accepted, open: this.open.size, openMost: this.#openMost },
      requests: {
        all: Object.values(this.#methods).reduce((sum, count) => sum + count, 0),
        methods: { ...this.#methods },
        inFlight: this.#inFlight,
        inFlightMost: this.#inFlightMost,
        answered: of('answered'),
        faulty: of('faulty'),
        /** 429 given. */
        limited: of('limited'),
        /** Requests that came although the last Retry-After had not passed. */
        early: of('early'),
      },
      operations: {
        keys: this.operations.size,
        effects: of('effects'),
        /** The same again, with an Idempotency-Key: allowed, and carried out once. */
        repeats: of('repeats'),
        /** The same again, without one: must not be. */
        duplicates: of('duplicates'),
        /** Carried out more than once. */
        doubled: of('doubled'),
        /** Without either key, so that nothing can be said of them. */
        unkeyed: of('unkeyed'),
      },
      bytes: { in: bytesIn, out: bytesOut },
    };
  }
}

export type TallySnapshot = ReturnType<Tally['snapshot']>;
