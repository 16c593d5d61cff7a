/**
 * A reset in the place of a FIN, where it can be had. Node's `resetAndDestroy` fails while a shutdown is under
 * way, and then never reports the close; there the socket is closed plainly. TLS cannot be reset: it is the
 * socket beneath that is, and TLS ends a turn of the event loop later, for in the same turn Node frees the
 * buffer that a write under way still reads from.
 */
import type { Socket } from 'node:net';

const BENEATH = new WeakMap<Socket, Socket>();

/** To be told of every TLS socket that may have to be reset. */
export function laidOver(tls: Socket, beneath: Socket): void {
  BENEATH.set(tls, beneath);
}

/** The socket that carries this one's TLS, if it was told of. */
export function beneathOf(tls: Socket): Socket | null {
  return BENEATH.get(tls) ?? null;
}

/** `over`: TLS on top of the socket, whose own end may be under way. */
export function resetSocket(socket: Socket, over: Socket = socket): void {
  if (socket.destroyed) return;
  const beneath = BENEATH.get(socket);
  if (beneath !== undefined) {
    resetSocket(beneath, socket);
    setImmediate(() => socket.destroy());
  } else if (endIsUnderWay(socket) || endIsUnderWay(over)) socket.destroy();
  else socket.resetAndDestroy();
}

function endIsUnderWay(socket: Socket): boolean {
  return socket.writableEnded && !socket.writableFinished;
}
