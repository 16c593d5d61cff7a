import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { call } from '../support/caller.ts';
import { SidecarProcess } from '../support/process.ts';

test('there are threads enough that many slow names do not stall a quick one', {
  skip: existsSync('/proc/self/task') ? false : 'threads can be counted on Linux only',
}, async (t) => {
  const sidecar = await SidecarProcess.start(t, 'policy: { retry: { attempts: 1 } }');
  await call(sidecar.port, 'http://nowhere.invalid/');
  const folder = `/proc/${sidecar.id}/task`;
  const names = readdirSync(folder).map((task) => readFileSync(`${folder}/${task}/comm`, 'utf8').trim());
  assert.equal(names.filter((name) => name === 'libuv-worker').length, 64);
});
