/** http-proxy 1.18.1 as its README shows it: no agent, so a connection for each exchange. */
import { createRequire } from 'node:module';

interface Old {
  createProxyServer(options: object): { listen(port: number, host: string): void };
}

const [port, origin] = process.argv.slice(2);
const httpProxy = createRequire(import.meta.url)('http-proxy-1') as Old;
httpProxy.createProxyServer({ target: `http://127.0.0.1:${origin}` }).listen(Number(port), '127.0.0.1');
