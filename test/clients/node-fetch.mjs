// fetch as an application uses it, and not a word about the proxy. Arguments: URL, bytes.
import { createHash } from 'node:crypto';

const [, , url, bytes] = process.argv;
const size = Number(bytes);
const piece = Buffer.from(Uint8Array.from({ length: 65_536 }, (_, n) => n & 255));

async function* pieces() {
  for (let left = size; left > 0; left -= piece.length) yield piece.subarray(0, left);
}

const id = (response) => response.headers.get('x-request-id');

const got = await fetch(`${url}/hello`);
const get = [got.status, await got.text(), id(got)];
const posted = await fetch(`${url}/post`, { method: 'POST', body: 'a=b' });
const post = [posted.status, await posted.json(), id(posted)];
const digest = createHash('sha256');
let count = 0;
for await (const chunk of (await fetch(`${url}/bytes/${size}`)).body) {
  digest.update(chunk);
  count += chunk.length;
}
const download = [count, digest.digest('hex')];
const uploaded = await fetch(`${url}/upload`, { method: 'POST', body: pieces(), duplex: 'half' });
console.log(JSON.stringify({ get, post, download, upload: await uploaded.json() }));
