import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createRawServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { file, OutriggerProcess, outrigger, SidecarProcess } from '../support/process.ts';
import { until } from '../support/until.ts';

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const admin = (port: number): string => `listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:${port}" }\n`;

async function wait(t: TestContext, yaml: string, timeout: string, env: Record<string, string> = {}) {
  const began = performance.now();
  const args = ['wait', '--timeout', timeout, '--config', file(t, yaml)];
  return { ...(await outrigger(t, args, { env })), tookMs: performance.now() - began };
}

test('wait returns when the sidecar of the same configuration is ready, and not before', async (t) => {
  const yaml = admin(await freePort());
  const config = file(t, yaml);
  const waiting = new OutriggerProcess(t, ['wait', '--timeout', '30s', '--config', config]);
  // Time to ask in vain.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  assert.equal(waiting.running, true);
  const sidecar = new SidecarProcess(t, ['run', '--config', config]);
  await sidecar.line('ready');
  assert.deepEqual(await waiting.end(5_000), { code: 0, signal: null });
  assert.equal(waiting.stdout + waiting.stderr, '');
});

test('wait returns in vain after its time with exit code 1 and one line that says what it met', async (t) => {
  const port = await freePort();
  const { code, stdout, stderr } = await wait(t, admin(port), '200ms');
  assert.deepEqual([code, stdout], [1, '']);
  assert.equal(stderr, `outrigger: not ready after 200ms: 127.0.0.1:${port} refuses connections\n`);

  const silent = createRawServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  const { port: mute } = silent.address() as AddressInfo;
  const unheard = await wait(t, admin(mute), '300ms');
  assert.equal(unheard.code, 1);
  assert.match(
    unheard.stderr,
    new RegExp(`^outrigger: not ready after 300ms: 127.0.0.1:${mute} does not answer\n$`),
  );
  silent.close();
});

test('a sidecar that drains is not ready', async (t) => {
  const sidecar = await SidecarProcess.start(t, 'shutdown: { quiet: 1h, drainTimeout: 1h }');
  assert.equal((await wait(t, admin(sidecar.adminPort), '5s')).code, 0);
  sidecar.signal('SIGTERM');
  await sidecar.line('draining');
  const { code, stderr } = await wait(t, admin(sidecar.adminPort), '100ms');
  assert.equal(code, 1);
  assert.match(stderr, /^outrigger: not ready after 100ms: \S+ answers 503\n$/);
});

test('wait asks the sidecar itself whatever the environment says of proxies, needs no token, and takes telemetry where admin has no port', async (t) => {
  const sidecar = await SidecarProcess.start(
    t,
    'listen: { telemetry: "127.0.0.1:0" }\nadmin: { token: 0123456789abcdef0123456789abcdef }',
  );
  const nowhere = 'http://127.0.0.1:1';
  const env = { HTTP_PROXY: nowhere, http_proxy: nowhere, NODE_USE_ENV_PROXY: '1' };
  assert.equal((await wait(t, admin(sidecar.adminPort), '5s', env)).code, 0);
  const telemetry = `listen: { admin: "127.0.0.1:0", telemetry: "0.0.0.0:${sidecar.telemetryPort}" }
`;
  assert.equal((await wait(t, telemetry, '5s', env)).code, 0);
});

test('wait says at once when nobody can know whom to ask', async (t) => {
  const anyPort = await wait(t, admin(0), '1h');
  assert.equal(anyPort.code, 2);
  assert.match(anyPort.stderr, /^outrigger: listen\.admin takes any free port \(0\)/);
  const wrong = await wait(t, 'lsten: {}', '1h');
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /unknown key "lsten"/);
});

test('a health check is cheap: wait does not load what serves', async (t) => {
  const sidecar = await SidecarProcess.start(t);
  const { code, tookMs } = await wait(t, admin(sidecar.adminPort), '5s');
  t.diagnostic(`asked and answered within ${tookMs.toFixed(0)} ms, the start of the process included`);
  assert.equal(code, 0);
  const asking = new OutriggerProcess(t, ['wait', '--config', file(t, admin(sidecar.adminPort))], {
    env: { NODE_DEBUG: 'esm' },
  });
  await until(() => !asking.running, 'its end');
  // Not the texts of what is loaded, which may speak of anything.
  const loaded = [...asking.stderr.matchAll(/\burl: '([^']+)'/g)].map(([, url = '']) => url);
  assert.ok(loaded.some((url) => url.includes('/valibot/')));
  assert.deepEqual(
    loaded.filter((url) => /undici|opossum|sidecar\.ts/.test(url)),
    [],
  );
});
