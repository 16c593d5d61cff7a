// undici with a ProxyAgent, and a base URL of the sidecar without one. Arguments: URLs.
import { Agent, ProxyAgent, request } from 'undici';

const { HTTPS_PROXY, NO_PROXY } = process.env;
const proxied = new ProxyAgent(HTTPS_PROXY);
const direct = new Agent();
const spared = NO_PROXY.split(',');
const told = [];
for (const url of process.argv.slice(2)) {
  const dispatcher = spared.includes(new URL(url).hostname) ? direct : proxied;
  const { statusCode, headers, body } = await request(url, { dispatcher });
  told.push([statusCode, await body.text(), headers['x-request-id'] ?? null]);
}
console.log(JSON.stringify(told));
await Promise.all([proxied.close(), direct.close()]);
