// The whole URL as the target of a request to the sidecar, by undici and by node:http: what is left to a
// client that knows no CONNECT. Arguments: the sidecar's URL, undici or http, URLs.
import { once } from 'node:events';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { Client } from 'undici';

const [, , sidecar, by, ...urls] = process.argv;

async function byUndici(url) {
  const client = new Client(sidecar);
  const { statusCode, headers, body } = await client.request({
    method: 'GET',
    path: url,
    headers: { host: new URL(url).host },
  });
  const told = [statusCode, await body.text(), headers['x-request-id'] ?? null];
  await client.close();
  return told;
}

async function byHttp(url) {
  const { hostname, port } = new URL(sidecar);
  const sent = request({ hostname, port, path: url, headers: { host: new URL(url).host } }).end();
  const [response] = await once(sent, 'response');
  return [response.statusCode, await text(response), response.headers['x-request-id'] ?? null];
}

const told = [];
for (const url of urls) told.push(await (by === 'undici' ? byUndici : byHttp)(url));
console.log(JSON.stringify(told));
