/** Real clients that show a username and a password to the sidecar: some at once, some once they are asked. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HttpOrigin, type Script } from '../support/origin.ts';
import { file, SidecarProcess } from '../support/process.ts';
import { program, pythonWith, runWell } from '../support/program.ts';
import { until } from '../support/until.ts';

/** With what URLs and passwords make difficult. */
const PASSWORD = 'p@ss:wörd/1';
const USER = `payments:${encodeURIComponent(PASSWORD)}`;

interface Scene {
  readonly origin: HttpOrigin;
  readonly sidecar: SidecarProcess;
  /** With username and password. */
  readonly proxy: string;
}

/** A sidecar that serves one client; its password comes from a file. */
async function scene(t: TestContext, script?: Script): Promise<Scene> {
  const origin = await HttpOrigin.start(script);
  t.after(() => origin.close());
  const password = file(t, `${PASSWORD}\n`, 'password');
  const sidecar = await SidecarProcess.start(
    t,
    `
clients: [{ name: payments, username: payments, password: "\${file:${password}}" }]
access: { clients: known, tunnelPorts: [${origin.port}] }
`,
  );
  return { origin, sidecar, proxy: sidecar.url.replace('http://', `http://${USER}@`) };
}

/** What the log says once there are so many lines: who, and what was answered. */
async function logged({ sidecar }: Scene, count: number): Promise<string[]> {
  await until(() => sidecar.exchanges.length >= count, `${count} log lines`);
  return sidecar.exchanges.map(({ clientName, method, status }) => `${clientName} ${method} ${status}`);
}

function proveNothingLeaked({ origin, sidecar }: Scene): void {
  for (const { rawHeaders } of origin.seen) assert.doesNotMatch(rawHeaders.join(' '), /proxy-authorization/i);
  assert.doesNotMatch(JSON.stringify(sidecar.exchanges), /w(?:ö|%C3%B6)rd|cGF5bWVudHM6/);
}

test('curl shows its credentials with the first request, and in CONNECT', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const stage = await scene(t);
  const { origin, sidecar, proxy } = stage;
  const one = await runWell(t, curl, ['-sS', '-w', '%{http_code}', `${origin.url}/`], {
    env: { http_proxy: proxy },
  });
  const user = ['--proxy', sidecar.url, '--proxy-user', `payments:${PASSWORD}`];
  const two = await runWell(t, curl, ['-sS', '-p', ...user, `${origin.url}/`]);
  assert.deepEqual([one.stdout.toString(), two.stdout.toString()], ['ok200', 'ok']);
  assert.deepEqual((await logged(stage, 3)).toSorted(), [
    'payments CONNECT 200',
    'payments GET 200',
    'payments GET 200',
  ]);
  proveNothingLeaked(stage);
});

test('curl that waits to be asked answers on the same connection', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const stage = await scene(t);
  const { origin, sidecar } = stage;
  const user = ['--proxy', sidecar.url, '--proxy-anyauth', '--proxy-user', `payments:${PASSWORD}`];
  const got = await runWell(t, curl, [
    '-sS',
    '-d',
    'a=b',
    '-w',
    ' %{num_connects} %{http_code}',
    ...user,
    origin.url,
  ]);
  assert.equal(got.stdout.toString(), 'ok 1 200');
  assert.deepEqual(await logged(stage, 2), ['null POST 407', 'payments POST 200']);
  assert.equal(origin.seen.at(-1)?.body.toString(), 'a=b');
  proveNothingLeaked(stage);
});

test('curl without credentials is told, and why', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const stage = await scene(t);
  const got = await runWell(t, curl, ['-sSi', '--proxy', stage.sidecar.url, stage.origin.url]);
  assert.match(
    got.stdout.toString(),
    /^HTTP\/1.1 407 [^]*Proxy-Authenticate: Basic realm="outrigger"[^]*client_unauthenticated/,
  );
  assert.equal(stage.origin.seen.length, 0);
});

test('git waits to be asked, and then shows its credentials', async (t) => {
  const git = program(t, 'git', 'git');
  if (git === null) return;
  const sha = 'a'.repeat(40);
  const stage = await scene(t, (request, response) => {
    response.end(
      request.url?.includes('/info/refs') ? `${sha}\trefs/heads/main\n` : 'ref: refs/heads/main\n',
    );
  });
  const env = { http_proxy: stage.proxy, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
  const got = await runWell(t, git, ['ls-remote', `${stage.origin.url}/repo.git`], { env });
  assert.match(got.stdout.toString(), new RegExp(`^${sha}\\s+refs/heads/main$`, 'm'));
  const told = await logged(stage, 2);
  assert.ok(told.includes('payments GET 200'), told.join());
  assert.ok(
    told.every((one) => one === 'null GET 407' || one === 'payments GET 200'),
    told.join(),
  );
  proveNothingLeaked(stage);
});

test('Python requests shows the credentials of its proxy setting', async (t) => {
  const python = pythonWith(t, 'requests', 'python3-requests');
  if (python === null) return;
  const stage = await scene(t);
  const script = fileURLToPath(new URL('python-requests-get.py', import.meta.url));
  const { url } = stage.origin;
  const got = await runWell(t, python, [script, url, url], {
    env: { HTTP_PROXY: stage.proxy, http_proxy: stage.proxy },
  });
  const told = JSON.parse(got.stdout.toString()) as [number, string][];
  assert.deepEqual(
    told.map(([status, text]) => [status, text]),
    [
      [200, 'ok'],
      [200, 'ok'],
    ],
  );
  assert.deepEqual(await logged(stage, 2), ['payments GET 200', 'payments GET 200']);
  proveNothingLeaked(stage);
});

test('undici with a token in its ProxyAgent is known', async (t) => {
  const stage = await scene(t);
  const script = fileURLToPath(new URL('undici-credentials-get.mjs', import.meta.url));
  const { url } = stage.origin;
  const got = await runWell(t, process.execPath, [script, stage.proxy, url, url]);
  assert.deepEqual(JSON.parse(got.stdout.toString()), [
    [200, 'ok'],
    [200, 'ok'],
  ]);
  assert.deepEqual(await logged(stage, 2), ['payments GET 200', 'payments GET 200']);
  proveNothingLeaked(stage);
});
