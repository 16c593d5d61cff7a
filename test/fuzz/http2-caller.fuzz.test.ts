/**
 * Invariant: whatever a caller of HTTP/2 sends, frames that are well formed or not, in any order and cut
 * anywhere, the process lives, others are served, no exchange is left in flight, and each has one line.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stage } from '../support/cast.ts';
import {
  fieldBlock,
  frame,
  PREFACE,
  RawHttp2Caller,
  requestFields,
  SETTINGS,
} from '../support/http2-caller.ts';
import { until } from '../support/until.ts';

const stream = fc.constantFrom(0, 1, 1, 3, 5, 7, 2, 0x7fffffff);
const raw = fc.record({
  type: fc.nat({ max: 11 }),
  flags: fc.constantFrom(0, 1, 4, 5, 8, 0x20, 0xff),
  stream,
  payload: fc.uint8Array({ maxLength: 60 }),
});
const known = fc.constantFrom('GET', 'GET', 'POST', 'POST', 'HEAD', 'CONNECT', 'OPTIONS', '');
const path = fc.constantFrom(
  '/quick',
  '/quick',
  '/quick',
  '/silent',
  '/silent',
  '/half',
  '/half',
  '*',
  '',
  'x',
);
const field = fc.constantFrom<[string, string]>(
  ['content-length', '3'],
  ['host', 'x'],
  ['te', 'trailers'],
  ['expect', '100-continue'],
  ['cookie', 'a'],
  ['connection', 'close'],
  ['x', '\r\n'],
  [':path', '/'],
);

test('frames in any order harm nobody', { timeout: 120_000 }, () =>
  stage('policy: { breaker: null }', async (cast) => {
    const origin = await cast.origin((request, response) => {
      if (request.url === '/silent') return;
      if (request.url === '/half') {
        response.write('half');
        setImmediate(() => response.destroy());
      } else request.resume().on('end', () => response.end('done'));
    });
    /** In the order of their streams, mostly. */
    const request = fc
      .record({
        flags: fc.constantFrom(0, 1, 4, 4, 5, 5, 5, 5, 5),
        stray: fc.oneof({ weight: 8, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: stream }),
        known,
        path,
        fields: fc.array(field, { maxLength: 2 }),
      })
      .map((one) => (n: number) => {
        const head = requestFields(`${origin.url}/`, one.known);
        head[3] = [':path', one.path];
        return frame(1, one.flags, one.stray ?? 2 * n + 1, fieldBlock([...head, ...one.fields]));
      });
    const anything = fc.oneof(
      { weight: 16, arbitrary: request },
      {
        weight: 2,
        arbitrary: raw.map((one) => () => frame(one.type, one.flags, one.stream, Buffer.from(one.payload))),
      },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => () => Buffer.from(bytes)) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(anything, { maxLength: 8 }),
        fc.array(fc.nat({ max: 400 }), { maxLength: 4 }),
        fc.constantFrom('destroy', 'end', 'reset'),
        fc.nat({ max: 20 }),
        async (frames, cuts, leaving, turns) => {
          const bytes = Buffer.concat([PREFACE, frame(SETTINGS, 0, 0), ...frames.map((make, n) => make(n))]);
          const caller = await RawHttp2Caller.connect(cast.sidecar.port, Buffer.alloc(0));
          let at = 0;
          for (const cut of cuts.toSorted((a, b) => a - b)) {
            if (cut <= at) continue;
            caller.write(bytes.subarray(at, cut));
            at = cut;
            await new Promise((resolve) => setImmediate(resolve));
          }
          caller.write(bytes.subarray(at));
          for (let n = 0; n <= turns; n++) await new Promise((resolve) => setImmediate(resolve));
          if (leaving === 'end') caller.socket.end();
          else if (leaving === 'reset') caller.socket.resetAndDestroy();
          else caller.socket.destroy();
          const { sidecar } = cast.sidecar;
          await until(() => sidecar.snapshot().callerConnections === 0, 'the caller to be let go');
          await until(() => sidecar.snapshot().exchangesInFlight === 0, 'nothing to be in flight');
        },
      ),
      { numRuns: 500 },
    );
    const ids = cast.sidecar.exchanges.map(({ requestId }) => requestId);
    assert.equal(new Set(ids).size, ids.length, 'one line each');
    assert.ok(ids.length > 50, `only ${ids.length} of them were requests`);
    cast.expected += ids.length;
    assert.equal((await cast.call(`${origin.url}/quick`)).text, 'done');
  }),
);
