import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { check } from '../../../src/cli/check.ts';
import { HELP } from '../../../src/cli/help.ts';

function run(files: string[], env: Record<string, string> = {}) {
  const written = { out: '', err: '' };
  const exitCode = check(
    files,
    env,
    { write: (text) => (written.out += text) },
    { write: (text) => (written.err += text) },
  );
  return { ...written, exitCode };
}

test('a valid configuration is answered ok with its files, and exit code 0', () => {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-check-'));
  try {
    const files = ['a.yaml', 'b.yaml'].map((name) => join(directory, name));
    for (const file of files) writeFileSync(file, '');
    assert.deepEqual(run(files), { out: `ok: ${files.join(' ')}\n`, err: '', exitCode: 0 });
    const env = { OUTRIGGER_CONFIG: files.join(':') };
    assert.equal(run([], env).out, `ok: ${files.join(' ')}\n`);
  } finally {
    rmSync(directory, { recursive: true });
  }
  assert.equal(run([]).out, 'ok: no file, only defaults\n');
});

test('every problem is a line of its own on standard error, and the exit code is 2', () => {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-check-'));
  try {
    const file = join(directory, 'a.yaml');
    writeFileSync(file, 'log:\n  level: x\npolcy: {}\n');
    const { out, err, exitCode } = run([file, 'missing.yaml'], { OUTRIGGER__LOG__QUERY: 'x' });
    assert.equal(out, '');
    assert.equal(exitCode, 2);
    assert.deepEqual(
      err.split('\n').map((line) => line.replace(`${file}:`, '').split(': ')[0]),
      ['2:10', '3:1', 'missing.yaml', 'OUTRIGGER__LOG__QUERY', ''],
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('the help names every command and fits on a screen', () => {
  for (const word of [
    'run',
    'check',
    'explain',
    'diff',
    'schema',
    'env',
    '--set',
    '--config',
    '--help',
    '--version',
    'OUTRIGGER_CONFIG',
    'HTTP_PROXY',
  ]) {
    assert.ok(HELP.includes(word), word);
  }
  const lines = HELP.split('\n');
  assert.ok(lines.length <= 30 && lines.every((line) => line.length <= 100));
  assert.ok(HELP.includes('${NAME:-default}') && HELP.includes('$${ is a literal ${'));
});
