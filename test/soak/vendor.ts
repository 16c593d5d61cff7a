/**
 * What all vendors of a soak have in common: a door that can be shut and opened again at the same place, a
 * certificate that can be exchanged, a fault for every request, and what a request asks for.
 *
 * The path of a request is a script, `/do/<fault>.<fault>/<bytes>/<delay in ms>`: the first fault is for its first arrival,
 * the second for the second, and so on. A standing fault comes before the script.
 */
import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Certificates } from '../support/certificates.ts';
import type { Ledger } from './ledger.ts';
import type { Tally } from './tally.ts';

export interface VendorOptions {
  readonly name: string;
  readonly host: string;
  readonly address: string;
  readonly certificates: Certificates | null;
  readonly ledger: Ledger;
  readonly faults: Tally;
  /** Origins that it is for the sidecar: as what a CONNECT reaches it is another than as http://. */
  readonly ways: number;
}

export interface Script {
  readonly fault: string;
  readonly bytes: number;
  readonly delayMs: number;
}

const BLOCK = 65_536;
const BLOCKS = Array.from({ length: 16 }, (_, i) => Buffer.alloc(BLOCK, 97 + i));

/** The byte that the answer to this exchange consists of. */
export const letterOf = (n: number): number => 97 + (n % 16);

/** A piece of the body of an answer, at most 64 KiB. */
export const pieceOf = (n: number, bytes: number): Buffer => (BLOCKS[n % 16] as Buffer).subarray(0, bytes);

/** With a reset, also where there is TLS on top of what can be reset. */
export function reset(socket: Socket): void {
  const { _parent: below } = socket as Socket & { readonly _parent?: Socket | null };
  (below ?? socket).resetAndDestroy();
}

export abstract class VendorDoor {
  readonly options: VendorOptions;
  /** Done to every request; null: what the request asks for. */
  standingFault: string | null = null;
  /** Every connection is reset as soon as it is there. */
  slamming = false;
  port = 0;
  protected abstract readonly server: Server;
  protected readonly sockets = new Set<Socket>();

  constructor(options: VendorOptions) {
    this.options = options;
  }

  get name(): string {
    return this.options.name;
  }

  get host(): string {
    return this.options.host;
  }

  get secure(): boolean {
    return this.options.certificates !== null;
  }

  get url(): string {
    return `${this.secure ? 'https' : 'http'}://${this.host}:${this.port}`;
  }

  /** At the same port as before. */
  async open(): Promise<void> {
    this.server.listen(this.port, this.options.address, 1_024);
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  /** Everybody is thrown out, with a reset. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => {
      this.server.close(resolve);
    });
    this.cut();
    await closed;
  }

  cut(): void {
    for (const socket of this.sockets) reset(socket);
  }

  /** For new connections. */
  present(which: keyof Omit<Certificates, 'ca'>): void {
    const { certificates } = this.options;
    const server = this.server as Server & { setSecureContext?: (options: object) => void };
    if (certificates !== null) server.setSecureContext?.(certificates[which]);
  }

  protected arriving(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.sockets.delete(socket));
    if (!this.slamming) return;
    this.options.faults.add('connection slammed');
    socket.resetAndDestroy();
  }

  /** `times`: which arrival of this exchange it is. */
  protected script(path: string, times: number): Script {
    const [, , faults = '', bytes = '0', delay = '0'] = path.split('/');
    const fault = this.standingFault ?? faults.split('.')[times - 1] ?? 'none';
    if (fault !== 'none') this.options.faults.add(fault);
    return { fault, bytes: Number(bytes), delayMs: Number(delay) };
  }
}
