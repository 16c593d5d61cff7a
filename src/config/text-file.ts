/**
 * A small text file, read whole and within bounds: at most 1 MiB, UTF-8. A device or a pipe that never
 * ends is not read to its end.
 */
import { closeSync, openSync, readSync } from 'node:fs';

const LIMIT = 1024 * 1024;

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
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(LIMIT + 1);
    let length = 0;
    for (let read = 1; read > 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null);
    }
    return Buffer.from(bytes.subarray(0, length));
  } finally {
    closeSync(file);
  }
}

function explain(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'permission denied';
  if (code === 'EISDIR') return 'it is a directory';
  return code ?? 'its name is not valid';
}
