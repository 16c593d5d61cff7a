/**
 * A reset in the place of a FIN, where it can be had. Node's `resetAndDestroy` fails while a shutdown is under
 * way, and then never reports the close; there the socket is closed plainly.
 */
import type { Socket } from 'node:net';

/** `over`: TLS on top of the socket, whose own end may be under way. */
export function resetSocket(socket: Socket, over: Socket = socket): void {
  if (socket.destroyed) return;
  if (endIsUnderWay(socket) || endIsUnderWay(over)) socket.destroy();
  else socket.resetAndDestroy();
}

function endIsUnderWay(socket: Socket): boolean {
  return socket.writableEnded && !socket.writableFinished;
}
