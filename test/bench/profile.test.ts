/** What a profile says is the time of its samples, each told once as a file and once as a function. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { profileText, summarise } from './profile.ts';

const ROOT = new URL('../../', import.meta.url).href;

const frame = (id: number, functionName: string, url: string, children: number[] = []) => ({
  id,
  callFrame: { functionName, url, lineNumber: 9 },
  children,
});

const PROFILE = {
  nodes: [
    frame(1, '(root)', '', [2, 4, 5]),
    frame(2, 'serve', `${ROOT}src/sidecar.ts`, [3, 6]),
    frame(3, 'write', ''),
    frame(4, '(idle)', ''),
    frame(5, '(program)', ''),
    frame(6, 'parse', `${ROOT}node_modules/yaml/dist/index.js`),
  ],
  startTime: 1_000,
  // The first is before what is looked at, and idle time is nobody's.
  samples: [6, 2, 2, 3, 4, 5, 6],
  timeDeltas: [100, 30, 10, 20, 500, 30, 10],
};

test('the shares of the files, and those of the functions, are all of the time that was not idle', () => {
  const { files, functions } = summarise(PROFILE, 1_101, 2_000);
  assert.deepEqual(Object.fromEntries(files), {
    'src/sidecar.ts': 0.4,
    '(native functions)': 0.2,
    '(program)': 0.3,
    'yaml/dist/index.js': 0.1,
  });
  assert.deepEqual(Object.fromEntries(functions), {
    'serve  src/sidecar.ts:10': 0.4,
    'write < serve  src/sidecar.ts': 0.2,
    '(program)': 0.3,
    'parse  yaml/dist/index.js:10': 0.1,
  });
});

test('the page tells what our own files, packages and native code took', () => {
  const text = profileText({ microsPerExchange: 50, ...summarise(PROFILE, 1_101, 2_000) });
  for (const line of [
    ' 40.0 %   20.00 µs  src/',
    ' 10.0 %    5.00 µs  packages',
    ' 30.0 %   15.00 µs  native, without JavaScript',
    ' 20.0 %   10.00 µs  native functions',
  ])
    assert.ok(text.split('\n').includes(line), text);
});
