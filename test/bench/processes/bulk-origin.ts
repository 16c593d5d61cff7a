/** Sends bytes without end to whoever has said anything. */
import { createServer } from 'node:net';

const PIECE = Buffer.alloc(262_144, 0x61);

const server = createServer({ noDelay: true }, (socket) => {
  const pump = (): void => {
    while (socket.writable && socket.write(PIECE));
  };
  socket.once('data', () => {
    pump();
    socket.on('drain', pump);
    socket.resume();
  });
  socket.on('error', () => socket.destroy());
});
server.listen(Number(process.argv[2]), '127.0.0.1');
