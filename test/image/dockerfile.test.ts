/**
 * The image: what the Dockerfile promises by its text, and, where the machine allows it, what is built from it
 * and run: by its own user, on a root that nobody can write to.
 *
 * Building needs root, buildah, the network of npm, and OUTRIGGER_IMAGE_BASE: a folder that
 * `debootstrap --variant=minbase bookworm FOLDER` has made, which takes the place of the base that a registry has.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  globSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join, matchesGlob } from 'node:path';
import { type TestContext, test } from 'node:test';
import { call } from '../support/caller.ts';
import { HttpOrigin } from '../support/origin.ts';
import { endWith, environment, file, folder } from '../support/process.ts';
import { program } from '../support/program.ts';
import { until } from '../support/until.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

interface Instruction {
  readonly name: string;
  readonly words: string;
}

const INSTRUCTIONS: readonly Instruction[] = read('Dockerfile')
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n/g, ' ')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => {
    const [name = '', ...words] = line.trim().split(/\s+/);
    return { name, words: words.join(' ') };
  });

const lastStage = INSTRUCTIONS.slice(INSTRUCTIONS.findLastIndex(({ name }) => name === 'FROM'));
const all = (name: string, among = INSTRUCTIONS): string[] =>
  among.filter((one) => one.name === name).map(({ words }) => words);
const one = (name: string): string => {
  const [words, ...more] = all(name, lastStage);
  assert.deepEqual(more, [], name);
  return words ?? assert.fail(`${name} is missing in the last stage`);
};

const FLAGS = ['--disable-sigusr1', '--disallow-code-generation-from-strings'];
const PROGRAM = ['/usr/local/bin/node', ...FLAGS, '/outrigger/dist/main.js'];

test('the base is one argument, pinned to a patch of Node that the package allows', () => {
  const pinned = all('ARG').filter((words) => words.startsWith('NODE_IMAGE='));
  assert.equal(pinned.length, 1);
  const [, major = ''] = /^NODE_IMAGE=node:(\d+)\.\d+\.\d+-\w+-slim$/.exec(pinned[0] ?? '') ?? [];
  assert.ok(Number(major) >= 24, pinned[0]);
  for (const from of all('FROM')) assert.match(from, /^(?:\$\{NODE_IMAGE\} AS \w+|scratch)$/);
  assert.equal(all('FROM').at(-1), 'scratch');
});

test('the image ends by SIGTERM, runs as a numeric user that is not root, and checks its health by itself', () => {
  assert.equal(one('USER'), '65532:65532');
  assert.equal(one('STOPSIGNAL'), 'SIGTERM');
  assert.equal(one('EXPOSE'), '3128 3129');
  assert.deepEqual(JSON.parse(one('ENTRYPOINT')), PROGRAM);
  assert.deepEqual(JSON.parse(one('CMD')), ['run']);
  const [, check = ''] = /CMD (\[.*\])$/.exec(one('HEALTHCHECK')) ?? [];
  assert.deepEqual(JSON.parse(check), [...PROGRAM, 'wait', '--timeout', '2s']);
  for (const label of ['title', 'description', 'licenses', 'version', 'revision'])
    assert.match(one('LABEL'), new RegExp(`org\\.opencontainers\\.image\\.${label}="`));
  assert.match(one('LABEL'), /version="\$\{VERSION\}" org\S+revision="\$\{REVISION\}"$/);
});

test('no shell is asked for anything, nothing is fetched but by npm from the lockfile, and no script of a package runs', () => {
  assert.deepEqual(all('ADD'), []);
  assert.deepEqual(all('RUN', lastStage), []);
  const known = new Set(['ARG', 'FROM', 'WORKDIR', 'COPY', 'RUN', 'LABEL', 'ENV', 'USER', 'EXPOSE']);
  for (const name of ['STOPSIGNAL', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD']) known.add(name);
  for (const { name } of INSTRUCTIONS) assert.ok(known.has(name), name);
  for (const run of all('RUN')) {
    const [path, ...args] = JSON.parse(run);
    if (path === 'npm') assert.deepEqual([args[0], args.includes('--ignore-scripts')], ['ci', true], run);
    else assert.match(path, /^(?:\.ci\/build|\/tmp\/image-root)$/);
  }
  for (const copy of all('COPY')) assert.doesNotMatch(copy, /:\/\/|(?:^| )\.(?: |$)(?! *\/)/);
  const production = all('RUN').filter((run) => run.includes('--omit=dev'));
  // TypeScript is an optional peer of a library: only both leave it out.
  assert.deepEqual(
    production.map((run) => run.includes('--omit=optional')),
    [true],
  );
});

test('.dockerignore lets in what the Dockerfile copies, and neither secrets, histories nor what is built elsewhere', () => {
  const rules = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  assert.equal(rules[0], '*');
  const welcome = rules.slice(1).map((rule) => {
    assert.match(rule, /^!/);
    return rule.slice(1);
  });
  const copied = all('COPY')
    .filter((words) => !words.startsWith('--from'))
    .flatMap((words) => words.split(' ').slice(0, -1));
  assert.deepEqual(welcome.toSorted(), [...new Set(copied)].toSorted());
  for (const name of welcome) assert.ok(existsSync(join(ROOT, name)), name);
  for (const never of ['.git', '.env', 'node_modules', 'dist', 'key.pem', 'test', '.npmrc.local'])
    assert.ok(!welcome.some((rule) => matchesGlob(never, rule)), never);
  // The one that is let in holds no token.
  assert.doesNotMatch(read('.npmrc'), /_auth|token|password/i);
});

interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly WorkingDir: string;
  readonly StopSignal: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Healthcheck: { readonly Test: readonly string[] };
}

const CONTENT_MAX = 200_000_000;
const READY_MS = 500;

/** As a runtime does it with a read-only root: processes of their own, /proc, and nothing that can be written. */
const CONTAINER = `
set -e
root=$1 user=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
exec chroot --userspec="$user" "$root" "$@"
`;

test('the image is small, holds neither shell nor compiler, and runs as nobody on a read-only root: healthy, serving, drained', {
  timeout: 900_000,
}, async (t) => {
  const debian = process.env['OUTRIGGER_IMAGE_BASE'];
  if (!debian) return t.skip('OUTRIGGER_IMAGE_BASE is not set: a folder made by debootstrap');
  if (process.getuid?.() !== 0) return t.skip('it needs root');
  const path = program(t, 'buildah', 'buildah');
  if (path === null) return;
  const buildah = builder(t, path);
  buildBase(t, buildah, debian);
  const build = ['--build-arg', 'NODE_IMAGE=localhost/base', '--build-arg', 'VERSION=1.2.3'];
  const began = performance.now();
  buildah('bud', '--isolation', 'chroot', '--format', 'docker', ...build, '-t', 'outrigger', ROOT);
  t.diagnostic(`built within ${((performance.now() - began) / 1000).toFixed(0)} s`);

  const inspected = JSON.parse(buildah('inspect', '--type', 'image', 'localhost/outrigger'));
  const config: ImageConfig = inspected.Docker.config;
  assert.deepEqual(
    [config.User, config.StopSignal, config.WorkingDir, config.Entrypoint, config.Cmd],
    ['65532:65532', 'SIGTERM', '/outrigger', PROGRAM, ['run']],
  );
  assert.equal(config.Labels['org.opencontainers.image.version'], '1.2.3');

  const container = buildah('from', 'localhost/outrigger').trim();
  const root = buildah('mount', container).trim();
  const entries = globSync('**', { cwd: root }).map((name) => ({ name, stats: lstatSync(join(root, name)) }));
  const bytes = entries.reduce((sum, { stats }) => sum + (stats.isFile() ? stats.size : 0), 0);
  t.diagnostic(`${entries.length} entries of ${(bytes / 1e6).toFixed(0)} MB`);
  assert.ok(bytes < CONTENT_MAX, `${bytes}`);
  for (const { name, stats } of entries) {
    assert.doesNotMatch(
      name,
      /(?:^|\/)(?:sh|bash|dash|busybox|npm|npx|apt|tsc|typescript)$|\.ts$|^outrigger\/test\//,
      name,
    );
    assert.equal(stats.mode & 0o6000, 0, `${name} lends its owner`);
    if (name !== 'tmp' && !stats.isSymbolicLink())
      assert.equal(stats.mode & 0o022, 0, `${name} can be written`);
  }
  assert.ok(
    entries.some(({ name }) => /^outrigger\/cache\/.+\/.+/.test(name)),
    'compiled code is there',
  );

  // Runtimes make it where it is missing.
  mkdirSync(join(root, 'proc'));
  const [proxy, admin] = await Promise.all([freePort(), freePort()]);
  const env = {
    ...Object.fromEntries(config.Env.map((pair) => pair.split(/=(.*)/s).slice(0, 2))),
    PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    OUTRIGGER__LISTEN__PROXY: `127.0.0.1:${proxy}`,
    OUTRIGGER__LISTEN__ADMIN: `127.0.0.1:${admin}`,
    OUTRIGGER__ACCESS__ADDRESSES__ALLOW: '[127.0.0.0/8]',
    OUTRIGGER__SHUTDOWN__QUIET: '10ms',
  };
  const script = file(t, CONTAINER, 'container.sh');
  const start = (command: readonly string[]) => {
    const child = spawn(
      'unshare',
      ['--mount', '--pid', '--fork', 'sh', script, root, config.User, ...command],
      { env, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    // With its first process the container ends, and with the container the one that holds it.
    t.after(() => killInside(child.pid as number));
    endWith(t, child);
    const run = { child, stdout: '', stderr: '', code: undefined as number | null | undefined };
    child.stdout.on('data', (text: Buffer) => (run.stdout += text));
    child.stderr.on('data', (text: Buffer) => (run.stderr += text));
    child.on('close', (code) => (run.code = code));
    return run;
  };
  const end = async (run: ReturnType<typeof start>): Promise<number | null | undefined> => {
    await until(() => run.code !== undefined, `the end; so far: ${run.stdout}${run.stderr}`, 30_000);
    return run.code;
  };
  const healthy = (): ReturnType<typeof start> => start(config.Healthcheck.Test.slice(1));
  assert.equal(config.Healthcheck.Test[0], 'CMD');

  assert.equal(await end(healthy()), 1, 'nobody is there yet');
  const times: number[] = [];
  let sidecar = start(['/nothing']);
  for (let n = 0; n < 3; n++) {
    killInside(sidecar.child.pid as number);
    await end(sidecar);
    const at = performance.now();
    sidecar = start([...config.Entrypoint, ...config.Cmd]);
    await until(
      () => sidecar.stdout.includes('"msg":"ready"') || sidecar.code !== undefined,
      'its start',
      30_000,
    );
    assert.match(sidecar.stdout, /"msg":"ready"/, sidecar.stderr);
    const wallMs = performance.now() - at;
    const usedMs = processorMs(insideOf(sidecar.child.pid as number));
    t.diagnostic(`ready after ${wallMs.toFixed(0)} ms, with ${usedMs} ms of processor time`);
    // Starting is nothing but work: on a machine that is busy with other things, what it costs is what counts.
    times.push(Math.min(wallMs, usedMs));
  }
  assert.ok(Math.min(...times) < READY_MS, times.join(' '));
  const id = insideOf(sidecar.child.pid as number);
  const status = readFileSync(`/proc/${id}/status`, 'utf8');
  assert.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m);
  assert.match(status, /^NSpid:\t\d+\t1$/m);
  assert.match(status, /^CapEff:\t0+$/m);
  assert.match(readFileSync(`/proc/${id}/mountinfo`, 'utf8'), / \/ ro[, ]/);

  assert.equal(await end(healthy()), 0, 'healthy');
  const origin = await HttpOrigin.start();
  t.after(() => origin.close());
  assert.equal((await call(proxy, `${origin.url}/through`)).status, 200);
  process.kill(id, config.StopSignal);
  assert.equal(await end(sidecar), 0);
  assert.match(sidecar.stdout, /"end":"quiet","msg":"stopped"/);
  assert.equal(sidecar.stderr, '');
  const gone = healthy();
  assert.equal(await end(gone), 1);
  assert.match(gone.stderr, /^outrigger: not ready after 2s: /);
});

/** With a store of its own, which goes with the test. */
function builder(t: TestContext, path: string): (...args: readonly string[]) => string {
  const store = folder(t);
  const common = ['--root', join(store, 'root'), '--runroot', join(store, 'run'), '--storage-driver', 'vfs'];
  const buildah = (...args: readonly string[]): string =>
    execFileSync(path, [...common, ...args], {
      env: environment(),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
    });
  t.after(() => buildah('rm', '--all'));
  return buildah;
}

/** Debian, Node and npm: what the image of Node is, of what this machine has. */
function buildBase(t: TestContext, buildah: (...args: readonly string[]) => string, debian: string): void {
  const context = folder(t);
  const local = join(context, 'usr/local');
  mkdirSync(join(local, 'bin'), { recursive: true });
  cpSync(realpathSync(process.env['OUTRIGGER_NODE24'] ?? process.execPath), join(local, 'bin/node'));
  const npm = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim();
  cpSync(dirname(dirname(realpathSync(npm))), join(local, 'lib/node_modules/npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'));
  const container = buildah('from', 'scratch').trim();
  buildah('copy', container, debian, '/');
  buildah('copy', container, local, '/usr/local');
  // Behind a proxy of a company npm has to trust what this machine trusts.
  const authority = process.env['NODE_EXTRA_CA_CERTS'];
  if (authority) {
    buildah('copy', container, authority, '/usr/local/share/authority.pem');
    buildah('config', '--env', 'NODE_EXTRA_CA_CERTS=/usr/local/share/authority.pem', container);
  }
  buildah('config', '--env', 'PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', container);
  buildah('commit', '--rm', container, 'localhost/base');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The first process of the container that this one holds. */
function insideOf(id: number): number {
  const inside = Number(readFileSync(`/proc/${id}/task/${id}/children`, 'utf8').trim());
  // Zero would be everybody of our own group.
  assert.ok(inside > 0, 'a container with a process');
  return inside;
}

function killInside(id: number): void {
  try {
    process.kill(insideOf(id), 'SIGKILL');
  } catch {
    // It has ended.
  }
}

function processorMs(id: number): number {
  const fields = readFileSync(`/proc/${id}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
