import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { storyOf } from '../../../src/telemetry/error-story.ts';

test('an error is told by its name, its code and its frames, and so is what caused it', () => {
  const cause = Object.assign(new RangeError('deep'), { code: 'ERR_DEEP' });
  const story = storyOf(new TypeError('x', { cause }));
  assert.match(story, /^TypeError\n {4}at .*error-story\.test\.ts/);
  assert.match(story, /\ncaused by RangeError \[ERR_DEEP\]\n {4}at /);
});

test('no message is ever told, though it looks like a frame, nor any other property', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string().map((text) => `c4n4ry\n    at c4n4ry (${text})`),
  );
  fc.assert(
    fc.property(texts, texts, (message, name) => {
      const error = Object.assign(new Error(`c4n4ry ${message} c4n4ry`), { headers: 'c4n4ry' });
      Object.defineProperty(error, 'name', { value: `c4n4ry ${name}` });
      Object.defineProperty(error, 'code', { value: `c4n4ry ${name}` });
      assert.match(error.stack ?? '', /c4n4ry/);
      assert.doesNotMatch(storyOf(error), /c4n4ry/);
    }),
  );
});

test('whatever is thrown is told in bounds', () => {
  for (const thrown of [
    null,
    undefined,
    0,
    'c4n4ry',
    Symbol('c4n4ry'),
    { message: 'c4n4ry' },
    () => 'c4n4ry',
  ])
    assert.match(storyOf(thrown), /^(?:null|undefined|number|string|symbol|object|function)$/);
  const circle = new Error('a');
  circle.cause = circle;
  assert.equal(storyOf(circle).split('caused by').length, 4);
  const odd = new Error('a');
  Object.defineProperty(odd, 'stack', { value: 5 });
  assert.equal(storyOf(odd), 'Error');
  Object.defineProperty(odd, 'stack', { value: `Error: a${'\n    at f (x)'.repeat(10_000)}` });
  assert.ok(storyOf(odd).length <= 8192);
});
