import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { LineQueue } from '../../../src/telemetry/line-queue.ts';
import { folder } from '../../support/process.ts';
import { until } from '../../support/until.ts';

/** What becomes of a queue: a line of so many characters, a turn of the event loop, or its reader takes so many bytes. */
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ line: fc.oneof(fc.nat(300), fc.nat(20_000)), wide: fc.boolean() }) },
    { weight: 2, arbitrary: fc.constant('turn' as const) },
    { weight: 2, arbitrary: fc.record({ take: fc.nat(70_000) }) },
  ),
  { maxLength: 60 },
);
const batches = fc.constantFrom(0, 64, 4_096, 65_536);

/** Each is told from all others, and its characters are of one byte, or of one to four. */
const lineOf = (n: number, length: number, wide: boolean): string =>
  `${n} ${(wide ? 'aé€𝄞' : 'abcd').repeat(Math.ceil(length / 4)).slice(0, length)}`.toWellFormed();

async function play(
  queue: LineQueue,
  plan: typeof steps extends fc.Arbitrary<infer Steps> ? Steps : never,
  take: (bytes: number) => void,
): Promise<string> {
  let expected = '';
  let n = 0;
  for (const step of plan) {
    if (step === 'turn') await turn();
    else if ('take' in step) take(step.take);
    else {
      const line = lineOf(n++, step.line, step.wide);
      queue.push(line);
      expected += `${line}\n`;
    }
  }
  return expected;
}

test('every line is in the file once, whole and in its place, however long the lines are', async (t) => {
  const place = folder(t);
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(batches, steps, async (batch, plan) => {
      const path = join(place, `${++runs}.log`);
      const fd = openSync(path, 'a');
      const queue = new LineQueue(fd, batch);
      const expected = await play(queue, plan, () => {});
      const bytes = Buffer.byteLength(expected);
      await until(() => readFileSync(path).length >= bytes, 'all lines');
      queue.close();
      closeSync(fd);
      assert.ok(readFileSync(path, 'utf8') === expected, 'other lines came out than went in');
      assert.equal(queue.dropped, 0);
    }),
    // Each try at a smaller example would wait for lines that never come.
    { numRuns: 30, endOnFailure: true },
  );
});

/** Both ends of a pipe that nobody waits for. */
function pipe(t: TestContext): { reader: number; writer: number } {
  const path = join(folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { reader, writer: openSync(path, constants.O_WRONLY) };
}

test('a reader that takes its time has every line once, whole and in its place', async (t) => {
  const { reader, writer } = pipe(t);
  const piece = Buffer.alloc(70_000);
  await fc.assert(
    fc.asyncProperty(batches, steps, async (batch, plan) => {
      const read: Buffer[] = [];
      let count = 0;
      const take = (bytes: number): void => {
        try {
          const got = readSync(reader, piece, 0, bytes, null);
          read.push(Buffer.from(piece.subarray(0, got)));
          count += got;
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
        }
      };
      const queue = new LineQueue(writer, batch);
      const expected = await play(queue, plan, take);
      const bytes = Buffer.byteLength(expected);
      await until(() => {
        take(piece.length);
        return count >= bytes;
      }, 'all lines');
      queue.close();
      assert.ok(Buffer.concat(read).toString() === expected, 'other lines came out than went in');
      assert.equal(queue.dropped, 0);
    }),
    // Each try at a smaller example would wait for lines that never come.
    { numRuns: 30, endOnFailure: true },
  );
  closeSync(writer);
  closeSync(reader);
});

test('a reader that stands still costs lines and not memory, and those that are kept are whole', async (t) => {
  const { reader, writer } = pipe(t);
  const queue = new LineQueue(writer, 0);
  const line = 'x'.repeat(10_000);
  for (let n = 0; n < 1_000; n++) queue.push(`${n} ${line}`);
  const kept = 1_000 - queue.dropped;
  // Those that are being written, and what may wait.
  assert.ok(kept > 200 && kept < 250, `${kept} kept`);
  const piece = Buffer.alloc(70_000);
  let text = '';
  await until(() => {
    try {
      text += piece.toString('latin1', 0, readSync(reader, piece, 0, piece.length, null));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    }
    return text.split('\n').length > kept;
  }, 'all that was kept');
  queue.close();
  const lines = text.trimEnd().split('\n');
  assert.equal(lines.length, kept);
  for (const [n, one] of lines.entries()) assert.ok(one === `${n} ${line}`, `line ${n}`);
  closeSync(writer);
  closeSync(reader);
});
