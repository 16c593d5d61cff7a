/**
 * A small text file, read whole and within bounds: at most 1 MiB, UTF-8. A device or a pipe that never
 * ends is not read to its end; a pipe is waited for as long as somebody may write to it, within bounds, and one that
 * nobody writes to is no empty file.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

const LIMIT = 1024 * 1024;

/** Nothing has come of a pipe for so long, milliseconds; and between two looks. */
const PIPE_MS = 5_000;
const PIPE_LOOK_MS = 10;

export type FileText = { readonly text: string } | { readonly problem: string };

/** The problem completes a sentence that begins with the file's name. */
export function readTextFile(path: string): FileText {
  let bytes: Buffer;
  try {
    bytes = readBounded(path);
  } catch (error) {
    return { problem: `cannot be read: ${explain(error)}` };
  }
  if (bytes.length > LIMIT) return { problem: 'is larger than 1 MiB' };
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { problem: 'is not UTF-8 text' };
  }
}

function readBounded(path: string): Buffer {
  // To open a pipe without a writer would keep the whole process.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const bytes = Buffer.alloc(LIMIT + 1);
    let length = 0;
    for (let read = 1; read > 0 && length < bytes.length; length += read) {
      read = readSome(file, bytes, length);
    }
    if (length === 0 && fstatSync(file).isFIFO()) throw new SilentPipe();
    return Buffer.from(bytes.subarray(0, length));
  } finally {
    closeSync(file);
  }
}

function readSome(file: number, bytes: Buffer, at: number): number {
  for (let waited = 0; waited < PIPE_MS; waited += PIPE_LOOK_MS) {
    try {
      return readSync(file, bytes, at, bytes.length - at, null);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    Atomics.wait(CLOCK, 0, 0, PIPE_LOOK_MS);
  }
  throw new SilentPipe();
}

/** Never changes: to wait for it is to sleep. */
const CLOCK = new Int32Array(new SharedArrayBuffer(4));

class SilentPipe extends Error {}

function explain(error: unknown): string {
  if (error instanceof SilentPipe) return 'it is a pipe, and nobody writes to it';
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'permission denied';
  if (code === 'EISDIR') return 'it is a directory';
  return code ?? 'its name is not valid';
}
