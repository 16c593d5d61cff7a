/** What `npm pack` makes, unpacked where there is nothing but what it depends on, and run by its own name. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { call } from '../support/caller.ts';
import { HttpOrigin } from '../support/origin.ts';
import { environment, file, folder, outrigger, SidecarProcess } from '../support/process.ts';
import { olderNode } from '../support/program.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Locked {
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
}

/** As `npm install --omit=dev --omit=optional` leaves it. */
const PRODUCTION = Object.entries(
  JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages as Record<string, Locked>,
).filter(([path, { dev, devOptional, optional }]) => path !== '' && !(dev || devOptional || optional));

/** Holds node_modules as an application has it. */
let home = '';
let files: readonly string[] = [];

const path = (...names: string[]): string => join(home, 'node_modules', ...names);

before(() => {
  home = mkdtempSync(join(tmpdir(), 'outrigger-package-'));
  const packed = execFileSync(
    'npm',
    ['pack', '--json', '--offline', '--silent', '--pack-destination', home],
    {
      cwd: ROOT,
      env: environment(),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  // A list, or a mapping by name: that depends on the npm.
  const [told] = Object.values(JSON.parse(packed.slice(packed.search(/^[[{]/m)))) as [
    { filename: string; files: { path: string }[] },
  ];
  files = told.files.map((one) => one.path).toSorted();
  mkdirSync(path('outrigger'), { recursive: true });
  execFileSync('tar', ['-xzf', join(home, told.filename), '-C', path('outrigger'), '--strip-components=1']);
  for (const [name] of PRODUCTION) cpSync(join(ROOT, name), join(home, name), { recursive: true });
  mkdirSync(path('.bin'));
  symlinkSync('../outrigger/dist/main.js', path('.bin', 'outrigger'));
});

after(() => rmSync(home, { recursive: true, force: true }));

/** Where `node` is this Node, or the given one. */
function pathWith(t: TestContext, node: string): string {
  const programs = folder(t);
  symlinkSync(node, join(programs, 'node'));
  return `${programs}:${process.env['PATH']}`;
}

/** The program and its chunks, as text. */
const compiled = (): ReadonlyMap<string, string> =>
  new Map(
    files
      .filter((name) => /^dist\/.*\.js$/.test(name))
      .map((name) => [name, readFileSync(path('outrigger', name), 'utf8')]),
  );

/** What is imported as it is written, now or later. */
const importsOf = (text: string): string[] =>
  [...text.matchAll(/(?:^(?:import|export) [^;]*? from |^import |\bimport\()["']([^"']+)["']/gm)].map(
    ([, from = '']) => from,
  );

test('the package is the program with its chunks, the terms of what is in them, the examples and the documents, and nothing else', () => {
  const program = [...compiled().keys(), 'dist/licenses.txt'];
  for (const name of program) assert.match(name, /^dist\/(?:main\.js|chunk-[A-Z0-9]{8}\.js|licenses\.txt)$/);
  const documents = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'];
  const examples = globSync('config/*.yaml', { cwd: ROOT });
  assert.deepEqual(files, [...program, ...documents, ...examples].toSorted());
  const unpacked = globSync('**', { cwd: path('outrigger') }).filter((name) =>
    statSync(path('outrigger', name)).isFile(),
  );
  assert.deepEqual(unpacked.toSorted(), files);
});

test('every source that runs is in one chunk, and chunks tell nothing of the machine that made them', () => {
  const chunks = compiled();
  const wanted = new Set(['dist/main.js']);
  for (const name of wanted) {
    const text = chunks.get(name) ?? assert.fail(`${name} is imported and missing`);
    assert.ok(!/^\/\/(?:# sourceMappingURL| test\/)/m.test(text), name);
    assert.ok(!importsOf(text).includes('node:test'), name);
    assert.ok(!text.includes(`${ROOT}/`), name);
    for (const from of importsOf(text)) if (from.startsWith('.')) wanted.add(join(dirname(name), from));
  }
  assert.deepEqual([...wanted].toSorted(), [...chunks.keys()].toSorted(), 'a chunk that nobody imports');
  // A chunk may name a source twice, once for what it imports.
  const bundled = [...chunks.values()].flatMap((text) => [
    ...new Set(Array.from(text.matchAll(/^\/\/ (src\/\S+\.ts)$/gm), ([, name = '']) => name)),
  ]);
  assert.deepEqual(bundled.toSorted(), [...new Set(bundled)].toSorted(), 'state that would be there twice');
  for (const name of ['src/main.ts', 'src/sidecar.ts', 'src/downstream/upgrade.ts', 'src/cli/explain.ts'])
    assert.ok(bundled.includes(name), name);
});

test('what is not in a chunk is a dependency, and the terms of what is are in the package', () => {
  const { dependencies } = JSON.parse(readFileSync(path('outrigger', 'package.json'), 'utf8'));
  const outside = new Set(
    [...compiled().values()].flatMap(importsOf).filter((from) => !/^(?:\.|node:)/.test(from)),
  );
  const builtin = [...outside].filter((name) => !(name in dependencies));
  assert.deepEqual(
    builtin.filter((name) => !builtinModules.includes(name)),
    [],
  );
  const terms = readFileSync(path('outrigger', 'dist/licenses.txt'), 'utf8');
  for (const [name, version] of Object.entries<string>(dependencies)) {
    if (outside.has(name)) continue;
    const [, real = name, at = version] = /^npm:(.+)@(.+)$/.exec(version) ?? [];
    assert.ok(terms.includes(`${real} ${at} (`), real);
  }
});

test('nothing of the package runs when it is installed', () => {
  const { scripts, bin, engines } = JSON.parse(readFileSync(path('outrigger', 'package.json'), 'utf8'));
  for (const hook of ['preinstall', 'install', 'postinstall', 'prepare']) assert.ok(!(hook in scripts), hook);
  assert.deepEqual(bin, { outrigger: 'dist/main.js' });
  assert.deepEqual(engines, { node: '>=24' });
});

for (const [called, nodeOf] of [
  ['this Node', () => process.execPath],
  ['Node 24', olderNode],
] as const) {
  test(`the program of the package works by its name on ${called}: version, check, a request, SIGTERM`, async (t) => {
    const node = nodeOf(t);
    if (node === null) return;
    const PATH = pathWith(t, node);
    // The shell behind the first line of the program finds Node by PATH.
    const launch = { program: [path('.bin', 'outrigger')], env: { PATH }, cwd: folder(t) } as const;

    const version = await outrigger(t, ['--version'], launch);
    const { version: own } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    assert.deepEqual([version.code, version.stdout, version.stderr], [0, `outrigger ${own}\n`, '']);

    const config = path('outrigger', 'config', 'outrigger.yaml');
    const checked = await outrigger(t, ['check', '--config', config], launch);
    assert.deepEqual([checked.code, checked.stdout, checked.stderr], [0, `ok: ${config}\n`, '']);
    const wrong = await outrigger(t, ['check', '--config', file(t, 'polcy: {}')], launch);
    assert.equal(wrong.code, 2);

    const origin = await HttpOrigin.start();
    t.after(() => origin.close());
    const sidecar = await SidecarProcess.start(t, 'shutdown: { quiet: 10ms }', launch);
    t.diagnostic(
      `ready after ${sidecar.readyMs.toFixed(0)} ms, with ${sidecar.processorMs} ms of processor time`,
    );
    const flags = readFileSync(`/proc/${sidecar.id}/cmdline`, 'utf8').split('\0').slice(1, 3);
    assert.deepEqual(flags, ['--disable-sigusr1', '--disallow-code-generation-from-strings']);
    assert.equal((await call(sidecar.port, `${origin.url}/through`)).status, 200);
    assert.deepEqual(
      origin.seen.map(({ url }) => url),
      ['/through'],
    );
    sidecar.signal('SIGTERM');
    assert.deepEqual(await sidecar.end(), { code: 0, signal: null });
    assert.equal(sidecar.stderr, '');
    assert.equal((await sidecar.exchangeLines(1))[0]?.outcome, 'completed');
  });
}
