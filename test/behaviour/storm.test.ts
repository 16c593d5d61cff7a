import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { answer, type HttpOrigin } from '../support/origin.ts';
import { until } from '../support/until.ts';

const RETRY = 'retry: { attempts: 3, backoff: { initial: 5ms, max: 20ms } }';
const POOL = 'pool: { connections: 32, queue: 5000, queueTimeout: 20s }';

/** So many callers at once, each with one GET after the other. */
async function storm(cast: Cast, origin: HttpOrigin, callers: number, each: number): Promise<number> {
  const began = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let i = 0; i < each; i++) assert.equal((await cast.call(`${origin.url}/`)).status, 503);
    }),
  );
  return (performance.now() - began) / 1_000;
}

test('an origin that answers 503 to everything gets at most 1.2 times the requests, and the floor of the budget', (t) =>
  stage(`policy: { ${RETRY}, ${POOL}, breaker: null }`, async (cast) => {
    const origin = await cast.origin(answer(503, 'down'));
    const seconds = await storm(cast, origin, 50, 100);
    const ratio = origin.seen.length / 5_000;
    const most = 5_000 * 1.2 + 3 * (Math.ceil(seconds) + 1);
    t.diagnostic(
      `5000 requests in ${seconds.toFixed(1)} s became ${origin.seen.length}: ${ratio.toFixed(3)} times`,
    );
    assert.ok(origin.seen.length <= most, `${origin.seen.length} > ${most}`);
    assert.ok(origin.seen.length > 5_000, 'some are tried again');
    const reasons = new Set(cast.sidecar.exchanges.flatMap((line) => line.attempts.map((one) => one.retry)));
    assert.ok(reasons.has('not retried: budget spent'));
    assert.ok(reasons.has('retried: status'));
  }));

test('an origin that resets every connection gets no more than that either', (t) =>
  stage(`policy: { ${RETRY}, ${POOL}, breaker: null }`, async (cast) => {
    const origin = await cast.origin((request) => request.socket.resetAndDestroy());
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 30 }, async () => {
        for (let i = 0; i < 50; i++) assert.equal((await cast.call(`${origin.url}/`)).status, 502);
      }),
    );
    const seconds = (performance.now() - began) / 1_000;
    t.diagnostic(`1500 requests became ${origin.seen.length} in ${seconds.toFixed(1)} s`);
    assert.ok(origin.seen.length <= 1_500 * 1.2 + 3 * (Math.ceil(seconds) + 1), `${origin.seen.length}`);
  }));

test('once the circuit is open an origin in trouble gets only probes', (t) =>
  stage(
    `policy: { ${RETRY}, ${POOL}, breaker: { minimumCalls: 20, openFor: 200ms, openForMax: 400ms } }`,
    async (cast) => {
      const origin = await cast.origin(answer(503, 'down'));
      await storm(cast, origin, 50, 1);
      await until(() => cast.sidecar.origin(origin.url)?.circuit === 'open', 'the circuit to open');
      const before = origin.seen.length;
      const began = performance.now();
      let requests = 0;
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          while (performance.now() - began < 1_500) {
            requests++;
            assert.equal((await cast.call(`${origin.url}/`)).status, 503);
          }
        }),
      );
      const probes = origin.seen.length - before;
      t.diagnostic(`${requests} requests while open: the origin saw ${probes} of them`);
      // 200 ms, then 400 ms each: four or five are due in a second and a half.
      assert.ok(probes >= 2 && probes <= 6, `${probes}`);
      origin.script = answer(200);
      await until(() => cast.sidecar.origin(origin.url)?.circuit === 'half-open', 'the next probe to be due');
      assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    },
  ));
