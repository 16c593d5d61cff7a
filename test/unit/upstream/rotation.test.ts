import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Rotation, rotationOf } from '../../../src/upstream/rotation.ts';

const STEP_MS = 100;

/** A window with so many steps left before it is empty. */
class Window {
  turned = 0;
  readonly #steps: number;

  constructor(steps: number) {
    this.#steps = steps;
  }

  turn(): boolean {
    return ++this.turned < this.#steps;
  }
}

beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }));
afterEach(() => mock.timers.reset());

/** A step of the interval, and the turns of the event loop behind it. */
async function step(): Promise<void> {
  mock.timers.tick(STEP_MS);
  for (let turns = 0; turns < 10; turns++) await turn();
}

test('each that has begun is turned once in a step, however many they are, until nothing is left in it', async () => {
  const rotation = new Rotation(STEP_MS, () => {});
  const windows = Array.from({ length: 300 }, (_, i) => new Window(1 + (i % 3)));
  for (const window of windows) {
    rotation.enter();
    rotation.begin(window);
  }
  await step();
  assert.ok(windows.every(({ turned }) => turned === 1));
  for (let n = 0; n < 4; n++) await step();
  assert.deepEqual(
    windows.map(({ turned }) => turned),
    windows.map((_, i) => 1 + (i % 3)),
  );
  for (const window of windows) rotation.leave(window);
});

test('more than a few take several turns of the event loop, and a step that comes before their end leaves nobody out', () => {
  const rotation = new Rotation(STEP_MS, () => {});
  const windows = Array.from({ length: 300 }, () => new Window(10));
  for (const window of windows) {
    rotation.enter();
    rotation.begin(window);
  }
  mock.timers.tick(STEP_MS);
  const first = windows.filter(({ turned }) => turned === 1).length;
  assert.ok(first > 0 && first < windows.length, `${first} at once`);
  mock.timers.tick(STEP_MS);
  assert.ok(windows.every(({ turned }) => turned >= 1));
  assert.ok(windows.some(({ turned }) => turned === 2));
  for (const window of windows) rotation.leave(window);
});

test('one that has left is turned no more, and with the last the interval ends and another rotation begins', async () => {
  const rotation = rotationOf(STEP_MS);
  assert.equal(rotationOf(STEP_MS), rotation);
  const [stays, goes] = [new Window(10), new Window(10)];
  for (const window of [stays, goes]) {
    rotation.enter();
    rotation.begin(window);
  }
  rotation.leave(goes);
  await step();
  assert.deepEqual([stays.turned, goes.turned], [1, 0]);
  rotation.leave(stays);
  await step();
  assert.equal(stays.turned, 1);
  assert.notEqual(rotationOf(STEP_MS), rotation);
});
