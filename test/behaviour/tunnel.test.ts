import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import type { Edges } from '../../src/sidecar.ts';
import type { LookupCallback } from '../../src/upstream/resolver.ts';
import type { RawCaller } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import { bufferBytes } from '../support/memory.ts';
import { messagesOf } from '../support/messages.ts';
import { RawOrigin } from '../support/origin.ts';
import { until, untilStill } from '../support/until.ts';

const ESTABLISHED = 'HTTP/1.1 200 Connection Established\r\n';

/** A stage with an origin whose port CONNECT may reach. */
async function tunnelStage(
  onSocket: (socket: Socket) => void,
  play: (cast: Cast, origin: RawOrigin) => Promise<void>,
  yaml = '',
  edges: Edges = {},
): Promise<void> {
  const origin = await RawOrigin.start(onSocket);
  await stage(
    `access: { tunnelPorts: [443, ${origin.port}], tunnelProtocols: [tls, http, other] }\n${yaml}`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      await play(cast, origin);
    },
    edges,
  );
}

/** A caller with an open tunnel; what came behind the 200 is in `received`. */
async function opened(cast: Cast, origin: RawOrigin): Promise<RawCaller> {
  const caller = await cast.raw();
  caller.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
  assert.ok((await caller.until((text) => text.includes('\r\n\r\n'))).startsWith(ESTABLISHED));
  caller.received = caller.received.slice(caller.received.indexOf('\r\n\r\n') + 4);
  return caller;
}

function echo(socket: Socket): void {
  socket.on('data', (chunk) => socket.write(chunk));
  socket.on('end', () => socket.end());
}

test('CONNECT opens a tunnel: 200 without framing and with the ID, bytes both ways, one line with their counts', () =>
  tunnelStage(echo, async (cast, origin) => {
    const caller = await cast.raw();
    caller.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const head = await caller.until((text) => text.includes('\r\n\r\n'));
    assert.ok(head.startsWith(ESTABLISHED));
    assert.doesNotMatch(head, /content-length|transfer-encoding|connection:/i);
    assert.match(head, /^Proxy-Status: outrigger; attempts=1; received-status=200\r$/m);
    assert.equal(cast.sidecar.sidecar.snapshot().tunnels, 1);
    caller.write('hello');
    await caller.until((text) => text.endsWith('hello'));
    caller.socket.end();
    await caller.untilEnd();
    const line = await cast.sidecar.line();
    assert.match(head, new RegExp(`X-Request-Id: ${line.requestId}\r`));
    assert.deepEqual(
      [line.method, line.host, line.port, line.path, line.status, line.outcome, line.error],
      ['CONNECT', '127.0.0.1', origin.port, '', 200, 'completed', null],
    );
    assert.deepEqual([line.requestBytes, line.responseBytes], [5, 5]);
    assert.equal(line.attempts.length, 1);
  }));

test('200 comes only once the origin is connected, and what was sent before it arrives once and in order', () => {
  let release: LookupCallback | null = null;
  let received = '';
  return tunnelStage(
    (socket) => {
      socket.on('data', (chunk) => {
        received += chunk.toString();
      });
      socket.on('end', () => socket.end());
    },
    async (cast, origin) => {
      const caller = await cast.raw();
      caller.write(`CONNECT slow.test:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\none `);
      await until(() => release !== null, 'the look-up');
      caller.write('two ');
      await new Promise((resolve) => setImmediate(resolve));
      caller.write('x'.repeat(200_000));
      assert.equal(caller.received, '');
      assert.equal(origin.connections.total, 0);
      release?.(null, ['127.0.0.1']);
      await caller.until((text) => text.startsWith(ESTABLISHED));
      caller.write(' three');
      caller.socket.end();
      await until(() => received.endsWith(' three'), 'all of it');
      assert.equal(received, `one two ${'x'.repeat(200_000)} three`);
      assert.equal((await cast.sidecar.line()).requestBytes, received.length);
    },
    '',
    {
      lookup: (_host, callback) => {
        release = callback;
      },
    },
  );
});

test('CONNECT to a port that is not listed is refused with 403', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin(echo);
    const caller = await cast.raw();
    caller.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const [got] = messagesOf(await caller.untilEnd());
    assert.equal(got?.status, 403);
    const problem = JSON.parse(got?.body ?? '');
    assert.equal(problem.error, 'http_request_denied');
    assert.match(problem.hint, /access\.tunnelPorts/);
    assert.equal(origin.connections.total, 0);
    assert.equal((await cast.sidecar.line()).outcome, 'refused');
  }));

test('what is sent behind a refused CONNECT is never read as a request', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const caller = await cast.raw();
    caller.write(
      `CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\nGET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    const text = await caller.untilEnd();
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    caller.socket.end();
    await until(() => caller.closed, 'the end');
    assert.equal(messagesOf(text).length, 1);
    assert.equal(origin.seen.length, 0);
  }));

test('an origin that refuses the connection is a 502 and no tunnel', async () => {
  const origin = await RawOrigin.start(echo);
  await origin.close();
  await stage(
    `access: { tunnelPorts: [${origin.port}] }\npolicy: { retry: { attempts: 1 } }`,
    async (cast) => {
      const caller = await cast.raw();
      caller.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\nearly`);
      const [got] = messagesOf(await caller.untilEnd());
      assert.equal(got?.status, 502);
      assert.equal(JSON.parse(got?.body ?? '').error, 'connection_refused');
      assert.equal((await cast.sidecar.line()).outcome, 'failed');
    },
  );
});

test('CONNECT in HTTP/1.0, without Host and with Connection: close, opens a tunnel that stays', () =>
  tunnelStage(echo, async (cast, origin) => {
    const caller = await cast.raw();
    caller.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.0\r\nConnection: close\r\n\r\n`);
    await caller.until((text) => text.startsWith(ESTABLISHED));
    caller.write('still there');
    await caller.until((text) => text.endsWith('still there'));
    assert.equal(caller.ended, false);
  }));

test('a caller that half-closes still gets all that the origin has to say', () =>
  tunnelStage(
    (socket) => {
      socket.resume();
      socket.on('end', () => {
        socket.write('after your end');
        setImmediate(() => socket.end(', mine'));
      });
    },
    async (cast, origin) => {
      const caller = await opened(cast, origin);
      caller.socket.end('question');
      assert.equal(await caller.untilEnd(), 'after your end, mine');
      assert.equal((await cast.sidecar.line()).outcome, 'completed');
    },
  ));

test('an origin that half-closes still gets all that the caller has to say', () => {
  let received = '';
  return tunnelStage(
    (socket) => {
      socket.end('mine first');
      socket.on('data', (chunk) => {
        received += chunk.toString();
      });
    },
    async (cast, origin) => {
      const caller = await opened(cast, origin);
      await caller.untilEnd();
      caller.write('then ');
      await until(() => received === 'then ', 'the first part');
      caller.socket.end('yours');
      await until(() => received === 'then yours', 'all of it');
      assert.equal((await cast.sidecar.line()).outcome, 'completed');
    },
  );
});

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

test('16 MiB go through both ways at once, intact', () => {
  const up = randomBytes(16 * 1_048_576);
  const down = randomBytes(16 * 1_048_576);
  const atOrigin: Buffer[] = [];
  let ended = false;
  return tunnelStage(
    (socket) => {
      socket.on('data', (chunk) => atOrigin.push(chunk));
      socket.on('end', () => {
        ended = true;
      });
      socket.end(down);
    },
    async (cast, origin) => {
      const caller = await opened(cast, origin);
      caller.socket.end(up);
      await caller.untilEnd();
      await until(() => ended, 'the end at the origin');
      assert.equal(digest(Buffer.concat(atOrigin)), digest(up));
      assert.equal(digest(Buffer.from(caller.received, 'latin1')), digest(down));
      const line = await cast.sidecar.line();
      assert.deepEqual([line.requestBytes, line.responseBytes], [up.length, down.length]);
    },
  );
});

test('a reset of the caller is a reset for the origin', () => {
  let code = '';
  return tunnelStage(
    (socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => {
        code = error.code ?? '';
      });
      socket.resume();
    },
    async (cast, origin) => {
      const caller = await opened(cast, origin);
      caller.socket.resetAndDestroy();
      await until(() => code !== '', 'the reset');
      assert.equal(code, 'ECONNRESET');
      const line = await cast.sidecar.line();
      assert.equal(line.outcome, 'aborted');
      assert.equal(line.reason, 'caller reset the tunnel');
    },
  );
});

test('a reset of the origin is a reset for the caller', () =>
  tunnelStage(
    (socket) => socket.once('data', () => socket.resetAndDestroy()),
    async (cast, origin) => {
      const caller = await opened(cast, origin);
      let code = '';
      caller.socket.on('error', (error: NodeJS.ErrnoException) => {
        code = error.code ?? '';
      });
      caller.write('go');
      await until(() => caller.closed, 'the end');
      assert.equal(code, 'ECONNRESET');
      const line = await cast.sidecar.line();
      assert.equal(line.outcome, 'truncated');
      assert.equal(line.reason, 'origin reset the tunnel');
    },
  ));

test('a tunnel through which nothing passes is closed after policy.timeouts.idle, and not while something does', () =>
  tunnelStage(
    echo,
    async (cast, origin) => {
      const caller = await opened(cast, origin);
      const began = performance.now();
      for (let i = 1; i <= 5; i++) {
        await until(() => performance.now() - began > i * 60, 'its time');
        caller.write('.');
        await caller.until((text) => text.length === i);
      }
      const last = performance.now();
      await until(() => caller.closed || caller.ended, 'the end');
      const idle = performance.now() - last;
      assert.ok(idle > 95 && idle < 200, `${idle} ms`);
      const line = await cast.sidecar.line();
      assert.equal(line.error, 'connection_read_timeout');
      assert.equal(line.outcome, 'truncated');
    },
    'policy: { timeouts: { idle: 100ms } }',
  ));

for (const [what, yaml] of [
  ['policy.pool.connections', 'policy: { pool: { connections: 1, queueTimeout: 50ms } }'],
  ['limits.connections', 'limits: { connections: 1 }\npolicy: { pool: { queueTimeout: 50ms } }'],
] as const)
  test(`a tunnel counts against ${what} until it is closed`, () =>
    tunnelStage(
      echo,
      async (cast, origin) => {
        const first = await opened(cast, origin);
        const second = await cast.raw();
        second.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
        const [shed] = messagesOf(await second.untilEnd());
        assert.equal(shed?.status, 503);
        assert.equal(JSON.parse(shed?.body ?? '').error, 'connection_limit_reached');
        assert.deepEqual(shed?.values('retry-after'), ['1']);
        first.leave();
        const third = await opened(cast, origin);
        third.write('mine');
        await third.until((text) => text === 'mine');
        assert.equal(origin.connections.most, 1);
      },
      yaml,
    ));

test('a tunnel waits in the queue for a connection that comes free', () =>
  tunnelStage(
    echo,
    async (cast, origin) => {
      const first = await opened(cast, origin);
      const second = await cast.raw();
      second.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await until(() => cast.sidecar.sidecar.snapshot().origins[0]?.queue === 1, 'the queue');
      first.leave();
      await second.until((text) => text.startsWith(ESTABLISHED));
      assert.equal(origin.connections.most, 1);
    },
    'policy: { pool: { connections: 1 } }',
  ));

test('CONNECT behind a request on the same connection opens a tunnel that listen.idleTimeout does not end', () =>
  tunnelStage(
    echo,
    async (cast, origin) => {
      const web = await cast.origin();
      const caller = await cast.raw(2);
      caller.write(
        `GET ${web.url}/ HTTP/1.1\r\nHost: x\r\n\r\nCONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\nearly`,
      );
      await caller.until((text) => text.endsWith('early'));
      assert.deepEqual(
        messagesOf(caller.received).map(({ status }) => status),
        [200, 200],
      );
      const began = performance.now();
      await until(() => performance.now() - began > 1_500 || caller.ended, 'its time');
      caller.write(' late');
      await caller.until((text) => text.endsWith('early late'));
    },
    'listen: { idleTimeout: 100ms }',
  ));

test('a tunnel whose reader has stopped holds less than 1 MiB, whichever side it is', () => {
  const piece = Buffer.alloc(65_536, 'x');
  const flood = (socket: Socket): void => {
    const push = (): void => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on('drain', push);
    push();
  };
  return tunnelStage(
    (socket) => {
      socket.pause();
      flood(socket);
    },
    async (cast, origin) => {
      const callers: RawCaller[] = [];
      const before = bufferBytes();
      for (let i = 0; i < 8; i++) {
        const caller = await opened(cast, origin);
        caller.socket.pause();
        flood(caller.socket);
        callers.push(caller);
      }
      await untilStill(() => [...origin.connections.open].reduce((sum, one) => sum + one.bytesWritten, 0));
      await until(() => bufferBytes() - before < 8 * 1_048_576, 'what is held to be less than 1 MiB each');
      for (const caller of callers) caller.leave();
      await cast.sidecar.line(8);
    },
  );
});
