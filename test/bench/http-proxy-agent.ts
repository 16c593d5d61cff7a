/** http-proxy 1.18.1 with a keep-alive agent, the best it can do. */
import { Agent } from 'node:http';
import { createRequire } from 'node:module';

interface Old {
  createProxyServer(options: object): {
    listen(port: number, host: string): void;
    _server: import('node:http').Server;
  };
}
const httpProxy = createRequire(import.meta.url)('http-proxy-1') as Old;
const proxy = httpProxy.createProxyServer({
  agent: new Agent({ keepAlive: true }),
  target: `http://127.0.0.1:${process.argv[2]}`,
});
proxy.listen(0, '127.0.0.1');
proxy._server.once('listening', () => {
  const address = proxy._server.address();
  if (address !== null && typeof address === 'object') console.log(address.port);
});
