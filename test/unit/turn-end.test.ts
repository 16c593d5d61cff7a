import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { TurnEnd } from '../../src/turn-end.ts';

test('what is put off is done at the end of the turn, in the order in which it came, once', async () => {
  const done: number[] = [];
  const end = new TurnEnd<number>((one) => done.push(one));
  for (const one of [1, 2, 3]) end.add(one);
  await Promise.resolve();
  assert.deepEqual(done, []);
  await turn();
  assert.deepEqual(done, [1, 2, 3]);
  await turn();
  assert.deepEqual(done, [1, 2, 3]);
});

test('what is put off meanwhile has a turn of its own', async () => {
  const done: number[] = [];
  const end: TurnEnd<number> = new TurnEnd((one) => {
    done.push(one);
    if (one < 3) end.add(one + 1);
  });
  end.add(1);
  for (const expected of [[1], [1, 2], [1, 2, 3]]) {
    await turn();
    assert.deepEqual(done, expected);
  }
});

test('what fails is told, and keeps nobody else from its turn', async () => {
  const done: number[] = [];
  const broken = new Error('a bug');
  const end = new TurnEnd<number>((one) => {
    if (one === 2) throw broken;
    done.push(one);
  });
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  try {
    const told = once(process, 'uncaughtException');
    for (const one of [1, 2, 3]) end.add(one);
    assert.equal((await told)[0], broken);
  } finally {
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
  await turn();
  assert.deepEqual(done, [1, 3]);
});
