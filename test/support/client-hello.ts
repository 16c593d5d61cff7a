/** ClientHellos: real ones, caught on the wire from Node and from openssl, and ones made byte by byte. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type ConnectionOptions, connect } from 'node:tls';

/** All that a client of TLS sends before it hears anything: one record. */
async function firstRecord(server: Server): Promise<Buffer> {
  const [socket] = (await once(server, 'connection')) as [Socket];
  socket.on('error', () => {});
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) break;
  }
  return bytes;
}

async function listening(): Promise<Server> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** From Node's own TLS. */
export async function helloOfNode(options: ConnectionOptions): Promise<Buffer> {
  const server = await listening();
  const { port } = server.address() as AddressInfo;
  const record = firstRecord(server);
  const client = connect({ host: '127.0.0.1', port, ...options });
  client.on('error', () => {});
  const closed = once(client, 'close');
  try {
    return await record;
  } finally {
    client.destroy();
    await closed;
    server.close();
    await once(server, 'close');
  }
}

/** From `openssl s_client`; null: there is no openssl here. */
export async function helloOfOpenssl(...words: string[]): Promise<Buffer | null> {
  const server = await listening();
  const { port } = server.address() as AddressInfo;
  const child: ChildProcess = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...words], {
    stdio: 'ignore',
  });
  const closed = once(child, 'close').then(() => null);
  // Without a program there is no close, but an error.
  const missing = once(child, 'error').then(
    () => null,
    () => null,
  );
  try {
    return await Promise.race([firstRecord(server), missing, closed]);
  } finally {
    child.kill();
    if (child.pid !== undefined) await closed.catch(() => null);
    server.close();
    await once(server, 'close');
  }
}

/** `size` bytes that say how long it is, and the bytes. */
export function vector(size: 1 | 2 | 3, bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(size);
  length.writeUIntBE(bytes.length, 0, size);
  return Buffer.concat([length, bytes]);
}

export function extension(type: number, data: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 0xff]), vector(2, data)]);
}

export function serverNameExtension(...names: (string | Uint8Array)[]): Buffer {
  const list = names.map((name) =>
    Buffer.concat([
      Buffer.from([0]),
      vector(2, typeof name === 'string' ? Buffer.from(name, 'latin1') : name),
    ]),
  );
  return extension(0, vector(2, Buffer.concat(list)));
}

export function alpnExtension(...protocols: string[]): Buffer {
  return extension(
    16,
    vector(2, Buffer.concat(protocols.map((one) => vector(1, Buffer.from(one, 'latin1'))))),
  );
}

export interface HelloParts {
  readonly version?: number;
  readonly session?: Uint8Array;
  readonly suites?: Uint8Array;
  readonly compressions?: Uint8Array;
  /** Null: the message ends before them, as an old one may. */
  readonly extensions?: readonly Uint8Array[] | null;
}

/** The body of the message: without its header, and without a record. */
export function helloBody(parts: HelloParts = {}): Buffer {
  const { version = 0x0303, session = new Uint8Array(32), extensions = [] } = parts;
  return Buffer.concat([
    Buffer.from([version >> 8, version & 0xff]),
    Buffer.alloc(32, 7),
    vector(1, session),
    vector(2, parts.suites ?? Buffer.from([0x13, 0x01])),
    vector(1, parts.compressions ?? Buffer.from([0])),
    ...(extensions === null ? [] : [vector(2, Buffer.concat(extensions))]),
  ]);
}

/** The message: a ClientHello unless another type is asked for. */
export function message(body: Uint8Array, type = 1): Buffer {
  return Buffer.concat([Buffer.from([type]), vector(3, body)]);
}

/** In records whose fragments are so long, the last of what is left. */
export function records(bytes: Uint8Array, ...lengths: number[]): Buffer {
  const out: Buffer[] = [];
  let at = 0;
  for (const length of [...lengths, bytes.length]) {
    if (at >= bytes.length) break;
    const fragment = bytes.subarray(at, at + length);
    out.push(Buffer.from([0x16, 3, 1]), vector(2, fragment));
    at += fragment.length;
  }
  return Buffer.concat(out);
}
