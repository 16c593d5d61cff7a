import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readTextFile } from '../../../src/config/text-file.ts';
import { inDirectory } from './sources.ts';

test('a pipe that nobody writes to is a problem at once, and neither waited for nor an empty file', () =>
  inDirectory((directory) => {
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    assert.deepEqual(readTextFile(pipe), {
      problem: 'cannot be read: it is a pipe, and nobody writes to it',
    });
  }));

test('what somebody writes to a pipe is waited for', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-config-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  // Open for reading and writing, it has a writer before there is anything to read.
  const script = 'exec 3<>"$0"; echo ready; sleep 0.2; echo "log: {}" >&3; exec 3>&-';
  const writer = spawn('sh', ['-c', script, pipe]);
  await once(writer.stdout, 'data');
  assert.deepEqual(readTextFile(pipe), { text: 'log: {}\n' });
});
