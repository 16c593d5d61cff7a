/** Who calls a program beside the tests wrongly is told how, without a stack; nothing has been started by then. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROGRAMS = [
  'demo/demo.ts',
  'soak/soak.ts',
  'scenarios/table.ts',
  'bench/bench.ts',
  'bench/cost.ts',
  'bench/intercept.ts',
];

for (const program of PROGRAMS) {
  test(`${program} says how it is called, asked by --help or by an option that it does not know`, () => {
    const file = fileURLToPath(new URL(`../${program}`, import.meta.url));
    const call = (option: string) => spawnSync(process.execPath, [file, option], { encoding: 'utf8' });
    const asked = call('--help');
    assert.equal(asked.status, 0, asked.stderr);
    assert.match(asked.stdout, /^usage: npm run [a-z:]+ -- \[--.*\n$/);
    const wrong = call('--no-such-option');
    assert.equal(wrong.status, 2, wrong.stderr);
    assert.equal(wrong.stderr, `Unknown option '--no-such-option'\n${asked.stdout}`);
    assert.equal(wrong.stdout, '');
  });
}
