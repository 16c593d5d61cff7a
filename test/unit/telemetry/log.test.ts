import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog, enabled } from '../../../src/telemetry/log.ts';

const MODULE = new URL('../../../src/telemetry/log.ts', import.meta.url).href;

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'outrigger-log-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** A real pipe: nobody reads unless `read` is called. */
function pipe(t: TestContext): { fd: number; read: () => string; closeReader: () => void } {
  const path = join(directory(t), 'pipe');
  execFileSync('sh', ['-c', 'mkfifo "$0"', path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const fd = openSync(path, constants.O_WRONLY);
  t.after(() => closeSync(fd));
  const buffer = Buffer.alloc(1 << 20);
  return {
    fd,
    read: () => {
      try {
        return buffer.toString('utf8', 0, readSync(reader, buffer));
      } catch {
        return '';
      }
    },
    closeReader: () => closeSync(reader),
  };
}

const numbered = (n: number): string => `{"n":${n},"filler":"${'x'.repeat(500)}"}`;
const numbers = (text: string): number[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line).n);

test('a level lets through itself and what is graver', () => {
  assert.ok(enabled('info', 'info'));
  assert.ok(enabled('info', 'error'));
  assert.ok(!enabled('info', 'debug'));
  assert.ok(!enabled('silent', 'error'));
});

test('the log and finished lines share one stream, in order', () => {
  const lines: string[] = [];
  const sink = createLog({
    level: 'info',
    format: 'json',
    destination: { write: (line) => lines.push(line) },
  });
  sink.log.info({ port: 3128 }, 'ready');
  sink.writeLine('{"msg":"exchange"}');
  sink.log.debug({}, 'not shown');
  sink.log.error({ text: 'é\u2028\x9b31m' }, 'wrong');
  assert.equal(lines.length, 3);
  const first = JSON.parse(lines[0] as string);
  assert.deepEqual([first.level, first.port, first.msg], ['info', 3128, 'ready']);
  assert.equal(first.time, new Date(first.time).toISOString());
  assert.equal(lines[1], '{"msg":"exchange"}\n');
  assert.match(lines[2] as string, /^[\x20-\x7e]*\n$/);
  assert.equal(JSON.parse(lines[2] as string).text, 'é\u2028\x9b31m');
});

test('a line is out within a moment though nothing follows it', async (t) => {
  const { fd, read } = pipe(t);
  const sink = createLog({ level: 'info', format: 'json', fd });
  t.after(() => sink.close());
  sink.writeLine(numbered(1));
  sink.writeLine(numbered(2));
  await sleep(200);
  assert.deepEqual(numbers(read()), [1, 2]);
  sink.writeLine(numbered(3));
  await sleep(200);
  assert.deepEqual(numbers(read()), [3]);
});

test('what is buffered is written by flush before it returns', (t) => {
  const { fd, read } = pipe(t);
  const sink = createLog({ level: 'info', format: 'json', fd });
  t.after(() => sink.close());
  for (let n = 0; n < 50; n++) sink.writeLine(numbered(n));
  sink.flush();
  assert.deepEqual(
    numbers(read()),
    Array.from({ length: 50 }, (_, n) => n),
  );
});

test('a blocked output costs lines and neither time nor memory, and a reader who comes back gets whole lines', async (t) => {
  const { fd, read } = pipe(t);
  const sink = createLog({ level: 'info', format: 'json', fd });
  t.after(() => sink.close());
  const before = process.memoryUsage.rss();
  let longestMs = 0;
  for (let n = 0; n < 100_000; n++) {
    const startedAt = performance.now();
    sink.writeLine(numbered(n));
    longestMs = Math.max(longestMs, performance.now() - startedAt);
    if (n % 1000 === 0) await sleep(1);
  }
  assert.ok(sink.dropped > 90_000, `${sink.dropped} dropped`);
  assert.ok(longestMs < 500, `${longestMs} ms in one call`);
  assert.ok(process.memoryUsage.rss() - before < 64 * 1024 * 1024);

  const lost = sink.dropped;
  let text = '';
  for (let quiet = 0; quiet < 5; ) {
    const more = read();
    quiet = more === '' ? quiet + 1 : 0;
    text += more;
    await sleep(20);
  }
  const got = numbers(text);
  assert.equal(got.length, 100_000 - lost);
  assert.deepEqual(
    got,
    Array.from({ length: got.length }, (_, n) => n),
    'the first ones, in order',
  );
  sink.writeLine(numbered(-1));
  sink.flush();
  assert.deepEqual(numbers(read()), [-1]);
});

test('a reader who is gone never crashes the process, and the lines are counted', async (t) => {
  const { fd, closeReader } = pipe(t);
  const sink = createLog({ level: 'info', format: 'json', fd });
  closeReader();
  for (let n = 0; n < 100; n++) sink.writeLine(numbered(n));
  await sleep(150);
  sink.log.error({}, 'nobody reads this');
  assert.equal(sink.dropped, 101);
  sink.flush();
  sink.close();
});

test('a file takes every line in order', (t) => {
  const path = join(directory(t), 'log');
  const fd = openSync(path, 'a');
  const sink = createLog({ level: 'info', format: 'json', fd });
  for (let n = 0; n < 1000; n++) sink.writeLine(numbered(n));
  sink.close();
  assert.deepEqual(
    numbers(readFileSync(path, 'utf8')),
    Array.from({ length: 1000 }, (_, n) => n),
  );
  assert.equal(sink.dropped, 0);
});

test('a closed log leaves no listener behind', () => {
  const before = process.listenerCount('exit');
  createLog({ level: 'info', format: 'json', fd: 1 }).close();
  assert.equal(process.listenerCount('exit'), before);
});

/** Runs a script whose standard output is a real pipe into `reader`; resolves with what both say until the script ends. */
function piped(script: string, reader: string): Promise<{ text: string; ms: number }> {
  const startedAt = performance.now();
  const child = spawn(
    'sh',
    ['-c', `("$NODE" --input-type=module -e "$SCRIPT"; echo "exit code $?" >&2) | (${reader})`],
    {
      env: {
        ...process.env,
        NODE: process.execPath,
        SCRIPT: `import {createLog} from '${MODULE}';${script}`,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    },
  );
  return new Promise((resolve) => {
    let text = '';
    const hear = (more: Buffer): void => {
      text += more;
      if (!text.includes('exit code')) return;
      const ms = performance.now() - startedAt;
      // The reader has a moment for the rest, then it goes, asleep or not.
      setTimeout(() => process.kill(-(child.pid as number), 'SIGKILL'), 200);
      child.once('close', () => resolve({ text, ms }));
    };
    child.stderr.on('data', hear);
    child.stdout.on('data', hear);
  });
}

test('a process whose output is blocked can still exit', async () => {
  const script = `
    const sink = createLog({ level: 'info', format: 'json' });
    for (let n = 0; n < 10000; n++) sink.writeLine('x'.repeat(500));
    setTimeout(() => { sink.flush(); process.stderr.write('dropped ' + sink.dropped + '; '); process.exit(0); }, 300);`;
  const { text, ms } = await piped(script, 'sleep 60');
  assert.match(text, /^dropped \d{4,}; exit code 0$/m);
  assert.ok(ms < 20_000, `${ms} ms`);
});

test('the last lines of a process that dies of an exception are written', async () => {
  const script = `
    const sink = createLog({ level: 'info', format: 'json' });
    sink.writeLine('{"msg":"the last words"}');
    throw new Error('by design');`;
  const { text } = await piped(script, 'cat; sleep 60');
  assert.match(text, /by design/);
  assert.match(text, /the last words/);
  assert.match(text, /exit code 1/);
});
