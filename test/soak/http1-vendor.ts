/**
 * A vendor that speaks HTTP/1.1, with TLS or without, well or in one of the ways of `http1-faults.ts`. Speaks
 * WebSocket, too: what comes in goes back.
 */
import {
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { switchingFor } from '../support/web-socket.ts';
import { FAULTS, healthy, stream } from './http1-faults.ts';
import { numberOf } from './ledger.ts';
import { reset, VendorDoor, type VendorOptions } from './vendor.ts';

/** What a fault leaves behind is cleared away after this long, however the sidecar took it. */
const LEFT_MS = 12_000;

export class Http1Vendor extends VendorDoor {
  protected readonly server: HttpServer;

  constructor(options: VendorOptions) {
    super(options);
    const settings = {
      requestTimeout: 0,
      headersTimeout: 0,
      keepAliveTimeout: 20_000,
      maxHeaderSize: 65_536,
    };
    this.server = options.certificates
      ? createTlsServer({ ...settings, ...options.certificates.good })
      : createServer(settings);
    this.server.on('connection', (socket: Socket) => this.arriving(socket));
    this.server.on('tlsClientError', () => {});
    this.server.on('clientError', (_, socket) => socket.destroy());
    this.server.on('request', (request, response) => this.#serve(request, response));
    this.server.on('upgrade', (request: IncomingMessage, socket: Socket) => this.#echo(request, socket));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    request.on('error', () => {});
    response.on('error', () => {});
    const n = numberOf(request.headers['x-request-id']);
    if (n === null) {
      response.end('who are you?');
      return;
    }
    const times = this.options.ledger.arrived(n, this.name);
    const script = this.script(request.url ?? '', times);
    const conversation = { request, response, socket: request.socket, n, ...script };
    const fault = FAULTS[script.fault];
    const serve = (): void => {
      if (fault === undefined) (this.name === 'events' ? stream : healthy)(conversation);
      else fault(conversation);
    };
    if (fault !== undefined) setTimeout(() => request.socket.destroy(), LEFT_MS).unref();
    if (script.delayMs > 0) setTimeout(serve, script.delayMs);
    else serve();
  }

  #echo(request: IncomingMessage, socket: Socket): void {
    const n = numberOf(request.headers['x-request-id']);
    if (n !== null) this.options.ledger.arrived(n, this.name);
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    const { fault } = this.script(request.url ?? '', 1);
    if (fault === 'stall-head') return;
    if (fault === 'reset') {
      reset(socket);
      return;
    }
    socket.write(switchingFor(`Sec-WebSocket-Key: ${request.headers['sec-websocket-key']}`));
    socket.pipe(socket, { end: false });
    if (fault !== 'none') setTimeout(() => reset(socket), 50);
  }
}
