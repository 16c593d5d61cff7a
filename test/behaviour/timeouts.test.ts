import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type Cast, stage } from '../support/cast.ts';
import { answer, onHead, readBody } from '../support/origin.ts';
import { until } from '../support/until.ts';

const RUNS = 3;

/**
 * Runs it several times; what it returns is how long the timer took. Where the machine was busy, all of it
 * once more: it is not busy three times.
 */
async function onTime(t: TestContext, expectedMs: number, run: () => Promise<number>): Promise<void> {
  const medians: number[] = [];
  for (let round = 0; round < 3; round++) {
    const took: number[] = [];
    for (let i = 0; i < RUNS; i++) took.push(await run());
    const median = took.toSorted((a, b) => a - b)[RUNS >> 1] as number;
    t.diagnostic(`${expectedMs} ms took ${median.toFixed(1)} ms (median of ${RUNS})`);
    assert.ok(median > expectedMs - 2, `early: ${took.join(' ')}`);
    if (median <= expectedMs * 1.05 + 20) return;
    medians.push(median);
  }
  assert.fail(`late: ${medians.join(' ')}`);
}

const policy = (timeouts: string, more = ''): string =>
  `policy: { timeouts: { ${timeouts} }, retry: { attempts: 1 }, breaker: null${more} }`;

/** The answer of an exchange that timed out, and how long it took. */
async function timedOut(cast: Cast, url: string, token: string, hint: RegExp, status = 504): Promise<number> {
  const began = performance.now();
  const got = await cast.call(url);
  const took = performance.now() - began;
  assert.equal(got.status, status);
  assert.equal(JSON.parse(got.text).error, token);
  assert.match(JSON.parse(got.text).hint, hint);
  return took;
}

test('dns: a name that is not resolved in time is a dns_timeout', (t) =>
  stage(
    policy('dns: 150ms'),
    (cast) => onTime(t, 150, () => timedOut(cast, 'http://silent.test/', 'dns_timeout', /timeouts\.dns/)),
    { lookup: () => {} },
  ));

/** Listens and never accepts; once its queue is full, Linux leaves a SYN unanswered. */
async function blackHole(
  host = '127.0.0.1',
  wanted = 0,
): Promise<{ port: number; close: () => Promise<void> }> {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     const server = require('node:net').createServer().listen({ port: ${wanted}, host: '${host}', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
     });`,
    { eval: true },
  );
  const port = await new Promise<number>((resolve) => worker.once('message', resolve));
  let connected = 0;
  const sockets: Socket[] = [];
  for (let i = 0; i < 6; i++) {
    const socket = connect({ port, host });
    socket.on('connect', () => connected++);
    socket.on('error', () => {});
    sockets.push(socket);
    await until(() => connected > i || i > 1, 'the queue to fill');
  }
  return {
    port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await worker.terminate();
    },
  };
}

test('connect: a SYN that nobody answers is a connection_timeout', async (t) => {
  await stage(policy('connect: 150ms'), async (cast) => {
    const hole = await blackHole();
    cast.atEnd(hole.close);
    await onTime(t, 150, () =>
      timedOut(cast, `http://127.0.0.1:${hole.port}/`, 'connection_timeout', /timeouts\.connect/),
    );
  });
});

test('connect: several addresses share the one timeout', async (t) => {
  const addresses = ['127.0.0.1', '127.0.0.1', '127.0.0.1'];
  await stage(
    policy('connect: 300ms'),
    async (cast) => {
      const hole = await blackHole();
      cast.atEnd(hole.close);
      await onTime(t, 300, () =>
        timedOut(cast, `http://three.test:${hole.port}/`, 'connection_timeout', /timeouts\.connect/),
      );
    },
    { lookup: (_host, callback) => setImmediate(() => callback(null, addresses)) },
  );
});

test('connect: a good address after a silent one is reached within the one timeout', async () => {
  await stage(
    policy('connect: 300ms'),
    async (cast) => {
      const origin = await cast.origin();
      const hole = await blackHole('127.0.0.2', origin.port);
      cast.atEnd(hole.close);
      const got = await cast.call(`http://two.test:${origin.port}/`);
      assert.equal(got.status, 200);
      assert.ok(got.ms < 250, `${got.ms}`);
      const { attempts } = await cast.sidecar.line();
      assert.equal(attempts.length, 1);
      assert.equal(attempts[0]?.address, '127.0.0.1');
    },
    { lookup: (_host, callback) => setImmediate(() => callback(null, ['127.0.0.2', '127.0.0.1'])) },
  );
});

test('tls: a handshake that does not come about is a connection_timeout that names timeouts.tls', (t) =>
  stage(policy('tls: 150ms'), async (cast) => {
    const origin = await cast.rawOrigin((socket) => socket.resume());
    await onTime(t, 150, () =>
      timedOut(cast, `https://127.0.0.1:${origin.port}/`, 'connection_timeout', /timeouts\.tls|handshake/),
    );
    await until(() => origin.connections.open.size === 0, 'the origin to be left');
  }));

test('head: an answer that does not come is an http_response_timeout', (t) =>
  stage(policy('head: 150ms'), async (cast) => {
    const origin = await cast.origin(() => {});
    await onTime(t, 150, () => timedOut(cast, `${origin.url}/`, 'http_response_timeout', /timeouts\.head/));
  }));

test('head: it begins once the request is out, however long the caller took to send it', (t) =>
  stage(policy('head: 100ms, idle: 10s'), async (cast) => {
    const origin = await cast.origin(() => {});
    await onTime(t, 100, async () => {
      const caller = await cast.raw();
      caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab`);
      await new Promise((resolve) => setTimeout(resolve, 120));
      const began = performance.now();
      caller.write('cd');
      assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 504 /);
      return performance.now() - began;
    });
  }));

test('head: it is per attempt', () =>
  stage(
    'policy: { timeouts: { head: 80ms }, retry: { attempts: 3, backoff: { initial: 1ms } }, breaker: null }',
    async (cast) => {
      const origin = await cast.origin(() => {});
      const got = await cast.call(`${origin.url}/`);
      assert.equal(got.status, 504);
      assert.ok(got.ms >= 238 && got.ms < 340, `${got.ms}`);
      const { attempts } = await cast.sidecar.line();
      assert.deepEqual(
        attempts.map((one) => [one.error, one.retry]),
        [
          ['http_response_timeout', 'retried: idempotent'],
          ['http_response_timeout', 'retried: idempotent'],
          ['http_response_timeout', 'not retried: attempts spent'],
        ],
      );
      assert.equal(origin.connections.most, 1);
    },
  ));

test('head: a slow body is no matter of its', () =>
  stage(policy('head: 50ms'), async (cast) => {
    const origin = await cast.origin((_request, response) => {
      response.write('a');
      setTimeout(() => response.end('b'), 200);
    });
    assert.equal((await cast.call(`${origin.url}/`)).text, 'ab');
  }));

test('idle: a response body that stops is cut, and logged as connection_read_timeout', (t) =>
  stage(policy('idle: 150ms'), async (cast) => {
    let stopped = 0;
    const origin = await cast.origin((_request, response) => {
      response.writeHead(200, ['Content-Length', '10']);
      response.write('abc');
      setTimeout(() => {
        response.write('d');
        stopped = performance.now();
      }, 60);
    });
    let n = 0;
    await onTime(t, 150, async () => {
      await assert.rejects(cast.call(`${origin.url}/`));
      const took = performance.now() - stopped;
      const line = await cast.sidecar.line(++n);
      assert.equal(line.outcome, 'truncated');
      assert.equal(line.error, 'connection_read_timeout');
      return took;
    });
  }));

test('idle: a body that keeps moving, however slowly, is not cut', () =>
  stage(policy('idle: 80ms'), async (cast) => {
    const origin = await cast.origin((_request, response) => {
      let left = 8;
      const tick = setInterval(() => {
        response.write('x');
        if (--left > 0) return;
        clearInterval(tick);
        response.end();
      }, 40);
    });
    assert.equal((await cast.call(`${origin.url}/`)).text, 'x'.repeat(8));
  }));

test('idle: a caller that stops reading is cut, the origin is left, and the log says whose fault it was', (t) =>
  stage(policy('idle: 200ms'), async (cast) => {
    let moved = 0;
    let closed = 0;
    const origin = await cast.rawOrigin((socket) => {
      onHead(socket, () => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
        const chunk = Buffer.from(`10000\r\n${'x'.repeat(65_536)}\r\n`);
        const pump = (): void => {
          moved = performance.now();
          while (socket.write(chunk));
        };
        socket.on('drain', pump);
        pump();
      });
      socket.on('close', () => {
        closed = performance.now();
      });
    });
    let n = 0;
    await onTime(t, 200, async () => {
      closed = 0;
      const caller = await cast.raw();
      caller.socket.pause();
      caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      await until(() => closed > 0, 'the origin to be left');
      caller.leave();
      const line = await cast.sidecar.line(++n);
      assert.equal(line.outcome, 'truncated');
      assert.equal(line.error, 'connection_write_timeout');
      return closed - moved;
    });
  }));

test('idle: a caller that stops sending its body is answered 408', (t) =>
  stage(policy('idle: 150ms'), async (cast) => {
    const origin = await cast.origin((request, response, seen) =>
      readBody(request, seen, () => response.end()),
    );
    let n = 0;
    await onTime(t, 150, async () => {
      const caller = await cast.raw();
      const began = performance.now();
      caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789`);
      const got = await caller.until((text) => text.includes('\r\n\r\n'));
      const took = performance.now() - began;
      assert.match(got, /^HTTP\/1.1 408 /);
      assert.match(got, /timeouts\.idle/);
      assert.equal((await cast.sidecar.line(++n)).error, 'http_request_error');
      return took;
    });
    await until(() => origin.connections.open.size === 0, 'the origin to be left');
  }));

test('idle: an origin that stops taking the request body is a connection_write_timeout', (t) =>
  stage(policy('idle: 200ms'), async (cast) => {
    const origin = await cast.rawOrigin((socket) => socket.pause());
    let n = 0;
    await onTime(t, 200, async () => {
      const caller = await cast.raw();
      const moved: number[] = [];
      const chunk = Buffer.alloc(65_536, 'x');
      caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${2 ** 30}\r\n\r\n`);
      const pump = (): void => {
        moved.push(performance.now());
        while (caller.socket.write(chunk));
      };
      caller.socket.on('drain', pump);
      pump();
      const got = await caller.until((text) => text.includes('\r\n\r\n'));
      const now = performance.now();
      // Once it is answered, what the caller still sends is read and thrown away: that is no progress.
      const took = now - (moved.findLast((one) => now - one > 100) ?? 0);
      caller.socket.off('drain', pump);
      caller.leave();
      assert.match(got, /^HTTP\/1.1 504 /);
      assert.equal((await cast.sidecar.line(++n)).error, 'connection_write_timeout');
      return took;
    });
  }));

test('total: it ends an exchange that waits for its head', (t) =>
  stage(policy('total: 150ms'), async (cast) => {
    const origin = await cast.origin(() => {});
    await onTime(t, 150, () => timedOut(cast, `${origin.url}/`, 'http_response_timeout', /timeouts\.total/));
  }));

test('total: time in the queue counts', (t) =>
  stage(
    policy('total: 150ms', ', pool: { connections: 1, queueTimeout: 10s }').replace(
      'policy:',
      `routes: [{ name: first, match: { paths: [/first] }, policy: { timeouts: { total: null } } }]\npolicy:`,
    ),
    async (cast) => {
      const controller = new AbortController();
      const origin = await cast.origin(() => {});
      const first = cast.call(`${origin.url}/first`, { signal: controller.signal }).catch(() => {});
      await until(() => origin.seen.length === 1, 'the first');
      let n = 0;
      await onTime(t, 150, async () => {
        const took = await timedOut(cast, `${origin.url}/`, 'http_response_timeout', /timeouts\.total/);
        assert.ok((await cast.sidecar.line(++n)).queueMs > 148);
        return took;
      });
      controller.abort();
      await first;
      assert.equal(origin.seen.length, 1);
    },
  ));

test('total: all attempts and the waits between them count', (t) =>
  stage(
    'policy: { timeouts: { head: 60ms, total: 250ms }, retry: { attempts: 10, backoff: { initial: 20ms, max: 20ms }, budget: { floor: 100 } }, breaker: null }',
    async (cast) => {
      const origin = await cast.origin(() => {});
      let n = 0;
      await onTime(t, 250, async () => {
        const took = await timedOut(
          cast,
          `${origin.url}/`,
          'http_response_timeout',
          /timeouts\.(total|head)/,
        );
        assert.ok((await cast.sidecar.line(++n)).attempts.length >= 3);
        return took;
      });
    },
  ));

test('total: it cuts a body that flows for longer', (t) =>
  stage(policy('total: 150ms'), async (cast) => {
    const origin = await cast.origin((_request, response) => {
      const tick = setInterval(() => response.write('x'), 10);
      response.on('close', () => clearInterval(tick));
    });
    let n = 0;
    await onTime(t, 150, async () => {
      const began = performance.now();
      await assert.rejects(cast.call(`${origin.url}/`));
      const took = performance.now() - began;
      const line = await cast.sidecar.line(++n);
      assert.equal(line.outcome, 'truncated');
      assert.equal(line.error, 'http_response_timeout');
      return took;
    });
  }));

test('a timeout that is set is not felt by an exchange that stays within it', () =>
  stage(policy('dns: 1s, connect: 1s, tls: 1s, head: 1s, idle: 1s, total: 1s'), async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    for (const method of ['GET', 'HEAD', 'POST']) {
      const body = method === 'POST' ? { body: 'x' } : {};
      assert.equal((await cast.call(`${origin.url}/`, { method, ...body })).status, 200);
    }
  }));
