import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type BodyBounds,
  type BodyReader,
  ReplayBound,
  RequestBody,
} from '../../../src/upstream/replay-body.ts';
import { until } from '../../support/until.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function readAll(reader: BodyReader): Promise<string> {
  let text = '';
  for await (const chunk of reader) text += chunk.toString();
  return text;
}

const bounds = (keepBytes: number): BodyBounds => ({ keepBytes, once: false, maxBytes: null });

function body(
  keepBytes: number,
  limit = 1_000_000,
): { source: PassThrough; it: RequestBody; bound: ReplayBound } {
  const source = new PassThrough({ highWaterMark: 1 });
  const bound = new ReplayBound(limit);
  return { source, bound, it: new RequestBody(source, null, bounds(keepBytes), bound) };
}

test('a body that is kept can be read from its first byte by one attempt after another', async () => {
  const { source, it, bound } = body(100);
  source.write('abc');
  const first = it.open();
  assert.equal((await first.next()).value?.toString(), 'abc');
  source.end('def');
  assert.equal(await readAll(it.open()), 'abcdef');
  assert.equal(await readAll(it.open()), 'abcdef');
  assert.equal(it.intact, true);
  it.release();
  assert.equal(bound.used, 0);
});

test('a body larger than may be kept is still whole for who reads it first, and cannot be read again', async () => {
  const { source, it, bound } = body(4);
  const reading = readAll(it.open());
  source.write('abc');
  await turn();
  source.end('defgh');
  assert.equal(await reading, 'abcdefgh');
  assert.equal(it.intact, false);
  assert.equal(it.refusal, 'larger than replayBytes');
  assert.equal(bound.used, 0);
  it.release();
});

test('a body of which nothing was read yet is intact, however large', async () => {
  const { source, it } = body(4);
  source.end('abcdefgh');
  await until(() => it.complete, 'the body');
  assert.equal(it.intact, true);
  assert.equal(it.whole()?.toString(), 'abcdefgh');
  assert.equal(it.whole()?.toString(), 'abcdefgh', 'nothing has gone out yet');
  it.sent();
  assert.equal(it.intact, false);
  assert.equal(it.whole(), null);
  it.release();
});

test('a kept body that went out in one piece can go out again', async () => {
  const { source, it, bound } = body(100);
  source.end('abcdefgh');
  await until(() => it.complete, 'the body');
  it.sent();
  assert.equal(it.whole()?.toString(), 'abcdefgh');
  assert.equal(bound.used, 8);
  it.release();
  assert.equal(bound.used, 0);
});

test('the bound of the process holds over all bodies, and comes back when one ends', async () => {
  const bound = new ReplayBound(10);
  const make = async (): Promise<RequestBody> => {
    const source = new PassThrough();
    const it = new RequestBody(source, null, bounds(100), bound);
    source.end('sixsix');
    await until(() => it.complete, 'the body');
    return it;
  };
  const first = await make();
  const second = await make();
  assert.equal(first.refusal, null);
  assert.equal(second.refusal, 'limits.replayBytes reached');
  assert.equal(bound.used, 6);
  first.release();
  assert.equal((await make()).refusal, null);
  second.release();
});

test('a reader that waits is told when the attempt is over, and never takes that for the end', async () => {
  const { it } = body(100);
  const reader = it.open();
  const next = reader.next();
  assert.equal(reader.waiting, true);
  it.open();
  await assert.rejects(next);
  it.release();
});

test('the caller is paused when nobody reads, and goes on when somebody does', async () => {
  const source = new PassThrough();
  const it = new RequestBody(source, null, bounds(0), new ReplayBound(0));
  for (let i = 0; i < 4; i++) source.write(Buffer.alloc(32_768, 'x'));
  await until(() => source.isPaused(), 'the pause');
  assert.ok(it.received <= 98_304);
  const reading = readAll(it.open());
  source.end();
  assert.equal((await reading).length, 131_072);
  it.release();
});

test('any pieces, any bounds and any attempts: each attempt reads the body from its first byte, or none is begun', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ minLength: 1, maxLength: 12 }), { maxLength: 12 }),
      fc.nat(60),
      fc.nat(60),
      fc.array(fc.nat(12), { maxLength: 4 }),
      async (pieces, keepBytes, limit, reads) => {
        const { source, it, bound } = body(keepBytes, limit);
        const whole = pieces.join('');
        const feed = (async () => {
          for (const piece of pieces) {
            source.write(piece);
            await turn();
          }
          source.end();
        })();
        for (const count of reads) {
          if (!it.intact) break;
          const reader = it.open();
          let text = '';
          for (let i = 0; i < count; i++) {
            const { done, value } = await reader.next();
            if (done) break;
            text += value.toString();
          }
          assert.ok(whole.startsWith(text) || Buffer.from(whole).toString().startsWith(text));
          assert.ok(bound.used <= Math.min(limit, keepBytes));
          await turn();
        }
        if (it.intact) assert.equal(await readAll(it.open()), whole);
        else it.open();
        await feed;
        it.release();
        assert.equal(bound.used, 0);
      },
    ),
    { numRuns: 300 },
  );
});

test('beyond the bound of the process a body that nobody reads yet is held up at 64 KiB, and what it has counts as long as it is here', async () => {
  const bound = new ReplayBound(100_000);
  const source = new EventEmitter();
  let paused = false;
  const it = new RequestBody(
    Object.assign(source, {
      pause: () => {
        paused = true;
      },
      resume: () => {
        paused = false;
      },
    }),
    null,
    bounds(1_000_000),
    bound,
  );
  source.emit('data', Buffer.alloc(60_000));
  source.emit('data', Buffer.alloc(30_000));
  assert.deepEqual([it.refusal, paused, bound.used], [null, false, 90_000]);
  source.emit('data', Buffer.alloc(20_000));
  assert.deepEqual([it.refusal, paused, bound.used], ['limits.replayBytes reached', true, 90_000]);
  const reader = it.open();
  await reader.next();
  assert.deepEqual([paused, bound.used], [false, 50_000]);
  await reader.next();
  assert.equal(bound.used, 20_000);
  it.release();
  assert.equal(bound.used, 0);
});
