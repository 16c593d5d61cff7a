import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RecentExchanges } from '../../../src/telemetry/recent-exchanges.ts';

const line = (id: string, n: number): string =>
  JSON.stringify({
    time: `t${n}`,
    requestId: id,
    method: 'GET',
    scheme: 'http',
    host: n % 2 === 0 ? 'a.example' : '::1',
    port: 80,
    route: 'default',
    status: 200,
    outcome: 'completed',
    error: null,
    reason: null,
    attempts: [{ n: 1 }],
    durationMs: n,
  });

test('the list tells what an exchange was and what became of it, the latest first', () => {
  const recent = new RecentExchanges(2);
  for (let n = 0; n < 3; n++) recent.add(line(`id-${n}`, n));
  assert.deepEqual(
    recent.list().map(({ requestId, origin, attempts }) => [requestId, origin, attempts]),
    [
      ['id-2', 'http://a.example:80', 1],
      ['id-1', 'http://[::1]:80', 1],
    ],
  );
});

test('a timeline is the line of the log, for every exchange of that request ID', () => {
  const recent = new RecentExchanges(5);
  for (let n = 0; n < 4; n++) recent.add(line(`id-${n % 2}`, n));
  assert.deepEqual(recent.timelines('id-1'), [JSON.parse(line('id-1', 3)), JSON.parse(line('id-1', 1))]);
  assert.deepEqual(recent.timelines('id-9'), []);
});

test('whatever its limit becomes, the latest are there, as many as there may be', () => {
  const step = fc.oneof(fc.constant('add' as const), fc.integer({ min: 0, max: 6 }));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 6 }), fc.array(step, { maxLength: 40 }), (limit, steps) => {
      const recent = new RecentExchanges(limit);
      let model: string[] = [];
      let most = limit;
      for (const [n, it] of steps.entries()) {
        if (it === 'add') {
          recent.add(line(`${n}`, n));
          model = [`${n}`, ...model].slice(0, most);
        } else {
          most = it;
          recent.setLimit(it);
          model = model.slice(0, it);
        }
        assert.deepEqual(
          recent.list().map(({ requestId }) => requestId),
          model,
        );
      }
    }),
  );
});
