/**
 * HTTP/2 on one connection to an origin: the streams it may have, and whether it may have more. node:http2
 * speaks it, on a socket that is finished and stays the connection's.
 *
 * Keeps: RFC 9113, section 3.4 (nobody shares the connection before the origin's SETTINGS have come), section
 * 5.1.2 (the origin's limit of streams, also where it changes), section 6.8 (no new stream after a GOAWAY; the
 * others finish), section 8.4 (no push). An origin that stays silent is asked with a PING (section 6.7), and
 * is taken for gone where it does not answer. It knows no exchange and no pool.
 */
import type { ClientHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { http2 } from '../node-http.ts';
import { CANCEL, type Goaway } from './http2-failure.ts';
import { type Http2Request, requestFields } from './http2-fields.ts';
import { Http2Stream, type StreamHome } from './http2-stream.ts';
import type { BodyReader } from './replay-body.ts';
import type { StreamHandler } from './stream-handler.ts';

/** Streams that a connection has at most, whatever its origin allows. */
export const MAX_STREAMS = 100;

/** What an origin may send on a stream before it is read, bytes: the memory of a caller that stands still. */
const STREAM_WINDOW_BYTES = 262_144;

/** Node gives back the window of the connection at once, so this bounds no memory but one round trip; bytes. */
const CONNECTION_WINDOW_BYTES = 8_388_608;

/** Megabytes that Node counts to a session, all of its streams together. */
const SESSION_MEMORY_MB = 64;

/** How long an origin may take to answer a PING, milliseconds. */
const PROBE_MS = 5_000;

/** Streams have numbers, and these run out at 2^31 (RFC 9113, section 5.1.1). */
const LAST_STREAM_ID = 2 ** 30;

/** The connection beneath. */
export interface SessionOwner {
  /** How many streams there may be has changed, or is known now. */
  sessionChanged(): void;
  /** The origin does not answer any more. */
  sessionSilent(): void;
}

export class Http2Session implements StreamHome {
  readonly headerBytes: number;
  goaway: Goaway | null = null;
  /** The origin's SETTINGS have come. */
  settled = false;
  readonly #owner: SessionOwner;
  readonly #session: ClientHttp2Session;
  #allowed = 1;
  #spent = false;
  /** Streams whose end has not come. */
  #live = 0;
  /** Two or more have been open at once since it last had none. */
  #shared = false;
  #probe: NodeJS.Timeout | null = null;

  constructor(socket: Socket, headerBytes: number, owner: SessionOwner) {
    this.headerBytes = headerBytes;
    this.#owner = owner;
    const session = http2().connect('https://origin.invalid', {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: STREAM_WINDOW_BYTES,
        maxHeaderListSize: headerBytes,
      },
      // A field takes 32 bytes of the list at least (RFC 9113, section 6.5.2), so the bytes bound the number.
      maxHeaderListPairs: Math.ceil(headerBytes / 32),
      // What goes out has been bounded where it came in; the sidecar's own fields come on top.
      maxSendHeaderBlockLength: 2 * headerBytes + 65_536,
      maxSessionMemory: SESSION_MEMORY_MB,
      peerMaxConcurrentStreams: MAX_STREAMS,
      // Whether a field may come twice was judged when it came in. The type does not know it of clients yet.
      ...({ strictSingleValueFields: false } as object),
    });
    this.#session = session;
    session.once('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    });
    session.on('remoteSettings', ({ maxConcurrentStreams }) => {
      this.settled = true;
      this.#allowed = Math.min(maxConcurrentStreams ?? MAX_STREAMS, MAX_STREAMS);
      owner.sessionChanged();
    });
    session.on('goaway', (code, lastStreamId) => {
      this.goaway = { code, lastStreamId };
      this.#spent = true;
      if (code === 0) this.#keepListening();
      owner.sessionChanged();
    });
    // RFC 9113, section 8.4: forbidden, but allowed until the origin has acknowledged that.
    session.on('stream', (pushed) => {
      pushed.on('error', () => {});
      pushed.close(CANCEL);
    });
    // Its streams and its socket tell; without a listener it would end the process.
    session.on('error', () => {});
    session.on('frameError', () => {});
    session.on('close', () => this.#stopProbing());
  }

  /** False: no new streams. */
  get open(): boolean {
    return !this.#spent && !this.#session.closed && !this.#session.destroyed;
  }

  /** Streams that it may have now. */
  get capacity(): number {
    return this.#probe === null ? this.#allowed : 0;
  }

  request(request: Http2Request, body: Buffer | BodyReader | null, handler: StreamHandler): void {
    const session = this.#session;
    let stream: Http2Stream;
    try {
      const raw = session.request(requestFields(request), { endStream: body === null });
      if ((raw.id ?? 0) >= LAST_STREAM_ID) this.#spent = true;
      stream = new Http2Stream(raw, handler, this);
      this.#shared = this.#live++ > 0;
    } catch (error) {
      process.nextTick(() => handler.onResponseError(null, error as Error));
      return;
    }
    stream.begin(body);
  }

  streamOver(): void {
    this.#live--;
  }

  get shared(): boolean {
    return this.#shared;
  }

  /** A stream got no answer: is anybody there? Until it is known, no more streams are begun. */
  probe(): void {
    if (this.#probe !== null || !this.open) return;
    this.#probe = setTimeout(() => {
      this.#probe = null;
      this.#spent = true;
      this.#owner.sessionSilent();
    }, PROBE_MS);
    this.#probe.unref();
    const asked = this.#session.ping((error) => {
      if (error || this.#probe === null) return;
      this.#stopProbing();
      this.#owner.sessionChanged();
    });
    if (!asked) this.#stopProbing();
  }

  /** In good order: GOAWAY, then the end of the socket. Called once no stream is left. */
  close(): void {
    this.#stopProbing();
    this.#spent = true;
    this.#session.close();
  }

  /**
   * After a GOAWAY without an error Node closes the session, and once a bad frame has come to a closed one,
   * neither that nor the end of the socket is ever told to the streams that are left (26.10). So it stays
   * open: the next call, which is Node's, does nothing, and the one after the last stream is ours.
   */
  #keepListening(): void {
    const session = this.#session;
    const close = session.close.bind(session);
    session.close = () => {
      session.close = close;
    };
  }

  #stopProbing(): void {
    if (this.#probe) clearTimeout(this.#probe);
    this.#probe = null;
  }
}
