/**
 * What is installed, and on what terms: versions pinned, contents fixed by a digest, nothing run at install
 * that is not known, licences that go with Apache-2.0. A change of a list below is a decision, not a chore.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..');

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
  readonly peer?: boolean;
  readonly hasInstallScript?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: unknown;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'));

const MANIFEST = manifestOf('.');
const LOCK_TEXT = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
const LOCK = JSON.parse(LOCK_TEXT) as {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, Locked>>;
};
/** By their folders; '' is the project itself. */
const PACKAGES = Object.entries(LOCK.packages).filter(([folder]) => folder !== '');
const INSTALLED = PACKAGES.filter(([folder]) => existsSync(join(ROOT, folder, 'package.json')));

const nameOf = (folder: string): string => folder.slice(folder.lastIndexOf('node_modules/') + 13);

/** Folders of what the sidecar itself needs, and what that needs. */
const PRODUCTION = closure(Object.keys(MANIFEST.dependencies ?? {}));

/** As Node looks for them: in the folder of whoever asks, then further up. */
function folderOf(name: string, from: string): string {
  for (let above = from; ; ) {
    const folder = above === '' ? `node_modules/${name}` : `${above}/node_modules/${name}`;
    if (folder in LOCK.packages) return folder;
    assert.notEqual(above, '', `${name}, which ${from} needs, is not locked`);
    const end = above.lastIndexOf('/node_modules/');
    above = end < 0 ? '' : above.slice(0, end);
  }
}

function closure(names: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (folder: string): void => {
    if (found.has(folder)) return;
    found.add(folder);
    const { dependencies, optionalDependencies } = LOCK.packages[folder] ?? {};
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies }))
      visit(folderOf(name, folder));
  };
  for (const name of names) visit(folderOf(name, ''));
  return found;
}

test('every direct dependency is pinned to one version, which is the one that is locked and installed', () => {
  const direct = { ...MANIFEST.dependencies, ...MANIFEST.devDependencies };
  assert.ok(Object.keys(direct).length > 10);
  for (const [name, wanted] of Object.entries(direct)) {
    const [, version = ''] =
      /^(?:npm:(?:@[\w.-]+\/)?[\w.-]+@)?(\d+\.\d+\.\d+)$/.exec(wanted) ?? assert.fail(`${name}: ${wanted}`);
    const folder = `node_modules/${name}`;
    assert.equal(LOCK.packages[folder]?.version, version, name);
    assert.equal(manifestOf(folder).version, version, name);
  }
});

test('every package is fixed by a digest, but those of other platforms, which nobody here could install', () => {
  assert.equal(LOCK.lockfileVersion, 3);
  const without = PACKAGES.filter(([, { integrity }]) => !/^sha512-[\w+/]{86}==$/.test(integrity ?? ''));
  const { platform, arch } = process;
  for (const [folder, { optional, os, cpu }] of without) {
    assert.equal(optional, true, `${folder} has no digest and is not optional`);
    const here = (os?.includes(platform) ?? true) && (cpu?.includes(arch) ?? true);
    // Of this platform with the other C library.
    assert.ok(!here || folder.endsWith('-musl'), `${folder} has no digest and belongs to this platform`);
    assert.ok(!PRODUCTION.has(folder), `${folder} has no digest and runs in production`);
  }
  const shown = without.map(([folder]) =>
    nameOf(folder).replace(/[/-](?:android|darwin|freebsd|linux|openharmony|win32)-.*$/, ''),
  );
  assert.deepEqual(
    [...new Set(shown)].toSorted(),
    ['@biomejs/cli', '@oxc-parser/binding', '@oxlint-tsgolint', '@oxlint/binding'],
    'prebuilt binaries of the tools that check the sources',
  );
  assert.equal(without.length, 44);
});

test('the lockfile names no host: packages come from wherever npm is set to', () => {
  assert.doesNotMatch(LOCK_TEXT, /"resolved"/);
  for (const [folder, { version = '', dependencies, optionalDependencies }] of Object.entries(
    LOCK.packages,
  )) {
    for (const wanted of [version, ...Object.values({ ...dependencies, ...optionalDependencies })])
      assert.doesNotMatch(wanted, /:\/\/|^(?:git|file|link|https?)|^[^@:]+\//, `${folder}: ${wanted}`);
  }
});

test('nothing but what is known runs at install, and nothing of production does', () => {
  const known = {
    // Development only: looks whether the bundler's program is the one of this machine.
    esbuild: 'postinstall',
    // Development only: lays the pinned Node beside the sources, for tests and benchmarks.
    node: 'preinstall',
    // Development only, below @grpc/grpc-js: a note on version schemes.
    protobufjs: 'postinstall',
  };
  const locked = PACKAGES.filter(([, { hasInstallScript }]) => hasInstallScript);
  assert.deepEqual(locked.map(([folder]) => nameOf(folder)).toSorted(), Object.keys(known).toSorted());
  for (const [folder] of locked) assert.ok(!PRODUCTION.has(folder), folder);
  const running: Record<string, string> = {};
  for (const [folder] of INSTALLED) {
    const { scripts = {} } = manifestOf(folder);
    const hooks = ['preinstall', 'install', 'postinstall'].filter((hook) => hook in scripts);
    if (hooks.length > 0) running[nameOf(folder)] = hooks.join(' ');
    if (PRODUCTION.has(folder))
      assert.ok(!existsSync(join(ROOT, folder, 'binding.gyp')), `${folder} is compiled at install`);
  }
  assert.deepEqual(running, known);
});

test('every licence goes with Apache-2.0, and those of production ask for no more than a notice', () => {
  const production = ['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD'];
  const development = [...production, 'MIT OR Apache-2.0'];
  assert.ok(PRODUCTION.size > 20 && INSTALLED.length > PRODUCTION.size);
  for (const [folder] of INSTALLED) {
    const { license } = manifestOf(folder);
    const allowed = PRODUCTION.has(folder) ? production : development;
    assert.ok(allowed.includes(String(license)), `${folder}: ${JSON.stringify(license)}`);
  }
  for (const folder of PRODUCTION) assert.ok(existsSync(join(ROOT, folder)), `${folder} is installed`);
});

test('the lockfile marks as development all that production does not need', () => {
  for (const [folder, { dev, optional, devOptional, peer }] of PACKAGES) {
    const marked = dev === true || devOptional === true || (optional === true && peer !== false);
    assert.equal(marked, !PRODUCTION.has(folder), folder);
  }
});
