/** So many callers: each is served once, and keeps its connection. Says so when all are; ends with 1 if one is closed. */
import { connect } from 'node:net';
import { MessageReader } from './message-reader.ts';

const [port, count, request] = process.argv.slice(2) as [string, string, string];
/** How many come at once. */
const ABREAST = 64;
let begun = 0;
let served = 0;

function come(): void {
  if (begun++ >= Number(count)) return;
  const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true });
  const reader = new MessageReader((head) => {
    if (!head.startsWith('HTTP/1.1 200')) throw new Error(head);
    if (++served === Number(count)) console.log(served);
    come();
  });
  socket.on('connect', () => socket.write(request));
  socket.on('data', (data: Buffer) => reader.take(data));
  socket.on('close', () => {
    throw new Error(`closed after ${served} were served`);
  });
}

for (let i = 0; i < ABREAST; i++) come();
