/**
 * The origin of the benchmark of slow callers: reads each request to its end before it answers, and at /big it
 * sends 16 MiB as fast as they are taken. Prints its port.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const small = Buffer.from(`{"data":"${'x'.repeat(680)}"}`);
const piece = Buffer.alloc(65_536, 0x78);
const PIECES = 256;

const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) => {
  request.on('error', () => {});
  response.on('error', () => {});
  request.resume();
  request.on('end', () => {
    if (request.url !== '/big') {
      response.writeHead(200, { 'Content-Length': small.length });
      response.end(small);
      return;
    }
    response.writeHead(200, { 'Content-Length': PIECES * piece.length });
    let sent = 0;
    const more = (): void => {
      while (sent < PIECES) {
        sent++;
        if (!response.write(piece)) return;
      }
      response.end();
    };
    response.on('drain', more);
    more();
  });
});
server.listen(0, '127.0.0.1', 4_096, () => console.log((server.address() as AddressInfo).port));
