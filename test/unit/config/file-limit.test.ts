import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lintFileLimit, openFilesMax } from '../../../src/config/file-limit.ts';
import { formatProblem } from '../../../src/config/problem.ts';
import { loadTexts } from './sources.ts';

const warned = (text: string, max: number | null): string[] => {
  const { config, written } = loadTexts([text]);
  return lintFileLimit(config, written, max).map((it) => formatProblem(it).replace(/^.*\/(?=\d\.yaml)/, ''));
};

test('more sockets than the process may have open files are warned of, where the larger limit was written', () => {
  const text = 'limits:\n  connections: 900\nlisten:\n  connections: 1000\n';
  assert.deepEqual(warned(text, 2_156), []);
  assert.deepEqual(warned(text, null), []);
  const [warning = ''] = warned(text, 2_155);
  assert.match(
    warning,
    /^0\.yaml:4:3: limits\.connections \(900\) and listen\.connections \(1000\) .* 2155 /,
  );
  assert.match(warning, /ulimit -n\) to 2156$/);
  assert.match(warned('limits: { connections: 9 }', 1_024)[0] ?? '', /^0\.yaml:1:11: /);
  assert.match(warned('', 1_024)[0] ?? '', /^default: /);
});

test('the limit of this process is read where the system tells it', () => {
  const max = openFilesMax();
  if (process.platform === 'linux') assert.ok(max === null || max > 0);
  else assert.equal(max, null);
});
