/** explain, diff and schema as an operator runs them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { call } from '../support/caller.ts';
import { answer, HttpOrigin } from '../support/origin.ts';
import { endWith, environment, file, MAIN, outrigger, SidecarProcess } from '../support/process.ts';

const ROOT = join(import.meta.dirname, '../..');

const OLD = 'policy: { timeouts: { head: 2s } }\nroutes:\n  - { name: a, match: { hosts: [a.example] } }\n';

test('explain prints route, way, access, values with their places and the sum, and exits with 0', async (t) => {
  const name = file(t, OLD);
  const args = [
    'explain',
    'GET',
    'http://a.example/x',
    '--config',
    name,
    '--set',
    'policy.timeouts.total=1s',
  ];
  const { code, stdout, stderr } = await outrigger(t, args);
  assert.deepEqual([code, stderr], [0, '']);
  assert.ok(stdout.includes(`route    a (${name}:3): it is the first route that matches`), stdout);
  assert.match(stdout, /policy\.timeouts\.head +2s +.*outrigger\.yaml:1\n/);
  assert.match(stdout, /policy\.timeouts\.total +1s +--set policy\.timeouts\.total\n/);
  assert.match(stdout, /heads: at worst 3 × 2 s \+ 300 ms of backoff = 6\.3 s/);
  const { stdout: text } = await outrigger(t, [...args, '--json']);
  const { steps } = JSON.parse(text);
  assert.equal(steps[0].route.name, 'a');
  assert.deepEqual(
    steps[0].values.find((it: { key: string }) => it.key === 'routes[0].policy.timeouts.head'),
    { key: 'routes[0].policy.timeouts.head', value: '2s', from: `${name}:1` },
  );
});

test('explain ends with 2 where the configuration or the client is wrong', async (t) => {
  const broken = await outrigger(t, ['explain', 'GET', 'http://a/', '--config', file(t, 'polcy: {}\n')]);
  assert.equal(broken.code, 2);
  assert.match(broken.stderr, /:1:1: unknown key "polcy"/);
  const name = file(t, 'clients: [{ name: pay, addresses: [10.0.0.1] }]');
  const { code, stderr } = await outrigger(t, [
    'explain',
    'GET',
    'http://a/',
    '--config',
    name,
    '--client',
    'pya',
  ]);
  assert.deepEqual([code, stderr], [2, 'outrigger: there is no client "pya"; did you mean pay?\n']);
});

test('schema prints what is checked in beside the examples', async (t) => {
  const { code, stdout, stderr } = await outrigger(t, ['schema']);
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(stdout, readFileSync(join(ROOT, 'config/outrigger.schema.json'), 'utf8'));
});

test('what a pipe cannot hold is printed all the same when its reader comes late', async (t) => {
  const line = '"$0" "$1" schema | { sleep 1; cat; }';
  const child = spawn('sh', ['-c', line, process.execPath, MAIN], { env: environment() });
  endWith(t, child);
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  await once(child, 'close');
  assert.equal(stdout, readFileSync(join(ROOT, 'config/outrigger.schema.json'), 'utf8'));
});

test('diff ends with 0, 1 or 2, as diff(1) does', async (t) => {
  const old = file(t, OLD);
  const same = await outrigger(t, ['diff', old, `${file(t, '')}:${file(t, OLD)}`]);
  assert.deepEqual([same.code, same.stdout, same.stderr], [0, '', '']);
  const now = file(t, OLD.replace('2s', '3s'));
  const other = await outrigger(t, ['diff', old, now]);
  assert.deepEqual(
    [other.code, other.stdout],
    [1, `~ policy.timeouts.head: 2s (${old}:1) -> 3s (${now}:1); inherited by a\n`],
  );
  for (const args of [
    [old, file(t, 'polcy: {}')],
    [old, 'missing.yaml'],
    [old, now, '--log', 'missing.log'],
  ]) {
    const { code, stderr } = await outrigger(t, ['diff', ...args]);
    assert.equal(code, 2, stderr);
    assert.notEqual(stderr, '');
  }
});

test('diff with the log of a sidecar says which of its exchanges would be treated otherwise', async (t) => {
  const origin = await HttpOrigin.start(answer(200));
  t.after(() => origin.close());
  const yaml = `access: { deniedPorts: [], addresses: { allow: [127.0.0.0/8] } }
routes:
  - { name: one, match: { hosts: [127.0.0.1], paths: ["/one"] } }
`;
  const sidecar = await SidecarProcess.start(t, yaml);
  for (const path of ['/one', '/one', '/two']) await call(sidecar.port, `${origin.url}${path}`);
  sidecar.signal('SIGTERM');
  await sidecar.end();
  const now = file(t, yaml.replace('/one', '/two'));
  const log = await piped(t, ['diff', file(t, yaml), now, '--log', '-', '--json'], sidecar.stdout);
  const { exchanges, changed, strangers, effects } = JSON.parse(log.stdout).log;
  assert.deepEqual([log.code, exchanges, changed, strangers], [1, 3, 3, 0]);
  assert.deepEqual(
    effects.map((it: { before: string; after: string; count: number }) => [it.before, it.after, it.count]),
    [
      ['one', 'default', 2],
      ['default', 'one', 1],
    ],
  );
});

async function piped(
  t: TestContext,
  args: string[],
  input: string,
): Promise<{ code: number; stdout: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: environment(),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  endWith(t, child);
  let stdout = '';
  child.stdout.on('data', (piece: Buffer) => (stdout += piece.toString()));
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  return { code, stdout };
}
