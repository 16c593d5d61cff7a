import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { answer, HttpOrigin, type Script } from '../support/origin.ts';
import { until } from '../support/until.ts';

const policy = (breaker = '', more = ''): string =>
  `policy: { retry: { attempts: 1 }, breaker: { failureRatio: 50%, minimumCalls: 4, window: 60s, openFor: 200ms, openForMax: 2s${breaker} }${more} }`;

const circuit = (cast: Cast, origin: HttpOrigin): string | null | undefined =>
  cast.sidecar.origin(origin.url)?.circuit;

async function times(n: number, call: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < n; i++) await call().catch(() => null);
}

/** The script can be changed between calls. */
async function failing(cast: Cast): Promise<HttpOrigin> {
  const origin = await cast.origin(answer(500));
  await times(4, () => cast.call(`${origin.url}/`));
  await until(() => circuit(cast, origin) === 'open', 'the circuit to open');
  return origin;
}

test('it opens once the share of failures is reached among enough calls, and not before', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.origin(answer(200));
    await times(2, () => cast.call(`${origin.url}/`));
    origin.script = answer(500);
    await times(1, () => cast.call(`${origin.url}/`));
    assert.equal(circuit(cast, origin), 'closed', 'one of three');
    await times(1, () => cast.call(`${origin.url}/`));
    await until(() => circuit(cast, origin) === 'open', 'two of four to open it');
  }));

test('below minimumCalls nothing opens it', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.origin(answer(500));
    await times(3, () => cast.call(`${origin.url}/`));
    await cast.sidecar.line(3);
    assert.equal(circuit(cast, origin), 'closed');
  }));

const FAILURES: readonly (readonly [string, Script, string?])[] = [
  ['an answer of 500', answer(500)],
  ['an answer of 503', answer(503)],
  ['a reset', (request) => request.socket.resetAndDestroy()],
  ['a connection closed without an answer', (request) => request.socket.end()],
  ['a head timeout', () => {}, ', timeouts: { head: 20ms }'],
  [
    'a truncated body',
    (request, response) => {
      response.writeHead(200, ['Content-Length', '10']);
      response.write('abc', () => request.socket.destroy());
    },
  ],
  [
    'a body that stops',
    (_request, response) => {
      response.writeHead(200, ['Content-Length', '10']);
      response.write('abc');
    },
    ', timeouts: { idle: 20ms }',
  ],
  ['what is not HTTP', (request) => request.socket.end('SSH-2.0-OpenSSH\r\n')],
];

for (const [what, script, more] of FAILURES) {
  test(`${what} is a failure`, () =>
    stage(policy('', more), async (cast) => {
      const origin = await cast.origin(script);
      await times(4, () => cast.call(`${origin.url}/`));
      await until(() => circuit(cast, origin) === 'open', 'the circuit to open');
      assert.equal(origin.seen.length, 4);
    }));
}

test('a refused connection is a failure', async () => {
  const gone = await HttpOrigin.start();
  await gone.close();
  await stage(policy(), async (cast) => {
    await times(4, () => cast.call(`${gone.url}/`));
    await until(() => circuit(cast, gone) === 'open', 'the circuit to open');
  });
});

test('a name that does not resolve is a failure', () =>
  stage(
    policy(),
    async (cast) => {
      await times(4, () => cast.call('http://nowhere.test/'));
      await until(
        () => cast.sidecar.origin('http://nowhere.test:80')?.circuit === 'open',
        'the circuit to open',
      );
    },
    {
      lookup: (_host, callback) =>
        setImmediate(() => callback(Object.assign(new Error(), { code: 'ENOTFOUND' }), [])),
    },
  ));

for (const status of [400, 401, 404, 408, 409, 429, 301]) {
  test(`an answer of ${status} is not a failure`, () =>
    stage(policy(), async (cast) => {
      const origin = await cast.origin(answer(status));
      await times(10, () => cast.call(`${origin.url}/`));
      await cast.sidecar.line(10);
      assert.equal(circuit(cast, origin), 'closed');
    }));
}

test('callers that leave are no failures, whatever they waited for', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.origin((request, response) => {
      if (request.url === '/body') response.write('x');
    });
    for (let i = 0; i < 12; i++) {
      const controller = new AbortController();
      const call = cast
        .call(`${origin.url}${i % 2 ? '/body' : '/'}`, { signal: controller.signal })
        .catch(() => null);
      await until(() => origin.seen.length === i + 1, 'the request to arrive');
      controller.abort();
      await call;
      await cast.sidecar.line(i + 1);
    }
    assert.equal(circuit(cast, origin), 'closed');
  }));

test('what the sidecar refuses itself is no failure of the origin', () =>
  stage(policy('', ', pool: { connections: 1, queue: 0 }'), async (cast) => {
    const held: (() => void)[] = [];
    const origin = await cast.origin((_request, response) => held.push(() => response.end()));
    const call = cast.call(`${origin.url}/`);
    await until(() => held.length === 1, 'the first');
    await times(20, () => cast.call(`${origin.url}/`));
    assert.equal(circuit(cast, origin), 'closed');
    held[0]?.();
    await call;
  }));

test('open, it answers at once with Retry-After, and the origin sees nothing', (t) =>
  stage(policy().replace('openFor: 200ms, openForMax: 2s', 'openFor: 3s, openForMax: 60s'), async (cast) => {
    const origin = await failing(cast);
    const { total } = origin.connections;
    const took: number[] = [];
    for (let i = 0; i < 50; i++) {
      const got = await cast.call(`${origin.url}/`);
      took.push(got.ms);
      assert.equal(got.status, 503);
      assert.match(String(got.headers['proxy-status']), /error=destination_unavailable/);
      assert.ok([2, 3].includes(Number(got.headers['retry-after'])), String(got.headers['retry-after']));
    }
    t.diagnostic(`answered in ${took.toSorted((a, b) => a - b)[25]?.toFixed(2)} ms (median)`);
    assert.equal(origin.seen.length, 4);
    assert.equal(origin.connections.total, total);
    const line = await cast.sidecar.line(54);
    assert.equal(line.outcome, 'refused');
    assert.equal(line.attempts[0]?.retry ?? null, null);
  }));

test('open, it answers also where no connection is free', () =>
  stage(policy('', ', pool: { connections: 1, queueTimeout: 20s }'), async (cast) => {
    const held: (() => void)[] = [];
    let n = 0;
    const origin = await cast.origin((_request, response) => {
      if (n++ < 3) response.writeHead(500).end();
      else held.push(() => response.writeHead(500).end());
    });
    await times(3, () => cast.call(`${origin.url}/`));
    const last = cast.call(`${origin.url}/`);
    await until(() => held.length === 1, 'the fourth');
    const waits = cast.call(`${origin.url}/`);
    await until(() => cast.sidecar.origin(origin.url)?.queue === 1, 'a fifth that waits');
    held[0]?.();
    await last;
    await until(() => circuit(cast, origin) === 'open', 'the circuit to open');
    await until(() => held.length === 2, 'the fifth, which had been let in');
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 503);
    assert.ok(got.ms < 100);
    held[1]?.();
    await waits;
  }));

test('after the open time exactly one probe goes through, and its success closes it', () =>
  stage(policy(), async (cast) => {
    const origin = await failing(cast);
    const held: (() => void)[] = [];
    origin.script = (_request, response) => held.push(() => response.end('well again'));
    await until(() => circuit(cast, origin) === 'half-open', 'the probe to be due');
    const calls = Array.from({ length: 20 }, () => cast.call(`${origin.url}/`));
    await until(() => cast.sidecar.exchanges.length === 4 + 19, 'all but one to be refused');
    assert.equal(origin.seen.length, 5);
    held[0]?.();
    const statuses = (await Promise.all(calls)).map((one) => one.status);
    assert.equal(statuses.filter((one) => one === 200).length, 1);
    assert.equal(statuses.filter((one) => one === 503).length, 19);
    await until(() => circuit(cast, origin) === 'closed', 'the circuit to close');
    origin.script = answer(200);
    for (let i = 0; i < 5; i++) assert.equal((await cast.call(`${origin.url}/`)).status, 200);
  }));

test('a probe whose caller leaves leaves it open, for the usual time', () =>
  stage(policy(), async (cast) => {
    const origin = await failing(cast);
    origin.script = () => {};
    await until(() => circuit(cast, origin) === 'half-open', 'the probe to be due');
    const controller = new AbortController();
    const probe = cast.call(`${origin.url}/`, { signal: controller.signal }).catch(() => null);
    await until(() => origin.seen.length === 5, 'the probe');
    controller.abort();
    await probe;
    await until(() => circuit(cast, origin) === 'open', 'it to be open again');
    assert.equal((await cast.call(`${origin.url}/`)).status, 503);
    const began = performance.now();
    await until(() => circuit(cast, origin) === 'half-open', 'the next probe to be due');
    assert.ok(performance.now() - began < 300);
    origin.script = answer(200);
    assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    await until(() => circuit(cast, origin) === 'closed', 'the circuit to close');
  }));

test('the open time doubles with each failed probe, up to the maximum, and begins anew once it was closed', (t) =>
  stage(
    policy().replace('openFor: 200ms, openForMax: 2s', 'openFor: 100ms, openForMax: 300ms'),
    async (cast) => {
      const origin = await cast.origin(answer(500));
      const opened: number[] = [];
      const next = async (): Promise<void> => {
        await until(() => circuit(cast, origin) === 'open', 'it to open');
        const began = performance.now();
        await until(() => circuit(cast, origin) === 'half-open', 'the probe to be due');
        opened.push(performance.now() - began);
      };
      await times(4, () => cast.call(`${origin.url}/`));
      for (let i = 0; i < 4; i++) {
        await next();
        if (i < 3) await cast.call(`${origin.url}/`);
      }
      origin.script = answer(200);
      await cast.call(`${origin.url}/`);
      await until(() => circuit(cast, origin) === 'closed', 'it to close');
      origin.script = answer(500);
      await times(4, () => cast.call(`${origin.url}/`));
      await next();
      t.diagnostic(`open for ${opened.map((ms) => ms.toFixed(0)).join(', ')} ms`);
      for (const [i, expected] of [100, 200, 300, 300, 100].entries()) {
        const ms = opened[i] as number;
        assert.ok(ms > expected - 15 && ms < expected * 1.05 + 30, `${i}: ${ms} for ${expected}`);
      }
    },
  ));

test('a result that comes after the circuit has opened decides nothing', () =>
  stage(policy(), async (cast) => {
    const held: (() => void)[] = [];
    const origin = await cast.origin((request, response) => {
      if (request.url === '/slow') held.push(() => response.end('ok'));
      else response.writeHead(500).end();
    });
    const slow = [1, 2, 3].map(() => cast.call(`${origin.url}/slow`));
    await until(() => held.length === 3, 'the slow ones');
    await times(4, () => cast.call(`${origin.url}/`));
    await until(() => circuit(cast, origin) === 'open', 'the circuit to open');
    held[0]?.();
    assert.equal((await slow[0])?.status, 200);
    assert.equal(circuit(cast, origin), 'open', 'a late success does not close it');
    await until(() => circuit(cast, origin) === 'half-open', 'the probe to be due');
    held[1]?.();
    assert.equal((await slow[1])?.status, 200);
    assert.equal(circuit(cast, origin), 'half-open', 'nor is it taken for the probe');
    held[2]?.();
    await slow[2];
  }));

test('the circuit of one origin is not that of another', () =>
  stage(policy(), async (cast) => {
    const bad = await failing(cast);
    const good = await cast.origin();
    assert.equal((await cast.call(`${good.url}/`)).status, 200);
    assert.equal(circuit(cast, good), 'closed');
    assert.equal(circuit(cast, bad), 'open');
  }));

test('breaker: null never opens', () =>
  stage('policy: { retry: { attempts: 1 }, breaker: null }', async (cast) => {
    const origin = await cast.origin(answer(500));
    await times(100, () => cast.call(`${origin.url}/`));
    assert.equal(origin.seen.length, 100);
    assert.equal(circuit(cast, origin), null);
  }));

test('every attempt counts, retried ones too, and an open circuit ends the retries', () =>
  stage(
    'policy: { retry: { attempts: 10, backoff: { initial: 1ms, max: 1ms }, budget: { floor: 100 } }, breaker: { minimumCalls: 4, openFor: 10s } }',
    async (cast) => {
      const origin = await cast.origin(answer(503));
      const got = await cast.call(`${origin.url}/`);
      assert.equal(got.status, 503);
      assert.match(String(got.headers['proxy-status']), /error=destination_unavailable/);
      assert.equal(origin.seen.length, 4);
      const { attempts } = await cast.sidecar.line();
      assert.equal(attempts.length, 5);
      assert.equal(attempts[4]?.retry, 'not retried: refused by the sidecar');
    },
  ));

test('failures that grow older than the window are forgotten', () =>
  stage(policy().replace('window: 60s', 'window: 300ms'), async (cast) => {
    const origin = await cast.origin(answer(500));
    await times(3, () => cast.call(`${origin.url}/`));
    await new Promise((resolve) => setTimeout(resolve, 450));
    await times(3, () => cast.call(`${origin.url}/`));
    await cast.sidecar.line(6);
    assert.equal(circuit(cast, origin), 'closed');
  }));
