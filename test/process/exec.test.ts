import assert from 'node:assert/strict';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { file, folder, type Launch, OutriggerProcess } from '../support/process.ts';
import { program } from '../support/program.ts';
import { until } from '../support/until.ts';

/** Loopback, but no name that is spared by NO_PROXY. */
const HOST = '127.0.0.2';

/** An origin that counts; `/slow` answers when it is told to. */
async function start(
  t: TestContext,
): Promise<{ url: string; port: number; seen: string[]; release(): void }> {
  const seen: string[] = [];
  const held: (() => void)[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${String(request.headers['via']).replace(/-\w+$/, '')}`);
    const answer = (): void => void response.end('through');
    if (request.url === '/slow') held.push(answer);
    else answer();
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const release = (): void => held.splice(0).forEach((answer) => answer());
  return { url: `http://${HOST}:${port}`, port, seen, release };
}

/** `outrigger exec` on free ports. */
function exec(t: TestContext, command: readonly string[], yaml = '', launch: Launch = {}): OutriggerProcess {
  const base = `
listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:0" }
access: { addresses: { allow: [127.0.0.0/8] } }
log: { format: json }
`;
  const files = [file(t, base, 'base.yaml'), file(t, yaml, 'test.yaml')];
  return new OutriggerProcess(
    t,
    ['exec', ...files.flatMap((name) => ['--config', name]), '--', ...command],
    launch,
  );
}

const node = (script: string): string[] => [process.execPath, '--input-type=module', '--eval', script];

/** The lines of the log, which is on standard error here. */
const logOf = ({ stderr }: OutriggerProcess): Record<string, unknown>[] =>
  stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));

const messages = (sidecar: OutriggerProcess): unknown[] => logOf(sidecar).map(({ msg }) => msg);

/** Prints `up`, and then says which signals come, until SIGTERM, which it takes a moment for. */
const LISTENING = node(`
  for (const name of ['SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT']) process.on(name, () => console.log(name));
  process.on('SIGTERM', () => { console.log('SIGTERM'); setTimeout(() => process.exit(7), 50); });
  console.log('up');
  setInterval(() => {}, 1000);
`);

test('a command under exec goes through the sidecar of its process, on a port that nobody chose, and has standard output to itself', async (t) => {
  const origin = await start(t);
  const fetching = node(`
    const response = await fetch('${origin.url}/fetched');
    console.log(response.status, await response.text(), response.headers.get('proxy-status'));
  `);
  const job = exec(t, fetching, `access: { tunnelPorts: [${origin.port}] }`);
  assert.deepEqual(await job.end(), { code: 0, signal: null });
  assert.equal(job.stdout, '200 through outrigger; attempts=1; received-status=200\n');
  assert.deepEqual(origin.seen, ['GET /fetched 1.1 outrigger']);
  const [line] = logOf(job).filter(({ msg, method }) => msg === 'exchange' && method === 'GET');
  assert.deepEqual([line?.['path'], line?.['status']], ['/fetched', 200]);
  assert.deepEqual([messages(job)[0], messages(job).at(-1)], ['ready', 'stopped']);
});

test('curl under exec finds the sidecar by its environment alone', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const origin = await start(t);
  const job = exec(t, [curl, '-sS', `${origin.url}/curled`]);
  assert.deepEqual(await job.end(), { code: 0, signal: null });
  assert.equal(job.stdout, 'through');
  assert.deepEqual(origin.seen, ['GET /curled 1.1 outrigger']);
});

test('exec ends by itself with the exit code of its command, without waiting for the quiet of a drain', async (t) => {
  for (const code of [0, 3, 255]) {
    const began = performance.now();
    const job = exec(t, ['sh', '-c', `exit ${code}`], 'shutdown: { quiet: 1h, drainTimeout: 1h }');
    assert.deepEqual(await job.end(), { code, signal: null });
    t.diagnostic(`began, ran and ended within ${(performance.now() - began).toFixed(0)} ms`);
    assert.equal(job.stdout, '');
  }
});

test('a command that a signal ends is 128 and the number of the signal', async (t) => {
  for (const [signal, code] of [
    ['TERM', 143],
    ['KILL', 137],
    ['ABRT', 134],
  ] as const) {
    const job = exec(t, ['sh', '-c', `ulimit -c 0; kill -${signal} $$`]);
    assert.deepEqual(await job.end(), { code, signal: null }, signal);
  }
});

test('a command that is not there is 127, one that may not be executed 126, each with one clear line', async (t) => {
  const path = join(folder(t), 'plain');
  writeFileSync(path, 'no program');
  chmodSync(path, 0o644);
  for (const [command, code, says] of [
    ['no-such-command-anywhere', 127, 'outrigger: no-such-command-anywhere: command not found'],
    ['/no/such/file', 127, 'outrigger: /no/such/file: command not found'],
    [path, 126, `outrigger: ${path}: may not be executed`],
    [`${path}/beyond`, 126, `outrigger: ${path}/beyond: cannot be started: ENOTDIR`],
  ] as const) {
    const job = exec(t, [command, 'with', 'arguments']);
    assert.deepEqual(await job.end(), { code, signal: null }, command);
    assert.deepEqual(
      job.stderr.split('\n').filter((line) => line.startsWith('outrigger')),
      [says],
    );
    assert.equal(job.stdout, '');
  }
});

test('every signal goes to the command, which decides when it ends and how', async (t) => {
  const job = exec(t, LISTENING);
  await until(() => job.stdout.includes('up\n'), 'the command');
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT', 'SIGINT'] as const) {
    const seen = job.stdout.length;
    job.signal(signal);
    await until(() => job.stdout.slice(seen) === `${signal}\n`, signal);
  }
  assert.equal(job.running, true);
  job.signal('SIGTERM');
  assert.deepEqual(await job.end(), { code: 7, signal: null });
  assert.match(job.stdout, /\nSIGTERM\n$/);
});

test('a command is served to its own end after SIGTERM, however long that takes', async (t) => {
  const origin = await start(t);
  const job = exec(
    t,
    node(`
      process.once('SIGTERM', async () => {
        for (let n = 0; n < 20; n++) {
          const response = await fetch('${origin.url}/late', { headers: { connection: 'close' } });
          if (response.status !== 200) process.exit(1);
          await response.text();
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        process.exit(0);
      });
      console.log('up');
      setInterval(() => {}, 1000);
    `),
    // Under exec these are about what is left when the command has ended.
    `{ shutdown: { quiet: 1ms, drainTimeout: 1ms }, access: { tunnelPorts: [${origin.port}] } }`,
  );
  await until(() => job.stdout.includes('up\n'), 'the command');
  job.signal('SIGTERM');
  assert.deepEqual(await job.end(), { code: 0, signal: null });
  assert.equal(origin.seen.length, 20);
});

test('what a command leaves behind is served before exec ends', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const origin = await start(t);
  const answer = join(folder(t), 'answer');
  const job = exec(t, [
    'sh',
    '-c',
    `${curl} -s -o ${answer} ${origin.url}/slow & while [ ! -e ${answer}.go ]; do sleep 0.02; done`,
  ]);
  await until(() => origin.seen.length === 1, 'the request at the origin');
  writeFileSync(`${answer}.go`, '');
  await until(() => messages(job).includes('draining'), 'the end of the command');
  assert.equal(job.running, true);
  origin.release();
  assert.deepEqual(await job.end(), { code: 0, signal: null });
  const [line] = logOf(job).filter(({ msg }) => msg === 'exchange');
  assert.deepEqual([line?.['path'], line?.['outcome']], ['/slow', 'completed']);
});

test('a signal after the command has ended ends what it left behind at once, with its exit code', async (t) => {
  const curl = program(t, 'curl', 'curl');
  if (curl === null) return;
  const origin = await start(t);
  const done = join(folder(t), 'done');
  const job = exec(
    t,
    [
      'sh',
      '-c',
      `${curl} -s -o /dev/null ${origin.url}/slow & while [ ! -e ${done} ]; do sleep 0.02; done; exit 4`,
    ],
    'shutdown: { drainTimeout: 1h }',
  );
  await until(() => origin.seen.length === 1, 'the request at the origin');
  writeFileSync(done, '');
  await until(() => messages(job).includes('draining'), 'the end of the command');
  job.signal('SIGTERM');
  assert.deepEqual(await job.end(5_000), { code: 4, signal: null });
});

test('where the sidecar cannot start the command is not begun, and the exit code is 2', async (t) => {
  const mark = join(folder(t), 'mark');
  const job = exec(t, ['touch', mark], 'polcy: {}');
  assert.deepEqual(await job.end(), { code: 2, signal: null });
  assert.match(job.stderr, /unknown key "polcy" at the top; did you mean "policy"\?/);
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.after(() => taken.close());
  const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
  const other = exec(t, ['touch', mark], `listen: { proxy: "${address}" }`);
  assert.deepEqual(await other.end(), { code: 2, signal: null });
  assert.match(other.stderr, /listen\.proxy: cannot listen on .*: the address is in use/);
  assert.equal(job.stdout + other.stdout, '');
  assert.equal(existsSync(mark), false);
});

test('the command has its own environment beside ours: what is changed for the sidecar is not for it', async (t) => {
  const printing = [
    'sh',
    '-c',
    'echo "$NO_PROXY $UV_THREADPOOL_SIZE $NODE_TLS_REJECT_UNAUTHORIZED $OWN $1"',
    'sh',
    '--help',
  ];
  const job = exec(t, printing, '', {
    env: { NO_PROXY: '.svc', NODE_TLS_REJECT_UNAUTHORIZED: '1', OWN: 'kept' },
  });
  await job.end();
  assert.equal(job.stdout, '.svc,localhost,127.0.0.1,::1  1 kept --help\n');
});
