/**
 * Ends a connection at once, with a reset, so that the origin learns of it before it can see another one.
 *
 * Rule: the TLS socket on top is destroyed a turn of the event loop after the TCP socket beneath it. In the
 * same turn Node frees the buffer that a write under way still reads from, and the process dies of it.
 */
import type { Socket } from 'node:net';

/** `socket` is what is spoken through: the same as `tcp`, or TLS on top of it, or nothing yet. */
export function reset(tcp: Socket, socket: Socket | null): void {
  if (!tcp.destroyed) {
    // The kernel may be connected before we have heard of it; then the event comes within a turn of the
    // event loop, and the reset with it. What is not connected then is given up.
    const { connecting } = tcp;
    tcp.resetAndDestroy();
    if (connecting) setImmediate(() => setImmediate(() => tcp.destroy()));
  }
  if (socket !== null && socket !== tcp) setImmediate(() => socket.destroy());
}
