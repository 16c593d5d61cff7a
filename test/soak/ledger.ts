/**
 * What became of every exchange, as three parties saw it: the caller that sent it, the vendors that it reached,
 * and the log.
 *
 * Rules kept here: an exchange has one line; what may not be repeated reaches vendors once; a caller waits no
 * longer than its bound; what a caller got whole the log calls completed, and the other way round. An exchange is known by
 * a number in its request ID. Of those that are settled two bytes are kept, so that a second line or a second
 * arrival is found however late it comes, and memory grows by little.
 */
import type { FairClock } from './fair-clock.ts';
import { Tally } from './tally.ts';
import type { Violations } from './violations.ts';

export interface Terms {
  readonly kind: string;
  /** How often vendors may see it. */
  readonly arrivals: number;
  /** From one sign of life to the next, and to the end. */
  readonly boundMs: number;
  /** Inside an opaque tunnel there is no line. */
  readonly logged?: boolean;
  /** Nothing of a request is on its way that could be in the way of an answer. */
  readonly answerDue?: boolean;
  /** The tunnel in which it is. */
  readonly over?: Ticket;
}

/** Beyond its bound a caller waits only for the two processes to have their turn. */
export const TOLERANCE_MS = 2_000;
/** Lines are written in batches, and the log is read now and then. */
const LINE_DUE_MS = 4_000;
const PREFIX = 'soak-';

/** How an exchange ended, for its caller. */
export type CallerEnd = 'whole' | 'cut' | 'left';

class Bytes {
  #bytes = new Uint8Array(65_536);

  at(n: number): number {
    return this.#bytes[n] ?? 0;
  }

  set(n: number, value: number): void {
    if (n >= this.#bytes.length) {
      const more = new Uint8Array(this.#bytes.length * 2);
      more.set(this.#bytes);
      this.#bytes = more;
    }
    this.#bytes[n] = Math.min(value, 255);
  }
}

export class Ticket {
  readonly n: number;
  readonly id: string;
  readonly terms: Terms;
  status: number | null = null;
  end: CallerEnd | null = null;
  line: string | undefined;
  /** What its connection carried before. */
  behind: string | undefined;
  late = false;
  aliveAt: number;
  boundMs: number;
  endedAt = 0;
  readonly #ledger: Ledger;

  constructor(ledger: Ledger, n: number, terms: Terms) {
    this.n = n;
    this.id = `${PREFIX}${n}`;
    this.terms = terms;
    this.boundMs = terms.boundMs;
    this.#ledger = ledger;
    this.aliveAt = ledger.clock.now();
  }

  /** A sign of life, from which its bound, or another, begins anew. */
  alive(boundMs = this.boundMs): void {
    this.boundMs = boundMs;
    this.aliveAt = this.#ledger.clock.now();
  }

  answered(status: number): void {
    this.status = status;
  }

  /** The first end counts. */
  ended(end: CallerEnd): void {
    if (this.end !== null) return;
    this.end = end;
    this.#ledger.callerEnded(this);
  }

  broken(invariant: string, what: string): void {
    this.#ledger.violations.add(invariant, what, { requestId: this.id, line: this.line });
  }
}

export class Ledger {
  readonly clock: FairClock;
  readonly violations: Violations;
  /** By kind of caller, of what was begun. */
  readonly kinds = new Tally();
  /** By outcome and error, of the log. */
  readonly outcomes = new Tally();
  /** By end, as callers saw it. */
  readonly ends = new Tally();
  /** Lines of exchanges. */
  lines = 0;
  /** The longest wait of a caller, as a share of its bound. */
  longestShare = 0;
  #count = 0;
  readonly #open = new Map<number, Ticket>();
  readonly #arrivals = new Bytes();
  readonly #mayArrive = new Bytes();
  readonly #lines = new Bytes();
  /** Answers to what had no ID of ours, and lines of that kind: each waits for the other. */
  readonly #strangers = new Map<string, { line?: string; at: number }>();

  constructor(clock: FairClock, violations: Violations) {
    this.clock = clock;
    this.violations = violations;
  }

  get begun(): number {
    return this.#count;
  }

  get waiting(): number {
    let waiting = 0;
    for (const { end } of this.#open.values()) if (end === null) waiting++;
    return waiting;
  }

  begin(terms: Terms): Ticket {
    const ticket = new Ticket(this, this.#count++, terms);
    this.kinds.add(terms.kind);
    this.#mayArrive.set(ticket.n, terms.arrivals);
    this.#open.set(ticket.n, ticket);
    return ticket;
  }

  /** A vendor has the head of a request; returns the how manieth time it is. */
  arrived(n: number, vendor: string): number {
    const times = this.#arrivals.at(n) + 1;
    this.#arrivals.set(n, times);
    if (times > this.#mayArrive.at(n)) {
      const ticket = this.#open.get(n);
      this.violations.add(
        'no duplicate',
        `${ticket?.terms.kind ?? 'an exchange'} reached ${vendor} ${times} times`,
        {
          requestId: `${PREFIX}${n}`,
          line: ticket?.line,
        },
      );
    }
    return times;
  }

  /** The vendor has said that it did not look at it: it may come again. */
  declined(n: number): void {
    this.#arrivals.set(n, this.#arrivals.at(n) - 1);
  }

  /** A caller was answered with an ID that is not its own. */
  strangerAnswered(id: string): void {
    if (!this.#strangers.delete(id)) this.#strangers.set(id, { at: this.clock.now() });
  }

  /** A line of the log about an exchange. */
  logged(line: string): void {
    this.lines++;
    const id = /"requestId":"([^"]*)"/.exec(line)?.[1] ?? '';
    const [, outcome = '?', error = '?'] = /"outcome":"(\w+)","error":(?:"(\w+)"|null)/.exec(line) ?? [];
    this.outcomes.add(error === '?' ? outcome : `${outcome}, ${error}`);
    if (error === 'proxy_internal_error')
      this.violations.add('no bug of its own', error, { requestId: id, line });
    const n = numberOf(id);
    if (n === null || n >= this.#count) {
      if (!this.#strangers.delete(id)) this.#strangers.set(id, { line, at: this.clock.now() });
      return;
    }
    const times = this.#lines.at(n) + 1;
    this.#lines.set(n, times);
    if (times > 1) {
      this.violations.add('one line for an exchange', `line number ${times}`, { requestId: id, line });
      return;
    }
    const ticket = this.#open.get(n);
    if (ticket === undefined) return;
    ticket.line = line;
    if (ticket.terms.logged === false)
      ticket.broken('one line for an exchange', 'a line of what was inside a tunnel');
    if (ticket.end !== null) this.#settle(ticket);
  }

  callerEnded(ticket: Ticket): void {
    ticket.endedAt = this.clock.now();
    this.#waited(ticket);
    this.ends.add(ticket.status === null ? `${ticket.end}, no answer` : `${ticket.end}, ${ticket.status}`);
    if (ticket.end === 'cut' && ticket.status === null && ticket.terms.answerDue)
      ticket.broken(
        'every caller is answered',
        `${ticket.terms.kind} was cut without an answer, on the connection of ${ticket.behind ?? 'nobody'}`,
      );
    if (ticket.terms.logged === false) this.#open.delete(ticket.n);
    else if (ticket.line !== undefined) this.#settle(ticket);
  }

  /** Looks for who waits too long, and for lines that do not come. `last`: nothing more will come. */
  audit(last = false): void {
    const now = this.clock.now();
    for (const ticket of this.#open.values()) {
      if (ticket.end === null) {
        this.#waited(ticket);
        if (last) ticket.broken('every caller is answered', `${ticket.terms.kind} still waits at the end`);
        continue;
      }
      if (!last && now - ticket.endedAt < LINE_DUE_MS) continue;
      this.#open.delete(ticket.n);
      // Who leaves before anybody has read its request has made no exchange.
      if (ticket.end === 'left' && ticket.status === null && this.#arrivals.at(ticket.n) === 0) continue;
      // Nor has what was sent into a tunnel that came to nothing.
      const tunnel = ticket.terms.over?.line;
      if (tunnel !== undefined && ticket.status === null && !tunnel.includes('"outcome":"completed"'))
        continue;
      ticket.broken(
        'one line for an exchange',
        `no line of ${ticket.terms.kind}: ${ticket.end}, ${ticket.status ?? 'no answer'}, ${this.#arrivals.at(ticket.n)} arrivals, on the connection of ${ticket.behind ?? 'nobody'}`,
      );
    }
    for (const [id, { line, at }] of this.#strangers) {
      if (!last && now - at < LINE_DUE_MS) continue;
      this.#strangers.delete(id);
      const what = line === undefined ? 'an answer without a line' : 'a line of what nobody sent';
      this.violations.add('one line for an exchange', what, { requestId: id, line });
    }
  }

  #waited(ticket: Ticket): void {
    const waited = (ticket.end === null ? this.clock.now() : ticket.endedAt) - ticket.aliveAt;
    const { boundMs, terms } = ticket;
    this.longestShare = Math.max(this.longestShare, waited / boundMs);
    if (ticket.late || waited <= boundMs + TOLERANCE_MS) return;
    ticket.late = true;
    ticket.broken(
      'nobody waits beyond its bound',
      `${terms.kind}: ${Math.round(waited)} ms, bound ${boundMs} ms`,
    );
  }

  #settle(ticket: Ticket): void {
    this.#open.delete(ticket.n);
    const { line = '', end, status } = ticket;
    const said = Number(/"status":(\d+|null),"outcome"/.exec(line)?.[1]);
    const completed = line.includes('"outcome":"completed"');
    if (end === 'whole' && status !== said)
      ticket.broken('log and caller agree', `the caller got ${status}, the log has ${said}`);
    // Who closes right behind the last byte may be faster than the news that it was taken.
    const leftLate = ticket.terms.over !== undefined && line.includes('"outcome":"aborted"');
    if (end === 'whole' && !leftLate && /"outcome":"(?:truncated|aborted)"/.test(line))
      ticket.broken('log and caller agree', 'the caller got it whole');
    if (end === 'cut' && completed) ticket.broken('log and caller agree', 'the caller was cut');
  }
}

/** The number of an exchange of ours. */
export function numberOf(id: unknown): number | null {
  const digits = typeof id === 'string' && id.startsWith(PREFIX) ? id.slice(PREFIX.length) : '';
  return /^\d+$/.test(digits) ? Number(digits) : null;
}
