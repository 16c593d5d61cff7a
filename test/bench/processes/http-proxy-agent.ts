/** http-proxy 1.18.1 with a keep-alive agent, the best it can do. */
import { Agent } from 'node:http';
import { createRequire } from 'node:module';

interface Old {
  createProxyServer(options: object): { listen(port: number, host: string): void };
}

const [port, origin] = process.argv.slice(2);
const httpProxy = createRequire(import.meta.url)('http-proxy-1') as Old;
const agent = new Agent({ keepAlive: true });
httpProxy
  .createProxyServer({ agent, target: `http://127.0.0.1:${origin}` })
  .listen(Number(port), '127.0.0.1');
