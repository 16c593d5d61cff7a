import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { answer } from '../support/origin.ts';
import { until } from '../support/until.ts';

async function ask(cast: Cast, path: string, body?: object): Promise<{ status: number; body: string }> {
  const response = await fetch(cast.sidecar.adminUrl + path, {
    headers: { connection: 'close', 'content-type': 'application/json' },
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.text() };
}

test('the latest exchanges are told as the log tells them, whatever its level, and no more than there may be', () =>
  stage(
    'admin: { exchanges: 2 }\npolicy: { retry: { attempts: 2, backoff: { initial: 1ms, max: 1ms } } }',
    async (cast) => {
      const origin = await cast.origin((request, response, seen) => {
        const first = origin.seen.filter(({ url }) => url === request.url).length === 1;
        answer(first && request.url?.startsWith('/retried') ? 503 : 200)(request, response, seen);
      });
      for (const path of ['/first', '/second', '/retried?key=value'])
        await cast.call(origin.url + path, { headers: { 'X-Request-Id': `id${path.slice(1, 8)}` } });
      await cast.sidecar.line(3);
      const { exchanges } = JSON.parse((await ask(cast, '/exchanges')).body);
      assert.deepEqual(
        exchanges.map((one: Record<string, unknown>) => [one['requestId'], one['attempts'], one['status']]),
        [
          ['idretried', 2, 200],
          ['idsecond', 1, 200],
        ],
      );
      assert.equal(exchanges[0].origin, origin.url);
      const timeline = JSON.parse((await ask(cast, '/exchanges/idretried')).body);
      assert.deepEqual(timeline, { exchanges: [cast.sidecar.exchanges[2]] });
      assert.match(`${timeline.exchanges[0]?.attempts[0]?.retry}`, /^retried: /);
      assert.equal((await ask(cast, '/exchanges/idfirst')).status, 404, 'it made place');

      const result = await cast.sidecar.reload('{ admin: { exchanges: 1 }, log: { level: error } }');
      assert.ok(result.ok);
      cast.expected--;
      await cast.call(`${origin.url}/unlogged`);
      await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'its end');
      const { exchanges: one } = JSON.parse((await ask(cast, '/exchanges')).body);
      assert.deepEqual([one.length, one[0].status], [1, 200]);
      assert.equal((await cast.sidecar.reload('admin: { exchanges: 0 }')).ok, true);
      await cast.call(`${origin.url}/forgotten`);
      assert.deepEqual(JSON.parse((await ask(cast, '/exchanges')).body), { exchanges: [] });
    },
  ));

test("an operator's word about a circuit holds until it is taken back", () =>
  stage('policy: { breaker: { minimumCalls: 2, openFor: 60s }, retry: { attempts: 1 } }', async (cast) => {
    const origin = await cast.origin(answer(500));
    const circuit = `/origins/${encodeURIComponent(origin.url)}/circuit`;
    assert.equal((await ask(cast, circuit, { state: 'open' })).status, 404, 'nobody has asked for it yet');
    const statuses = async (n: number): Promise<number[]> => {
      const all: number[] = [];
      for (let i = 0; i < n; i++) all.push((await cast.call(origin.url)).status);
      return all;
    };
    assert.deepEqual(await statuses(1), [500]);
    const opened = await ask(cast, circuit, { state: 'open' });
    assert.deepEqual([opened.status, JSON.parse(opened.body).circuit], [200, 'open']);
    const refused = await cast.call(origin.url);
    assert.equal(refused.status, 503);
    assert.match(refused.text, /"detail":"[^"]*: opened by an operator, until set otherwise"/);
    assert.equal(JSON.parse((await ask(cast, circuit, { state: 'closed' })).body).circuit, 'closed');
    assert.deepEqual(await statuses(4), [500, 500, 500, 500]);
    assert.equal(JSON.parse((await ask(cast, circuit, { state: 'auto' })).body).circuit, 'closed');
    assert.deepEqual(await statuses(3), [500, 500, 503]);
  }));

test('a request is explained by the configuration that runs, and by the next one after a reload', () =>
  stage('routes: [{ name: before, match: { hosts: [api.example] } }]', async (cast) => {
    const query = `/explain?method=POST&url=${encodeURIComponent('http://api.example/v1')}`;
    const routeOf = async (): Promise<string> => {
      const { status, body } = await ask(cast, query);
      assert.equal(status, 200, body);
      return body;
    };
    assert.match(await routeOf(), /"before"/);
    const { ok } = await cast.sidecar.reload(
      'routes: [{ name: after, match: { hosts: [api.example] }, access: deny }]',
    );
    assert.equal(ok, true);
    const body = await routeOf();
    assert.match(body, /"after"/);
    assert.match(body, /access_denied/);
    assert.doesNotMatch(body, /"before"/);
    assert.equal((await ask(cast, '/explain?url=')).status, 400);
  }));
