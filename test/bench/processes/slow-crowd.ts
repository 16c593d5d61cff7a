/**
 * Slow callers, one byte per second each, in a process of their own: slow heads, slow bodies of known length, slow
 * chunked bodies, slow readers of a large response, as its arguments say. Who is turned away comes again. Tells its parent
 * what became of those that were turned away.
 */
import { connect, type Socket } from 'node:net';

const [port, count, address, small, big, kinds] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];

type Kind = 'head' | 'body' | 'chunked' | 'reader';
const KINDS = kinds.split(',') as Kind[];

const SLICES = 50;
/** So many connect in one slice of a second. */
const RAMP = 8;
/** A reader finds out every so many seconds whether it is still wanted: its own buffers would not tell. */
const ASKS = 10;

const POST = `POST http://127.0.0.1:${small}/ HTTP/1.1\r\nHost: x\r\n`;
const OPENING: Readonly<Record<Kind, string>> = {
  head: `GET http://127.0.0.1:${small}/ HTTP/1.1\r\nHost: x\r\nX-Slow: `,
  body: `${POST}Content-Length: 100000\r\n\r\n`,
  chunked: `${POST}Transfer-Encoding: chunked\r\n\r\n`,
  reader: `GET http://127.0.0.1:${big}/big HTTP/1.1\r\nHost: x\r\n\r\n`,
};
const BYTE: Readonly<Record<Kind, string>> = {
  head: 'x',
  body: 'x',
  chunked: '1\r\nx\r\n',
  reader: '',
};

interface SlowCaller {
  readonly kind: Kind;
  socket: Socket | null;
  status: string;
  rest: number;
  age: number;
}

const callers: SlowCaller[] = Array.from({ length: Number(count) }, (_, i) => ({
  kind: KINDS[i % KINDS.length] as Kind,
  socket: null,
  status: '',
  rest: 0,
  // So that they do not all ask at once.
  age: Math.floor(i / KINDS.length),
}));
const turnedAway: Record<string, number> = {};

function come(caller: SlowCaller): void {
  const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: address, noDelay: true });
  caller.socket = socket;
  caller.status = '';
  socket.once('connect', () => {
    socket.write(OPENING[caller.kind]);
  });
  // Of an answer it reads the status, and then as slowly as it does everything.
  socket.on('readable', () => {
    if (caller.status !== '') return;
    const start = socket.read(12) as Buffer | null;
    if (start === null) return;
    caller.status = start.toString('latin1').slice(9);
    // Nothing is left to be slow with; but an answer can be read slowly, too.
    if (caller.kind !== 'reader') leave(caller);
  });
  socket.on('error', () => {});
  socket.once('close', (_failed) => {
    if (caller.socket === socket) leave(caller);
  });
}

function leave(caller: SlowCaller): void {
  const key = `${caller.kind} ${caller.status || 'closed'}`;
  turnedAway[key] = (turnedAway[key] ?? 0) + 1;
  const { socket } = caller;
  caller.socket = null;
  caller.rest = 1;
  socket?.destroy();
}

let slice = 0;
const clock = setInterval(() => {
  slice = (slice + 1) % SLICES;
  let coming = 0;
  for (let i = slice; i < callers.length; i += SLICES) {
    const caller = callers[i] as SlowCaller;
    const { socket, kind } = caller;
    if (socket === null) {
      if (caller.rest > 0) caller.rest--;
      else if (coming++ < RAMP) come(caller);
      continue;
    }
    if (kind === 'reader') socket.read(1);
    if (!socket.writable || socket.connecting) continue;
    if (kind !== 'reader') socket.write(BYTE[kind]);
    else if (++caller.age % ASKS === 0) socket.write('\r\n');
  }
}, 1_000 / SLICES);

process.on('message', () => process.send?.({ turnedAway }));
process.on('disconnect', () => {
  clearInterval(clock);
  process.exit(0);
});
