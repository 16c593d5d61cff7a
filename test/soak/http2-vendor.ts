/** A vendor that speaks HTTP/2 over TLS, well or with streams reset, sessions gone, silence and half answers. */
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { numberOf } from './ledger.ts';
import { pieceOf, VendorDoor, type VendorOptions } from './vendor.ts';

const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM, NGHTTP2_NO_ERROR } = constants;
const BLOCK = 65_536;
const LAST_STREAM = 2 ** 31 - 1;

export class Http2Vendor extends VendorDoor {
  protected readonly server: Http2SecureServer;

  constructor(options: VendorOptions) {
    super(options);
    this.server = createSecureServer({
      ...options.certificates?.good,
      settings: { maxConcurrentStreams: 16 },
    });
    this.server.on('connection', (socket: Socket) => this.arriving(socket));
    this.server.on('tlsClientError', () => {});
    this.server.on('sessionError', () => {});
    this.server.on('session', (session: ServerHttp2Session) => session.on('error', () => {}));
    this.server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) =>
      this.#serve(stream, headers),
    );
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => {});
    const n = numberOf(headers['x-request-id']);
    if (n === null) {
      stream.respond({ ':status': 200 }, { endStream: true });
      return;
    }
    const times = this.options.ledger.arrived(n, this.name);
    const { fault, bytes, delayMs } = this.script(headers[':path'] ?? '', times);
    setTimeout(() => {
      if (!stream.destroyed) this.#answer(stream, fault, n, bytes);
    }, delayMs);
  }

  #answer(stream: ServerHttp2Stream, fault: string, n: number, bytes: number): void {
    const head = { 'x-echo': String(n), 'x-bytes': String(bytes), 'content-length': String(bytes) };
    stream.resume();
    if (fault.startsWith('status-')) {
      const status = Number(fault.slice(7, 10));
      stream.respond({ ':status': status, 'x-echo': String(n), 'x-bytes': '0' }, { endStream: true });
      return;
    }
    switch (fault) {
      case 'reset':
        stream.close(NGHTTP2_INTERNAL_ERROR);
        return;
      case 'close':
        this.options.ledger.declined(n);
        stream.close(NGHTTP2_REFUSED_STREAM);
        return;
      case 'half-closed':
        // Of what is on its way it says nothing, so that nobody takes it for not looked at.
        stream.session?.goaway(NGHTTP2_NO_ERROR, LAST_STREAM);
        break;
      case 'reset-head':
      case 'silent-close':
        stream.session?.destroy();
        return;
      case 'stall-head':
      case 'stall-half-head':
      case 'stall-reading':
      case 'slow-head':
        return;
      case 'stall-body':
      case 'slow-body':
        stream.respond({ ':status': 200, ...head });
        stream.write(pieceOf(n, Math.min(BLOCK, Math.floor(bytes / 2))));
        return;
      case 'reset-body':
      case 'truncated-body':
      case 'half-closed-body':
        stream.respond({ ':status': 200, ...head });
        stream.write(pieceOf(n, Math.min(BLOCK, Math.floor(bytes / 2))), () =>
          stream.close(NGHTTP2_INTERNAL_ERROR),
        );
        return;
      default:
    }
    const serve = (): void => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200, ...head });
      let left = bytes;
      const flow = (): void => {
        while (left > 0) {
          const piece = pieceOf(n, Math.min(left, BLOCK));
          left -= piece.length;
          if (!stream.write(piece)) {
            stream.once('drain', flow);
            return;
          }
        }
        stream.end();
      };
      flow();
    };
    if (stream.readableEnded) serve();
    else stream.once('end', serve);
  }
}
