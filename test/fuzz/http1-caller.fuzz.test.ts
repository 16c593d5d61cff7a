/**
 * Invariant: how the bytes of a caller are cut into pieces changes nothing: the same answers come back, in the
 * same order, and the connection ends or goes on as it does when they come in one piece.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cast, stage } from '../support/cast.ts';
import { until } from '../support/until.ts';

/** What a caller may send, good and bad; `@` is the origin. */
const PARTS: readonly string[] = [
  'GET @/a HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET @/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
  'GET @/a HTTP/1.0\r\n\r\n',
  'HEAD @/a HTTP/1.1\r\nHost: x\r\n\r\n',
  'fr0b @/a HTTP/1.1\r\nHost: x\r\n\r\n',
  'POST @/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello',
  'POST @/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n',
  'POST @/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n',
  'POST @/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n',
  'POST @/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
  'POST @/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'GET @/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  'GET @/a HTTP/1.1\r\n\r\n',
  'GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n',
  'POST @/a HTTP/1.1\r\nHost: x\r\nExpect: miracle\r\nContent-Length: 3\r\n\r\nabc',
  'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET  @/a HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET @/a RTSP/1.0\r\nHost: x\r\n\r\n',
  'GET @/a HTTP/1.1\nHost: x\r\n\r\n',
  'GET @/a HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nTM\r\n\r\n',
  '\r\n\r\n',
  '\r\n'.repeat(12),
  `GET @/${'a'.repeat(700)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  `GET @/a HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(12)}\r\n`,
  `GET @/a HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(1_100)}\r\n\r\n`,
];

/** Ends every conversation that has not ended by itself. */
const LAST = 'GET @/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

/** What differs from one exchange to the next; also, whether an attempt had begun when a body was found wrong. */
const OWN =
  /^(?:x-request-id|date): .*\r\n|"requestId":"[^"]*"|details="[^"]*"|"detail":"[^"]*"|(?<=problem\+json\r\n)Content-Length: .*\r\n|attempts=\d; |"attempts":\d/gim;

async function converse(cast: Cast, pieces: readonly string[]): Promise<string> {
  const caller = await cast.raw(0);
  for (const piece of pieces) {
    if (caller.ended || caller.closed) break;
    await new Promise<void>((resolve) => caller.socket.write(Buffer.from(piece, 'latin1'), () => resolve()));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => caller.ended || caller.closed, `the end after ${JSON.stringify(pieces)}`);
  const { received } = caller;
  caller.leave();
  return received.replace(OWN, '');
}

test('any split of any bytes gives the same answers', { timeout: 120_000 }, () =>
  stage(
    'limits: { targetBytes: 1KiB, headerBytes: 1KiB, headerFields: 10 }\npolicy: { breaker: null }',
    async (cast) => {
      const origin = await cast.origin((request, response) => {
        let body = '';
        request.on('data', (chunk: Buffer) => {
          body += chunk.toString();
        });
        request.on('end', () => response.end(`${request.method} ${body}`));
      });
      const whole = new Map<string, string>();
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.constantFrom(...PARTS), { minLength: 1, maxLength: 4 }),
          fc.array(fc.nat(2_000), { maxLength: 12 }),
          async (parts, cuts) => {
            const text = [...parts, LAST].join('').replaceAll('@', origin.url);
            const expected = whole.get(text) ?? (await converse(cast, [text]));
            whole.set(text, expected);
            const at = [...new Set([0, ...cuts.map((cut) => cut % text.length)])].toSorted((a, b) => a - b);
            const pieces = at.map((from, i) => text.slice(from, at[i + 1]));
            assert.equal(await converse(cast, pieces), expected);
          },
        ),
        { numRuns: 400 },
      );
      await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'the exchanges to be over');
      await until(() => cast.sidecar.sidecar.snapshot().callerConnections === 0, 'the callers to be gone');
      cast.expected = cast.sidecar.exchanges.length;
    },
  ),
);
