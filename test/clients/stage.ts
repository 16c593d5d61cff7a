/**
 * The stage of the client tests: the sidecar as a child process, an origin on loopback that answers every
 * client alike, and the proof at the end: one log line for each request, and the same ID at the origin, in
 * the log, and in the response.
 *
 * The origin: `GET /hello` says hello; `GET /bytes/N` sends N bytes; `POST` and `PUT` tell how many bytes
 * came, their SHA-256 and how they were framed.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { HttpOrigin } from '../support/origin.ts';
import { folder, memoryGrowth, SidecarProcess } from '../support/process.ts';
import type { LoggedExchange } from '../support/sidecar.ts';

export const LARGE = 100_000_000;
const GROWTH_MAX = 64 * 1024 * 1024;

/** What the origin says of a body. */
export interface Received {
  readonly bytes: number;
  readonly sha256: string;
  readonly framing: 'chunked' | 'length';
}

/** What a client program prints: what it got, and what the origin said to what it sent. */
export interface Told {
  /** Status, body, request ID. */
  readonly get: readonly [number, string, string];
  /** Of the three bytes `a=b`. */
  readonly post: readonly [number, Received, string];
  readonly download: readonly [number, string];
  readonly upload: Received;
}

/** 1 MB that is not the same at any two places nearby. */
const BLOCK = Buffer.from(Uint16Array.from({ length: 500_000 }, (_, n) => n).buffer);

/** The first `bytes` of the endless repetition of the block. */
export function sha256Of(bytes: number): string {
  const hash = createHash('sha256');
  for (let at = 0; at < bytes; at += BLOCK.length) hash.update(BLOCK.subarray(0, bytes - at));
  return hash.digest('hex');
}

export class ClientStage {
  readonly sidecar: SidecarProcess;
  readonly origin: HttpOrigin;
  readonly #t: TestContext;

  private constructor(t: TestContext, sidecar: SidecarProcess, origin: HttpOrigin) {
    this.#t = t;
    this.sidecar = sidecar;
    this.origin = origin;
  }

  static async start(t: TestContext, script = serve): Promise<ClientStage> {
    const origin = await HttpOrigin.start(script);
    t.after(() => origin.close());
    const sidecar = await SidecarProcess.start(t, `access: { tunnelPorts: [${origin.port}] }`);
    return new ClientStage(t, sidecar, origin);
  }

  get url(): string {
    return this.origin.url;
  }

  /** What an application sets, and nothing else. */
  get env(): Record<string, string> {
    return { HTTP_PROXY: this.sidecar.url, http_proxy: this.sidecar.url };
  }

  /** A file with `bytes` of the block. */
  file(bytes: number): string {
    const path = join(folder(this.#t), 'payload');
    const whole = Math.ceil(bytes / BLOCK.length);
    writeFileSync(path, Buffer.concat(Array.from({ length: whole }, () => BLOCK)).subarray(0, bytes));
    return path;
  }

  /** Does the work and proves that the sidecar grew by less than 64 MB meanwhile. */
  async small(what: string, work: () => Promise<void>): Promise<void> {
    const idle = this.sidecar.residentBytes;
    const began = performance.now();
    const grown = await memoryGrowth(this.sidecar, work);
    const seconds = (performance.now() - began) / 1_000;
    this.#t.diagnostic(
      `${what}: resident memory ${megabytes(idle)} and ${megabytes(grown)} more at the peak, ${seconds.toFixed(1)} s`,
    );
    assert.ok(grown < GROWTH_MAX, `${what}: the sidecar grew by ${megabytes(grown)}`);
  }

  /** Every request that the origin saw has its line, completed at the first attempt, under the ID it came with. */
  async proveLogged(count = this.origin.seen.length): Promise<LoggedExchange[]> {
    const lines = await this.sidecar.exchangeLines(count);
    const seen = this.origin.seen.map(
      ({ method, headers }) => `${method} ${String(headers['x-request-id'])}`,
    );
    const logged = lines.map(({ method, requestId }) => `${method} ${requestId}`);
    assert.deepEqual(logged.toSorted(), seen.toSorted());
    for (const line of lines) {
      assert.deepEqual([line.outcome, line.attempts.length, line.error], ['completed', 1, null]);
    }
    assert.equal(this.sidecar.exchanges.length, count, 'one line per request');
    return lines;
  }
}

/** A client program got what there was, and its bodies of `bytes` came and went whole, in four requests. */
export async function proveTold(stage: ClientStage, told: Told, bytes: number): Promise<void> {
  const lines = await stage.proveLogged(4);
  const of = (path: string): LoggedExchange | undefined => lines.find((line) => line.path === path);
  assert.deepEqual(told.get, [200, 'hello', of('/hello')?.requestId]);
  assert.deepEqual(told.post, [
    200,
    { bytes: 3, sha256: createHash('sha256').update('a=b').digest('hex'), framing: told.post[1].framing },
    of('/post')?.requestId,
  ]);
  assert.deepEqual(told.download, [bytes, sha256Of(bytes)]);
  assert.deepEqual(told.upload, { bytes, sha256: sha256OfCounting(bytes), framing: 'chunked' });
  assert.equal(of(`/bytes/${bytes}`)?.responseBytes, bytes);
  assert.equal(of('/upload')?.requestBytes, bytes);
}

/** Of the bytes 0 to 255, over and over: what the client programs send. */
function sha256OfCounting(bytes: number): string {
  const piece = Uint8Array.from({ length: 65_536 }, (_, n) => n & 255);
  const hash = createHash('sha256');
  for (let at = 0; at < bytes; at += piece.length) hash.update(piece.subarray(0, bytes - at));
  return hash.digest('hex');
}

const megabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`;

function serve(request: IncomingMessage, response: ServerResponse): void {
  const { method, url = '' } = request;
  if (method === 'POST' || method === 'PUT') {
    receive(request, response);
    return;
  }
  const bytes = /^\/bytes\/(\d+)$/.exec(url)?.[1];
  if (bytes === undefined) response.end('hello');
  else send(response, Number(bytes));
}

function receive(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash('sha256');
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    hash.update(chunk);
  });
  request.on('end', () => {
    const framing = request.headers['transfer-encoding'] === 'chunked' ? 'chunked' : 'length';
    const received: Received = { bytes, sha256: hash.digest('hex'), framing };
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(received));
  });
}

function send(response: ServerResponse, bytes: number): void {
  let left = bytes;
  response.writeHead(200, { 'Content-Length': `${bytes}` });
  const more = (): void => {
    while (left > 0) {
      const block = BLOCK.subarray(0, left);
      left -= block.length;
      if (!response.write(block)) return;
    }
    response.end();
  };
  response.on('drain', more);
  more();
}

/** The SHA-256 of a file. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
