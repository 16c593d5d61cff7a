/**
 * Several vendors and one control port for them, so that any program can have a vendor hang and return, and read
 * what it saw:
 *
 * - `GET /` and `GET /vendors/NAME`: what they do and what they saw;
 * - `POST /vendors/NAME` with a text of behaviour.ts, such as `hanging`: from the next request on;
 * - `GET /vendors/NAME/operations`: by key, how often it was seen and carried out;
 * - `POST /forget`: all counters begin again.
 *
 * Each has an address of its own where the system has more than one (Linux: all of 127.0.0.0/8), so that `ss` and the
 * sidecar tell them apart, and nobody takes the port of one that is gone.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Vendor, type VendorOptions, type VendorSnapshot } from './vendor.ts';

const FIRST_ADDRESS = 11;

export class Vendors {
  readonly all: readonly Vendor[];
  readonly #control: Server;

  private constructor(all: readonly Vendor[]) {
    this.all = all;
    this.#control = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(options: readonly VendorOptions[], seed = 1): Promise<Vendors> {
    const manyAddresses = process.platform === 'linux';
    const all = await Promise.all(
      options.map((one, i) =>
        Vendor.start({
          seed: seed + i,
          host: manyAddresses ? `127.0.0.${FIRST_ADDRESS + (i % 200)}` : '127.0.0.1',
          ...one,
        }),
      ),
    );
    const vendors = new Vendors(all);
    await new Promise<void>((resolve) => vendors.#control.listen(0, '127.0.0.1', resolve));
    return vendors;
  }

  get controlUrl(): string {
    return `http://127.0.0.1:${(this.#control.address() as AddressInfo).port}`;
  }

  /** By name. */
  get urls(): Record<string, string> {
    return Object.fromEntries(this.all.map(({ name, url }) => [name, url]));
  }

  named(name: string): Vendor {
    const found = this.all.find((one) => one.name === name);
    if (found === undefined) throw new Error(`there is no vendor "${name}"`);
    return found;
  }

  snapshot(): Record<string, VendorSnapshot> {
    return Object.fromEntries(this.all.map((one) => [one.name, one.snapshot()]));
  }

  async close(): Promise<void> {
    this.#control.closeAllConnections();
    await Promise.all([
      new Promise((resolve) => this.#control.close(resolve)),
      ...this.all.map((one) => one.close()),
    ]);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      const said = await this.#answer(request.method ?? '', request.url ?? '', body);
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(`${JSON.stringify(said)}\n`);
    } catch (error) {
      response.writeHead(400, { 'Content-Type': 'text/plain' }).end(`${(error as Error).message}\n`);
    }
  }

  async #answer(method: string, path: string, body: string): Promise<unknown> {
    const [, name, operations] = /^\/vendors\/([^/]+)(\/operations)?$/.exec(path) ?? [];
    const asked = `${method} ${name === undefined ? path : `/vendors/NAME${operations ?? ''}`}`;
    switch (asked) {
      case 'GET /':
        return this.snapshot();
      case 'POST /forget':
        for (const vendor of this.all) vendor.tally.forget();
        return this.snapshot();
      case 'GET /vendors/NAME':
        return this.named(name as string).snapshot();
      case 'GET /vendors/NAME/operations':
        return Object.fromEntries(this.named(name as string).tally.operations);
      case 'POST /vendors/NAME':
        await this.named(name as string).behave(body);
        return this.named(name as string).snapshot();
      default:
        throw new Error(`${asked} is nothing that can be asked`);
    }
  }
}
