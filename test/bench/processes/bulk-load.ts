/**
 * Reads bytes for so many seconds over some connections, and prints how many came. Each is opened with the text
 * given, if any, and its answer awaited, before what makes the origin send. The reader has one buffer, so that it
 * costs little beside what it measures.
 */
import { connect } from 'node:net';

const [port, opening, connections, seconds] = process.argv.slice(2) as [string, string, string, string];
const buffer = Buffer.alloc(262_144);
const GO = 'go\n';
let bytes = 0;

for (let i = 0; i < Number(connections); i++) {
  let opened = opening === '';
  const socket = connect({
    port: Number(port),
    host: '127.0.0.1',
    noDelay: true,
    onread: {
      buffer,
      callback(count) {
        bytes += count;
        if (opened) return true;
        const answer = buffer.toString('latin1', 0, count);
        if (!/^HTTP\/1\.[01] 200 [^]*\r\n\r\n$/.test(answer)) throw new Error(answer);
        opened = true;
        socket.write(GO);
        return true;
      },
    },
  });
  socket.on('error', (error) => {
    throw error;
  });
  socket.on('connect', () => socket.write(opened ? GO : opening));
}
setTimeout(() => {
  console.log(bytes);
  process.exit(bytes > 0 ? 0 : 1);
}, Number(seconds) * 1_000);
