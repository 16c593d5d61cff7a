// undici with a ProxyAgent that has credentials in its URL. Arguments: the proxy's URL, and URLs.
import { ProxyAgent, request } from 'undici';

const [uri, ...urls] = process.argv.slice(2);
const { origin, username, password } = new URL(uri);
const token = `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`;
const dispatcher = new ProxyAgent({ uri: origin, token, proxyTunnel: false });
const told = [];
for (const url of urls) {
  const { statusCode, body } = await request(url, { dispatcher });
  told.push([statusCode, await body.text()]);
}
console.log(JSON.stringify(told));
await dispatcher.close();
