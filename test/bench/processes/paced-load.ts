/**
 * So many requests per second, evenly spaced, however long the answers take; each is timed from the moment when it
 * was due. Its argument is a file with a LoadSpec and a rate. The timers of Node know milliseconds only, so a thread that
 * sleeps shorter wakes the one that sends: it beats the time, and spends next to none of the processor.
 */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { LoadSpec } from '../load.ts';
import { MessageReader } from './message-reader.ts';
import { Tally } from './tally.ts';

/** The first moments are for connections and for code that is not yet compiled. */
const WARM_MS = 500;

interface Line {
  readonly socket: Socket;
  dueAt: number;
}

if (isMainThread) load();
else beat(workerData as number);

function beat(everyMs: number): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  const began = performance.now();
  for (let n = 1; ; n++) {
    const wait = began + n * everyMs - performance.now();
    if (wait > 0) Atomics.wait(never, 0, 0, wait);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- the port of a thread, not a window
    parentPort?.postMessage(0);
  }
}

function load(): void {
  const spec = JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as LoadSpec & { rate: number };
  const requests = spec.requests.map((text) => Buffer.from(text, 'latin1'));
  const everyMs = 1_000 / spec.rate;
  const tally = new Tally();
  const idle: Line[] = [];
  const lines = new Set<Line>();
  const due: number[] = [];
  let begun = 0;
  let connected = 0;
  let countFrom = Number.POSITIVE_INFINITY;

  const send = (line: Line, dueAt: number): void => {
    line.dueAt = dueAt;
    line.socket.write(requests[begun++ % requests.length] as Buffer);
  };

  const open = (): void => {
    const socket = connect({ port: spec.port, host: '127.0.0.1', noDelay: true });
    const line: Line = { socket, dueAt: 0 };
    lines.add(line);
    const next = (): void => {
      const waiting = due.shift();
      if (waiting === undefined) idle.push(line);
      else send(line, waiting);
    };
    const reader = new MessageReader((head) => {
      if (line.dueAt >= countFrom) tally.answered(head, performance.now() - line.dueAt);
      line.dueAt = 0;
      next();
    });
    socket.on('connect', () => {
      next();
      if (++connected === spec.connections) start();
    });
    socket.on('data', (data: Buffer) => reader.take(data));
    socket.on('error', () => {});
    socket.on('close', () => {
      if (line.dueAt >= countFrom) tally.broke();
      lines.delete(line);
      const at = idle.indexOf(line);
      if (at >= 0) idle.splice(at, 1);
      open();
    });
  };

  const start = (): void => {
    const began = performance.now();
    countFrom = began + WARM_MS;
    let scheduled = 0;
    new Worker(new URL(import.meta.url), { workerData: everyMs }).on('message', () => {
      const now = performance.now();
      while (began + scheduled * everyMs <= now) {
        const dueAt = began + scheduled++ * everyMs;
        const line = idle.shift();
        if (line === undefined) due.push(dueAt);
        else send(line, dueAt);
      }
    });
    setTimeout(
      () => {
        // What was due and has had no answer is no latency that could be left out.
        for (const dueAt of [...due, ...[...lines].map((line) => line.dueAt)])
          if (dueAt >= countFrom) tally.answered('HTTP/1.1 200', performance.now() - dueAt);
        console.log(JSON.stringify(tally.load(spec.seconds)));
        process.exit(0);
      },
      WARM_MS + spec.seconds * 1_000,
    );
  };

  for (let i = 0; i < spec.connections; i++) open();
}
