import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { digestsOf, FileWatch } from '../../../src/config/file-watch.ts';
import { until } from '../../support/until.ts';

interface Stage {
  readonly folder: string;
  readonly path: string;
  readonly watch: FileWatch;
  readonly changes: () => number;
  /** Done between the look that finds a change and the one that confirms it. */
  between: () => void;
}

/** The files are looked at when a test says so. */
function stage(t: TestContext): Stage {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const path = join(folder, 'a.yaml');
  writeFileSync(path, 'one');
  let changes = 0;
  const watch = new FileWatch(
    () => void changes++,
    async () => it.between(),
  );
  t.after(() => {
    watch.close();
    rmSync(folder, { recursive: true });
  });
  const it: Stage = { folder, path, watch, changes: () => changes, between: () => {} };
  watch.follow(digestsOf([path]), 3_600_000);
  return it;
}

test('a change is told once, and the same content is none', async (t) => {
  const { path, watch, changes } = stage(t);
  await watch.look();
  writeFileSync(path, 'one');
  await watch.look();
  assert.equal(changes(), 0);
  writeFileSync(path, 'two');
  await watch.look();
  await watch.look();
  assert.equal(changes(), 1);
});

test('what is still being written waits for the next look', async (t) => {
  const it = stage(t);
  writeFileSync(it.path, 'half');
  it.between = () => writeFileSync(it.path, 'whole');
  await it.watch.look();
  assert.equal(it.changes(), 0);
  it.between = () => {};
  await it.watch.look();
  assert.equal(it.changes(), 1);
});

test('a file that is gone for a moment is no change, one that is gone is', async (t) => {
  const it = stage(t);
  rmSync(it.path);
  it.between = () => writeFileSync(it.path, 'one');
  await it.watch.look();
  it.between = () => {};
  await it.watch.look();
  assert.equal(it.changes(), 0);
  rmSync(it.path);
  await it.watch.look();
  assert.equal(it.changes(), 1);
});

test('a swapped symlink and a directory in the place of a file are seen', async (t) => {
  const { folder, path, watch, changes } = stage(t);
  mkdirSync(join(folder, '..1'));
  writeFileSync(join(folder, '..1', 'a.yaml'), 'two');
  symlinkSync(join('..1', 'a.yaml'), join(folder, 'link'));
  renameSync(join(folder, 'link'), path);
  await watch.look();
  assert.equal(changes(), 1);
  rmSync(path);
  mkdirSync(path);
  await watch.look();
  assert.equal(changes(), 2);
});

test('what was read since is what counts: its reader says what the files held', async (t) => {
  const it = stage(t);
  writeFileSync(it.path, 'two');
  it.between = () => it.watch.follow(digestsOf([it.path]), 3_600_000);
  await it.watch.look();
  assert.equal(it.changes(), 0);
  writeFileSync(it.path, 'three');
  it.watch.acknowledge(it.watch.current());
  it.between = () => {};
  await it.watch.look();
  assert.equal(it.changes(), 0);
});

test('it looks again and again by itself, until nobody wants it to', async (t) => {
  const { path, watch, changes } = stage(t);
  watch.follow(digestsOf([path]), 5);
  for (let n = 1; n <= 3; n++) {
    writeFileSync(path, `${n}`);
    await until(() => changes() === n, `change ${n}`);
  }
  watch.follow(digestsOf([path]), null);
  writeFileSync(path, 'unseen');
  await watch.look();
  assert.equal(changes(), 3);
});
