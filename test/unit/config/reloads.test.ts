import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../../src/config/problem.ts';
import { type ReloadOptions, type ReloadResult, Reloads } from '../../../src/config/reloads.ts';
import type { Loaded } from '../../../src/config/source.ts';
import { FakeClock } from '../../support/clock.ts';

const loaded = { warnings: [], digests: new Map() } as unknown as Loaded;

function reloads(options: Partial<ReloadOptions>): { it: Reloads; told: ReloadResult[] } {
  const told: ReloadResult[] = [];
  const it = new Reloads({
    source: { load: () => loaded },
    apply: async () => ({ changed: [], restart: [] }),
    told: (_cause, result) => void told.push(result),
    problemsOf: (error) => [(error as Error).message],
    ...options,
  });
  return { it, told };
}

test('one at a time: who asks meanwhile gets one more after it, and shares that', async () => {
  let loads = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const { it, told } = reloads({
    source: { load: () => (loads++, loaded) },
    apply: async () => {
      await promise;
      return { changed: [], restart: [] };
    },
  });
  const asked = [it.reload('signal'), it.reload('request'), it.reload('request'), it.reload('file')];
  assert.equal(loads, 1);
  resolve();
  await Promise.all(asked);
  assert.equal(loads, 2);
  assert.equal(told.length, 2);
  await it.reload('signal');
  assert.equal(loads, 3);
});

test('a failure has every problem, stays to be seen until it is over, and keeps nobody else out', async () => {
  const place = { file: 'a.yaml', line: 3, column: 7 };
  let errors: Error[] = [
    new ConfigError([
      { ...place, message: 'x' },
      { ...place, line: 4, message: 'y' },
    ]),
    new Error('of something else'),
  ];
  const { it } = reloads({
    source: {
      load: () => {
        const [error, ...rest] = errors;
        errors = rest;
        if (error !== undefined) throw error;
        return loaded;
      },
    },
  });
  assert.equal(it.problem, null);
  assert.deepEqual(await it.reload('file'), { ok: false, problems: ['a.yaml:3:7: x', 'a.yaml:4:7: y'] });
  assert.equal(it.problem, 'a.yaml:3:7: x\na.yaml:4:7: y');
  assert.deepEqual(await it.reload('file'), { ok: false, problems: ['of something else'] });
  assert.deepEqual(await it.reload('file'), { ok: true, changed: [], restart: [], warnings: [] });
  assert.equal(it.problem, null);
});

test('while files are watched a failure is tried again, and told once as long as it is the same', async (t) => {
  const clock = new FakeClock();
  t.after(() => clock.restore());
  let problem: string | null = 'the secret is missing';
  const { it, told } = reloads({
    source: {
      load: () => {
        if (problem !== null) throw new Error(problem);
        return loaded;
      },
    },
  });
  it.follow(new Map(), 1_000);
  const later = async (): Promise<void> => {
    clock.advance(5_000);
    await new Promise((resolve) => setImmediate(resolve));
  };
  await it.reload('file');
  for (let n = 0; n < 3; n++) await later();
  assert.equal(told.length, 1);
  problem = 'the secret is empty';
  await later();
  assert.equal(told.length, 2);
  await it.reload('request');
  assert.equal(told.length, 3, 'who asks is told');
  problem = null;
  await later();
  assert.equal(told.at(-1)?.ok, true);
  assert.equal(it.problem, null);
  it.close();
  assert.equal(clock.armed.size, 0);
});
