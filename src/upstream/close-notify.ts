/**
 * How TLS ended: with the peer's close_notify, or because the connection beneath it did. Node reports both as
 * the same end, and a body that only the end of the connection delimits is whole with the first alone (RFC 9112,
 * section 9.8), for anybody on the way can make the second.
 *
 * It is seen at the moment of the end: after a close_notify the TCP socket is still being read, after a FIN it
 * is not. Nor is it where a slow reader has had it stopped, but then no FIN can have been seen, only what had been
 * read before: a close_notify. What Node calls its handles answers both. Where there are none to ask, nothing is
 * taken for whole.
 */
import type { Socket } from 'node:net';
import { constants } from 'node:os';

interface Handle {
  /** False while a reader that cannot keep up has it stopped. */
  reading?: boolean;
  readStart?(): number;
}

/** It is being read, so its end has not come. */
const STILL_READING = -constants.errno.EALREADY;

/** `tls` on top of `tcp`; `told` is called before the end is, if the peer has said it. */
export function onCloseNotify(tls: Socket, tcp: Socket, told: () => void): void {
  const push = tls.push.bind(tls);
  tls.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && (isHeldUp(tls) || isStillRead(tcp))) told();
    return push(chunk, encoding);
  };
}

function isHeldUp(tls: Socket): boolean {
  return handleOf(tls)?.reading === false;
}

function isStillRead(tcp: Socket): boolean {
  return handleOf(tcp)?.readStart?.() === STILL_READING;
}

function handleOf(socket: Socket): Handle | null {
  return (socket as unknown as { _handle?: Handle | null })._handle ?? null;
}
