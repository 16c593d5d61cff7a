/** In the place of wrk: so many connections, one request at a time on each. Its argument is a file with a LoadSpec. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { LoadSpec } from '../load.ts';
import { MessageReader } from './message-reader.ts';
import { Tally } from './tally.ts';

const spec = JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as LoadSpec;
const requests = spec.requests.map((text) => Buffer.from(text, 'latin1'));
const tally = new Tally();
let running = true;
let begun = 0;

function open(): void {
  const socket = connect({ port: spec.port, host: '127.0.0.1', noDelay: true });
  let sentAt = 0;
  let waiting = false;
  const send = (): void => {
    waiting = true;
    sentAt = performance.now();
    socket.write(requests[begun++ % requests.length] as Buffer);
  };
  const reader = new MessageReader((head) => {
    waiting = false;
    tally.answered(head, performance.now() - sentAt);
    if (!running) socket.destroy();
    else if (/\r\nconnection: *close/i.test(head)) socket.end();
    else send();
  });
  socket.on('connect', send);
  socket.on('data', (data: Buffer) => reader.take(data));
  socket.on('error', () => {});
  socket.on('close', () => {
    if (waiting && running) tally.broke();
    if (running) open();
  });
}

for (let i = 0; i < spec.connections; i++) open();
const began = performance.now();
setTimeout(() => {
  running = false;
  console.log(JSON.stringify(tally.load((performance.now() - began) / 1_000)));
  process.exit(0);
}, spec.seconds * 1_000);
