import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { call } from '../support/caller.ts';
import { HttpOrigin } from '../support/origin.ts';
import { endWith, environment, file, folder, SidecarProcess } from '../support/process.ts';
import { until } from '../support/until.ts';

const BASE = `
listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:0" }
access: { addresses: { allow: [127.0.0.0/8] } }
log: { format: json }
shutdown: { quiet: 100ms }
`;

async function origin(t: TestContext): Promise<HttpOrigin> {
  const started = await HttpOrigin.start();
  t.after(() => started.close());
  return started;
}

async function run(
  t: TestContext,
  path: string,
  more = '',
  env: Record<string, string> = {},
): Promise<SidecarProcess> {
  const base = file(t, BASE + more, 'base.yaml');
  const sidecar = new SidecarProcess(t, ['run', '--config', base, '--config', path], { env });
  sidecar.listening(await sidecar.line('ready'));
  return sidecar;
}

const denied = 'access: { default: deny }\n';
const allowed = 'access: { default: allow }\n';

async function post(
  sidecar: SidecarProcess,
  path: string,
  headers: Record<string, string> = {},
  body = '',
): Promise<{ status: number; body: string }> {
  const sent = request({
    host: '127.0.0.1',
    port: sidecar.adminPort,
    path,
    method: 'POST',
    headers,
    agent: false,
  });
  sent.end(body);
  const [response] = await once(sent, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, body: text };
}

/** A volume of a ConfigMap: the file is a link to a link to the directory of its version. */
class Volume {
  readonly #path: string;
  #version = 0;

  constructor(path: string, files: Readonly<Record<string, string>>) {
    this.#path = path;
    this.swap(files);
    for (const name of Object.keys(files)) symlinkSync(join('..data', name), join(path, name));
  }

  swap(files: Readonly<Record<string, string>>): void {
    const before = `..${this.#version++}`;
    const now = `..${this.#version}`;
    mkdirSync(join(this.#path, now));
    for (const [name, content] of Object.entries(files)) writeFileSync(join(this.#path, now, name), content);
    symlinkSync(now, join(this.#path, '..data_tmp'));
    renameSync(join(this.#path, '..data_tmp'), join(this.#path, '..data'));
    rmSync(join(this.#path, before), { recursive: true, force: true });
  }
}

test('a swapped symlink, as Kubernetes does it, is seen within 2 s, and so is a file that is part of the configuration', async (t) => {
  const path = folder(t);
  const clients = 'clients: [{ name: me, username: me, password: "${file:password}" }]\n';
  const volume = new Volume(path, { 'outrigger.yaml': allowed + clients, password: 'one' });
  const { url } = await origin(t);
  const sidecar = await run(t, join(path, 'outrigger.yaml'));
  const headers = { 'proxy-authorization': `Basic ${Buffer.from('me:two').toString('base64')}` };
  assert.equal((await call(sidecar.port, url)).status, 200);
  assert.equal((await call(sidecar.port, url, { headers })).status, 407);

  const reloaded = (): number => sidecar.stdout.split('"msg":"the configuration was reloaded"').length - 1;
  for (const [n, [content, password]] of [
    [denied, 'one'],
    [allowed, 'two'],
  ].entries()) {
    const swapped = performance.now();
    volume.swap({ 'outrigger.yaml': content + clients, password: password as string });
    await until(() => reloaded() === n + 1, `reload ${n + 1}; so far ${sidecar.stdout}`);
    const ms = performance.now() - swapped;
    t.diagnostic(`seen after ${ms.toFixed(0)} ms`);
    assert.ok(ms < 2_000, `${ms} ms`);
  }
  assert.equal((await call(sidecar.port, url, { headers })).status, 200, 'the password of the file counts');

  volume.swap({ 'outrigger.yaml': 'access: { defualt: deny }\n', password: 'two' });
  const line = await sidecar.line('the configuration was not reloaded; what runs stays');
  assert.match(String((line['problems'] as string[])[0]), /outrigger\.yaml:1:11: .*did you mean "default"\?/);
  assert.equal((await call(sidecar.port, url)).status, 200);
  assert.doesNotMatch(sidecar.stdout, /"(?:one|two)"/);
});

test('SIGHUP reloads, at any time and as often as it comes, and ends nothing', async (t) => {
  const path = file(t, allowed);
  const { url } = await origin(t);
  const sidecar = await run(t, path, 'reload: { watch: false }\n');
  writeFileSync(path, denied);
  sidecar.signal('SIGHUP');
  await sidecar.line('the configuration was reloaded');
  assert.equal((await call(sidecar.port, url)).status, 403);
  writeFileSync(path, 'access: [');
  for (let n = 0; n < 5; n++) sidecar.signal('SIGHUP');
  await sidecar.line('the configuration was not reloaded; what runs stays');
  assert.equal((await call(sidecar.port, url)).status, 403);
  assert.equal(sidecar.running, true);
});

test('where nobody watches, a change waits until it is asked for', async (t) => {
  const path = file(t, allowed);
  const { url } = await origin(t);
  const sidecar = await run(t, path, 'reload: { watch: false, interval: 50ms }\n');
  writeFileSync(path, denied);
  const watched = await run(t, path, 'reload: { interval: 50ms }\n');
  writeFileSync(path, `${denied}requestId: { accept: false }\n`);
  await watched.line('the configuration was reloaded');
  assert.equal((await call(sidecar.port, url)).status, 200);
  const { status, body } = await post(sidecar, '/reload');
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(body), {
    reloaded: true,
    changed: ['access.default', 'requestId.accept'],
    restart: [],
    warnings: [],
  });
  assert.equal((await call(sidecar.port, url)).status, 403);
});

test('POST /drain begins the end as SIGTERM does', async (t) => {
  const { url } = await origin(t);
  const sidecar = await run(t, file(t, allowed));
  assert.equal((await call(sidecar.port, url)).status, 200);
  assert.deepEqual(await post(sidecar, '/drain'), { status: 202, body: '{\n  "draining": true\n}\n' });
  assert.equal((await sidecar.line('draining'))['reason'], 'request');
  assert.deepEqual(await sidecar.end(), { code: 0, signal: null });
  assert.equal((await sidecar.line('stopped'))['end'], 'quiet');
});

test('/config tells every value, where it came from, and no secret', async (t) => {
  const secrets = folder(t);
  writeFileSync(join(secrets, 'key'), 'c4n4ry-file');
  const path = file(
    t,
    [
      'limits: { exchanges: 77 }',
      'clients: [{ name: me, username: me, password: c4n4ry-password }]',
      'requestId: { header: "${HEADER}" }',
      'routes:',
      '  - name: api',
      '    match: { hosts: [api.example] }',
      '    origin: https://api.example/v1',
      '    prefix: /api',
      '    credentials: { oauth2: { tokenUrl: "https://t.example/t?key=c4n4ry-query", clientId: me, clientSecret: c4n4ry-oauth2 } }',
      `    policy: { headers: { request: { set: { X-Key: "\${file:${join(secrets, 'key')}}", X-Plain: c4n4ry-plain } } } }`,
    ].join('\n'),
  );
  const sidecar = await run(t, path, '', { HEADER: 'X-C4n4ry-Env', OUTRIGGER__ADMIN__EXCHANGES: '9' });
  const { status, body } = await sidecar.ask('/config');
  assert.equal(status, 200);
  assert.match(body, /^ {2}exchanges: 77 # \S+outrigger\.yaml:1$/m);
  assert.match(body, /^ {2}exchanges: 9 # OUTRIGGER__ADMIN__EXCHANGES$/m);
  assert.match(body, /^ {2}connections: 512 # default$/m);
  assert.match(body, /^ {2}- name: api # \S+:5$/m);
  assert.match(body, /password: "\(secret\)" # /);
  const json = JSON.parse((await sidecar.ask('/config?format=json')).body);
  assert.equal(json.config.limits.exchanges, 77);
  assert.equal(json.config.routes[0].policy.headers.request.set['X-Key'], '(secret)');
  assert.equal(json.config.routes[0].policy.pool.connections, 64);
  assert.equal(json.from['routes[0].policy.pool.connections'], 'default');
  for (const text of [body, JSON.stringify(json), sidecar.stdout]) assert.doesNotMatch(text, /c4n4ry/i);
  // What is shown is a configuration.
  const again = new SidecarProcess(t, ['check', '--config', file(t, body)]);
  await again.end();
  assert.doesNotMatch(again.stderr, /unknown key|is not YAML|nested/);
});

/** Calls out from its own SIGTERM handler, a thousand times, through the proxy. */
const APPLICATION = `
const http = require('node:http');
const [port, url] = process.argv.slice(1);
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
const call = () => new Promise((resolve) => {
  const sent = http.get({ host: '127.0.0.1', port, path: url, agent, headers: { host: new URL(url).host } }, (response) => {
    response.resume();
    response.on('end', () => resolve(response.statusCode));
    response.on('error', () => resolve('cut'));
  });
  sent.on('error', (error) => resolve(error.code));
});
process.on('SIGTERM', async () => {
  const counts = {};
  for (let n = 0; n < 100; n++)
    for (const status of await Promise.all(Array.from({ length: 10 }, call))) counts[status] = (counts[status] ?? 0) + 1;
  process.stdout.write(JSON.stringify(counts), () => process.exit(0));
});
setInterval(() => {}, 1000);
call().then(() => process.stdout.write('up\\n'));
`;

test('an application that calls out 1,000 times from its own SIGTERM handler loses none', async (t) => {
  const { url } = await origin(t);
  const sidecar = await run(t, file(t, allowed), 'policy: { pool: { queue: 1000 } }\n');
  const application = spawn(process.execPath, ['-e', APPLICATION, `${sidecar.port}`, url], {
    env: environment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endWith(t, application);
  let said = '';
  application.stdout.on('data', (text: Buffer) => (said += text));
  await until(() => said === 'up\n', 'the application');
  sidecar.signal('SIGTERM');
  application.kill('SIGTERM');
  assert.deepEqual(await sidecar.end(60_000), { code: 0, signal: null });
  await until(() => application.exitCode !== null, 'the end of the application');
  assert.deepEqual(JSON.parse(said.slice(3)), { 200: 1000 });
  assert.equal(sidecar.exchanges.length, 1001);
  assert.equal((await sidecar.line('stopped'))['end'], 'quiet');
});
