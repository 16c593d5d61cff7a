/** Callers that ask for a tunnel: TLS inside that goes on as it is, TLS that ends in the sidecar, and plain HTTP. */
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { call } from './call.ts';
import { MOST_ATTEMPTS, TOTAL_MS } from './configuration.ts';
import { scriptOf } from './http1-callers.ts';
import type { Ticket } from './ledger.ts';
import type { VendorName } from './vendors.ts';
import type { Turn, World } from './world.ts';

interface Tunnel {
  readonly ticket: Ticket;
  readonly socket: Socket;
}

function ask(world: World, kind: string, authority: string): Promise<Tunnel | null> {
  const ticket = world.ledger.begin({ kind, arrivals: 0, boundMs: TOTAL_MS, answerDue: true });
  return new Promise((resolve) => {
    const outgoing = request({
      host: '127.0.0.1',
      port: world.sidecar.port,
      method: 'CONNECT',
      path: authority,
      agent: false,
      headers: { Host: authority, 'X-Request-Id': ticket.id },
    });
    outgoing.on('error', () => {
      ticket.ended('cut');
      resolve(null);
    });
    outgoing.on('connect', (response, socket) => {
      socket.on('error', () => {});
      const { statusCode = 0, headers } = response;
      ticket.answered(statusCode);
      if (headers['x-request-id'] !== ticket.id)
        ticket.broken(
          'the answer is that of the request',
          `it has the ID ${String(headers['x-request-id'])}`,
        );
      if (statusCode === 200) {
        ticket.alive();
        resolve({ ticket, socket });
        return;
      }
      ticket.ended('whole');
      socket.destroy();
      resolve(null);
    });
    outgoing.end();
  });
}

const close = ({ ticket, socket }: Tunnel): void => {
  ticket.ended('left');
  socket.destroy();
};

function secure({ socket }: Tunnel, servername: string, ca: string): Promise<TLSSocket | null> {
  return new Promise((resolve) => {
    const inside = connectTls({ socket, servername, ca, ALPNProtocols: ['http/1.1'] }, () => resolve(inside));
    inside.on('error', () => resolve(null));
    inside.on('close', () => resolve(null));
    setTimeout(() => resolve(null), TOTAL_MS);
  });
}

async function inside(
  turn: Turn,
  kind: string,
  over: Tunnel,
  vendor: VendorName,
  logged: boolean,
): Promise<void> {
  const { world, chance } = turn;
  const { host, port } = world.vendors.byName[vendor];
  const posted = chance.yes(0.4);
  const arrivals = posted || !logged ? 1 : MOST_ATTEMPTS;
  await call({
    createConnection: () => over.socket,
    path: scriptOf(chance, vendor, chance.below(30_000)),
    method: posted ? 'POST' : 'GET',
    headers: { Host: `${host}:${port}`, Connection: 'keep-alive' },
    ticket: world.ledger.begin({
      kind: `${posted ? 'POST' : 'GET'} inside ${kind}`,
      arrivals,
      over: over.ticket,
      boundMs: TOTAL_MS,
      logged,
    }),
    ...(posted ? { body: Buffer.alloc(chance.below(3_000), 'b') } : {}),
  });
}

const tlsTunnel =
  (kind: string, vendor: VendorName, logged: boolean) =>
  async (turn: Turn): Promise<void> => {
    const { world } = turn;
    const { host, port } = world.vendors.byName[vendor];
    const tunnel = await ask(world, `CONNECT, ${kind}`, `${host}:${port}`);
    if (tunnel === null) return;
    const tls = await secure(tunnel, host, logged ? world.bundle : world.certificates.ca);
    if (tls !== null) {
      await inside(turn, kind, { ticket: tunnel.ticket, socket: tls }, vendor, logged);
      tls.destroy();
    }
    close(tunnel);
  };

export const opaqueTunnel = tlsTunnel('tunnel', 'vault', false);
export const intercepted = tlsTunnel('intercept', 'claims', true);

export async function plainTunnel(turn: Turn): Promise<void> {
  const { world, chance } = turn;
  const { host, port } = world.vendors.byName.desk;
  const tunnel = await ask(world, 'CONNECT, plain HTTP', `${host}:${port}`);
  if (tunnel === null) return;
  for (let left = 1 + chance.below(3); left > 0 && tunnel.socket.writable; left--)
    await inside(turn, 'plain tunnel', tunnel, 'desk', true);
  close(tunnel);
}
