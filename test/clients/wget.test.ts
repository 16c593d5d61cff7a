import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { folder } from '../support/process.ts';
import { program, run, runWell } from '../support/program.ts';
import { ClientStage, LARGE, type Received, sha256Of, sha256OfFile } from './stage.ts';
import { type Get, PROMISE, proveWays, type Told } from './ways.ts';

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

test(`wget by every way: ${PROMISE}`, async (t) => {
  const wget = program(t, 'wget', 'wget');
  if (wget === null) return;
  const get: Get = async (urls, env) => {
    const told: Told[] = [];
    for (const url of urls) {
      // No variable names a bundle where GnuTLS is what it is linked with.
      const trust = `--ca-certificate=${env['SSL_CERT_FILE']}`;
      const args = ['-nv', '-S', '--tries=1', '--content-on-error', '-O', '-', trust, url];
      const { stdout, stderr } = await run(t, wget, args, { env });
      const status = Number(/^ *HTTP\/\S+ (\d+)/m.exec(stderr)?.[1]);
      told.push([status, stdout.toString(), /^ *x-request-id: (.*)$/im.exec(stderr)?.[1]?.trim() ?? null]);
    }
    return told;
  };
  await proveWays(t, get, '1.1');
});
