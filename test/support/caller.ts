/**
 * The caller of a test: an HTTP client that speaks to the sidecar as a proxy (absolute form), and a raw
 * socket for everything that no client would send.
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { until } from './until.ts';

export interface Call {
  readonly method?: string;
  /** Flat raw list, or an object. */
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
  readonly agent?: Agent | undefined;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly rawHeaders: readonly string[];
  readonly trailers: IncomingMessage['trailers'];
  readonly body: Buffer;
  readonly text: string;
  /** Status codes of the interim responses. */
  readonly informational: readonly number[];
  readonly ms: number;
}

/** Sends `url` through the proxy at `port`; rejects when the response is cut. */
export function call(port: number, url: string, options: Call = {}): Promise<Answer> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const informational: number[] = [];
    const sent = request({
      host: '127.0.0.1',
      port,
      path: url,
      method: options.method ?? 'GET',
      headers: { Host: new URL(url).host, ...options.headers },
      agent: options.agent ?? false,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    sent.on('information', (info) => informational.push(info.statusCode));
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          rawHeaders: response.rawHeaders,
          trailers: response.trailers,
          body,
          text: body.toString(),
          informational,
          ms: performance.now() - began,
        });
      });
    });
    sent.end(options.body);
  });
}

/** A socket to the proxy on which a test writes what it likes. */
export class RawCaller {
  readonly socket: Socket;
  received = '';
  ended = false;
  closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.received += text;
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('error', () => {});
  }

  static connect(port: number): Promise<RawCaller> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
      socket.once('error', reject);
      socket.once('connect', () => resolve(new RawCaller(socket)));
    });
  }

  write(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    return this;
  }

  /** Resolves once what has come satisfies; with all of it. */
  async until(condition: (received: string) => boolean, what = 'an answer'): Promise<string> {
    try {
      await until(() => condition(this.received) || this.closed, what);
    } catch (error) {
      throw new Error(`${(error as Error).message}; came so far: ${JSON.stringify(this.received)}`, {
        cause: error,
      });
    }
    return this.received;
  }

  /** Resolves with all that came, once the proxy has closed its side. */
  async untilEnd(): Promise<string> {
    await until(() => this.ended || this.closed, 'the end of the connection');
    return this.received;
  }

  leave(): void {
    this.socket.destroy();
  }
}
