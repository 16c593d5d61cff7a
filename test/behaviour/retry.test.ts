import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import type { Lookup } from '../../src/upstream/resolver.ts';
import { stage } from '../support/cast.ts';
import { answer, HttpOrigin, onHead, readBody, type Script } from '../support/origin.ts';
import { until } from '../support/until.ts';

const QUICK = 'backoff: { initial: 1ms, max: 5ms }, budget: { floor: 1000 }';
const policy = (retry = '', more = ''): string =>
  `policy: { retry: { ${QUICK}${retry} }, breaker: null${more} }`;

/** Nothing listens there. */
const NOBODY = '127.0.0.9';

/** `bad` times an address where nothing listens, then the origin's. */
function refusedFirst(bad: number): Lookup {
  let asked = 0;
  return (_host, callback) => setImmediate(() => callback(null, [asked++ < bad ? NOBODY : '127.0.0.1']));
}

/** Does to the first `times` requests what `how` says, and answers the rest. */
function first(times: number, how: Script, then: Script = answer(200, 'ok')): Script {
  let n = 0;
  return (request, response, seen) => (n++ < times ? how : then)(request, response, seen);
}

const resets: Script = (request) => request.socket.resetAndDestroy();
const closes: Script = (request) => request.socket.end();

test('what was never sent is sent again, a POST too, and its body arrives whole', () =>
  stage(
    policy(),
    async (cast) => {
      const origin = await cast.origin();
      const body = 'a body of some length '.repeat(1_000);
      const got = await cast.call(`http://late.test:${origin.port}/`, { method: 'POST', body });
      assert.equal(got.status, 200);
      assert.equal(got.headers['proxy-status'], 'outrigger; attempts=3; received-status=200');
      assert.deepEqual(
        origin.seen.map((one) => one.body.toString()),
        [body],
      );
      const { attempts } = await cast.sidecar.line();
      assert.deepEqual(
        attempts.map((one) => [one.error, one.delivery, one.retry]),
        [
          ['connection_refused', 'unsent', 'retried: unsent'],
          ['connection_refused', 'unsent', 'retried: unsent'],
          [null, 'answered', null],
        ],
      );
    },
    { lookup: refusedFirst(2) },
  ));

test('an origin whose port opens only between two attempts gets the streamed body from its first byte', async () => {
  const { port } = await HttpOrigin.start().then(async (origin) => {
    await origin.close();
    return origin;
  });
  let asked = 0;
  let open = async (): Promise<unknown> => null;
  await stage(
    policy(),
    async (cast) => {
      let origin: HttpOrigin | null = null;
      open = async () => {
        origin = await cast.origin(answer(201), port);
      };
      const caller = await cast.raw();
      caller.write(
        `POST http://late.test:${port}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`,
      );
      await until(() => origin !== null, 'the port to open');
      caller.write('3\r\ndef\r\n0\r\n\r\n');
      assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 201 /);
      assert.equal((origin as HttpOrigin | null)?.seen[0]?.body.toString(), 'abcdef');
    },
    {
      lookup: (_host, callback) => {
        if (++asked !== 2) setImmediate(() => callback(null, ['127.0.0.1']));
        else void open().then(() => callback(null, ['127.0.0.1']));
      },
    },
  );
});

test('a name that does not resolve at first is tried again', () => {
  let asked = 0;
  return stage(
    policy(),
    async (cast) => {
      const origin = await cast.origin();
      const got = await cast.call(`http://flaky.test:${origin.port}/`, { method: 'POST', body: 'x' });
      assert.equal(got.status, 200);
      assert.equal((await cast.sidecar.line()).attempts[0]?.error, 'dns_error');
    },
    {
      lookup: (_host, callback) =>
        setImmediate(() =>
          asked++ === 0
            ? callback(Object.assign(new Error('again'), { code: 'EAI_AGAIN' }), [])
            : callback(null, ['127.0.0.1']),
        ),
    },
  );
});

for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
  test(`a ${method} is sent again after the origin has reset the connection`, () =>
    stage(policy(), async (cast) => {
      const origin = await cast.origin(first(1, resets));
      const got = await cast.call(`${origin.url}/`, { method, ...(method === 'PUT' ? { body: 'put' } : {}) });
      assert.equal(got.status, 200);
      const { attempts } = await cast.sidecar.line();
      assert.deepEqual(
        attempts.map((one) => one.retry),
        ['retried: idempotent', null],
      );
      assert.equal(attempts[0]?.delivery, 'maybe sent');
      assert.equal(origin.seen.length, 2);
      if (method === 'PUT') assert.equal(origin.seen[1]?.body.toString(), 'put');
    }));
}

for (const method of ['POST', 'PATCH']) {
  test(`a ${method} is not sent again once it may have reached the origin`, () =>
    stage(policy(), async (cast) => {
      for (const [i, how] of [resets, closes].entries()) {
        const origin = await cast.origin(how);
        const got = await cast.call(`${origin.url}/`, { method, body: 'pay' });
        assert.equal(got.status, 502);
        assert.equal(JSON.parse(got.text).error, 'connection_terminated');
        assert.equal(origin.seen.length, 1);
        const { attempts } = await cast.sidecar.line(i + 1);
        assert.deepEqual(
          attempts.map((one) => one.retry),
          [`not retried: ${method} may have reached the origin`],
        );
      }
    }));
}

test('a POST that was answered 503 is not sent again', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.origin(answer(503));
    const got = await cast.call(`${origin.url}/`, { method: 'POST', body: 'pay' });
    assert.equal(got.status, 503);
    assert.match(String(got.headers['proxy-status']), /received-status=503/);
    assert.equal(origin.seen.length, 1);
  }));

test('a POST with an Idempotency-Key is sent again, with the same key', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.origin(first(1, resets, first(1, answer(503))));
    const headers = { 'Idempotency-Key': '"8e03978e"' };
    const got = await cast.call(`${origin.url}/`, { method: 'POST', body: 'pay', headers });
    assert.equal(got.status, 200);
    assert.deepEqual(
      origin.seen.map((one) => one.headers['idempotency-key']),
      Array(3).fill('"8e03978e"'),
    );
    const { attempts } = await cast.sidecar.line();
    assert.deepEqual(
      attempts.map((one) => one.retry),
      ['retried: Idempotency-Key', 'retried: status', null],
    );
  }));

for (const edit of ['remove: [Idempotency-Key]', 'set: { idempotency-key: ours }']) {
  test(`a POST whose Idempotency-Key does not reach the origin is not sent again: ${edit}`, () =>
    stage(policy('', `, headers: { request: { ${edit} } }`), async (cast) => {
      const origin = await cast.origin(first(1, resets));
      const headers = { 'Idempotency-Key': '"8e03978e"' };
      const got = await cast.call(`${origin.url}/`, { method: 'POST', body: 'pay', headers });
      assert.equal(got.status, 502);
      assert.equal(origin.seen.length, 1);
      assert.notEqual(origin.seen[0]?.headers['idempotency-key'], headers['Idempotency-Key']);
      const { attempts } = await cast.sidecar.line();
      assert.deepEqual(
        attempts.map((one) => one.retry),
        ['not retried: POST may have reached the origin'],
      );
    }));
}

test('every attempt carries the same request ID', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.origin(first(2, answer(503)));
    await cast.call(`${origin.url}/`);
    assert.equal(new Set(origin.seen.map((one) => one.headers['x-request-id'])).size, 1);
  }));

for (const status of [429, 502, 503, 504]) {
  test(`a GET that was answered ${status} is sent again`, () =>
    stage(policy(), async (cast) => {
      const origin = await cast.origin(first(1, answer(status)));
      assert.equal((await cast.call(`${origin.url}/`)).status, 200);
      assert.equal((await cast.sidecar.line()).attempts[0]?.retry, 'retried: status');
    }));
}

for (const status of [200, 304, 400, 404, 408, 500, 501]) {
  test(`a GET that was answered ${status} is not sent again`, () =>
    stage(policy(), async (cast) => {
      const origin = await cast.origin(answer(status));
      assert.equal((await cast.call(`${origin.url}/`)).status, status);
      assert.equal(origin.seen.length, 1);
      assert.equal((await cast.sidecar.line()).attempts[0]?.retry, null);
    }));
}

test('which statuses are tried again is the policy', () =>
  stage(policy(', statuses: [500]'), async (cast) => {
    const origin = await cast.origin(first(1, answer(500), answer(503)));
    assert.equal((await cast.call(`${origin.url}/`)).status, 503);
    assert.equal(origin.seen.length, 2);
  }));

test('the last answer goes back when the attempts are spent', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.origin(answer(503, 'still not', ['X-Origin', 'yes']));
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 503);
    assert.equal(got.text, 'still not');
    assert.equal(got.headers['x-origin'], 'yes');
    assert.equal(got.headers['proxy-status'], 'outrigger; attempts=3; received-status=503');
    assert.equal((await cast.sidecar.line()).attempts[2]?.retry, 'not retried: attempts spent');
  }));

test('attempts: 1 switches retries off', () =>
  stage(policy(', attempts: 1'), async (cast) => {
    const origin = await cast.origin(first(1, answer(503)));
    assert.equal((await cast.call(`${origin.url}/`)).status, 503);
    const { attempts } = await cast.sidecar.line();
    assert.deepEqual(
      attempts.map((one) => one.retry),
      [null],
    );
  }));

const waits: readonly (readonly [string, () => string])[] = [
  ['in seconds', () => '1'],
  ['as a date', () => new Date(Math.ceil(Date.now() / 1_000 + 1) * 1_000).toUTCString()],
];
for (const [form, value] of waits) {
  test(`a Retry-After ${form} is waited for, and no connection is held meanwhile`, () =>
    stage(policy('', ', pool: { connections: 1 }'), async (cast) => {
      let due = 0;
      const origin = await cast.origin(
        first(1, (_request, response) => {
          const retryAfter = value();
          due = /^\d$/.test(retryAfter)
            ? performance.now() + 1_000
            : performance.now() + Date.parse(retryAfter) - Date.now();
          response.writeHead(503, ['Retry-After', retryAfter]).end();
        }),
      );
      let again = 0;
      const call = cast.call(`${origin.url}/`).then((got) => {
        again = performance.now();
        return got;
      });
      await until(
        () => cast.sidecar.origin(origin.url)?.connections.idle === 1,
        'the connection to be given back',
      );
      // The only connection is free for somebody else.
      const other = await cast.call(`${origin.url}/other`);
      assert.equal(other.status, 200);
      assert.equal(again, 0);
      assert.equal((await call).status, 200);
      assert.ok(again >= due - 5 && again < due + 100, `${again - due}`);
      assert.equal(origin.connections.total, 1);
    }));
}

test('a Retry-After longer than retryAfterMax goes back at once, with the answer', () =>
  stage(policy(', retryAfterMax: 5s'), async (cast) => {
    const origin = await cast.origin(answer(503, 'busy', ['Retry-After', '6']));
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 503);
    assert.equal(got.text, 'busy');
    assert.equal(got.headers['retry-after'], '6');
    assert.ok(got.ms < 500);
    assert.equal(origin.seen.length, 1);
    const { attempts } = await cast.sidecar.line();
    assert.equal(attempts[0]?.retry, 'not retried: Retry-After longer than retryAfterMax');
  }));

test('a wait that would outlast timeouts.total is not begun: the answer goes back at once', () =>
  stage(policy('', ', timeouts: { total: 900ms }'), async (cast) => {
    const origin = await cast.origin(answer(503, 'busy', ['Retry-After', '1']));
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 503);
    assert.ok(got.ms < 500);
    assert.equal((await cast.sidecar.line()).attempts[0]?.retry, 'not retried: deadline passed');
  }));

test('a body larger than replayBytes is sent once, and the log says why', () =>
  stage(policy(', replayBytes: 64KiB'), async (cast) => {
    const origin = await cast.origin((request, response, seen) =>
      readBody(request, seen, () => response.writeHead(503).end()),
    );
    const body = Buffer.alloc(200_000, 'x');
    const got = await cast.call(`${origin.url}/`, { method: 'PUT', body });
    assert.equal(got.status, 503);
    assert.deepEqual(origin.seen[0]?.body, body);
    assert.equal(origin.seen.length, 1);
    assert.equal((await cast.sidecar.line()).attempts[0]?.retry, 'not retried: body larger than replayBytes');
  }));

test('a body within replayBytes is sent again whole', () =>
  stage(policy(', replayBytes: 256KiB'), async (cast) => {
    const origin = await cast.origin(
      first(2, (request, response, seen) => readBody(request, seen, () => response.writeHead(503).end())),
    );
    const body = Buffer.alloc(200_000, 'x');
    assert.equal((await cast.call(`${origin.url}/`, { method: 'PUT', body })).status, 200);
    assert.equal(origin.seen.length, 3);
    assert.ok(origin.seen.every((one) => one.body.equals(body)));
  }));

test('beyond limits.replayBytes a body is sent once, and the log says why', () =>
  stage(`limits: { replayBytes: 100KiB }\n${policy()}`, async (cast) => {
    const held: (() => void)[] = [];
    const origin = await cast.origin((request, response, seen) =>
      readBody(request, seen, () => held.push(() => response.writeHead(503).end())),
    );
    const body = Buffer.alloc(80_000, 'x');
    const calls = [cast.call(`${origin.url}/`, { method: 'PUT', body })];
    await until(() => held.length === 1, 'the first');
    calls.push(cast.call(`${origin.url}/`, { method: 'PUT', body }));
    await until(() => held.length === 2, 'the second');
    held[1]?.();
    assert.equal((await calls[1])?.status, 503);
    assert.equal((await cast.sidecar.line()).attempts[0]?.retry, 'not retried: limits.replayBytes reached');
    origin.script = answer(200);
    held[0]?.();
    assert.equal((await calls[0])?.status, 200);
  }));

test('a small body of a discarded answer is read, and its connection is used again', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.origin(first(2, answer(503, 'x'.repeat(10_000))));
    assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    assert.equal(origin.connections.total, 1);
  }));

test('a large body of a discarded answer is not read: its connection is closed', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.origin(first(1, answer(503, 'x'.repeat(20_000_000))));
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 200);
    assert.equal(origin.connections.total, 2);
    assert.equal((await cast.sidecar.line()).responseBytes, 2);
    await until(() => origin.connections.open.size === 1, 'the first connection to be closed');
  }));

test('a discarded answer whose body never ends is given up, and does not disturb the next attempt', () =>
  stage(policy('', ', timeouts: { idle: 100ms }'), async (cast) => {
    const origin = await cast.origin(
      first(
        1,
        (_request, response) => {
          response.writeHead(503).write('x');
        },
        (request, response, seen) => {
          readBody(request, seen, () => setTimeout(() => response.end('late'), 400));
        },
      ),
    );
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 200);
    assert.equal(got.text, 'late');
    await until(() => origin.connections.open.size === 1, 'the first connection to be closed', 2_000);
  }));

test('an upload that goes on behind a discarded answer does not disturb the next attempt', () =>
  stage(policy('', ', timeouts: { idle: 500ms }'), async (cast) => {
    let n = 0;
    const origin = await cast.origin((request, response, seen) => {
      if (n++ === 0) response.writeHead(503).end();
      else readBody(request, seen, () => setTimeout(() => response.end('whole'), 700));
    });
    const caller = await cast.raw();
    caller.write(
      `PUT ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n`,
    );
    await until(() => n >= 1, 'the first attempt');
    for (const piece of ['a\r\n0123456789\r\n', 'a\r\n0123456789\r\n0\r\n\r\n']) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      caller.write(piece);
    }
    const got = await caller.until((text) => text.includes('whole'));
    assert.match(got, /^HTTP\/1.1 200 /);
    assert.equal(origin.seen.at(-1)?.body.length, 30);
  }));

test('an answer that breaks off within its body is cut, never sent again', () =>
  stage(policy(), async (cast) => {
    const origin = await cast.rawOrigin((socket: Socket) => {
      onHead(socket, () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'));
    });
    await assert.rejects(cast.call(`${origin.url}/`));
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'truncated');
    assert.equal(line.attempts.length, 1);
    assert.equal(origin.connections.total, 1);
  }));

test('a caller that leaves between two attempts ends the exchange: no attempt follows', () =>
  stage(policy('', '').replace('initial: 1ms, max: 5ms', 'initial: 1ms, max: 1ms'), async (cast) => {
    const origin = await cast.origin(answer(503, '', ['Retry-After', '5']));
    const controller = new AbortController();
    const call = cast.call(`${origin.url}/`, { signal: controller.signal }).catch(() => null);
    await until(() => cast.sidecar.origin(origin.url)?.connections.idle === 1, 'the first answer');
    controller.abort();
    await call;
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'aborted');
    assert.equal(line.reason, 'caller left while between two attempts');
    assert.equal(origin.seen.length, 1);
  }));

test('what the sidecar itself refuses is not tried again', () =>
  stage(policy('', ', pool: { connections: 1, queue: 0 }'), async (cast) => {
    const origin = await cast.origin(() => {});
    const controller = new AbortController();
    const call = cast.call(`${origin.url}/`, { signal: controller.signal }).catch(() => null);
    await until(() => origin.seen.length === 1, 'the first');
    assert.equal((await cast.call(`${origin.url}/`)).status, 503);
    assert.equal((await cast.sidecar.line()).attempts[0]?.retry, 'not retried: refused by the sidecar');
    controller.abort();
    await call;
  }));
