/** Bytes to and fro between a caller and the origin, a connection for each: the least that Node can do. */
import { connect, createServer } from 'node:net';

const [port, origin] = process.argv.slice(2);

createServer({ noDelay: true }, (caller) => {
  const upstream = connect({ port: Number(origin), host: '127.0.0.1', noDelay: true });
  caller.pipe(upstream).pipe(caller);
  caller.on('error', () => upstream.destroy());
  upstream.on('error', () => caller.destroy());
}).listen({ port: Number(port), host: '127.0.0.1', backlog: 8_192 });
