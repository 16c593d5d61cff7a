/**
 * A load of so many exchanges per second, four GETs to one small POST, on 64 kept-alive connections. What is due
 * is due: an exchange that has to wait for a connection counts from when it should have begun. Asked by its
 * parent, it tells what came since it was asked before.
 */
import { connect, type Socket } from 'node:net';

const [port, origin, rate] = process.argv.slice(2) as [string, string, string];
const CONNECTIONS = 64;
const GET = Buffer.from(`GET http://127.0.0.1:${origin}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
const POST = Buffer.from(
  `POST http://127.0.0.1:${origin}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n${'x'.repeat(200)}`,
);
const END = '"}';

interface Line {
  socket: Socket;
  dueAt: number;
  busy: boolean;
  got: string;
}

const idle: Line[] = [];
const due: number[] = [];
let latencies: number[] = [];
let failures: string[] = [];
let begun = 0;

function open(): void {
  const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true });
  const line: Line = { socket, dueAt: 0, busy: false, got: '' };
  socket.setEncoding('latin1');
  socket.once('connect', () => next(line));
  socket.on('data', (text: string) => {
    line.got += text;
    if (!line.got.endsWith(END) && !line.got.endsWith('}\n')) return;
    if (line.got.startsWith('HTTP/1.1 200')) latencies.push(performance.now() - line.dueAt);
    else failures.push(line.got.slice(9, 12));
    line.busy = false;
    next(line);
  });
  socket.on('error', () => {});
  socket.once('close', () => {
    if (line.busy) failures.push('closed');
    const at = idle.indexOf(line);
    if (at >= 0) idle.splice(at, 1);
    open();
  });
}

function next(line: Line): void {
  const dueAt = due.shift();
  if (dueAt === undefined) {
    idle.push(line);
    return;
  }
  line.dueAt = dueAt;
  line.busy = true;
  line.got = '';
  line.socket.write(begun++ % 5 === 0 ? POST : GET);
}

for (let i = 0; i < CONNECTIONS; i++) open();

const began = performance.now();
let scheduled = 0;
setInterval(() => {
  const now = performance.now();
  while (scheduled < ((now - began) * Number(rate)) / 1_000) {
    due.push(began + (scheduled++ * 1_000) / Number(rate));
    const line = idle.shift();
    if (line) next(line);
  }
}, 1);

process.on('message', () => {
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  process.send?.({ done: latencies.length, p50: at(0.5), p99: at(0.99), max: at(0.9999), failures });
  latencies = [];
  failures = [];
});
process.on('disconnect', () => process.exit(0));
