/**
 * How TLS ended: with the peer's close_notify, or because the connection beneath it did. Node reports both as
 * the same end, and a body that only the end of the connection delimits is whole with the first alone (RFC 9112,
 * section 9.8), for anybody on the way can make the second.
 *
 * It is seen at the moment of the end: after a close_notify the TCP socket is still being read, after a FIN it
 * is not. What Node calls its handle answers that. Where there is none to ask, nothing is taken for whole.
 */
import type { Socket } from 'node:net';
import { constants } from 'node:os';

interface Handle {
  readStart?(): number;
}

/** It is being read, so its end has not come. */
const STILL_READING = -constants.errno.EALREADY;

/** `tls` on top of `tcp`; `told` is called before the end is, if the peer has said it. */
export function onCloseNotify(tls: Socket, tcp: Socket, told: () => void): void {
  const push = tls.push.bind(tls);
  tls.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && isStillRead(tcp)) told();
    return push(chunk, encoding);
  };
}

function isStillRead(tcp: Socket): boolean {
  const { _handle: handle } = tcp as unknown as { _handle?: Handle | null };
  return handle?.readStart?.() === STILL_READING;
}
