import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutriggerError } from '../../../src/errors.ts';
import type { Outcome } from '../../../src/exchange.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import type { OriginSnapshot, UpstreamSnapshot } from '../../../src/telemetry/snapshot.ts';
import { type Exposition, expositionOf } from './exposition.ts';
import { finished } from './finished.ts';

const nothing: UpstreamSnapshot = {
  origins: [],
  exchangesInFlight: 0,
  connections: 0,
  tunnels: 0,
  replayBytes: 0,
};

const origin = (name: string, fields: Partial<OriginSnapshot> = {}): OriginSnapshot => ({
  origin: name,
  connections: { busy: 1, idle: 2, connecting: 3, closing: 4 },
  streams: 1,
  protocol: 'http/1.1',
  limit: 64,
  queue: 5,
  circuit: 'closed',
  circuitOpenings: 0,
  lastUsedMs: 10,
  ...fields,
});

function metricsOf(snapshot: () => UpstreamSnapshot = () => nothing, routes = ['default']): Metrics {
  return new Metrics({ version: '1.2.3', routes, snapshot, dropped: () => 7 });
}

const page = async (metrics: Metrics): Promise<Exposition> => expositionOf(await metrics.render());

test('the page is valid text format, with every promised family and the metrics of Node', async () => {
  const metrics = metricsOf(() => ({
    ...nothing,
    callerConnections: 3,
    origins: [origin('http://a.example:80')],
  }));
  metrics.exchangeFinished(
    finished({
      attempts: [{ queueMs: 1, retry: 'retried: status' }, { retry: 'not retried: budget spent' }],
    }),
  );
  metrics.exchangeFinished(finished({ outcome: 'refused', error: new OutriggerError('queue_full') }));
  metrics.exchangeFinished(finished({ outcome: 'refused', error: new OutriggerError('request_too_large') }));
  const { families } = await page(metrics);
  assert.deepEqual(Object.fromEntries([...families].filter(([name]) => name.startsWith('outrigger_'))), {
    outrigger_exchanges_total: 'counter',
    outrigger_attempts_total: 'counter',
    outrigger_retries_total: 'counter',
    outrigger_retries_refused_total: 'counter',
    outrigger_errors_total: 'counter',
    outrigger_access_reported_total: 'counter',
    outrigger_limited_total: 'counter',
    outrigger_shed_total: 'counter',
    outrigger_exchange_duration_seconds: 'histogram',
    outrigger_attempt_duration_seconds: 'histogram',
    outrigger_queue_wait_seconds: 'histogram',
    outrigger_pool_connections: 'gauge',
    outrigger_pool_connections_limit: 'gauge',
    outrigger_pool_queue: 'gauge',
    outrigger_circuit_state: 'gauge',
    outrigger_circuit_openings_total: 'counter',
    outrigger_exchanges_in_flight: 'gauge',
    outrigger_connections: 'gauge',
    outrigger_caller_connections: 'gauge',
    outrigger_caller_connections_shed_total: 'counter',
    outrigger_tunnels: 'gauge',
    outrigger_unhandled_errors_total: 'counter',
    outrigger_replay_bytes: 'gauge',
    outrigger_build_info: 'gauge',
    outrigger_log_lines_dropped_total: 'counter',
    outrigger_intercept_handshakes_total: 'counter',
    outrigger_tunnel_bytes_total: 'counter',
    outrigger_config_reloads_total: 'counter',
  });
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'nodejs_eventloop_lag_seconds',
  ]) {
    assert.ok(families.has(name), name);
  }
});

test('an exchange moves the series of its route, and each of its attempts its own', async () => {
  const metrics = metricsOf();
  const refused = new OutriggerError('connection_refused');
  metrics.exchangeFinished(
    finished({
      method: 'POST',
      status: 201,
      attempts: [
        { verdict: 'failure', error: refused, retry: 'retried: unsent', durationMs: 2, queueMs: 0.5 },
        { verdict: 'failure', error: null, retry: 'retried: Idempotency-Key', durationMs: 3 },
        { verdict: 'success', durationMs: 700 },
      ],
    }),
  );
  metrics.exchangeFinished(
    finished({
      status: 502,
      outcome: 'failed',
      error: refused,
      attempts: [{ verdict: 'failure', error: refused, retry: 'not retried: budget spent' }],
    }),
  );
  const { value } = await page(metrics);
  assert.equal(
    value('outrigger_exchanges_total', {
      route: 'default',
      method: 'POST',
      status: '201',
      outcome: 'completed',
    }),
    1,
  );
  assert.equal(
    value('outrigger_exchanges_total', { route: 'default', method: 'GET', status: '502', outcome: 'failed' }),
    1,
  );
  assert.equal(value('outrigger_attempts_total', { route: 'default', result: 'connection_refused' }), 2);
  assert.equal(value('outrigger_attempts_total', { route: 'default', result: 'failure' }), 1);
  assert.equal(value('outrigger_attempts_total', { route: 'default', result: 'success' }), 1);
  assert.equal(value('outrigger_retries_total', { route: 'default', reason: 'unsent' }), 1);
  assert.equal(value('outrigger_retries_total', { route: 'default', reason: 'Idempotency-Key' }), 1);
  assert.equal(value('outrigger_retries_refused_total', { route: 'default', reason: 'budget spent' }), 1);
  assert.equal(value('outrigger_errors_total', { route: 'default', error: 'connection_refused' }), 1);
  assert.equal(value('outrigger_exchange_duration_seconds_count', { route: 'default' }), 2);
  assert.equal(value('outrigger_attempt_duration_seconds_bucket', { route: 'default', le: '0.0025' }), 1);
  assert.equal(value('outrigger_attempt_duration_seconds_bucket', { route: 'default', le: '0.5' }), 3);
  assert.equal(value('outrigger_attempt_duration_seconds_bucket', { route: 'default', le: '1' }), 4);
  assert.equal(value('outrigger_queue_wait_seconds_count', { route: 'default' }), 1);
  assert.equal(value('outrigger_queue_wait_seconds_sum', { route: 'default' }), 0.0005);
});

test('an exchange that was shed says why', async () => {
  const metrics = metricsOf();
  for (const name of ['queue_full', 'queue_timeout', 'circuit_open', 'exchange_limit'] as const) {
    metrics.exchangeFinished(
      finished({ outcome: 'refused', status: 503, error: new OutriggerError(name), attempts: [] }),
    );
    metrics.exchangeFinished(
      finished({ outcome: 'refused', status: 403, error: new OutriggerError('access_denied') }),
    );
  }
  const { series, value } = await page(metrics);
  assert.equal(series('outrigger_shed_total').length, 4);
  assert.equal(value('outrigger_shed_total', { route: 'default', reason: 'queue_full' }), 1);
});

test('an exchange that a limit refused or cut says which', async () => {
  const metrics = metricsOf();
  for (const name of ['request_too_large', 'caller_stalled', 'request_body_yielded', 'queue_full'] as const)
    metrics.exchangeFinished(finished({ outcome: 'failed', status: 408, error: new OutriggerError(name) }));
  const { series, value } = await page(metrics);
  assert.equal(series('outrigger_limited_total').length, 3);
  assert.equal(value('outrigger_limited_total', { route: 'default', limit: 'caller_stalled' }), 1);
});

test('counts grow from scrape to scrape and are never counted twice', async (t) => {
  const metrics = metricsOf();
  const labels = { route: 'default', method: 'GET', status: '200', outcome: 'completed' };
  t.mock.method(performance, 'now', tickingBy(2000));
  for (let n = 1; n <= 3; n++) {
    metrics.exchangeFinished(finished());
    metrics.tunnelBytes('downstream', 10);
    const { value } = await page(metrics);
    assert.equal(value('outrigger_exchanges_total', labels), n);
    assert.equal(value('outrigger_tunnel_bytes_total', { direction: 'downstream' }), n * 10);
    assert.equal(value('outrigger_log_lines_dropped_total', {}), 7);
  }
});

test('scrapes within a second share one page', async (t) => {
  let looks = 0;
  const metrics = metricsOf(() => {
    looks++;
    return nothing;
  });
  t.mock.method(performance, 'now', tickingBy(300));
  const pages = await Promise.all([metrics.render(), metrics.render(), metrics.render()]);
  assert.equal(looks, 1);
  assert.equal(new Set(pages).size, 1);
  await metrics.render();
  await metrics.render();
  assert.equal(looks, 2);
});

test('invented methods, statuses, reasons and routes cannot add series beyond the bound', async () => {
  const metrics = metricsOf();
  const outcomes: readonly Outcome[] = ['completed', 'refused', 'failed', 'aborted', 'truncated'];
  for (let n = 0; n < 20_000; n++) {
    metrics.exchangeFinished(
      finished({
        method: n % 2 === 0 ? `HACK${n}` : 'GET',
        status: 100 + (n % 900),
        outcome: outcomes[n % 5] as Outcome,
        attempts: [{ retry: `not retried: because ${n}` }, { retry: `retried: ${n}` }],
      }),
    );
  }
  for (let n = 0; n < 1000; n++) metrics.exchangeFinished(finished({ route: `route-${n}` }));
  const { series, samples } = await page(metrics);
  const methods = new Set(series('outrigger_exchanges_total').map(({ labels }) => labels['method']));
  assert.deepEqual(methods, new Set(['GET', 'OTHER']));
  const ofDefault = series('outrigger_exchanges_total').filter(({ labels }) => labels['route'] === 'default');
  assert.ok(ofDefault.length <= 205, `${ofDefault.length} series`);
  assert.equal(
    ofDefault.reduce((sum, { value }) => sum + value, 0),
    20_000,
    'what has no series of its own is still counted',
  );
  assert.ok(series('outrigger_retries_refused_total').length <= 49);
  assert.ok(series('outrigger_retries_total').length <= 49);
  const routes = new Set(series('outrigger_exchanges_total').map(({ labels }) => labels['route']));
  assert.ok(routes.size <= 257, `${routes.size} routes`);
  assert.ok(routes.has('other'));
  assert.ok(samples.length < 20_000);
});

test('a route may be called other, and statuses there are none', async () => {
  const metrics = metricsOf(() => nothing, ['default', 'other']);
  metrics.exchangeFinished(finished({ route: 'other', status: null, outcome: 'aborted' }));
  const { value } = await page(metrics);
  assert.equal(
    value('outrigger_exchanges_total', { route: 'other', method: 'GET', status: 'none', outcome: 'aborted' }),
    1,
  );
});

test('origins have series while they are remembered', async (t) => {
  let origins = [
    origin('http://a.example:80', { circuit: 'open', circuitOpenings: 3 }),
    origin('http://b.example:80', { circuit: null }),
  ];
  const metrics = metricsOf(() => ({ ...nothing, origins }));
  t.mock.method(performance, 'now', tickingBy(2000));
  const first = await page(metrics);
  const a = { origin: 'http://a.example:80' };
  assert.equal(first.value('outrigger_pool_connections', { ...a, state: 'busy' }), 1);
  assert.equal(first.value('outrigger_pool_connections', { ...a, state: 'idle' }), 2);
  assert.equal(first.value('outrigger_pool_connections', { ...a, state: 'connecting' }), 3);
  assert.equal(first.value('outrigger_pool_connections', { ...a, state: 'closing' }), 4);
  assert.equal(first.value('outrigger_pool_connections_limit', a), 64);
  assert.equal(first.value('outrigger_pool_queue', a), 5);
  assert.equal(first.value('outrigger_circuit_state', a), 2);
  assert.equal(first.value('outrigger_circuit_openings_total', a), 3);
  assert.equal(first.series('outrigger_circuit_state').length, 1, 'none without a breaker');
  origins = [origin('http://b.example:80')];
  const second = await page(metrics);
  assert.equal(second.series('outrigger_pool_queue').length, 1);
  assert.equal(second.series('outrigger_circuit_openings_total').length, 1);
});

test('of many origins those in trouble and the busiest have series, the rest is summed as other', async () => {
  const origins = Array.from({ length: 300 }, (_, n) =>
    origin(`http://${n}.example:80`, {
      connections: { busy: n, idle: 0, connecting: 0, closing: 0 },
      streams: n,
      protocol: 'http/1.1',
      queue: 0,
    }),
  );
  origins[0] = origin('http://0.example:80', { circuit: 'open', queue: 0 });
  const { series, value } = await page(metricsOf(() => ({ ...nothing, origins })));
  const queues = series('outrigger_pool_queue');
  assert.equal(queues.length, 101);
  assert.equal(value('outrigger_circuit_state', { origin: 'http://0.example:80' }), 2);
  assert.equal(value('outrigger_pool_connections', { origin: 'http://299.example:80', state: 'busy' }), 299);
  const busy = series('outrigger_pool_connections').filter(({ labels }) => labels['state'] === 'busy');
  assert.equal(
    busy.reduce((sum, { value: n }) => sum + n, 0),
    (299 * 300) / 2 + 1,
  );
});

test('an origin with a hostile name is one label and no more', async () => {
  const name = 'http://a"} 1\nevil_total 9 \\:80';
  const { series } = await page(metricsOf(() => ({ ...nothing, origins: [origin(name)] })));
  assert.deepEqual(
    series('outrigger_pool_queue').map(({ labels }) => labels['origin']),
    [name],
  );
});

test('tunnels and reloads are told', async () => {
  const metrics = metricsOf();
  metrics.tunnelOpened();
  metrics.tunnelOpened();
  metrics.tunnelClosed();
  metrics.tunnelBytes('upstream', 5);
  metrics.configReload('failure');
  const { value } = await page(metrics);
  assert.equal(value('outrigger_tunnels', {}), 1);
  assert.equal(value('outrigger_tunnel_bytes_total', { direction: 'upstream' }), 5);
  assert.equal(value('outrigger_config_reloads_total', { result: 'failure' }), 1);
  assert.equal(value('outrigger_config_reloads_total', { result: 'success' }), 0);
  assert.equal(value('outrigger_build_info', { version: '1.2.3', node: process.versions.node }), 1);
});

test('two sidecars in one process count apart', async () => {
  const one = metricsOf();
  const two = metricsOf();
  one.exchangeFinished(finished());
  assert.equal((await page(one)).series('outrigger_exchanges_total').length, 1);
  assert.equal((await page(two)).series('outrigger_exchanges_total').length, 0);
});

/** A clock that is later by so much each time somebody looks. */
function tickingBy(ms: number): () => number {
  let now = 10_000;
  return () => (now += ms);
}

test('routes that have gone keep their series until new ones need the place, and come back as new', async (t) => {
  t.mock.method(performance, 'now', tickingBy(2_000));
  const metrics = metricsOf(() => nothing, ['default', 'gone', 'stays']);
  const count = async (route: string): Promise<number | undefined> => {
    const line = (await metrics.render()).match(
      new RegExp(`^outrigger_exchange_duration_seconds_count\\{route="${route}"\\} (\\d+)$`, 'm'),
    );
    return line === null ? undefined : Number(line[1]);
  };
  metrics.exchangeFinished(finished({ route: 'gone' }));
  metrics.exchangeFinished(finished({ route: 'stays' }));
  const many = Array.from({ length: 254 }, (_, i) => `r${i}`);
  metrics.setRoutes(['default', 'stays', ...many.slice(0, 253)]);
  assert.deepEqual([await count('gone'), await count('stays'), await count('r252')], [1, 1, 0]);
  metrics.setRoutes(['default', 'stays', ...many]);
  assert.deepEqual([await count('gone'), await count('stays'), await count('r253')], [undefined, 1, 0]);
  assert.doesNotMatch(await metrics.render(), /route="gone"/);
  metrics.setRoutes(['default', 'stays', 'gone']);
  metrics.exchangeFinished(finished({ route: 'gone' }));
  assert.deepEqual([await count('gone'), await count('r0')], [1, undefined]);
});
