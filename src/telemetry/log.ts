/**
 * The log: standard output, JSON lines, one stream for what the sidecar says of itself and for the
 * access lines, so that their order is kept. The only file that knows pino.
 *
 * Rules: writing never waits and never throws; a blocked output drops lines and counts them. It does not
 * know what an exchange is.
 */
import { isatty } from 'node:tty';
import { pino } from 'pino';
import { asciiJson } from './json-string.ts';
import { LineQueue } from './line-queue.ts';
import { prettyLine } from './pretty-line.ts';

const LEVELS = Object.freeze(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const);

export type Level = (typeof LEVELS)[number];

/**
 * Bytes gathered for one write: about a hundred lines, and what a pipe takes at once. A write in the thread pool
 * wakes two threads, which costs as much as an exchange.
 */
const BATCH_BYTES = 65_536;

/** No line is longer, whatever is in it: collectors cut lines of their own accord, and then they are no JSON. */
export const LINE_MAX = 64 * 1024;

/** Whether a line of level `line` is written when the log is set to `set`. */
export function enabled(set: Level, line: Level): boolean {
  return LEVELS.indexOf(line) >= LEVELS.indexOf(set);
}

export interface Log {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
  fatal(fields: object, msg: string): void;
}

export interface LogOptions {
  readonly level: Level;
  readonly format: 'json' | 'pretty';
  /** The descriptor to write to; standard output by default. */
  readonly fd?: number;
  /** Takes the lines in the place of a descriptor, each with its newline. */
  readonly destination?: { write(text: string): void };
}

export interface LogSink {
  readonly log: Log;
  /** Of what the sidecar says of itself. */
  setLevel(level: Level): void;
  /** A finished line of JSON, without its newline. */
  writeLine(line: string): void;
  /** Lines lost because the output was blocked or gone. */
  readonly dropped: number;
  /** Writes what is buffered before it returns; for the last moment of a process. */
  flush(): void;
  close(): void;
}

export function createLog(options: LogOptions): LogSink {
  const fd = options.fd ?? 1;
  const terminal = options.destination === undefined && isatty(fd);
  const pretty = options.format === 'pretty';
  const colour = terminal && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
  // Somebody watches: every line at once.
  const batchBytes = terminal || pretty ? 0 : BATCH_BYTES;
  const out = options.destination ? direct(options.destination) : new LineQueue(fd, batchBytes);
  const writeLine = pretty
    ? (line: string) => out.push(prettyLine(line, colour))
    : (line: string) => out.push(line);
  const log = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (text: string) => writeLine(bounded(asciiJson(text.trimEnd()))) },
  );
  return {
    log,
    setLevel(level) {
      log.level = level;
    },
    writeLine,
    get dropped() {
      return out.dropped;
    },
    flush: () => out.flush(),
    close: () => out.close(),
  };
}

/** Access lines are bounded by the caps of their strings. */
function bounded(line: string): string {
  if (line.length <= LINE_MAX) return line;
  const time = new Date().toISOString();
  return JSON.stringify({
    level: 'warn',
    time,
    length: line.length,
    msg: 'a line was too long to be written',
  });
}

type Out = Pick<LineQueue, 'push' | 'dropped' | 'flush' | 'close'>;

/** A test's own array of lines. */
function direct(destination: { write(text: string): void }): Out {
  return { push: (line) => destination.write(`${line}\n`), dropped: 0, flush() {}, close() {} };
}
