/** Callers that no library would be: half a head, no HTTP at all; and WebSocket, byte for byte. */
import { connect, type Socket } from 'node:net';
import { handshakeOf } from '../support/web-socket.ts';
import { HEAD_TIMEOUT_MS, STREAM_MS, TOTAL_MS } from './configuration.ts';
import { STREAM_HEAD_MS } from './http1-callers.ts';
import type { Ticket } from './ledger.ts';
import { pause, type Turn, type World } from './world.ts';

const MALFORMED = [
  'GET http://a.vendor.test/ HTTP/1.1\r\nHost: a.vendor.test\r\nHost: b\r\n\r\n',
  'GET http://a.vendor.test/ HTTP/1.1\r\nHost: a.vendor.test\r\nno colon\r\n\r\n',
  'GET http://a.vendor.test/ HTTP/1.1\nHost: a.vendor.test\n\n',
  'GET ftp://a.vendor.test/ HTTP/1.1\r\nHost: a.vendor.test\r\n\r\n',
  'POST http://a.vendor.test/ HTTP/1.1\r\nHost: a.vendor.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
  'POST http://a.vendor.test/ HTTP/1.1\r\nHost: a.vendor.test\r\nTransfer-Encoding: cow\r\n\r\n',
  'GET http://a.vendor.test/ HTTP/3.0\r\nHost: a.vendor.test\r\n\r\n',
  'G\0T http://a.vendor.test/ HTTP/1.1\r\nHost: a.vendor.test\r\n\r\n',
  `GET http://a.vendor.test/ HTTP/1.1\r\nHost: a.vendor.test\r\nA: ${'x'.repeat(50_000)}\r\n\r\n`,
  '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03nothing that is understood\r\n\r\n',
] as const;

/** Sends what is no request, and expects an answer with an ID of the sidecar's own. */
function nonsense({ ledger, sidecar }: World, kind: string, text: string, boundMs: number): Promise<void> {
  const ticket = ledger.begin({ kind, arrivals: 0, boundMs, logged: false, answerDue: true });
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(sidecar.port, '127.0.0.1', () => socket.write(text, 'latin1'));
    const end = (): void => {
      ticket.ended('cut');
      socket.destroy();
      resolve();
    };
    socket.on('error', end);
    socket.on('close', end);
    socket.on('data', (piece) => {
      received += piece.toString('latin1');
      if (!received.includes('\r\n\r\n') || ticket.end !== null) return;
      ticket.answered(Number(received.slice(9, 12)));
      ticket.ended('whole');
      ledger.strangerAnswered(/^x-request-id: (.*)\r$/im.exec(received)?.[1] ?? 'no ID');
      socket.destroy();
      resolve();
    });
  });
}

export const malformed = ({ world, chance }: Turn): Promise<void> =>
  nonsense(world, 'malformed', chance.one(MALFORMED), TOTAL_MS);

export const halfHead = ({ world }: Turn): Promise<void> =>
  nonsense(world, 'half a head', 'GET http://a.vendor.test/ HTTP/1.1\r\nHost: a.ven', HEAD_TIMEOUT_MS);

/** Upgrades, has some bytes echoed, and leaves. */
export async function webSocket({ world, chance }: Turn): Promise<void> {
  const { ledger, sidecar, vendors } = world;
  const { host, port } = vendors.byName.chat;
  const fault = chance.yes(0.8) ? 'none' : chance.one(['reset', 'stall-head', 'reset-body']);
  const ticket = ledger.begin({ kind: 'WebSocket', arrivals: 3, boundMs: STREAM_HEAD_MS, answerDue: true });
  const target = `http://${host}:${port}/do/${fault}/0/0`;
  const head = handshakeOf(target, `X-Request-Id: ${ticket.id}`).replace(
    'Host: 127.0.0.1',
    `Host: ${host}:${port}`,
  );
  const socket = connect(sidecar.port, '127.0.0.1', () => socket.write(head));
  const status = await answer(socket, ticket);
  if (status === 101) {
    ticket.alive(STREAM_MS);
    for (let left = chance.below(6); left > 0 && !socket.destroyed; left--) {
      await echoed(socket, ticket, 10 + chance.below(3_000));
      ticket.alive();
      await pause(chance.below(300));
    }
  }
  ticket.ended('left');
  socket.destroy();
}

/** The status of its head; 0: there is none. */
function answer(socket: Socket, ticket: Ticket): Promise<number> {
  return new Promise((resolve) => {
    let received = '';
    const none = (): void => {
      ticket.ended('cut');
      resolve(0);
    };
    socket.on('error', none);
    socket.on('close', none);
    const read = (piece: Buffer): void => {
      received += piece.toString('latin1');
      if (!received.includes('\r\n\r\n')) return;
      socket.off('data', read);
      const status = Number(received.slice(9, 12));
      ticket.answered(status);
      if (!received.toLowerCase().includes(`x-request-id: ${ticket.id}`) && status !== 101)
        ticket.broken('the answer is that of the request', 'it has another ID');
      socket.off('error', none);
      socket.off('close', none);
      socket.on('error', () => {});
      resolve(status);
    };
    socket.on('data', read);
  });
}

/** A binary frame of this many bytes with a mask of zeros goes out, and comes back as it is. */
function echoed(socket: Socket, ticket: Ticket, bytes: number): Promise<void> {
  const frame = Buffer.alloc(8 + bytes, 'w');
  frame.set([0x82, 0xfe, bytes >> 8, bytes & 0xff, 0, 0, 0, 0]);
  return new Promise((resolve) => {
    let received = 0;
    const end = (): void => {
      socket.off('data', read);
      socket.off('close', end);
      resolve();
    };
    const read = (piece: Buffer): void => {
      if (!piece.equals(frame.subarray(received, received + piece.length)))
        ticket.broken('the answer is that of the request', 'other bytes came back than went out');
      received += piece.length;
      if (received >= frame.length) end();
    };
    socket.on('data', read);
    socket.once('close', end);
    socket.write(frame);
  });
}
