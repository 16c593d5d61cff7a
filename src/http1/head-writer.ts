/**
 * Heads, chunks and trailers as they go out. Whatever is written is looked at once more: a name or a value that
 * would break the head, wherever it came from, is never written (RFC 9110, section 5.5).
 */
import { IN_TARGET, IN_TOKEN } from './octets.ts';

/** CR LF, NUL, other controls, and what is not Latin-1. */
const UNSAFE = /[^\t\x20-\x7e\x80-\xff]/;

const isToken = (name: string): boolean => {
  for (let i = 0; i < name.length; i++) if (IN_TOKEN[name.charCodeAt(i)] !== 1) return false;
  return name.length > 0;
};

/** A field that would break the head; it names no value. */
export class UnsafeField extends Error {}

/** RFC 9112, section 3. Null: what would be no such line, or another. */
export function requestLine(method: string, target: string): string | null {
  if (!isToken(method) || target === '') return null;
  for (let i = 0; i < target.length; i++) if (IN_TARGET[target.charCodeAt(i)] !== 1) return null;
  return `${method} ${target} HTTP/1.1`;
}

/**
 * `fields` is a flat list; `lines` are written behind it as they are. Latin-1, ends with an empty line. Throws
 * UnsafeField.
 */
export function writeHead(startLine: string, fields: readonly string[], lines = ''): string {
  if (UNSAFE.test(startLine)) throw new UnsafeField('a first line that cannot be written');
  return `${startLine}\r\n${writeFieldLines(fields)}${lines}\r\n`;
}

/** Each with its line end. Throws UnsafeField. */
export function writeFieldLines(fields: readonly string[]): string {
  let text = '';
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (!isToken(name) || UNSAFE.test(value)) throw new UnsafeField('a field that cannot be written');
    text += `${name}: ${value}\r\n`;
  }
  return text;
}

/** The line in front of a chunk. RFC 9112, section 7.1; an empty chunk would be the last, so it is never asked for. */
export const chunkLine = (bytes: number): string => `${bytes.toString(16)}\r\n`;

/** What ends a chunked body. Throws UnsafeField. */
export const lastChunk = (trailers: readonly string[]): string => `0\r\n${writeFieldLines(trailers)}\r\n`;
