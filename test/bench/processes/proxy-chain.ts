/** proxy-chain as its README shows it. */
import { Server } from 'proxy-chain';

const [port] = process.argv.slice(2);
await new Server({ port: Number(port), host: '127.0.0.1' }).listen();
