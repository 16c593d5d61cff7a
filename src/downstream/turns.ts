/**
 * The requests of one caller connection, one at a time and in the order in which they came (RFC 9112,
 * section 9.3.2): Node's server reports each as soon as it is parsed, the next begins here when the
 * response to the one before is over. What waits is bounded; it is no exchange until its turn comes.
 */
import type { Socket } from 'node:net';
import type { OutriggerError } from '../errors.ts';
import type { CallerRequest } from './caller.ts';

/** Who has the connection now; told when the parser finds its request wrong after its head was taken. */
export interface Holder {
  readonly request: CallerRequest;
  malformed(error: OutriggerError): void;
  /** The connection takes bytes again, which Node no longer reports by itself. */
  drained(): void;
}

interface Turn {
  /** Null: what came was not a request. */
  readonly request: CallerRequest | null;
  /** Null: the connection ends with this turn. */
  begin(): Holder | null;
}

/** So many may wait before the connection is read no further; what one read holds comes on top. */
const WAITING_MAX = 32;

export class Turns {
  readonly #socket: Socket;
  readonly #waiting: Turn[] = [];
  #holder: Holder | null = null;
  /** Answered before its body was here whole; what still comes of it belongs to no exchange. */
  #answered: CallerRequest | null = null;
  /** Nothing that comes after this is read as a request. */
  #closed = false;
  #paused = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Now, or when all that came before is over. */
  take(request: CallerRequest | null, begin: () => Holder | null): void {
    if (this.#closed) return;
    if (this.#holder === null) {
      this.#holder = begin();
      return;
    }
    this.#waiting.push({ request, begin });
    if (this.#waiting.length >= WAITING_MAX) this.#pause();
  }

  #pause(): void {
    if (!this.#paused) {
      this.#paused = true;
      this.#socket.on('resume', this.#stayPaused);
    }
    this.#stayPaused();
  }

  /**
   * Node's server resumes a connection on its own account, too, and tells its socket to read on one tick
   * later, whatever has become of it meanwhile. Only the event stops that, and a paused stream emits none.
   */
  #stayPaused = (): void => {
    const socket = this.#socket;
    const silent = socket.readableFlowing === false;
    socket.pause();
    if (silent) socket.emit('pause');
  };

  /** After a CONNECT Node listens to the connection no more, but what came before it is still being answered. */
  watch(): void {
    this.#socket.on('drain', () => this.#holder?.drained());
  }

  /** The parser can read no further: the holder is told if it is its body, else `answer` gets a turn of its own. */
  broken(error: OutriggerError, answer: () => void): void {
    if (this.#closed) return;
    if (this.#answered?.complete === false) {
      this.#closed = true;
      this.#socket.destroy();
      return;
    }
    const end = (): null => {
      answer();
      return null;
    };
    const last = this.#waiting[this.#waiting.length - 1];
    if (last) {
      // It is the last one's body that broke off, or what follows it: nothing of either is begun.
      if (last.request?.complete === false) this.#waiting.pop();
      this.take(null, end);
    } else if (this.#holder?.request.complete === false) this.#holder.malformed(error);
    else this.take(null, end);
    this.#closed = true;
  }

  /** The response of the holder is over. */
  over = (): void => {
    this.#answered = this.#holder?.request ?? null;
    this.#holder = null;
    const socket = this.#socket;
    if (socket.destroyed || !socket.writable) {
      this.#waiting.length = 0;
      return;
    }
    const next = this.#waiting.shift();
    if (next) this.#holder = next.begin();
    if (this.#paused && this.#waiting.length < WAITING_MAX / 2) {
      this.#paused = false;
      socket.off('resume', this.#stayPaused);
      socket.resume();
    }
  };
}
