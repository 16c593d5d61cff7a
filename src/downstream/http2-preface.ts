/**
 * A connection that begins with the preface of HTTP/2 is taken out of the hands of Node's HTTP/1.1 server,
 * whose parser knows the preface and stops at it. So a connection of HTTP/1.1 pays nothing.
 *
 * Rules: RFC 9113, section 3.4: the preface is the first that comes, and nothing came before it. It touches
 * what Node has put on the socket, and does so only if all of that is as expected; else the connection is
 * left alone.
 */
import type { Socket } from 'node:net';

/** What Node's parser says when it has read the preface. */
export const PREFACE_SEEN = 'HPE_PAUSED_H2_UPGRADE';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Node's listeners by event; the one for `close` gives its parser back. */
const LISTENERS: readonly (readonly [event: string, name: string])[] = [
  ['close', 'bound socketOnClose'],
  ['data', 'bound socketOnData'],
  ['end', 'bound socketOnEnd'],
  ['drain', 'bound socketOnDrain'],
  ['timeout', 'socketOnTimeout'],
  ['resume', 'onSocketResume'],
  ['pause', 'onSocketPause'],
];

type Listener = (...values: unknown[]) => void;

/**
 * Everything that came on the connection, if that is HTTP/2 from its first byte and the connection is free
 * now; else null. `packet` is what the parser was reading.
 */
export function takeOver(socket: Socket, packet: Buffer): Buffer | null {
  const before = socket.bytesRead - packet.length;
  if (before < 0 || before >= PREFACE.length) return null;
  // What came earlier has gone into the parser, which has found it to be the preface's beginning.
  const bytes = Buffer.concat([PREFACE.subarray(0, before), packet]);
  if (!bytes.subarray(0, PREFACE.length).equals(PREFACE)) return null;
  const found: [event: string, listener: Listener][] = [];
  for (const [event, name] of LISTENERS) {
    const listener = (socket.listeners(event) as Listener[]).find((one) => one.name === name);
    if (!listener) return null;
    found.push([event, listener]);
  }
  for (const [event, listener] of found) {
    if (event === 'close') listener(false);
    socket.off(event, listener);
  }
  // Where Node keeps others from reading past its parser.
  Reflect.deleteProperty(socket, 'setEncoding');
  socket.setTimeout(0);
  return bytes;
}
