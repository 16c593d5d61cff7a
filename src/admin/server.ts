/**
 * A second listener, for operators, Prometheus and the kubelet: GET and HEAD, plain answers, no framework.
 *
 * Rules: it can neither be reached by DNS rebinding (see host.ts; the telemetry listener is spared, the
 * kubelet uses the pod's address) nor read by another site; no answer is stored; few connections, short
 * timeouts, so that it never costs what traffic needs. It does not know where its answers come from.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { ListenAddress } from '../config/config.ts';
import { hostIsOurs } from './host.ts';
import { type AdminSources, type Answer, endpoints, listOf, text } from './routes.ts';

const MAX_CONNECTIONS = 64;
/** An answer under way when the listener closes has this long. */
const CLOSE_GRACE_MS = 1000;

const HEADERS: readonly string[] = Object.freeze([
  'Cache-Control',
  'no-store',
  'X-Content-Type-Options',
  'nosniff',
  'Content-Security-Policy',
  "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy',
  'no-referrer',
]);

export interface AdminServerOptions extends AdminSources {
  readonly paths: 'all' | 'telemetry';
}

export class AdminServer {
  readonly #endpoints: ReturnType<typeof endpoints>;
  readonly #checkHost: boolean;
  readonly #server: Server;
  #answering = 0;

  constructor(options: AdminServerOptions) {
    this.#endpoints = endpoints(options, options.paths);
    this.#checkHost = options.paths === 'all';
    this.#server = createServer({
      headersTimeout: 5000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5000,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: 8192,
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('request', (request, response) => void this.#respond(request, response));
    this.#server.on('connect', refuseConnect);
  }

  /** Resolves with the address as bound; rejects with Node's own error. */
  listen(address: ListenAddress): Promise<ListenAddress> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address.port, address.host, () => {
        this.#server.off('error', reject);
        // Out of descriptors: the connection is lost, the listener is not.
        this.#server.on('error', () => {});
        const bound = this.#server.address() as AddressInfo;
        resolve({ host: bound.address, port: bound.port });
      });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      // An error here says that it was not listening, which is what is wanted.
      this.#server.close(() => resolve());
      if (this.#answering === 0) {
        this.#server.closeAllConnections();
        return;
      }
      setTimeout(() => this.#server.closeAllConnections(), CLOSE_GRACE_MS).unref();
    });
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#answering++;
    response.once('close', () => {
      this.#answering--;
      if (this.#answering === 0 && !this.#server.listening) this.#server.closeAllConnections();
    });
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch {
      answer = text(500, 'this could not be answered');
    }
    write(request, response, answer);
  }

  #answer(request: IncomingMessage): Answer | Promise<Answer> {
    if (this.#checkHost && !hostIsOurs(request.headers.host, request.socket.localAddress)) {
      return text(403, 'the Host header must be localhost or the address of this listener');
    }
    const [path = ''] = (request.url ?? '').split('?', 1);
    const endpoint = this.#endpoints.get(path);
    if (endpoint === undefined) return text(404, `no such path; there are:\n${listOf(this.#endpoints)}`);
    if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'GET and HEAD only');
    return endpoint.answer();
  }
}

function write(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const body = Buffer.from(answer.body);
  const headers = [...HEADERS, 'Content-Type', answer.contentType, 'Content-Length', `${body.length}`];
  if (answer.status === 405) headers.push('Allow', 'GET, HEAD');
  // A body that nobody asked for is not read: the connection ends with the answer.
  if (request.method !== 'GET' && request.method !== 'HEAD') headers.push('Connection', 'close');
  response.writeHead(answer.status, headers);
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Somebody took this for the proxy's port. */
function refuseConnect(_request: IncomingMessage, socket: Socket): void {
  socket.on('error', () => {});
  socket.end(
    'HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
  );
}
