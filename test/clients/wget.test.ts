import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { folder } from '../support/process.ts';
import { program, runWell } from '../support/program.ts';
import { ClientStage, LARGE, type Received, sha256Of, sha256OfFile } from './stage.ts';

test('wget: GET and POST with http_proxy set and nothing else', async (t) => {
  const wget = program(t, 'wget', 'wget');
  if (wget === null) return;
  const stage = await ClientStage.start(t);
  const { env, url } = stage;
  const got = await runWell(t, wget, ['-nv', '-O', '-', `${url}/hello`], { env });
  assert.equal(got.stdout.toString(), 'hello');
  const posted = await runWell(t, wget, ['-nv', '-O', '-', '--post-data=a=b', url], { env });
  assert.equal((JSON.parse(posted.stdout.toString()) as Received).bytes, 3);
  await stage.proveLogged(2);
});

test('wget: a download of 100 MB comes whole, and the sidecar stays small', async (t) => {
  const wget = program(t, 'wget', 'wget');
  if (wget === null) return;
  const stage = await ClientStage.start(t);
  const path = join(folder(t), 'download');
  await stage.small('download with wget', async () => {
    await runWell(t, wget, ['-nv', '-O', path, `${stage.url}/bytes/${LARGE}`], { env: stage.env });
  });
  assert.equal(await sha256OfFile(path), sha256Of(LARGE));
  await stage.proveLogged(1);
});
