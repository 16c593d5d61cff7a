/** Keep-alive GETs on raw sockets, one at a time on each, for so many seconds. Prints one line of numbers. */
import { connect } from 'node:net';

const [port, request, connections, seconds] = process.argv.slice(2) as [string, string, string, string];
const bytes = Buffer.from(request, 'base64');
const END = Buffer.from('"end"}');
const latencies: number[] = [];
let running = true;
let done = 0;
let open = 0;

for (let i = 0; i < Number(connections); i++) {
  const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true });
  let sentAt = 0;
  const send = (): void => {
    sentAt = performance.now();
    socket.write(bytes);
  };
  open++;
  socket.on('connect', send);
  socket.on('data', (data: Buffer) => {
    // The body's last bytes; an answer this small comes in one or two pieces.
    if (data.indexOf(END) < 0 && !data.toString('latin1').endsWith('0\r\n\r\n')) return;
    done++;
    if ((done & 15) === 0) latencies.push(performance.now() - sentAt);
    if (running) send();
    else socket.destroy();
  });
  socket.on('error', (error) => {
    console.error(error);
    process.exit(1);
  });
  socket.on('close', () => {
    if (--open === 0) {
      latencies.sort((a, b) => a - b);
      const at = (share: number): string => (latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(3);
      console.log(`${done} ${at(0.5)} ${at(0.99)}`);
    }
  });
}
setTimeout(() => {
  running = false;
}, Number(seconds) * 1_000);
