/**
 * How a vendor that speaks HTTP/1.1 goes wrong, one function for each way. They write to the socket itself:
 * no server would say these things. What is left behind the vendor clears away.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { pieceOf, reset, type Script } from './vendor.ts';

export interface Conversation extends Script {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: Socket;
  readonly n: number;
}

const BLOCK = 65_536;

const own = ({ n, bytes }: Conversation): string => `X-Echo: ${n}\r\nX-Bytes: ${bytes}\r\n`;

/** The head of a good answer, framed by its length. */
const head = (it: Conversation, status = '200 OK'): string =>
  `HTTP/1.1 ${status}\r\n${own(it)}Content-Length: ${it.bytes}\r\n\r\n`;

/** Reads the request to its end first. */
function after({ request }: Conversation, then: () => void): void {
  request.resume();
  if (request.complete) then();
  else request.once('end', then);
}

/** Half of the body, at least one byte short of it. */
const half = ({ n, bytes }: Conversation): Buffer => pieceOf(n, Math.min(BLOCK, Math.floor(bytes / 2)));

/** Answers well, with a length or in chunks, and no faster than it is read. */
export function healthy(it: Conversation): void {
  const { response, n, bytes } = it;
  after(it, () => {
    if (response.destroyed) return;
    response.setHeader('X-Echo', String(n));
    response.setHeader('X-Bytes', String(bytes));
    if (n % 3 !== 0) response.setHeader('Content-Length', String(bytes));
    let left = bytes;
    const flow = (): void => {
      while (left > 0) {
        const piece = pieceOf(n, Math.min(left, BLOCK));
        left -= piece.length;
        if (!response.write(piece)) {
          response.once('drain', flow);
          return;
        }
      }
      response.end();
    };
    flow();
  });
}

const EVENT_BYTES = 40;
const EVENT_MS = 60;

/** Events without an end. */
export function stream({ request, response, n }: Conversation): void {
  request.resume();
  response.writeHead(200, { 'X-Echo': String(n), 'Content-Type': 'text/event-stream' });
  const timer = setInterval(() => response.write(pieceOf(n, EVENT_BYTES)), EVENT_MS);
  response.once('close', () => clearInterval(timer));
}

/** Answers with a status and nothing else. */
const status =
  (line: string, ...fields: string[]) =>
  (it: Conversation): void => {
    const { response } = it;
    after(it, () => {
      const [code = '500'] = line.split(' ');
      response.writeHead(Number(code), [
        'X-Echo',
        String(it.n),
        'X-Bytes',
        '0',
        'Content-Length',
        '0',
        ...fields,
      ]);
      response.end();
    });
  };

/** Writes these bytes in the place of an answer, and ends. */
const instead =
  (...texts: string[]) =>
  (it: Conversation): void => {
    const text = texts[it.n % texts.length] ?? '';
    after(it, () => it.socket.end(text.replaceAll('%OWN%', own(it)), 'latin1'));
  };

/** A piece of the answer at a time, for ever. */
function drip(it: Conversation, pieces: string | readonly string[], everyMs: number): void {
  let at = 0;
  const timer = setInterval(() => {
    if (it.socket.destroyed) clearInterval(timer);
    else it.socket.write(pieces[at++ % pieces.length] ?? '', 'latin1');
  }, everyMs);
  it.socket.once('close', () => clearInterval(timer));
}

export const FAULTS: Readonly<Record<string, (it: Conversation) => void>> = {
  // Resets
  reset: ({ socket }) => reset(socket),
  'reset-head': (it) => it.socket.write(head(it).slice(0, 20), () => reset(it.socket)),
  'reset-body': (it) => {
    it.socket.write(head(it));
    it.socket.write(half(it), () => reset(it.socket));
  },
  // A FIN where there should be more
  close: ({ socket }) => socket.end(),
  'truncated-head': (it) => it.socket.end(head(it).slice(0, 30)),
  'truncated-body': (it) => {
    it.socket.write(head(it));
    it.socket.end(half(it));
  },
  'truncated-chunks': (it) => {
    it.socket.write(`HTTP/1.1 200 OK\r\n${own(it)}Transfer-Encoding: chunked\r\n\r\n`);
    it.socket.end('400\r\nabc');
  },
  /** Our half is closed, with nothing said, and the request is still taken. */
  'half-closed': (it) => {
    it.request.resume();
    it.socket.end();
  },
  'half-closed-body': (it) => {
    it.request.resume();
    it.socket.write(head(it));
    it.socket.end(half(it));
  },
  // Silence
  'stall-head': (it) => void it.request.resume(),
  'stall-half-head': (it) => {
    it.request.resume();
    it.socket.write(head(it).slice(0, 25));
  },
  'stall-body': (it) => {
    it.request.resume();
    it.socket.write(head(it));
    it.socket.write(half(it));
  },
  /** It takes nothing of the request's body. */
  'stall-reading': ({ socket }) => void socket.pause(),
  // Slow bytes
  'slow-head': (it) => {
    it.request.resume();
    drip(it, head(it), 100);
  },
  'slow-body': (it) => {
    it.request.resume();
    it.socket.write(`HTTP/1.1 200 OK\r\n${own(it)}Content-Length: ${it.bytes + 1_000_000}\r\n\r\n`);
    drip(it, 'abcdefgh', 40);
  },
  /** Fast enough for everybody, and without an end: only the total bounds it. */
  'endless-body': (it) => {
    it.request.resume();
    it.socket.write(`HTTP/1.1 200 OK\r\n${own(it)}Content-Length: 1000000000\r\n\r\n`);
    drip(it, ['a'.repeat(200)], 50);
  },
  // Malformed
  'malformed-head': instead(
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    'HTTP/1.1 20x OK\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
    'HTTP/1.1 200 OK\nContent-Length: 0\n\n',
    'HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n',
    '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03',
    'SSH-2.0-OpenSSH_9.2\r\n',
    `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(40_000)}\r\nContent-Length: 0\r\n\r\n`,
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n',
  ),
  'malformed-chunks': instead(
    'HTTP/1.1 200 OK\r\n%OWN%Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\n%OWN%Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\n%OWN%Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n',
  ),
  /** An answer to what nobody has asked, right behind a good one. Any later it could not be told from the next answer. */
  'extra-answer': (it) =>
    after(it, () => {
      const good = `HTTP/1.1 200 OK\r\nX-Echo: ${it.n}\r\nX-Bytes: 0\r\nContent-Length: 0\r\n\r\n`;
      const stray = 'HTTP/1.1 200 OK\r\nX-Echo: stray\r\nX-Bytes: 5\r\nContent-Length: 5\r\n\r\nstray';
      it.socket.write(good + stray);
    }),
  /** A good answer, then the connection goes without a word; the next request may be on its way. */
  'silent-close': (it) => {
    it.response.once('finish', () => {
      if (it.n % 2 === 0) setImmediate(() => it.socket.destroy());
      else setTimeout(() => reset(it.socket), it.n % 20);
    });
    healthy(it);
  },
  /** The answer comes before the body has been read, and the connection ends with it. */
  'early-answer': (it) => {
    it.socket.write(
      `HTTP/1.1 413 Too Large\r\nX-Echo: ${it.n}\r\nX-Bytes: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    it.socket.end();
    it.request.resume();
  },
  interim: (it) => {
    it.socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n');
    healthy(it);
  },
  // Refusals
  'status-500': status('500'),
  'status-503': status('503'),
  'status-503-retry-after': status('503', 'Retry-After', '1'),
  'status-429': status('429'),
  'status-429-retry-after': status('429', 'Retry-After', '30'),
};
