/**
 * What a caller still sends after it has been answered is read and thrown away, so that it gets to read
 * the answer; but only so much and so long, then its connection is closed (RFC 9112, section 9.6).
 */
import type { Socket } from 'node:net';
import type { CallerRequest } from './caller.ts';

const DRAIN_BYTES = 1_048_576;
const DRAIN_MS = 2_000;

export function drain(request: CallerRequest, socket: Socket): void {
  // A stream ends by itself, without its connection (RFC 9113, section 8.1).
  if (request.http2) return;
  let left = DRAIN_BYTES;
  const timer = setTimeout(() => socket.destroy(), DRAIN_MS);
  timer.unref();
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) socket.destroy();
  });
  request.on('close', () => clearTimeout(timer));
  request.on('end', () => clearTimeout(timer));
}
