import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import type { Answer } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import { eachHead } from '../support/messages.ts';
import { answer, type HttpOrigin, onHead, RawOrigin, readBody, type Script } from '../support/origin.ts';
import { until } from '../support/until.ts';

/** Reads the body and answers after `ms`. */
const slow =
  (ms: number, headers: readonly string[] = []): Script =>
  (request, response, seen) => {
    readBody(request, seen, () => setTimeout(() => response.writeHead(200, [...headers]).end('ok'), ms));
  };

/** Answers when the test says so. */
class Held {
  readonly waiting: ServerResponse[] = [];
  readonly script: Script = (request: IncomingMessage, response, seen) => {
    readBody(request, seen, () => this.waiting.push(response));
  };

  release(): void {
    this.waiting.shift()?.end('ok');
  }
}

const statuses = (answers: readonly Answer[]): Record<number, number> => {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

const EIGHT = 'policy: { pool: { connections: 8, queue: 1000, queueTimeout: 20s }, breaker: null }';

async function fiveHundred(cast: Cast, origin: HttpOrigin, leaving = 0): Promise<Answer[]> {
  const { sidecar } = cast.sidecar;
  const answers: Answer[] = [];
  const controllers = Array.from({ length: leaving }, () => new AbortController());
  const calls = Array.from({ length: 500 }, async (_, i) => {
    const controller = controllers[i];
    const call = cast.call(`${origin.url}/${i}`, controller ? { signal: controller.signal } : {});
    await call.then(
      (one) => answers.push(one),
      () => {},
    );
  });
  if (leaving > 0) {
    await until(
      () => sidecar.snapshot().exchangesInFlight + cast.sidecar.exchanges.length === 500,
      'all to begin',
    );
    for (const controller of controllers) {
      controller.abort();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await Promise.all(calls);
  return answers;
}

test('500 callers at once on 8 connections: all are answered and the origin never sees a ninth', () =>
  stage(EIGHT, async (cast) => {
    const origin = await cast.origin(slow(3));
    const answers = await fiveHundred(cast, origin);
    assert.deepEqual(statuses(answers), { 200: 500 });
    assert.equal(origin.connections.most, 8);
    assert.equal(origin.connections.total, 8);
  }));

test('no ninth connection either when a third of the callers leave', () =>
  stage(EIGHT, async (cast) => {
    const origin = await cast.origin(slow(3));
    await fiveHundred(cast, origin, 167);
    assert.ok(origin.connections.most <= 8, `${origin.connections.most}`);
  }));

test('no ninth connection either when a third of the attempts time out', (t) =>
  stage(
    'policy: { pool: { connections: 8, queue: 1000, queueTimeout: 20s }, timeouts: { head: 40ms }, retry: { attempts: 1 }, breaker: null }',
    async (cast) => {
      const origin = await cast.origin((request, response, seen) => {
        // Every third is never answered.
        if (Number(request.url?.slice(1)) % 3 !== 0) slow(1)(request, response, seen);
      });
      const answers = await fiveHundred(cast, origin);
      t.diagnostic(JSON.stringify(statuses(answers)));
      assert.ok((statuses(answers)[504] ?? 0) >= 166);
      assert.ok(origin.connections.most <= 8, `${origin.connections.most}`);
    },
  ));

test('no ninth connection either when the origin cuts a third of the exchanges', () =>
  stage(
    'policy: { pool: { connections: 8, queue: 1000, queueTimeout: 20s }, retry: { attempts: 1 }, breaker: null }',
    async (cast) => {
      const origin = await cast.origin((request, response, seen) => {
        const n = Number(request.url?.slice(1));
        if (n % 6 === 0) request.socket.destroy();
        else if (n % 6 === 3) request.socket.resetAndDestroy();
        else slow(2)(request, response, seen);
      });
      const answers = await fiveHundred(cast, origin);
      assert.deepEqual(Object.keys(statuses(answers)), ['200', '502']);
      assert.ok(origin.connections.most <= 8, `${origin.connections.most}`);
    },
  ));

test('no ninth connection either when the origin closes after a third of its answers', () =>
  stage(EIGHT, async (cast) => {
    const origin = await cast.origin((request, response, seen) => {
      const closes = Number(request.url?.slice(1)) % 3 === 0;
      slow(2, closes ? ['Connection', 'close'] : [])(request, response, seen);
    });
    const answers = await fiveHundred(cast, origin);
    assert.deepEqual(statuses(answers), { 200: 500 });
    assert.ok(origin.connections.most <= 8, `${origin.connections.most}`);
    assert.ok(origin.connections.total >= 150);
  }));

test('no ninth connection either when connections live for 20 ms only', () =>
  stage(
    'policy: { pool: { connections: 8, queue: 1000, queueTimeout: 20s, maxAge: 20ms }, breaker: null }',
    async (cast) => {
      const origin = await cast.origin(slow(3));
      const answers = await fiveHundred(cast, origin);
      assert.deepEqual(statuses(answers), { 200: 500 });
      assert.ok(origin.connections.most <= 8, `${origin.connections.most}`);
      assert.ok(origin.connections.total > 16);
    },
  ));

test('callers that leave while their connection is being made never lead to a second one beside it', () =>
  stage(
    'policy: { pool: { connections: 1, queue: 1000, queueTimeout: 20s }, retry: { attempts: 1 }, breaker: null }',
    async (cast) => {
      const origin = await cast.origin(slow(0, ['Connection', 'close']));
      const { sidecar } = cast.sidecar;
      for (let i = 0; i < 100; i++) {
        const controller = new AbortController();
        const leaves = cast.call(`${origin.url}/`, { signal: controller.signal }).catch(() => null);
        const begun = cast.expected;
        await until(
          () => sidecar.snapshot().exchangesInFlight > 0 || cast.sidecar.exchanges.length >= begun,
          'the dial',
        );
        controller.abort();
        await Promise.all([leaves, cast.call(`${origin.url}/`)]);
      }
      assert.equal(origin.connections.most, 1);
    },
  ));

test('beyond the queue an exchange is shed within 50 ms, with 503, its token and Retry-After', (t) =>
  stage(
    'policy: { pool: { connections: 2, queue: 3, queueTimeout: 20s }, retry: { attempts: 1 } }',
    async (cast) => {
      const held = new Held();
      const origin = await cast.origin(held.script);
      const served = Array.from({ length: 5 }, () => cast.call(`${origin.url}/`));
      await until(
        () => held.waiting.length === 2 && cast.sidecar.origin(origin.url)?.queue === 3,
        'a full queue',
      );
      const shed = await Promise.all(Array.from({ length: 50 }, () => cast.call(`${origin.url}/`)));
      const ms = shed.map((one) => one.ms).toSorted((a, b) => a - b);
      t.diagnostic(
        `shed in ${ms[25]?.toFixed(1)} ms (median), ${ms[49]?.toFixed(1)} ms (slowest of 50 at once)`,
      );
      let median = Number.POSITIVE_INFINITY;
      // Where the machine was busy, once more: it is not busy three times.
      for (let round = 0; round < 3 && median >= 50; round++) {
        const alone: number[] = [];
        for (let i = 0; i < 21; i++) alone.push((await cast.call(`${origin.url}/`)).ms);
        median = alone.toSorted((x, y) => x - y)[10] as number;
        t.diagnostic(
          `one at a time: ${median.toFixed(1)} ms (median), ${Math.max(...alone).toFixed(1)} ms (slowest)`,
        );
      }
      assert.ok(median < 50, `${median}`);
      for (const one of shed) {
        assert.equal(one.status, 503);
        assert.equal(one.headers['retry-after'], '1');
        assert.match(String(one.headers['proxy-status']), /error=connection_limit_reached/);
      }
      while (held.waiting.length > 0) {
        held.release();
        await new Promise((resolve) => setImmediate(resolve));
        if (cast.sidecar.origin(origin.url)?.queue !== 0)
          await until(() => held.waiting.length > 0, 'the next');
      }
      await until(() => {
        held.release();
        return cast.sidecar.exchanges.length === cast.expected;
      }, 'all to be answered');
      assert.deepEqual(statuses(await Promise.all(served)), { 200: 5 });
    },
  ));

test('who waits longer than queueTimeout is answered 503 connection_limit_reached, and the wait is logged', () =>
  stage('policy: { pool: { connections: 1, queueTimeout: 100ms }, retry: { attempts: 1 } }', async (cast) => {
    const held = new Held();
    const origin = await cast.origin(held.script);
    const first = cast.call(`${origin.url}/`);
    await until(() => held.waiting.length === 1, 'the first');
    const second = await cast.call(`${origin.url}/`);
    assert.equal(second.status, 503);
    assert.equal(second.headers['retry-after'], '1');
    assert.equal(JSON.parse(second.text).error, 'connection_limit_reached');
    assert.ok(second.ms >= 99 && second.ms < 175, `${second.ms}`);
    const line = await cast.sidecar.line(1);
    assert.equal(line.outcome, 'refused');
    assert.ok(line.queueMs >= 99);
    held.release();
    assert.equal((await first).status, 200);
  }));

test('those who wait are served in the order in which they came', () =>
  stage('policy: { pool: { connections: 1, queueTimeout: 10s } }', async (cast) => {
    const held = new Held();
    const origin = await cast.origin(held.script);
    const calls: Promise<Answer>[] = [];
    for (let i = 0; i < 20; i++) {
      calls.push(cast.call(`${origin.url}/${i}`));
      await until(
        () => held.waiting.length === 1 && cast.sidecar.origin(origin.url)?.queue === i,
        'the next in the queue',
      );
    }
    for (let i = 0; i < 20; i++) {
      await until(() => held.waiting.length === 1, 'the next at the origin');
      held.release();
    }
    await Promise.all(calls);
    assert.deepEqual(
      origin.seen.map((one) => one.url),
      Array.from({ length: 20 }, (_, i) => `/${i}`),
    );
  }));

test('a full queue of one origin does not hold up another', (t) =>
  stage('policy: { pool: { connections: 4, queue: 200, queueTimeout: 30s } }', async (cast) => {
    const held = new Held();
    const stuck = await cast.origin(held.script);
    const quick = await cast.origin();
    const p99 = async (): Promise<number> => {
      const ms: number[] = [];
      for (let i = 0; i < 300; i++) ms.push((await cast.call(`${quick.url}/`)).ms);
      return ms.toSorted((a, b) => a - b)[296] as number;
    };
    await p99();
    const before = await p99();
    const calls = Array.from({ length: 204 }, () => cast.call(`${stuck.url}/`));
    await until(() => cast.sidecar.origin(stuck.url)?.queue === 200, 'a full queue');
    const beside = await p99();
    t.diagnostic(`p99 ${before.toFixed(2)} ms alone, ${beside.toFixed(2)} ms beside a full queue`);
    // The strict figure is measured by the benchmark; here only that nobody waits for the other's queue.
    assert.ok(beside < before * 3 + 20);
    stuck.script = answer(200);
    for (let i = 0; i < 4; i++) held.release();
    assert.deepEqual(statuses(await Promise.all(calls)), { 200: 204 });
  }));

test('an idle connection of one origin makes place for another where limits.connections is reached', () =>
  stage('limits: { connections: 3 }', async (cast) => {
    const origins = [await cast.origin(), await cast.origin(), await cast.origin(), await cast.origin()];
    for (let round = 0; round < 3; round++) {
      for (const origin of origins) {
        assert.equal((await cast.call(`${origin.url}/`)).status, 200);
        assert.ok(cast.sidecar.sidecar.snapshot().connections <= 3);
      }
    }
    const open = origins.reduce((sum, origin) => sum + origin.connections.open.size, 0);
    assert.ok(open <= 3, `${open}`);
  }));

test('limits.connections holds over several origins under load, and every one of them is served', () =>
  stage(
    'limits: { connections: 4 }\npolicy: { pool: { connections: 4, queue: 1000, queueTimeout: 20s }, breaker: null }',
    async (cast) => {
      let most = 0;
      const origins: HttpOrigin[] = [];
      const script: Script = (request, response, seen) => {
        most = Math.max(
          most,
          origins.reduce((sum, origin) => sum + origin.connections.open.size, 0),
        );
        slow(2)(request, response, seen);
      };
      for (let i = 0; i < 3; i++) origins.push(await cast.origin(script));
      const answers = await Promise.all(
        Array.from({ length: 240 }, (_, i) => cast.call(`${(origins[i % 3] as HttpOrigin).url}/`)),
      );
      assert.deepEqual(statuses(answers), { 200: 240 });
      assert.ok(most <= 4, `${most}`);
    },
  ));

test('an origin with a long queue does not keep the connections of the process from one that came before', () =>
  stage(
    'limits: { connections: 2 }\npolicy: { pool: { connections: 2, queue: 1000, queueTimeout: 20s }, breaker: null }',
    async (cast) => {
      const held = new Held();
      const busy = await cast.origin(held.script);
      const other = await cast.origin();
      const calls = [cast.call(`${busy.url}/`), cast.call(`${busy.url}/`)];
      await until(() => held.waiting.length === 2, 'two at the origin');
      const waits = cast.call(`${other.url}/`);
      await until(() => cast.sidecar.origin(other.url)?.queue === 1, 'one that waits');
      for (let i = 0; i < 50; i++) calls.push(cast.call(`${busy.url}/`));
      await until(() => cast.sidecar.origin(busy.url)?.queue === 50, 'a long queue');
      held.release();
      assert.equal((await waits).status, 200);
      assert.equal(busy.seen.length <= 4, true, `${busy.seen.length}`);
      busy.script = answer(200);
      held.release();
      held.release();
      await until(() => {
        held.release();
        return cast.sidecar.exchanges.length === cast.expected;
      }, 'all to be served');
      await Promise.all(calls);
    },
  ));

const connectTo = (port: number): string =>
  `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;

const echo = (socket: Socket): void => {
  socket.on('data', (chunk) => socket.write(chunk));
  socket.on('end', () => socket.end());
};

test('a tunnel waits where all connections of the process are idle ones, and gets the place of one', async () => {
  const far = await RawOrigin.start(echo);
  await stage(`limits: { connections: 2 }\naccess: { tunnelPorts: [${far.port}] }`, async (cast) => {
    cast.atEnd(() => far.close());
    const origin = await cast.origin(slow(20));
    await Promise.all([cast.call(`${origin.url}/`), cast.call(`${origin.url}/`)]);
    assert.equal(origin.connections.open.size, 2);
    const caller = await cast.raw();
    caller.write(connectTo(far.port));
    assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 200 /);
    assert.equal(cast.sidecar.sidecar.snapshot().connections, 2);
  });
});

test('tunnels count: beyond pool.connections one waits, and is opened when another ends', async () => {
  const far = await RawOrigin.start(echo);
  const yaml = `access: { tunnelPorts: [${far.port}] }\npolicy: { pool: { connections: 2, queueTimeout: 10s } }`;
  await stage(yaml, async (cast) => {
    cast.atEnd(() => far.close());
    const callers = [await cast.raw(), await cast.raw(), await cast.raw()];
    for (const caller of callers.slice(0, 2)) {
      caller.write(connectTo(far.port));
      await caller.until((text) => text.includes('\r\n\r\n'));
    }
    const last = callers[2] as (typeof callers)[0];
    last.write(connectTo(far.port));
    await until(
      () => cast.sidecar.origin(`https://127.0.0.1:${far.port}`)?.queue === 1,
      'a tunnel that waits',
    );
    assert.equal(last.received, '');
    callers[0]?.leave();
    assert.match(await last.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 200 /);
    assert.equal(far.connections.most, 2);
  });
});

test('two routes to one origin each keep to their own pool.connections', () =>
  stage(
    `routes:
  - { name: narrow, match: { paths: ["/narrow/*"] }, policy: { pool: { connections: 2 } } }
policy: { pool: { connections: 6, queue: 1000, queueTimeout: 20s }, breaker: null }`,
    async (cast) => {
      let most = 0;
      const origin = await cast.origin((request, response, seen) => {
        if (request.url?.startsWith('/narrow')) most = Math.max(most, origin.connections.open.size);
        slow(3)(request, response, seen);
      });
      await Promise.all(Array.from({ length: 20 }, (_, i) => cast.call(`${origin.url}/narrow/${i}`)));
      assert.equal(origin.connections.most, 2);
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, i) => cast.call(`${origin.url}/${i % 2 ? 'narrow' : 'wide'}/${i}`)),
      );
      assert.deepEqual(statuses(answers), { 200: 200 });
      assert.equal(origin.connections.most, 6);
      assert.ok(most <= 6);
    },
  ));

test('one exchange more than limits.exchanges is shed at once, whatever its origin', () =>
  stage('limits: { exchanges: 3 }', async (cast) => {
    const held = new Held();
    const origin = await cast.origin(held.script);
    const other = await cast.origin();
    const calls = [1, 2, 3].map(() => cast.call(`${origin.url}/`));
    await until(() => held.waiting.length === 3, 'three in flight');
    const shed = await cast.call(`${other.url}/`);
    assert.equal(shed.status, 503);
    assert.equal(shed.headers['retry-after'], '1');
    assert.match(shed.text, /limits\.exchanges/);
    for (let i = 0; i < 3; i++) held.release();
    await Promise.all(calls);
    assert.equal((await cast.call(`${other.url}/`)).status, 200);
  }));

test('beyond limits.origins the origin unused for longest is forgotten, and its connections are closed', () =>
  stage('limits: { origins: 2 }', async (cast) => {
    const origins = [await cast.origin(), await cast.origin(), await cast.origin()];
    for (const origin of origins) assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    const [first, second, third] = origins as [HttpOrigin, HttpOrigin, HttpOrigin];
    assert.equal(cast.sidecar.origin(first.url), undefined);
    assert.ok(cast.sidecar.origin(second.url) && cast.sidecar.origin(third.url));
    await until(() => first.connections.open.size === 0, 'its connection to be closed');
  }));

test('an origin in use is never forgotten: one too many is refused until there is place', () =>
  stage('limits: { origins: 1 }', async (cast) => {
    const held = new Held();
    const origin = await cast.origin(held.script);
    const other = await cast.origin();
    const first = cast.call(`${origin.url}/`);
    await until(() => held.waiting.length === 1, 'the first');
    const refused = await cast.call(`${other.url}/`);
    assert.equal(refused.status, 503);
    assert.match(refused.text, /limits\.origins/);
    held.release();
    assert.equal((await first).status, 200);
    assert.equal((await cast.call(`${other.url}/`)).status, 200);
  }));

test('an origin that is forgotten and wanted again at once still has no more than its connections', () =>
  stage('limits: { origins: 1 }\npolicy: { pool: { connections: 1 } }', async (cast) => {
    const origins = [await cast.origin(), await cast.origin()] as const;
    for (let i = 0; i < 200; i++) assert.equal((await cast.call(`${origins[i % 2]?.url}/`)).status, 200);
    assert.deepEqual(
      origins.map((one) => one.connections.most),
      [1, 1],
    );
  }));

test('an idle connection is used again, and closed after idleTimeout', () =>
  stage('policy: { pool: { idleTimeout: 150ms } }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok', ['Connection', 'keep-alive']));
    for (let i = 0; i < 3; i++) await cast.call(`${origin.url}/`);
    assert.equal(origin.connections.total, 1);
    const began = performance.now();
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    const ms = performance.now() - began;
    assert.ok(ms > 100 && ms < 250, `${ms}`);
  }));

test("the origin's Keep-Alive hint, less a margin, wins over idleTimeout", () =>
  stage('policy: { pool: { idleTimeout: 60s } }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok', ['Keep-Alive', 'timeout=1']));
    await cast.call(`${origin.url}/`);
    const began = performance.now();
    await until(() => origin.connections.open.size === 0, 'the connection to be closed');
    const ms = performance.now() - began;
    assert.ok(ms > 400 && ms < 700, `half a second for a hint of one: ${ms}`);
  }));

test('a hint that is longer than idleTimeout keeps the connection for longer', () =>
  stage('policy: { pool: { idleTimeout: 20ms } }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok', ['Keep-Alive', 'timeout=30']));
    await cast.call(`${origin.url}/`);
    await new Promise((resolve) => setTimeout(resolve, 60));
    await cast.call(`${origin.url}/`);
    assert.equal(origin.connections.total, 1);
  }));

test('a hint of zero means that the connection is not used again', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok', ['Keep-Alive', 'timeout=0']));
    for (let i = 0; i < 3; i++) await cast.call(`${origin.url}/`);
    assert.equal(origin.connections.total, 3);
    assert.equal(origin.connections.most, 1);
  }));

test('a connection is replaced once it is as old as maxAge, however busy', () =>
  stage('policy: { pool: { maxAge: 100ms, connections: 1 } }', async (cast) => {
    const origin = await cast.origin();
    const began = performance.now();
    let calls = 0;
    while (performance.now() - began < 450) {
      await cast.call(`${origin.url}/`);
      calls++;
    }
    assert.ok(origin.connections.total >= 3 && origin.connections.total <= 6, `${origin.connections.total}`);
    assert.ok(calls > 20);
    assert.equal(origin.connections.most, 1);
  }));

for (const method of ['HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH', 'GET']) {
  test(`after a ${method} the connection is used again, with a body and without one`, () =>
    stage('', async (cast) => {
      const origin = await cast.origin(answer(200, method === 'HEAD' ? '' : 'ok'));
      for (let i = 0; i < 4; i++) {
        const body =
          i % 2 === 1 && method !== 'HEAD' ? { body: 'some', headers: { 'Content-Length': '4' } } : {};
        const got = await cast.call(`${origin.url}/`, { method, ...body });
        assert.equal(got.status, 200);
        await cast.sidecar.line(i + 1);
      }
      assert.equal(origin.connections.total, 1);
    }));
}

test('an idle connection that the origin closes is forgotten at once', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    await cast.call(`${origin.url}/`);
    await until(() => cast.sidecar.origin(origin.url)?.connections.idle === 1, 'an idle connection');
    for (const socket of origin.connections.open) socket.end();
    await until(() => cast.sidecar.sidecar.snapshot().connections === 0, 'it to be gone', 500);
  }));

test('a kept-alive connection that the origin closes just before it is used again is replaced: nothing is sent twice and no retry is on record', () =>
  stage('policy: { retry: { attempts: 1 }, breaker: null }', async (cast) => {
    const origin = await cast.origin();
    for (let i = 0; i < 300; i++) {
      for (const socket of origin.connections.open) {
        if (i % 2 === 0) socket.destroy();
        else socket.resetAndDestroy();
      }
      const post = i % 3 !== 0;
      const got = await cast.call(`${origin.url}/${i}`, post ? { method: 'POST', body: `body ${i}` } : {});
      assert.equal(got.status, 200, got.text);
      assert.equal(got.headers['proxy-status'], 'outrigger; attempts=1; received-status=200');
    }
    assert.deepEqual(
      origin.seen.map((one) => one.url),
      Array.from({ length: 300 }, (_, i) => `/${i}`),
    );
    assert.ok(origin.seen.every((one, i) => i % 3 === 0 || one.body.toString() === `body ${i}`));
    await cast.sidecar.line(300);
    assert.ok(cast.sidecar.exchanges.every((line) => line.attempts.length === 1 && !line.attempts[0]?.retry));
  }));

test('odd requests, many more than there are connections, leave the pool whole', (t) =>
  stage(
    'policy: { pool: { connections: 2, queueTimeout: 500ms }, retry: { attempts: 1 }, breaker: null }',
    async (cast) => {
      const origin = await cast.origin();
      const odd = [
        'X: \u0001',
        'X: \u007f',
        'X: \u00e9',
        'X\u00e9: y',
        'Expect: 100-continue',
        'Expect: nonsense',
        'Keep-Alive: x y z',
        'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings',
        'Connection: \u00e9',
        'Connection: close, x, , y',
        'Content-Length: 0\r\nContent-Length: 0',
        'Content-Length: 00',
        'Content-Length: 1e3',
        'Proxy-Connection: keep-alive',
        'TE: trailers',
        'Trailer: x',
        'Host: b',
        ': empty',
      ];
      const paths = ['/%', '/\u00ff', '/a"b<c>d|e', '/{}', '/[', "/'", '/\\', '//x', '/?', '?a', '/%00'];
      const answered: Record<string, number> = {};
      const send = async (target: string, header: string): Promise<void> => {
        const caller = await cast.raw();
        caller.write(
          `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n${header === '' ? '' : `${header}\r\n`}\r\n`,
        );
        await caller.until((text) => text.includes('\r\n\r\n'));
        caller.leave();
        const status = caller.received.slice(9, 12);
        answered[status] = (answered[status] ?? 0) + 1;
      };
      for (let i = 0; i < 3; i++) {
        for (const header of odd) await send(`${origin.url}/`, header);
        for (const path of paths) await send(`${origin.url}${path}`, '');
      }
      t.diagnostic(JSON.stringify(answered));
      assert.ok(!('500' in answered) && !('503' in answered));
      for (let i = 0; i < 3; i++) assert.equal((await cast.call(`${origin.url}/`)).status, 200);
      await until(() => cast.sidecar.exchanges.length === cast.expected, 'every line');
    },
  ));

test('callers that name different hosts in Host share the connection of their target', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    for (const host of ['a.test', 'b.test', 'a.test']) {
      assert.equal((await cast.call(`${origin.url}/`, { headers: { Host: host } })).status, 200);
    }
    assert.equal(origin.connections.total, 1);
  }));

test('a connection on which an origin answers more than was asked is not used again', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    const head = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
    const origin = await cast.rawOrigin((socket) => {
      socket.on('end', () => socket.end());
      onHead(socket, () => socket.write(`${head}${head}`));
    });
    for (let i = 0; i < 3; i++) {
      const got = await cast.call(`${origin.url}/`);
      assert.equal(got.text, 'ok');
    }
    assert.equal(origin.connections.total, 3);
    assert.equal(origin.connections.most, 1);
  }));

test('a 100 Continue that nobody asked for is passed over, and the connection is used again', () =>
  stage('policy: { pool: { connections: 1 }, retry: { attempts: 1 }, breaker: null }', async (cast) => {
    const origin = await cast.rawOrigin((socket) => {
      eachHead(socket, () =>
        socket.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'),
      );
    });
    for (let i = 0; i < 3; i++) {
      const got = await cast.call(`${origin.url}/`);
      assert.equal(got.status, 200);
      assert.deepEqual(got.informational, []);
    }
    assert.equal(origin.connections.total, 1);
  }));

test('an origin that is slow to close after its last answer is waited for before it gets another connection', () =>
  stage('policy: { pool: { connections: 1, queueTimeout: 10s }, retry: { attempts: 1 } }', async (cast) => {
    const origin = await cast.rawOrigin((socket) => {
      socket.on('end', () => setTimeout(() => socket.end(), 30));
      onHead(socket, () =>
        socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'),
      );
    });
    const answers = await Promise.all(Array.from({ length: 5 }, () => cast.call(`${origin.url}/`)));
    assert.deepEqual(statuses(answers), { 200: 5 });
    assert.equal(origin.connections.most, 1);
    assert.equal(origin.connections.total, 5);
  }));

test('after an answer to half a request the connection is reset: the rest is not wanted', () =>
  stage('policy: { pool: { connections: 1 }, retry: { attempts: 1 } }', async (cast) => {
    const origin = await cast.rawOrigin((socket) => {
      onHead(socket, () => socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno'));
    });
    for (let i = 0; i < 3; i++) {
      const caller = await cast.raw();
      caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nsome`);
      assert.match(await caller.until((text) => text.includes('\r\n\r\nno')), /^HTTP\/1.1 413 /);
      caller.leave();
      await until(() => origin.connections.open.size === 0, 'the reset', 500);
    }
    assert.equal(origin.connections.most, 1);
  }));
