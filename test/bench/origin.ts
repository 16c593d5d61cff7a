/** The origin of the benchmarks: 700 bytes of JSON to every request, on raw sockets, since it must cost little. */
import { createServer } from 'node:net';

const filler = 'x'.repeat(700 - 16 - 6);
const body = `{"data":"${filler}","end"}`;
const answer = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: ${new Date().toUTCString()}\r\nServer: bench\r\nCache-Control: no-cache\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
);
const HEAD_END = Buffer.from('\r\n\r\n');

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', (data: Buffer) => {
    for (let at = data.indexOf(HEAD_END); at >= 0; at = data.indexOf(HEAD_END, at + 4)) socket.write(answer);
  });
  socket.on('error', () => {});
});
server.listen(0, '127.0.0.1', 4_096, () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') console.log(address.port);
});
