import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { olderNode, runWell } from '../support/program.ts';
import { ClientStage, LARGE, proveTold, type Told } from './stage.ts';
import { PROMISE, paths, printing, proveWays, WaysStage } from './ways.ts';

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

test('Node fetch, with NODE_USE_ENV_PROXY=1: GET, POST, 100 MB down and 100 MB up in chunks, and the sidecar stays small', async (t) => {
  const stage = await ClientStage.start(t);
  const env = { ...stage.env, NODE_USE_ENV_PROXY: '1' };
  let told = '';
  await stage.small('download and chunked upload with fetch', async () => {
    told = (
      await runWell(t, process.execPath, [script('node-fetch.mjs'), stage.url, `${LARGE}`], { env })
    ).stdout.toString();
  });
  await proveTold(stage, JSON.parse(told) as Told, LARGE);
});

for (const [name, file, version] of [
  ['Node fetch', 'node-fetch-get.mjs', '2.0'],
  ['undici ProxyAgent', 'undici-get.mjs', '2.0'],
  ['axios', 'axios-get.mjs', '1.1'],
] as const) {
  test(`${name} by every way: ${PROMISE}`, async (t) => {
    await proveWays(t, printing(t, process.execPath, script(file)), version);
  });
}

test(`fetch of Node 24 by every way: ${PROMISE}`, async (t) => {
  const node24 = olderNode(t);
  if (node24 === null) return;
  const stage = await proveWays(t, printing(t, node24, script('node-fetch-get.mjs')), '1.1');
  // It asks for a tunnel where others send the whole URL, and has the whole policy inside.
  const plain = stage?.sidecar.exchanges.filter(
    ({ method, host }) => method === 'CONNECT' && host === 'originate.vendor.test',
  );
  assert.notEqual(plain?.length, 0);
  for (const line of plain ?? []) assert.equal(line.reason, 'plain HTTP inside');
});

for (const client of ['undici', 'http']) {
  test(`https:// in absolute form, as ${client} of Node sends it, has the whole policy`, async (t) => {
    const stage = await WaysStage.start(t);
    if (stage === null) return;
    const urls = paths('absolute').map((path) => `${stage.url('absolute')}${path}`);
    const get = printing(t, process.execPath, script('absolute-get.mjs'), stage.sidecar.url, client);
    await stage.prove('absolute', await get(urls, {}));
  });
}
