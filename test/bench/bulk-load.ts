/**
 * Reads bytes for so many seconds over some connections, each opened with the text given. Prints how many
 * came. The reader has one buffer, so that it costs little beside what it measures.
 */
import { connect } from 'node:net';

const [port, opening, connections, seconds] = process.argv.slice(2) as [string, string, string, string];
const hello = Buffer.from(opening, 'base64');
const buffer = Buffer.alloc(262_144);
let bytes = 0;
let counting = false;

for (let i = 0; i < Number(connections); i++) {
  const socket = connect({
    port: Number(port),
    host: '127.0.0.1',
    noDelay: true,
    onread: {
      buffer,
      callback(count) {
        if (counting) bytes += count;
        return true;
      },
    },
  });
  socket.on('error', (error) => {
    console.error(error);
    process.exit(1);
  });
  socket.on('connect', () => socket.write(hello));
}
// The first moments are for windows to grow.
setTimeout(() => {
  counting = true;
  setTimeout(() => {
    console.log(bytes);
    process.exit(bytes > 0 ? 0 : 1);
  }, Number(seconds) * 1_000);
}, 300);
