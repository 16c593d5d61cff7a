/**
 * Responses by lot: mostly good ones, with everything that has ever made two parsers disagree thrown in, and
 * at times more behind them than was asked for.
 */
import type { Chance } from './chance.ts';

export interface Scripted {
  readonly bytes: Buffer;
  readonly method: 'GET' | 'HEAD';
  readonly version: '1.0' | '1.1';
  /** What the origin does when all is written. */
  readonly ending: 'keep' | 'fin' | 'reset';
  /** Good, whole and alone: it must pass. */
  readonly plain: boolean;
}

const ENDS = ['\n', '\r', '\r\r\n', '\n\r', '\r\n\r', '', '\r\n ', '\x0b\r\n', '\n\n', '\x00\r\n'];
// biome-ignore format: a group a line
const FIRST = ['HTTP/1.0 200 OK', 'HTTP/1.1 204 No Content', 'HTTP/1.1 304 Not Modified', 'HTTP/1.1 404 Not Found', 'HTTP/1.1 500 No', 'HTTP/1.1 205 Reset', 'HTTP/1.1 200', 'HTTP/1.1 200 ', 'HTTP/1.1 599 X', 'HTTP/1.1 600 X', 'HTTP/1.1 999 X', 'HTTP/1.1 099 X', 'HTTP/1.1 2000 X', 'HTTP/1.1 20 X', 'HTTP/1.1 2x0 X', 'HTTP/1.1  200 OK', 'HTTP/1.1\t200\tOK', 'http/1.1 200 OK', 'HTTP/2.0 200 OK', 'HTTP/1.2 200 OK', 'HTTP/0.9 200 OK', 'HTTP/11 200 OK', 'ICY 200 OK', ' HTTP/1.1 200 OK', '\r\nHTTP/1.1 200 OK', 'HTTP/1.1 200 O\x01K', 'HTTP/1.1 200 O\rK', 'HTTP/1.1 200 Gr\xfcn', 'HTTP/1.1 101 Switching Protocols', 'HTTP/1.1 206 Partial', 'HTTP/1.1 302 Found', ''];
const INTERIM = [
  'HTTP/1.1 100 Continue',
  'HTTP/1.1 103 Early Hints\r\nLink: </a>',
  'HTTP/1.1 102 Processing',
  'HTTP/1.1 199 X',
  'HTTP/1.1 103 X\r\nContent-Length: 5',
  'HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked',
];
// biome-ignore format: a group a line
const FIELDS = ['X-A: 1', 'Set-Cookie: a=b', 'Set-Cookie: c=d', 'X-Empty:', 'X-Utf: \xc3\xa9', 'Connection: keep-alive', 'Date: Thu, 01 Jan 1970 00:00:00 GMT', 'Connection: close', 'Connection: X-A, close', 'Keep-Alive: timeout=100', 'Trailer: X-T', 'Upgrade: h2c', 'Proxy-Status: other; error=dns_error', 'X-Request-Id: theirs', 'Via: 1.1 theirs', 'Content-Type: text/plain', '__proto__: x', 'X-B : 1', ': y', 'no colon', 'X@Y: 1', ' X-Fold: 1', 'X-N: a\x00b', 'X-C: a\x01b', 'X-D: a\x7fb', 'X-R: a\rb', 'X-L: a\nb', 'X-O: a\r\n b', 'X\xe9: 1', 'HTTP/1.1 200 OK'];
// biome-ignore format: a group a line
const CODINGS = ['Chunked', 'gzip', 'gzip, chunked', 'chunked, gzip', 'chunked, chunked', 'identity', '\x0bchunked', 'chunked;q=1', ',chunked', '', 'xchunked', '"chunked"', 'chun\r\n ked'];
// biome-ignore format: a group a line
const LENGTHS = ['+N', '-N', '0N', '0xN', 'N N', 'N,N', 'N.0', 'Ne0', '', '99999999999999999999', '18446744073709551616', 'N\x00', 'NaN', '9007199254740993'];
// biome-ignore format: a group a line
const SIZES = ['0xN', '+N', '-N', ' N', 'N ', '0N', '0000000000000000000N', 'N;x', 'N ;x=y', 'N;x="a;b"', 'N;\rx', 'N;x\n', '', 'FFFFFFFFFFFFFFFF', '100000000N', '1000000000000000N', 'Ng', 'N,', 'N\x00', 'N\r', 'N\n'];
const TRAILERS = [
  'X-T: 1\r\n',
  'Content-Length: 9\r\n',
  'Set-Cookie: z=z\r\n',
  'X-T : 1\r\n',
  ' X: 1\r\n',
  'X-T: a\nb\r\n',
  'HTTP/1.1 200 OK\r\n',
];
const SPICE = [
  ...ENDS,
  ...CODINGS,
  ':',
  '\r\n\r\n',
  '0\r\n\r\n',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
];

function chunks(chance: Chance, body: string, wild: number): string {
  let text = '';
  for (let at = 0; at < body.length; ) {
    const piece = body.slice(at, at + 1 + chance.below(20));
    at += piece.length;
    const length = piece.length.toString(16);
    const over = (): string => chance.mostly('\r\n', 1 - wild / 8, ENDS);
    text += chance.mostly(length, 1 - wild / 3, SIZES).replace('N', length) + over() + piece + over();
  }
  const last = chance.mostly('0', 1 - wild / 4, ['00', '0;x', '0x0', '-0', ' 0', '', '1']);
  const trailers = chance.mostly('', 1 - wild / 2, TRAILERS);
  return `${text}${last}\r\n${trailers}${chance.mostly('\r\n', 1 - wild / 8, ENDS)}`;
}

/** `n` is in the body, so that no response can be taken for another. */
export function scripted(chance: Chance, n: number): Scripted {
  const kind = chance.below(10);
  const wild = kind < 2 ? 0 : kind < 7 ? 0.15 : 0.5;
  const method = chance.yes(0.85) ? 'GET' : 'HEAD';
  const version = chance.yes(0.95) ? '1.1' : '1.0';
  const body = `response ${n} ${chance.text('abcdefgh', 40)}`;
  const lineEnd = (): string => chance.mostly('\r\n', 1 - wild / 12, ENDS);
  const first = chance.mostly('HTTP/1.1 200 OK', 1 - wild, FIRST);
  const lines: string[] = [];
  const pool = wild === 0 ? FIELDS.slice(0, 7) : FIELDS;
  for (let i = chance.below(4); i > 0; i--) lines.push(chance.one(pool));
  let content = body;
  const shape = chance.below(10);
  if (shape < 5) {
    const length = String(body.length + (chance.yes(wild / 8) ? chance.below(9) - 4 : 0));
    lines.push(`Content-Length: ${chance.mostly(length, 1 - wild / 3, LENGTHS).replaceAll('N', length)}`);
    if (chance.yes(wild / 6)) lines.push(`content-length: ${chance.one([length, '0', '5'])}`);
  } else if (shape < 9) {
    lines.push(`Transfer-Encoding: ${chance.mostly('chunked', 1 - wild / 3, CODINGS)}`);
    if (chance.yes(wild / 8)) lines.push(`Transfer-Encoding: ${chance.one(CODINGS)}`);
    if (chance.yes(wild / 5)) lines.push(`Content-Length: ${chance.one([body.length, 0, 3, 5])}`);
    content = chunks(chance, body, wild);
  }
  if (method === 'HEAD' && chance.yes(0.9)) content = '';
  if (chance.yes(0.5)) lines.reverse();
  let text = '';
  for (let i = chance.yes(wild) ? chance.below(3) : 0; i > 0; i--) text += `${chance.one(INTERIM)}\r\n\r\n`;
  text += first + lineEnd() + lines.map((line) => line + lineEnd()).join('') + lineEnd() + content;
  const more = chance.yes(wild / 4);
  if (more) text += chance.one(['HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil', 'x', '\r\n', '\0']);
  const bytes = Buffer.from(text, 'latin1');
  const ending =
    shape === 9
      ? chance.mostly('fin', 1 - wild / 2, ['reset'] as const)
      : chance.mostly('keep', 0.8, ['fin', 'reset'] as const);
  if (kind > 1 && chance.yes(0.3)) {
    return { bytes: chance.mutated(bytes, 3, SPICE), method, version, ending, plain: false };
  }
  // What is reset may be lost on its way, and a length beside no body is a matter of HEAD.
  return { bytes, method, version, ending, plain: wild === 0 && ending !== 'reset' && content !== '' };
}
