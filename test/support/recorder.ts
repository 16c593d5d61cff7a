/**
 * An origin that keeps every byte it gets and reads them with the reference parser: each whole request is
 * answered as told, and what is no request is kept as such. Plain, or behind TLS.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { KeyPair } from './certificates.ts';
import { type ReferenceMessage, readRequest, valuesOf } from './reference-message.ts';

/** What to write for a request; null: nothing. */
export type Reply = (request: ReferenceMessage, n: number) => string | Buffer | null;

interface Line {
  readonly socket: Socket;
  bytes: Buffer;
}

/** The usual answer: it names the request line, but for a HEAD. */
export function ok({ start: [method, target] }: ReferenceMessage): string {
  const body = `${method} ${target}`;
  const length = `Content-Length: ${Buffer.byteLength(body, 'latin1')}`;
  return `HTTP/1.1 200 OK\r\n${length}\r\n\r\n${method === 'HEAD' ? '' : body}`;
}

export class Recorder {
  /** Whole requests, in the order in which they were. */
  readonly requests: ReferenceMessage[] = [];
  /** Bytes that are no request. */
  readonly invalid: { readonly why: string; readonly bytes: Buffer }[] = [];
  /** What was there of requests whose connection ended before they did. */
  readonly partial: Buffer[] = [];
  connections = 0;
  received = 0;
  reply: Reply = ok;
  port = 0;
  readonly #lines = new Set<Line>();
  readonly #server: Server;

  private constructor(tls: KeyPair | null) {
    const take = (socket: Socket): void => this.#take(socket);
    this.#server = tls
      ? createTlsServer({ ...tls, ALPNProtocols: ['http/1.1'] }, take)
      : createServer({ allowHalfOpen: true, noDelay: true }, take);
    this.#server.on('tlsClientError', () => {});
  }

  static async start(tls: KeyPair | null = null): Promise<Recorder> {
    const recorder = new Recorder(tls);
    await new Promise<void>((resolve) => recorder.#server.listen(0, '127.0.0.1', resolve));
    recorder.port = (recorder.#server.address() as AddressInfo).port;
    return recorder;
  }

  /** Connections that stand in the middle of a request. */
  get pending(): number {
    let count = 0;
    for (const { bytes } of this.#lines) if (bytes.length > 0) count++;
    return count;
  }

  get open(): number {
    return this.#lines.size;
  }

  /** Forgets what was, but for connections that are open. */
  forget(): void {
    for (const list of [this.requests, this.invalid, this.partial]) list.length = 0;
  }

  close(): Promise<void> {
    for (const { socket } of this.#lines) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #take(socket: Socket): void {
    this.connections++;
    const line: Line = { socket, bytes: Buffer.alloc(0) };
    this.#lines.add(line);
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      this.#lines.delete(line);
      if (line.bytes.length > 0) this.partial.push(line.bytes);
    });
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.length;
      line.bytes = line.bytes.length === 0 ? chunk : Buffer.concat([line.bytes, chunk]);
      this.#read(line);
    });
  }

  #read(line: Line): void {
    while (line.bytes.length > 0) {
      const reading = readRequest(line.bytes);
      if (reading.kind === 'incomplete') return;
      if (reading.kind === 'invalid') {
        this.invalid.push({ why: reading.why, bytes: line.bytes });
        line.bytes = Buffer.alloc(0);
        line.socket.destroy();
        return;
      }
      const { message } = reading;
      line.bytes = line.bytes.subarray(message.end);
      this.requests.push(message);
      const answer = this.reply(message, this.requests.length);
      if (answer !== null)
        line.socket.write(typeof answer === 'string' ? Buffer.from(answer, 'latin1') : answer);
      if (valuesOf(message.fields, 'connection').includes('close')) line.socket.end();
    }
  }
}
