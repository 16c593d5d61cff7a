/**
 * An origin on raw sockets, which costs little: canned answers, each once the whole request is there, and if asked
 * after a delay. It knows only requests as the benchmarks and the proxies send them.
 */
import { createServer, type Socket } from 'node:net';
import { LARGE, RECEIPT, SMALL } from '../answers.ts';
import { MessageReader } from './message-reader.ts';

const [port, host, delayMs] = process.argv.slice(2) as [string, string, string];

const answer = (body: string): Buffer =>
  Buffer.from(
    `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: ${new Date().toUTCString()}\r\nServer: bench\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
const small = answer(SMALL);
const large = answer(LARGE);
const receipt = answer(RECEIPT);

function answerTo(socket: Socket, head: string): void {
  if (!socket.writable) return;
  const line = head.slice(0, head.indexOf('\r\n'));
  if (line.startsWith('POST')) socket.write(receipt);
  else socket.write(line.includes('/large') ? large : small);
  if (/\r\nconnection: *close/i.test(head)) socket.end();
}

const server = createServer({ noDelay: true }, (socket) => {
  const reader = new MessageReader((head) => {
    if (delayMs === '0') answerTo(socket, head);
    else setTimeout(answerTo, Number(delayMs), socket, head);
  });
  socket.on('data', (data: Buffer) => reader.take(data));
  socket.on('error', () => socket.destroy());
});
server.listen({ port: Number(port), host, backlog: 8_192 });
