import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { folder } from '../support/process.ts';
import { program, runWell } from '../support/program.ts';
import { ClientStage, LARGE, type Received, sha256Of, sha256OfFile } from './stage.ts';
import { type Get, PROMISE, paths, proveWays, type Told, WaysStage } from './ways.ts';

test('curl: GET and POST with http_proxy set and nothing else', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const stage = await ClientStage.start(t);
  const { env, url } = stage;
  const got = await runWell(t, curl, ['-sSi', `${url}/hello`], { env });
  const posted = await runWell(t, curl, ['-sSf', '-d', 'a=b', '-H', 'X-Request-Id: from-curl-1', url], {
    env,
  });
  const [first, second] = await stage.proveLogged(2);
  assert.match(got.stdout.toString(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nhello$/);
  assert.ok(got.stdout.toString().toLowerCase().includes(`\r\nx-request-id: ${first?.requestId}\r\n`));
  assert.equal((JSON.parse(posted.stdout.toString()) as Received).bytes, 3);
  assert.equal(second?.requestId, 'from-curl-1');
});

test('curl: a download of 100 MB comes whole, and the sidecar stays small', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const stage = await ClientStage.start(t);
  const path = join(folder(t), 'download');
  await stage.small('download with curl', async () => {
    await runWell(t, curl, ['-sSf', '-o', path, `${stage.url}/bytes/${LARGE}`], { env: stage.env });
  });
  assert.equal(await sha256OfFile(path), sha256Of(LARGE));
  const [line] = await stage.proveLogged(1);
  assert.equal(line?.responseBytes, LARGE);
});

test('curl: a chunked upload of 100 MB arrives whole and chunked, and the sidecar stays small', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const stage = await ClientStage.start(t);
  const payload = stage.file(LARGE);
  await stage.small('chunked upload with curl', async () => {
    const args = ['-sSf', '-T', payload, '-H', 'Transfer-Encoding: chunked', stage.url];
    const { stdout } = await runWell(t, curl, args, { env: stage.env });
    const expected: Received = { bytes: LARGE, sha256: sha256Of(LARGE), framing: 'chunked' };
    assert.deepEqual(JSON.parse(stdout.toString()), expected);
  });
  const [line] = await stage.proveLogged(1);
  assert.equal(line?.requestBytes, LARGE);
});

test('curl: a tunnel, made with CONNECT, carries a request', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const stage = await ClientStage.start(t);
  const args = ['-sSf', '--proxytunnel', `${stage.url}/hello`];
  assert.equal((await runWell(t, curl, args, { env: stage.env })).stdout.toString(), 'hello');
  const [line] = await stage.sidecar.exchangeLines(1);
  assert.deepEqual([line?.method, line?.outcome, line?.status], ['CONNECT', 'completed', 200]);
});

/** Each URL with its head, and without that of the CONNECT. */
function including(t: TestContext, curl: string, ...more: readonly string[]): Get {
  return async (urls, env) => {
    const told: Told[] = [];
    for (const url of urls) {
      const args = ['-sSi', '--suppress-connect-headers', ...more, url];
      const text = (await runWell(t, curl, args, { env })).stdout.toString();
      const end = text.indexOf('\r\n\r\n');
      const head = text.slice(0, end);
      const status = Number(/^HTTP\/\S+ (\d+)/.exec(head)?.[1]);
      told.push([status, text.slice(end + 4), /^x-request-id: (.*)$/im.exec(head)?.[1]?.trim() ?? null]);
    }
    return told;
  };
}

test(`curl by every way: ${PROMISE}`, async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  await proveWays(t, including(t, curl), '2.0');
});

test('curl: https:// in absolute form, with --request-target, has the whole policy', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const stage = await WaysStage.start(t);
  if (stage === null) return;
  const told: Told[] = [];
  for (const path of paths('absolute')) {
    const url = `${stage.url('absolute')}${path}`;
    const more = ['--request-target', url, '-H', `Host: ${new URL(url).host}`];
    told.push(...(await including(t, curl, ...more)([stage.sidecar.url], {})));
  }
  await stage.prove('absolute', told);
});
