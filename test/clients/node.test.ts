import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runWell } from '../support/program.ts';
import { ClientStage, LARGE, proveTold, type Told } from './stage.ts';

test('Node fetch, with NODE_USE_ENV_PROXY=1: GET, POST, 100 MB down and 100 MB up in chunks, and the sidecar stays small', async (t) => {
  const stage = await ClientStage.start(t);
  const script = fileURLToPath(new URL('node-fetch.mjs', import.meta.url));
  const env = { ...stage.env, NODE_USE_ENV_PROXY: '1' };
  let told = '';
  await stage.small('download and chunked upload with fetch', async () => {
    told = (await runWell(t, process.execPath, [script, stage.url, `${LARGE}`], { env })).stdout.toString();
  });
  await proveTold(stage, JSON.parse(told) as Told, LARGE);
});
