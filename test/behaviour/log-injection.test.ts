import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LINE_MAX } from '../../src/telemetry/log.ts';
import { stage } from '../support/cast.ts';

/** What would begin a line of its own, end a string or move a cursor, where it got into a line as it is. */
const NASTY = [
  '\x1b[2J\x1b]0;forged\x07',
  '\x9b31m\x85\xff\x80',
  '\xe2\x80\xa8{"level":"fatal"}',
  '"},{"outcome":"completed',
  '\\u000d\\u000a',
  '%0d%0a%1b[31m',
  '\x7f\x08',
  '\0',
  '%E2%80%A8'.repeat(400),
];

/** The parts of a request that a caller chooses, each with its own share of it. */
const heads = (url: string, nasty: string): string[] => [
  `GET ${url}/${nasty} HTTP/1.1\r\nHost: x\r\n\r\n`,
  `GET ${url}/?${nasty} HTTP/1.1\r\nHost: x\r\n\r\n`,
  `GET http://${nasty}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
  `GET ${url}/ HTTP/1.1\r\nHost: ${nasty}\r\n\r\n`,
  `GET /${nasty} HTTP/1.1\r\nHost: ${nasty}\r\n\r\n`,
  `X${nasty} ${url}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
  `CONNECT ${nasty}:443 HTTP/1.1\r\nHost: x\r\n\r\n`,
  `GET ${url}/ HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${nasty}\r\nTraceparent: ${nasty}\r\n\r\n`,
  `GET ${url}/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic ${nasty}\r\nUser-Agent: ${nasty}\r\n\r\n`,
  `GET ${url}/ HTTP/${nasty}\r\nHost: x\r\n\r\n`,
];

function assertLines(lines: readonly string[]): void {
  for (const line of lines) {
    assert.match(line, /^\{[\x20-\x7e]*\}\n$/);
    assert.ok(line.length <= LINE_MAX);
    JSON.parse(line);
  }
  assert.ok(!lines.some((line) => line.includes('"level":"fatal"')), 'a forged line');
}

test('whatever a caller puts into a head, its exchange is one line of ASCII and valid JSON', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    for (const nasty of NASTY) {
      for (const head of heads(origin.url, nasty)) {
        const before = cast.sidecar.exchanges.length;
        const caller = await cast.raw();
        caller.write(Buffer.from(head, 'latin1'));
        await cast.sidecar.line(before + 1);
        caller.leave();
      }
    }
    assert.equal(cast.sidecar.exchanges.length, NASTY.length * heads('', '').length);
    assertLines(cast.sidecar.lines);
  }));

test('whatever an origin puts into a head, the line of its exchange is one of ASCII and valid JSON', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    const answers = NASTY.flatMap((nasty) => [
      `HTTP/1.1 200 ${nasty}\r\nContent-Length: 0\r\n\r\n`,
      `HTTP/1.1 ${nasty}\r\n\r\n`,
      `HTTP/${nasty} 200 OK\r\n\r\n`,
      `${nasty}\r\n\r\n`,
      `HTTP/1.1 200 OK\r\n${nasty}: a\r\nContent-Length: 0\r\n\r\n`,
      `HTTP/1.1 200 OK\r\nContent-Length: ${nasty}\r\n\r\n`,
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${nasty}\r\n\r\n`,
      `HTTP/1.1 503 x\r\nRetry-After: ${nasty}\r\nContent-Length: 0\r\n\r\n`,
    ]);
    let next = 0;
    const origin = await cast.rawOrigin((socket) => {
      socket.once('data', () => socket.end(Buffer.from(answers[next] ?? '', 'latin1')));
    });
    for (; next < answers.length; next++) {
      const before = cast.sidecar.exchanges.length;
      const caller = await cast.raw();
      caller.write(`GET http://127.0.0.1:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      await cast.sidecar.line(before + 1);
      caller.leave();
    }
    assert.equal(cast.sidecar.exchanges.length, answers.length);
    assertLines(cast.sidecar.lines);
  }));

test('of a target that is refused for it, neither the query nor the fragment is in the log', () =>
  stage('', async (cast) => {
    for (const target of [
      '/x?a=c4n4ry',
      '/x#a=c4n4ry',
      '/x#?a=c4n4ry',
      'http://x.test/#c4n4ry',
      'http://u:c4n4ry@x.test/',
    ]) {
      const caller = await cast.raw();
      caller.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      assert.match(await caller.untilEnd(), /^HTTP\/1.1 40[04] /, target);
      const { path } = await cast.sidecar.line(cast.expected);
      assert.ok(path === '/x' || path === '', String(path));
    }
    assert.doesNotMatch(cast.sidecar.lines.join(''), /c4n4ry/);
  }));
