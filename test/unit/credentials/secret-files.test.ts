import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../../src/config/load.ts';
import { SecretFiles, type SecretObserver } from '../../../src/credentials/secret-files.ts';
import type { SecretText } from '../../../src/policy/secret-text.ts';

class Stage implements SecretObserver {
  readonly directory = mkdtempSync(join(tmpdir(), 'outrigger-secrets-'));
  readonly told: string[] = [];
  #files: SecretFiles | null = null;
  /** Between the two looks of one. */
  between = (): void => {};

  path(name: string): string {
    return join(this.directory, name);
  }

  write(name: string, content: string | Buffer): void {
    writeFileSync(this.path(name), content);
  }

  /** The texts of a configuration with these values of header fields. */
  load(...values: string[]): readonly SecretText[] {
    const set = values.map((value, i) => `X-${i}: ${JSON.stringify(value)}`).join(', ');
    this.write('a.yaml', `policy: { headers: { request: { set: { ${set} } } } }`);
    const { secrets } = loadConfig({ files: [this.path('a.yaml')], env: { NAME: 'env' } }).config;
    this.#files = new SecretFiles(secrets, async () => this.between());
    return secrets;
  }

  async look(): Promise<readonly string[]> {
    await this.#files?.look(this);
    return this.#files?.snapshot().stale ?? [];
  }

  secretsRenewed(files: readonly string[]): void {
    this.told.push(`renewed ${files.map((file) => file.slice(this.directory.length + 1)).join(' ')}`);
  }

  secretUnusable(problem: string): void {
    this.told.push(problem.slice(this.directory.length + 1));
  }
}

async function onStage(play: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = new Stage();
  try {
    await play(stage);
  } finally {
    rmSync(stage.directory, { recursive: true });
  }
}

test('a file that changes changes the text around it, whole, with what else is in it', () =>
  onStage(async (stage) => {
    stage.write('s', 'one\n');
    stage.write('t', 'tee');
    const [text] = stage.load('Bearer ${file:s}.${NAME}.${file:t}$${');
    assert.equal(text?.value, 'Bearer one.env.tee${');
    await stage.look();
    assert.deepEqual(stage.told, []);
    stage.write('s', 'two\r\n');
    await stage.look();
    assert.equal(text?.value, 'Bearer two.env.tee${');
    assert.deepEqual(stage.told, ['renewed s t']);
  }));

test('a directory that is exchanged behind a symlink, as Kubernetes does, is seen', () =>
  onStage(async (stage) => {
    for (const [name, content] of [
      ['v1', 'one'],
      ['v2', 'two'],
    ] as const) {
      mkdirSync(stage.path(name));
      stage.write(join(name, 's'), content);
    }
    symlinkSync('v1', stage.path('data'));
    symlinkSync('data/s', stage.path('s'));
    const [text] = stage.load('${file:s}');
    symlinkSync('v2', stage.path('new'));
    renameSync(stage.path('new'), stage.path('data'));
    await stage.look();
    assert.equal(text?.value, 'two');
  }));

test('what cannot be used leaves what was good, is told once, and is no problem any more when it is good again', () =>
  onStage(async (stage) => {
    stage.write('s', 'good');
    const [text] = stage.load('Bearer ${file:s}');
    const bad: [change: () => void, problem: RegExp][] = [
      [() => stage.write('s', ''), /^s is empty$/],
      [() => stage.write('s', '\n'), /^s is empty$/],
      [() => stage.write('s', 'c4n4ry\r\nX: y'), /^s holds what a header field cannot/],
      [() => stage.write('s', 'c4n4ry\n\n'), /^s holds what a header field cannot/],
      [() => stage.write('s', 'c4n4ry\0'), /^s holds what a header field cannot/],
      [() => stage.write('s', 'c4n4ry\u20ac'), /^s holds what a header field cannot/],
      [() => stage.write('s', 'c4n4ry'.repeat(1_400)), /^s holds what a header field cannot/],
      [() => stage.write('s', Buffer.alloc(70_000, 'c')), /^s is larger than 64 KiB$/],
      [() => stage.write('s', Buffer.from([0x63, 0xff])), /^s is not UTF-8 text$/],
      [() => unlinkSync(stage.path('s')), /^s cannot be read: ENOENT$/],
      [() => mkdirSync(stage.path('s')), /^s is no file$/],
      [
        () => {
          rmSync(stage.path('s'), { recursive: true });
          execFileSync('mkfifo', [stage.path('s')]);
        },
        /^s is no file$/,
      ],
    ];
    let before = '';
    for (const [change, problem] of bad) {
      const told = stage.told.length;
      change();
      await stage.look();
      const stale = await stage.look();
      assert.equal(text?.value, 'Bearer good');
      assert.match(stale.join().slice(stage.directory.length + 1), problem);
      const now = stage.told.slice(told).join();
      if (stale.join() === before) assert.equal(now, '', 'the same is not told again');
      else assert.match(now, problem);
      before = stale.join();
      assert.doesNotMatch(stage.told.join(), /c4n4ry/);
    }
    rmSync(stage.path('s'));
    stage.write('s', 'better');
    assert.deepEqual(await stage.look(), []);
    assert.equal(text?.value, 'Bearer better');
    assert.equal(stage.told.at(-1), 'renewed s');
  }));

test('the old content again is good again', () =>
  onStage(async (stage) => {
    stage.write('s', 'good');
    const [text] = stage.load('${file:s}');
    stage.write('s', '');
    assert.equal((await stage.look()).length, 1);
    stage.write('s', 'good');
    assert.deepEqual(await stage.look(), []);
    assert.equal(text?.value, 'good');
  }));

test('what is there while a file is being written is not taken', () =>
  onStage(async (stage) => {
    stage.write('s', 'old');
    const [text] = stage.load('${file:s}');
    stage.write('s', 'hal');
    stage.between = () => stage.write('s', 'half and half');
    await stage.look();
    assert.equal(text?.value, 'old');
    assert.deepEqual(stage.told, []);
    await stage.look();
    assert.equal(text?.value, 'half and half');
  }));

test('a file that many texts are made of is told of once, and where one cannot take it the others can', () =>
  onStage(async (stage) => {
    stage.write('s', 'short');
    const texts = stage.load('${file:s}', 'Bearer ${file:s}', `${'x'.repeat(8_180)}\${file:s}`);
    assert.equal(texts.length, 3);
    stage.write('s', 'rather longer');
    const stale = await stage.look();
    assert.equal(texts[0]?.value, 'rather longer');
    assert.equal(texts[1]?.value, 'Bearer rather longer');
    assert.equal(texts[2]?.value.slice(-5), 'short');
    assert.deepEqual(stale, [`${stage.path('s')} makes the whole too long for a header field`]);
    assert.equal(stage.told.filter((one) => one.startsWith('renewed')).length, 1);
  }));

test('it looks by itself until it is closed', () =>
  onStage(async (stage) => {
    stage.write('s', 'one');
    const [text] = stage.load('${file:s}');
    const files = new SecretFiles(text === undefined ? [] : [text]);
    const renewed = new Promise<void>((resolve) => {
      files.watch(10, { secretsRenewed: () => resolve(), secretUnusable: () => {} });
    });
    stage.write('s', 'two');
    // The timers of the watch keep nobody alive.
    const awake = setInterval(() => {}, 1_000);
    await renewed;
    files.close();
    clearInterval(awake);
    assert.equal(text?.value, 'two');
  }));
