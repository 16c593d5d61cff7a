/**
 * A second listener, for operators, Prometheus and the kubelet: plain answers, no framework.
 *
 * Rules: it can neither be reached by DNS rebinding (see host.ts; the telemetry listener is spared, the
 * kubelet uses the pod's address) nor be asked or read by another site (asker.ts); where there is a token,
 * everything but the probes needs it; no answer is stored; few connections, short times for heads, bodies
 * and answers, so that it never costs what traffic needs. A POST brings JSON or nothing: a form of another site
 * could not, even where a browser said nothing of it. It does not know where its answers come from.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { ListenAddress } from '../config/config.ts';
import { createServer } from '../node-http.ts';
import { BearerToken, isOfAnotherSite } from './asker.ts';
import { hostIsOurs } from './host.ts';
import {
  type AdminSources,
  type Answer,
  allowOf,
  type Endpoints,
  endpointAt,
  endpoints,
  listOf,
  text,
} from './routes.ts';

const MAX_CONNECTIONS = 64;
/** A connection on which nothing moves, whichever side is to blame; a write that moved since counts once more. */
const IDLE_MS = 5000;
/** The longest that an answer may take to be made and to be read. */
const ANSWER_MS = 30_000;
/** Of a body. */
const BODY_BYTES = 65_536;
/** An answer under way when the listener closes has this long. */
const CLOSE_GRACE_MS = 1000;

// biome-ignore format: a field a line
const HEADERS: readonly string[] = Object.freeze([
  'Cache-Control', 'no-store',
  'X-Content-Type-Options', 'nosniff',
  'Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy', 'same-origin',
  'Referrer-Policy', 'no-referrer',
]);

const CHALLENGE = 'Bearer realm="outrigger"';

export interface AdminServerOptions extends AdminSources {
  readonly paths: 'all' | 'telemetry';
  /** What an operator has to bring; null: nothing. */
  readonly token: string | null;
  /** Names beside the address under which it may be asked; lower case, IPv6 without brackets. */
  readonly hosts: readonly string[];
}

export class AdminServer {
  readonly #endpoints: Endpoints;
  readonly #whole: boolean;
  #token: BearerToken | null;
  #hosts: readonly string[];
  readonly #server: Server;
  #answering = 0;

  constructor(options: AdminServerOptions) {
    this.#endpoints = endpoints(options, options.paths);
    this.#whole = options.paths === 'all';
    this.#token = options.token === null ? null : new BearerToken(options.token);
    this.#hosts = options.hosts;
    this.#server = createServer({
      headersTimeout: 5000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5000,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: 8192,
      // Whatever NODE_OPTIONS says.
      insecureHTTPParser: false,
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.setTimeout(IDLE_MS);
    const respond = (request: IncomingMessage, response: ServerResponse): void =>
      void this.#respond(request, response);
    // Nobody is invited to send a body before it is known that it is wanted.
    for (const event of ['request', 'checkContinue', 'checkExpectation']) this.#server.on(event, respond);
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

  /** Who may ask from now on. */
  setAskers(token: string | null, hosts: readonly string[]): void {
    this.#token = token === null ? null : new BearerToken(token);
    this.#hosts = hosts;
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
    const deadline = setTimeout(() => request.socket.destroy(), ANSWER_MS);
    response.once('close', () => {
      clearTimeout(deadline);
      this.#answering--;
      if (this.#answering === 0 && !this.#server.listening) this.#server.closeAllConnections();
    });
    let answer: Answer;
    try {
      answer = await this.#answer(request, response);
    } catch {
      answer = text(500, 'this could not be answered');
    }
    write(request, response, answer);
  }

  #answer(request: IncomingMessage, response: ServerResponse): Answer | Promise<Answer> {
    const { headers, socket } = request;
    if (request.httpVersion !== '1.1' && request.httpVersion !== '1.0')
      return text(400, 'HTTP/1.1 is spoken');
    // Which of two would count is a question that nobody should have to ask.
    if (isTwice(request, 'host') || isTwice(request, 'authorization')) {
      return text(400, 'Host and Authorization may be there once');
    }
    if (this.#whole && !hostIsOurs(headers.host, socket.localAddress, this.#hosts)) {
      return text(
        403,
        'the Host header must be localhost, the address of this listener, or one of admin.hosts',
      );
    }
    if (isOfAnotherSite(headers)) return text(403, 'another site may not ask');
    const url = request.url ?? '';
    const [path = ''] = url.split('?', 1);
    const found = endpointAt(this.#endpoints, path);
    const endpoint = found?.endpoint;
    const { authorization } = headers;
    const trusted = this.#token === null ? this.#whole : this.#token.isIn(authorization);
    if (this.#token !== null && !trusted && endpoint?.open !== true) return unauthorized(authorization);
    if (found === null || endpoint === undefined)
      return text(404, `no such path; there are:\n${listOf(this.#endpoints)}`);
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
    const answer = endpoint.methods.get(method);
    const allow = allowOf(endpoint);
    if (answer === undefined) return text(405, `${allow} only`, ['Allow', allow]);
    const query = new URLSearchParams(url.slice(path.length + 1));
    const asked = { operator: trusted, name: found.name, query, body: undefined };
    if (method !== 'POST') {
      return hasBody(request) ? text(413, 'no request body is taken') : answer(asked);
    }
    const type = headers['content-type'];
    if (type === undefined ? hasBody(request) : !JSON_TYPE.test(type))
      return text(415, 'a body must be application/json');
    if (!hasBody(request)) return answer(asked);
    if (Number(headers['content-length'] ?? 0) > BODY_BYTES) return TOO_LARGE;
    if (headers.expect !== undefined) response.writeContinue();
    return readBody(request).then((body) => {
      if (body === null) return TOO_LARGE;
      const value = body === '' ? { value: undefined } : jsonOf(body);
      return value === null ? text(400, 'the body is not JSON') : answer({ ...asked, body: value.value });
    });
  }
}

const JSON_TYPE = /^application\/json *(?:;|$)/i;

const TOO_LARGE = text(413, `a body may have ${BODY_BYTES} bytes`);

/** Null: it is not JSON. */
function jsonOf(body: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(body) };
  } catch {
    return null;
  }
}

/** Null: it is too large. */
function readBody(request: IncomingMessage): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= BODY_BYTES) chunks.push(chunk);
      else resolve(null);
    });
    request.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    request.on('error', reject);
  });
}

/** RFC 6750, section 3. */
function unauthorized(authorization: string | undefined): Answer {
  const challenge = authorization === undefined ? CHALLENGE : `${CHALLENGE}, error="invalid_token"`;
  return text(401, 'the bearer token of admin.token is needed', ['WWW-Authenticate', challenge]);
}

function isTwice({ rawHeaders }: IncomingMessage, name: string): boolean {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === name) count++;
  return count > 1;
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

function write(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const body = Buffer.from(answer.body);
  const headers = [...HEADERS, 'Content-Type', answer.contentType, 'Content-Length', `${body.length}`];
  if (answer.headers) headers.push(...answer.headers);
  // A body that nobody asked for is not read: the connection ends with the answer.
  if ((hasBody(request) && !request.complete) || answer.status === 405) headers.push('Connection', 'close');
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
