/**
 * Messages as text: what a raw caller got, read strictly one response after the other, and raw origins that
 * answer every head that comes.
 */
import type { Socket } from 'node:net';

export interface Message {
  readonly status: number;
  /** The status line. */
  readonly first: string;
  /** Every field line, in order. */
  readonly lines: readonly string[];
  /** The fields of that name, any case. */
  values(name: string): string[];
  readonly body: string;
  /** Field lines behind the last chunk. */
  readonly trailers: readonly string[];
  /** False: the text ended before the message did. */
  readonly whole: boolean;
}

/** Everything of `text`; `toHead`: the answers are to a HEAD and have no body. */
export function messagesOf(text: string, toHead = false): Message[] {
  const messages: Message[] = [];
  let at = 0;
  while (at < text.length) {
    const headEnd = text.indexOf('\r\n\r\n', at);
    if (headEnd < 0) break;
    const [first = '', ...lines] = text.slice(at, headEnd).split('\r\n');
    at = headEnd + 4;
    const status = Number(first.split(' ')[1]);
    const values = (name: string): string[] =>
      lines
        .filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`))
        .map((line) => line.slice(name.length + 1).trim());
    let body = '';
    let trailers: string[] = [];
    let whole = true;
    const length = values('content-length')[0];
    if (toHead || status < 200 || status === 204 || status === 304) {
      // No body, whatever the fields say.
    } else if (values('transfer-encoding').length > 0) {
      whole = false;
      for (;;) {
        const lineEnd = text.indexOf('\r\n', at);
        if (lineEnd < 0) break;
        const size = Number.parseInt(text.slice(at, lineEnd), 16);
        if (size === 0) {
          const end = text.indexOf('\r\n\r\n', lineEnd);
          if (end < 0) break;
          if (end > lineEnd) trailers = text.slice(lineEnd + 2, end).split('\r\n');
          at = end + 4;
          whole = true;
          break;
        }
        if (text.length < lineEnd + 2 + size + 2) break;
        body += text.slice(lineEnd + 2, lineEnd + 2 + size);
        at = lineEnd + 2 + size + 2;
      }
      if (!whole) at = text.length;
    } else {
      const end = length === undefined ? text.length : at + Number(length);
      body = text.slice(at, end);
      whole = length === undefined || text.length >= end;
      at = end;
    }
    messages.push({ status, first, lines, values, body, trailers, whole });
  }
  return messages;
}

/** Calls for each head that comes on the socket; requests with bodies are not for it. */
export function eachHead(socket: Socket, then: (head: string, n: number) => void): void {
  let received = '';
  let n = 0;
  socket.on('end', () => socket.end());
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
    for (let end = received.indexOf('\r\n\r\n'); end >= 0; end = received.indexOf('\r\n\r\n')) {
      const head = received.slice(0, end);
      received = received.slice(end + 4);
      then(head, ++n);
    }
  });
}

/** An origin that answers every head with this text and keeps the connection. */
export function always(text: string): (socket: Socket) => void {
  return (socket) => eachHead(socket, () => void socket.write(text, 'latin1'));
}

/** An origin that answers the first head with this text and closes. */
export function once(text: string): (socket: Socket) => void {
  return (socket) => eachHead(socket, () => socket.end(text, 'latin1'));
}
