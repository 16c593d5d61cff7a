/**
 * Requests by lot: mostly good ones, with everything that has ever made two parsers disagree thrown in, one
 * or several on a connection. `AUTHORITY` stands for the origin, whose port is not known before it listens;
 * it is as long as the real one, so that lengths stay what they are.
 */
import type { Chance } from './chance.ts';

/** Five digits, as every port that a system hands out has. */
export const PORT = '49999';
const AUTHORITY = `origin.test:${PORT}`;

// biome-ignore format: a group a line
const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH', 'PURGE', 'PROPFIND', 'get', 'Post', 'FOO-BAR', 'TRACE', 'CONNECT', 'G@T', '', 'GET\t', 'QUERY', 'M-SEARCH', '\x00GET', 'GE\xffT'];
// biome-ignore format: a group a line
const VERSIONS = ['HTTP/1.0', 'HTTP/1.2', 'HTTP/0.9', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 ', 'HTTP/01.1', 'HTTP/1.10', 'HTTP/11', 'HTTP/1,1', 'HTTPS/1.1', '', 'HTTP/1.1\t', 'HTTP /1.1', 'HTTP/1.1 HTTP/1.0'];
const GAPS = ['\t', '  ', '\x0b', '\x0c', '\xa0', ' \t', '\r', '', '\x00'];
const ENDS = ['\n', '\r', '\r\r\n', '\n\r', '\r\n\r', '', '\r\n ', '\x0b\r\n', '\n\n', '\x00\r\n', '\x85'];
// biome-ignore format: a group a line
const CODINGS = ['chunked', 'Chunked', 'CHUNKED', 'gzip, chunked', 'chunked, gzip', 'chunked, chunked', 'identity', 'x', ' chunked ', '\tchunked', '\x0bchunked', 'chunked\x00', '"chunked"', 'chunked;q=1', 'chunked,', ',chunked', 'chun\r\n ked', 'identity, chunked', 'xchunked', 'chunke', '', 'cow', '\xa0chunked', 'chu\x00nked'];
// biome-ignore format: a group a line
const CODING_NAMES = ['Transfer-Encoding', 'transfer-encoding', 'Transfer-Encoding ', ' Transfer-Encoding', 'Transfer_Encoding', 'Transfer-Encoding\t', 'Transfer-Encoding\x00', 'Xfer\r\nTransfer-Encoding', 'X: y\nTransfer-Encoding', 'Transfer\r\n-Encoding', '\x0bTransfer-Encoding', 'Transfer-Encodin\xe7'];
// biome-ignore format: a group a line
const LENGTH_SHAPES = ['+N', '-N', '0N', '0xN', 'N N', 'N,N', 'N, N', 'N.0', 'Ne0', ' N', 'N ', '', '"N"', 'N;', '1e1', '99999999999999999999', '18446744073709551616', '4294967296', 'N\x00', '\x0bN', 'NaN', 'N\r\n ', '9007199254740993', '٣', 'N_0'];
// biome-ignore format: a group a line
const SIZES = ['0xN', '+N', '-N', ' N', 'N ', '0N', '00000000N', 'N;x', 'N ;x=y', 'N;x="a;b"', 'N;\rx', 'N;x\n', '', 'FFFFFFFFFFFFFFFF', '100000000N', 'Ng', 'N,', 'N\x00', '\tN', 'N;a\x01b', 'N\r', 'N\n', '1000000000000000N', 'N;\x0b', 'N\t'];
// biome-ignore format: a group a line
const HOSTS = ['x', AUTHORITY, 'origin.test', 'evil.test', 'a@b', 'a,b', 'a b', '', 'a/b', '[::1]', 'a:b', 'a:99999', 'a\\b', '127.0.0.1', 'a#b', 'a?b', 'http://a', 'a\x00', '[::1', 'x:', ':80', '\xff', 'a..b', 'a%00b'];
// biome-ignore format: a group a line
const FIELDS = ['X-A: 1', 'X-B: two words', 'X-A: again', 'X-Empty:', 'X-Tab:\tb\t', 'X-Utf: \xc3\xa9', 'Cookie: a=b', 'Accept: */*', 'Expect: 100-continue', 'Expect: 200-maybe', 'Connection: keep-alive', 'Connection: close', 'Connection: X-A', 'Connection: Host, Content-Length', 'Proxy-Connection: keep-alive', 'Keep-Alive: timeout=5', 'TE: trailers', 'Trailer: X-T', 'Upgrade: h2c', 'HTTP2-Settings: AAMA', 'Upgrade: websocket', 'Via: 1.1 other', 'X-Request-Id: mine', 'Max-Forwards: 3', 'Max-Forwards: 0', 'Proxy-Authorization: Basic eDp5', '__proto__: x', 'constructor: y', 'X-Secret : 1', ': empty', 'no colon', 'X@Y: 1', ' X-Fold: 1', 'X-N: a\x00b', 'X-C: a\x01b', 'X-D: a\x7fb', 'X-R: a\rb', 'X-L: a\nb', 'X-O: a\r\n b', 'X-P: a\r\n\tb', 'X\xe9: 1', 'Content-Type: text/plain', 'X_U: 1', 'Content_Length: 3', 'Content-Length : 3', 'GET http://evil.test/ HTTP/1.1'];
// biome-ignore format: a group a line
const PATHS = ['/', '', '?q', '/a?b=c', '/a/../b', '/%2e%2e/', '//x', '/;p', '/a|b^c', '/[]', '/%00', '/\xc3\xa9', '/a b', '/a\tb', '/a#f', '/a\\b', '\\b', '/\x7f', '/"<>', '?', '/a\x00'];
const TRAILERS = [
  '',
  '',
  'X-T: 1\r\n',
  'Content-Length: 9\r\n',
  'Host: evil\r\n',
  'X-T : 1\r\n',
  ' X: 1\r\n',
  'X-T: a\nb\r\n',
  'GET / HTTP/1.1\r\n',
];

function target(chance: Chance): string {
  const path = chance.mostly('/a', 0.6, PATHS);
  // biome-ignore format: a group a line
  return chance.mostly(`http://${AUTHORITY}${path}`, 0.75, [`/p${path}`, `HTTP://ORIGIN.test:${PORT}${path}`, `http://origin.test.:${PORT}${path}`, `http://u:p@${AUTHORITY}${path}`, `http://${AUTHORITY}@evil.test${path}`, `http://evil.test${path}`, path, '*', AUTHORITY, 'evil.test:443', `https:/${path}`, `http:/${AUTHORITY}`, `//${AUTHORITY}${path}`, `http://${AUTHORITY},evil.test${path}`, `ftp://${AUTHORITY}${path}`, `http:///${AUTHORITY}`, `http://evil.test/http://${AUTHORITY}${path}`, `http://${AUTHORITY}:1${path}`]);
}

function chunks(chance: Chance, end: string, wild: number): string {
  let text = '';
  for (let i = chance.below(4); i > 0; i--) {
    const data = chance.mostly(chance.text('abc', 20), 0.85, [
      '0\r\n\r\n',
      `GET http://${AUTHORITY}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n`,
    ]);
    const length = data.length.toString(16);
    const size = chance.mostly(length, 1 - wild / 2, SIZES).replace('N', length);
    const more = chance.yes(wild / 8) ? 'z' : '';
    const over = (): string => chance.mostly(end, 1 - wild / 8, ENDS);
    if (data !== '') text += size + over() + data + more + over();
  }
  const last = chance.mostly('0', 1 - wild / 3, ['00', '0;x', '0x0', '-0', ' 0', '0 ', '']);
  const trailers = chance.mostly('', 1 - wild / 2, TRAILERS);
  return `${text}${last}${end}${trailers}${chance.mostly(end, 1 - wild / 8, ENDS)}`;
}

/** `wild`: how often a piece is anything but good. */
function request(chance: Chance, wild: number): string {
  const good = 1 - wild;
  const method = chance.mostly(chance.one(['GET', 'POST', 'PUT', 'HEAD']), good, METHODS);
  const gap = (): string => chance.mostly(' ', 1 - wild / 6, GAPS);
  const end = chance.mostly('\r\n', 1 - wild / 8, ENDS);
  const lineEnd = (): string => (chance.yes(wild / 20) ? chance.one(ENDS) : end);
  const version = chance.mostly('HTTP/1.1', 1 - wild / 3, VERSIONS);
  const before = chance.mostly('', 1 - wild / 10, ['\r\n', '\n', '\r\n\r\n', ' ', '\r\n'.repeat(9), '\r']);
  const aim = chance.yes(wild) ? target(chance) : `http://${AUTHORITY}${chance.one(PATHS.slice(0, 11))}`;
  const lines = [`Host: ${chance.mostly(AUTHORITY, 1 - wild / 3, HOSTS)}`];
  if (chance.yes(wild / 10)) lines.push(`host: ${chance.one(HOSTS)}`);
  if (chance.yes(wild / 20)) lines.shift();
  const fields = wild === 0 ? FIELDS.slice(0, 8) : FIELDS;
  for (let i = chance.below(4); i > 0; i--)
    lines.push(chance.mostly(chance.one(fields.slice(0, 8)), good, fields));
  const data = chance.mostly(chance.text('abcdef', 30), 0.9, [
    `GET http://${AUTHORITY}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n`,
    `0\r\n\r\nGET http://${AUTHORITY}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n`,
  ]);
  let body = '';
  const shape = chance.below(10);
  if (shape >= 4 && shape < 7) {
    const length = String(data.length + (chance.yes(wild / 20) ? chance.below(5) - 2 : 0));
    lines.push(
      `Content-Length: ${chance.mostly(length, 1 - wild / 2, LENGTH_SHAPES).replaceAll('N', length)}`,
    );
    if (chance.yes(wild / 6)) lines.push(`content-length: ${chance.one([length, '0', '5'])}`);
    body = data;
  } else if (shape >= 7) {
    const name = chance.mostly('Transfer-Encoding', 1 - wild / 3, CODING_NAMES);
    lines.push(`${name}: ${chance.mostly('chunked', 1 - wild / 2, CODINGS)}`);
    if (chance.yes(wild / 6)) lines.push(`Transfer-Encoding: ${chance.one(CODINGS)}`);
    body = chunks(chance, chance.yes(wild / 20) ? '\n' : '\r\n', wild);
    if (chance.yes(wild / 4)) lines.push(`Content-Length: ${chance.one([body.length, 0, 3, 5])}`);
  }
  if (chance.yes(0.5)) lines.reverse();
  const head = `${before}${method}${gap()}${aim}${gap()}${version}${lineEnd()}`;
  return head + lines.map((line) => line + lineEnd()).join('') + end + body;
}

const SPICE = [
  ...GAPS,
  ...ENDS,
  ...CODINGS,
  ':',
  '\r\n\r\n',
  '0\r\n\r\n',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Host: x\r\n',
  `GET http://${AUTHORITY}/smuggled HTTP/1.1\r\n`,
];

/** What one connection says; `plain`: only requests that every parser must take. */
export function connectionText(chance: Chance): { readonly bytes: Buffer; readonly plain: boolean } {
  const kind = chance.below(10);
  const wild = kind < 2 ? 0 : kind < 7 ? 0.15 : 0.5;
  let text = '';
  for (let i = 1 + chance.below(3); i > 0; i--) text += request(chance, wild);
  const bytes = Buffer.from(text, 'latin1');
  if (kind !== 0 && chance.yes(0.3)) return { bytes: chance.mutated(bytes, 3, SPICE), plain: false };
  return { bytes, plain: wild === 0 };
}
