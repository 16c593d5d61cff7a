/**
 * The places of callers' connections: how many there may be, together and by client, which of them can be
 * spared when there is none left, and which have been silent for too long.
 *
 * Rules: every accepted connection has one place, whatever is spoken on it and inside it, from its accept until
 * it is closed. A connection with an exchange under way is never spared. Whom to spare, and whose time is up, is
 * found without a search: each state has a list in the order in which it was entered, and one timer looks at
 * the heads of the lists. It knows no HTTP.
 */
import type { Socket } from 'node:net';

/** Who reads the connection now. */
export interface PlaceHolder {
  /** It has been in its state for as long as it may. */
  late(): void;
}

/** Why a connection had to go, or did not get in. */
export type ShedReason = 'no request' | 'idle' | 'refused';

export interface PlaceOptions {
  /** Connections at once. */
  readonly connections: number;
  /** Of one source address. */
  readonly connectionsPerClient: number;
  readonly headTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly shed: (reason: ShedReason) => void;
}

/** Of one source address, in the order in which they entered their state; only kept where that is bounded. */
interface Client {
  readonly address: string;
  count: number;
  readonly fresh: Set<Place>;
  readonly idle: Set<Place>;
}

const PLACE = Symbol('place');

type PlacedSocket = Socket & { [PLACE]?: Place };

/** Of the connection, or of the one that carries it. */
export function placeOf(socket: PlacedSocket): Place {
  return socket[PLACE] as Place;
}

/** What is inside a connection has its place. */
export function sharePlace(inner: PlacedSocket, outer: Socket): void {
  inner[PLACE] = placeOf(outer);
}

/** Doubly linked through its places. */
class Waiting {
  timeoutMs: number;
  first: Place | null = null;
  #last: Place | null = null;

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }

  add(place: Place): void {
    const last = this.#last;
    place.previous = last;
    if (last === null) this.first = place;
    else last.next = place;
    this.#last = place;
  }

  remove(place: Place): void {
    const { previous, next } = place;
    if (previous === null) this.first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    place.previous = null;
    place.next = null;
  }
}

export class Place {
  readonly socket: Socket;
  holder: PlaceHolder | null = null;
  readonly client: Client | null;
  /** When the list was entered; monotone milliseconds. */
  since = 0;
  list: Waiting | null = null;
  previous: Place | null = null;
  next: Place | null = null;
  left = false;
  readonly #places: CallerPlaces;

  constructor(places: CallerPlaces, socket: Socket, client: Client | null) {
    this.#places = places;
    this.socket = socket;
    this.client = client;
  }

  /** Nobody has asked for anything on it yet. */
  fresh(): void {
    this.#places.move(this, this.#places.fresh);
  }

  /** An exchange is under way, or its end. */
  busy(): void {
    this.#places.move(this, null);
  }

  /** Between two exchanges. */
  idle(): void {
    this.#places.move(this, this.#places.idle);
  }

  /** A head that is not the first has begun to come. */
  reading(): void {
    if (this.list === this.#places.idle) this.#places.move(this, this.#places.reading);
  }
}

export class CallerPlaces {
  readonly fresh: Waiting;
  readonly idle: Waiting;
  readonly reading: Waiting;
  #options: PlaceOptions;
  /** Null: no client can have more than there are. */
  #clients: Map<string, Client> | null;
  #count = 0;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = 0;

  constructor(options: PlaceOptions) {
    this.#options = options;
    this.fresh = new Waiting(options.headTimeoutMs);
    this.reading = new Waiting(options.headTimeoutMs);
    this.idle = new Waiting(options.idleTimeoutMs);
    this.#clients = options.connectionsPerClient < options.connections ? new Map() : null;
  }

  get count(): number {
    return this.#count;
  }

  /** Other bounds from now on: of those who come, and of who waits. Nobody has to go by them alone. */
  setBounds(options: PlaceOptions): void {
    this.#options = options;
    this.fresh.timeoutMs = options.headTimeoutMs;
    this.reading.timeoutMs = options.headTimeoutMs;
    this.idle.timeoutMs = options.idleTimeoutMs;
    // Who is here already was counted only where clients were; who comes from now on is.
    if (options.connectionsPerClient >= options.connections) this.#clients = null;
    else this.#clients ??= new Map();
    this.#arm(performance.now());
  }

  /** Null: there is none, and nobody can be spared. */
  enter(socket: Socket): Place | null {
    const { connections, connectionsPerClient, shed } = this.#options;
    const client = this.#clientOf(socket);
    const isCrowded = client !== null && client.count >= connectionsPerClient;
    if (isCrowded ? !this.#spareOf(client) : this.#count >= connections && !this.#spare()) {
      if (client?.count === 0) this.#clients?.delete(client.address);
      shed('refused');
      return null;
    }
    // A client whose last connection was spared has been forgotten.
    if (client !== null) this.#clients?.set(client.address, client);
    const place = new Place(this, socket, client);
    (socket as PlacedSocket)[PLACE] = place;
    this.#count++;
    if (client !== null) client.count++;
    place.fresh();
    return place;
  }

  leave(place: Place): void {
    if (place.left) return;
    this.move(place, null);
    place.left = true;
    this.#count--;
    const { client } = place;
    if (client !== null && --client.count === 0) this.#clients?.delete(client.address);
  }

  /** No one is late any more. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  move(place: Place, to: Waiting | null): void {
    const from = place.list;
    if (place.left || (from === null && to === null)) return;
    from?.remove(place);
    place.list = to;
    if (place.client !== null) this.#moveOfClient(place, place.client);
    if (to === null) return;
    place.since = performance.now();
    to.add(place);
    if (this.#timer === null || place.since + to.timeoutMs < this.#timerAt) this.#arm(place.since);
  }

  #moveOfClient(place: Place, { fresh, idle }: Client): void {
    fresh.delete(place);
    idle.delete(place);
    if (place.list === this.fresh) fresh.add(place);
    else if (place.list === this.idle) idle.add(place);
  }

  #clientOf(socket: Socket): Client | null {
    if (this.#clients === null) return null;
    const address = socket.remoteAddress ?? '';
    return this.#clients.get(address) ?? { address, count: 0, fresh: new Set(), idle: new Set() };
  }

  #spare(): boolean {
    return this.#close(this.fresh.first) || this.#close(this.idle.first) || this.#close(this.reading.first);
  }

  #spareOf({ fresh, idle }: Client): boolean {
    return this.#close(first(fresh)) || this.#close(first(idle));
  }

  #close(place: Place | null): boolean {
    if (place === null) return false;
    this.#options.shed(place.list === this.idle ? 'idle' : 'no request');
    this.leave(place);
    place.socket.destroy();
    return true;
  }

  #arm(now: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    let at = Number.POSITIVE_INFINITY;
    for (const { first, timeoutMs } of [this.fresh, this.reading, this.idle])
      if (first !== null) at = Math.min(at, first.since + timeoutMs);
    if (at === Number.POSITIVE_INFINITY) return;
    this.#timerAt = at;
    this.#timer = setTimeout(this.#look, Math.max(1, Math.ceil(at - now)));
    // The listener keeps the process alive, and not the silence of its callers.
    this.#timer.unref();
  }

  #look = (): void => {
    this.#timer = null;
    const now = performance.now();
    for (const list of [this.fresh, this.reading, this.idle]) {
      for (let { first } = list; first !== null && first.since + list.timeoutMs <= now; first = list.first) {
        first.busy();
        first.holder?.late();
      }
    }
    if (this.#timer === null) this.#arm(performance.now());
  };
}

function first(places: ReadonlySet<Place>): Place | null {
  for (const place of places) return place;
  return null;
}
