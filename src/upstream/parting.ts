/**
 * The two ways to end a connection: in good order, and at once.
 *
 * Rules: whoever ended a connection counts it until its TCP socket is closed, and by then the origin knows.
 * A TLS socket is destroyed a turn of the event loop after the TCP socket beneath it: in the same turn Node
 * frees the buffer that a write under way still reads from, and the process dies of it.
 */
import type { Socket } from 'node:net';
import { resetSocket } from '../socket-reset.ts';

/** How long a peer may take to answer our FIN before it gets a reset, milliseconds. */
const LINGER_MS = 1_000;

/**
 * In good order: a FIN, and the socket is closed once the origin's has come, so that the origin has counted
 * it off too. An origin that does not close its side still holds the connection: it gets a reset.
 */
export function part(tcp: Socket, socket: Socket): void {
  socket.end();
  linger(tcp, socket);
}

/** The second half of it, where the end of the socket is somebody else's. */
export function linger(tcp: Socket, socket: Socket): void {
  const timer = setTimeout(() => reset(tcp, socket), LINGER_MS);
  timer.unref();
  tcp.once('close', () => clearTimeout(timer));
}

/**
 * At once: a reset and not a FIN, for whatever the origin does for us is not wanted any more, and it learns
 * so before it can see another connection. `socket` is what is spoken through: the same, or TLS on top.
 */
export function reset(tcp: Socket, socket: Socket | null): void {
  resetSocket(tcp, socket ?? tcp);
  if (socket !== null && socket !== tcp) setImmediate(() => socket.destroy());
}

/**
 * Before it is connected. The kernel, and with it the origin, may be connected before we have heard of it:
 * then the event comes within a turn of the event loop. What is not connected then is given up.
 */
export function giveUp(tcp: Socket): void {
  tcp.once('connect', () => {
    part(tcp, tcp);
    tcp.resume();
  });
  setImmediate(() =>
    setImmediate(() => {
      if (tcp.connecting) tcp.destroy();
    }),
  );
}
