import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { RawCaller } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import { RawOrigin } from '../support/origin.ts';
import { until, untilStill } from '../support/until.ts';

/** One failure would open it. */
const YAML = 'policy: { breaker: { minimumCalls: 1, failureRatio: 1% }, pool: { connections: 1 } }';

const WAYS = ['FIN', 'RST'] as const;

/** The caller goes; within 100 ms `over` holds and the line is written, and nobody calls it a failure. */
async function leave(
  cast: Cast,
  caller: RawCaller,
  way: (typeof WAYS)[number],
  line: number,
  phase: string,
  over: () => boolean,
): Promise<void> {
  const began = performance.now();
  if (way === 'FIN') caller.socket.destroy();
  else caller.socket.resetAndDestroy();
  await until(
    () => over() && cast.sidecar.exchanges.length >= line,
    `the end of the attempt while ${phase}`,
    2_000,
  );
  const ms = performance.now() - began;
  assert.ok(ms < 100, `${ms} ms`);
  const logged = cast.sidecar.exchanges[line - 1];
  assert.equal(logged?.outcome, 'aborted');
  assert.equal(logged?.reason, `caller left while ${phase}`);
  for (const attempt of logged?.attempts ?? [])
    if (attempt.status !== 503) assert.notEqual(attempt.verdict, 'failure');
}

function noFailure(cast: Cast): void {
  for (const origin of cast.sidecar.sidecar.snapshot().origins) assert.equal(origin.circuit, 'closed');
}

function get(url: string): string {
  return `GET ${url}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
}

for (const way of WAYS) {
  test(`a caller that leaves by ${way} while queued leaves the queue at once`, () =>
    stage(YAML, async (cast) => {
      const origin = await cast.origin(() => {});
      const first = await cast.raw();
      first.write(get(origin.url));
      await until(() => origin.seen.length === 1, 'the first request');
      const second = await cast.raw();
      second.write(get(origin.url));
      const queue = (): number => cast.sidecar.sidecar.snapshot().origins[0]?.queue ?? 0;
      await until(() => queue() === 1, 'the queue');
      await leave(cast, second, way, 1, 'queued', () => queue() === 0);
      assert.equal(origin.seen.length, 1);
      noFailure(cast);
    }));

  test(`a caller that leaves by ${way} while the name is resolved ends that`, () => {
    let asked = 0;
    return stage(
      YAML,
      async (cast) => {
        const caller = await cast.raw();
        caller.write(get('http://slow.test'));
        await until(() => asked === 1, 'the look-up');
        await leave(
          cast,
          caller,
          way,
          1,
          'resolving',
          () => cast.sidecar.sidecar.snapshot().connections === 0,
        );
        noFailure(cast);
      },
      { lookup: () => void asked++ },
    );
  });

  test(`a caller that leaves by ${way} while connecting ends that`, async () => {
    const full = await FullBacklog.start();
    try {
      await stage(YAML, async (cast) => {
        const caller = await cast.raw();
        caller.write(get(`http://127.0.0.1:${full.port}`));
        const connecting = (): number =>
          cast.sidecar.sidecar.snapshot().origins[0]?.connections.connecting ?? 0;
        await until(() => connecting() === 1, 'the dial');
        await leave(cast, caller, way, 1, 'connecting', () => connecting() === 0);
        noFailure(cast);
      });
    } finally {
      await full.close();
    }
  });

  test(`a caller that leaves by ${way} during the TLS handshake ends that`, () =>
    stage(YAML, async (cast) => {
      const origin = await cast.rawOrigin((socket) => socket.resume());
      const caller = await cast.raw();
      caller.write(get(`https://127.0.0.1:${origin.port}`));
      await until(() => origin.connections.open.size === 1, 'the connection');
      await until(() => [...origin.connections.open].every((one) => one.bytesRead > 0), 'the hello');
      await leave(cast, caller, way, 1, 'handshaking', () => origin.connections.open.size === 0);
      noFailure(cast);
    }));

  test(`a caller that leaves by ${way} while the head is awaited ends the attempt`, () =>
    stage(YAML, async (cast) => {
      const origin = await cast.origin(() => {});
      const caller = await cast.raw();
      caller.write(get(origin.url));
      await until(() => origin.seen.length === 1, 'the request');
      await leave(cast, caller, way, 1, 'waiting for the head', () => origin.connections.open.size === 0);
      noFailure(cast);
    }));

  for (const [framing, head, part] of [
    ['known length', 'Content-Length: 1000000', 'part'],
    ['chunked', 'Transfer-Encoding: chunked', '4\r\npart\r\n'],
  ] as const)
    test(`a caller that leaves by ${way} in its body (${framing}): the origin never sees a whole one`, () =>
      stage(YAML, async (cast) => {
        let body = '';
        let whole = false;
        let broken = false;
        const origin = await cast.origin((request) => {
          request.on('data', (chunk: Buffer) => {
            body += chunk.toString();
          });
          request.on('end', () => {
            whole = true;
          });
          request.on('error', () => {
            broken = true;
          });
        });
        const caller = await cast.raw();
        caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n${part}`);
        await until(() => body === 'part', 'the first part');
        await leave(cast, caller, way, 1, 'sending the body', () => origin.connections.open.size === 0);
        await until(() => broken, 'the origin to see a broken body');
        assert.equal(whole, false);
        noFailure(cast);
      }));

  test(`a caller that leaves by ${way} in the response body ends the attempt`, () =>
    stage(YAML, async (cast) => {
      const origin = await cast.origin((_request, response) => void response.write('begun'));
      const caller = await cast.raw();
      caller.write(get(origin.url));
      await caller.until((text) => text.includes('begun'));
      await leave(cast, caller, way, 1, 'in the body', () => origin.connections.open.size === 0);
      noFailure(cast);
    }));

  test(`a caller that leaves by ${way} while it does not read a body that is still coming ends the attempt`, () =>
    stage(YAML, async (cast) => {
      const origin = await cast.rawOrigin((socket) => {
        const piece = Buffer.alloc(65_536, 'x');
        const push = (): void => {
          while (!socket.destroyed && socket.write(piece));
        };
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n');
          push();
        });
        socket.on('drain', push);
      });
      const caller = await cast.raw();
      caller.socket.pause();
      caller.write(get(origin.url));
      await untilStill(() => [...origin.connections.open][0]?.bytesWritten ?? 0);
      await leave(cast, caller, way, 1, 'in the body', () => origin.connections.open.size === 0);
      noFailure(cast);
    }));

  test(`a caller that leaves by ${way} between two attempts gets no second one`, () =>
    stage('policy: { retry: { backoff: { initial: 5s, max: 5s } } }', async (cast) => {
      const origin = await cast.origin((_request, response) => {
        response.writeHead(503, { 'Retry-After': '1' });
        response.end();
      });
      const caller = await cast.raw();
      caller.write(get(origin.url));
      await until(
        () => cast.sidecar.sidecar.snapshot().origins[0]?.connections.idle === 1,
        'the first attempt to be over',
      );
      await leave(
        cast,
        caller,
        way,
        1,
        'between two attempts',
        () => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0,
      );
      assert.equal(origin.seen.length, 1);
    }));

  test(`a caller that leaves by ${way} before its tunnel is connected ends the dial`, () => {
    let asked = 0;
    return stage(
      YAML,
      async (cast) => {
        const caller = await cast.raw();
        caller.write('CONNECT slow.test:443 HTTP/1.1\r\nHost: x\r\n\r\nearly');
        await until(() => asked === 1, 'the look-up');
        await leave(
          cast,
          caller,
          way,
          1,
          'resolving',
          () => cast.sidecar.sidecar.snapshot().connections === 0,
        );
        noFailure(cast);
      },
      { lookup: () => void asked++ },
    );
  });

  test(`a caller that leaves by ${way} while its tunnel connects ends the dial`, async () => {
    const full = await FullBacklog.start();
    try {
      await stage(`${YAML}\naccess: { tunnelPorts: [${full.port}] }`, async (cast) => {
        const caller = await cast.raw();
        caller.write(`CONNECT 127.0.0.1:${full.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
        const connecting = (): number =>
          cast.sidecar.sidecar.snapshot().origins[0]?.connections.connecting ?? 0;
        await until(() => connecting() === 1, 'the dial');
        await leave(cast, caller, way, 1, 'connecting', () => connecting() === 0);
        noFailure(cast);
      });
    } finally {
      await full.close();
    }
  });

  test(`a caller that leaves by ${way} while its tunnel is queued leaves the queue`, async () => {
    const origin = await RawOrigin.start((socket) => socket.resume().on('end', () => socket.end()));
    await stage(`${YAML}\naccess: { tunnelPorts: [${origin.port}] }`, async (cast) => {
      cast.atEnd(() => origin.close());
      const connectTo = `CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`;
      const first = await cast.raw();
      first.write(connectTo);
      await first.until((text) => text.includes('\r\n\r\n'));
      const second = await cast.raw();
      second.write(connectTo);
      const queue = (): number => cast.sidecar.sidecar.snapshot().origins[0]?.queue ?? 0;
      await until(() => queue() === 1, 'the queue');
      await leave(cast, second, way, 1, 'queued', () => queue() === 0);
      assert.equal(origin.connections.total, 1);
    });
  });
}

test('a hundred callers that leave at once leave nothing behind', () =>
  stage('policy: { pool: { connections: 8 } }', async (cast) => {
    const origin = await cast.origin(() => {});
    const callers = await Promise.all(Array.from({ length: 100 }, () => cast.raw()));
    for (const caller of callers) caller.write(get(origin.url));
    await until(() => origin.seen.length === 8, 'the first eight');
    await until(() => cast.sidecar.sidecar.snapshot().origins[0]?.queue === 92, 'the queue');
    for (const caller of callers) caller.leave();
    await cast.sidecar.line(100);
    await until(() => origin.connections.open.size === 0, 'the origin to be left alone');
    assert.equal(origin.connections.most, 8);
    for (const line of cast.sidecar.exchanges) assert.equal(line.outcome, 'aborted');
  }));

/** A listener that never accepts, in a thread that sleeps, with its backlog filled: who dials it, waits. */
class FullBacklog {
  readonly port: number;
  readonly #worker: Worker;
  readonly #fill: Socket[] = [];

  private constructor(worker: Worker, port: number) {
    this.#worker = worker;
    this.port = port;
  }

  static async start(): Promise<FullBacklog> {
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads');
       const server = require('node:net').createServer();
       server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
         parentPort.postMessage(server.address().port);
         Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
       });`,
      { eval: true },
    );
    const port = await new Promise<number>((resolve) => worker.once('message', resolve));
    const full = new FullBacklog(worker, port);
    for (;;) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      full.#fill.push(socket);
      const began = performance.now();
      await until(() => !socket.connecting || performance.now() - began > 100, 'the dial');
      if (socket.connecting) return full;
    }
  }

  async close(): Promise<void> {
    for (const socket of this.#fill) socket.destroy();
    await this.#worker.terminate();
  }
}

test('an answer that has been decided reaches a caller that says with a FIN that it has nothing more to ask', () =>
  stage('access: { default: deny }', async (cast) => {
    const caller = await cast.raw(2);
    // The FIN is seen while the second answer waits for the end of its turn.
    caller.write(get('http://denied.test').repeat(2));
    caller.socket.end();
    await caller.untilEnd();
    assert.equal(caller.received.match(/^HTTP\/1\.1 403 /gm)?.length, 2);
    await until(() => cast.sidecar.exchanges.length === 2, 'both lines');
    assert.deepEqual(
      cast.sidecar.exchanges.map(({ outcome, status }) => [outcome, status]),
      [
        ['refused', 403],
        ['refused', 403],
      ],
    );
  }));

test('an answer that is decided while the sidecar stops is not lost', () =>
  stage('access: { default: deny }', async (cast) => {
    const caller = await cast.raw(2);
    caller.write(get('http://denied.test'));
    await caller.until((received) => received.includes('requestId'));
    await new Promise<void>((resolve, reject) => {
      // From a timer: the request is read before what the stop puts off to the end of the turn.
      setTimeout(() => {
        caller.write(get('http://denied.test'));
        cast.sidecar.stop().then(resolve, reject);
      });
    });
    await caller.untilEnd();
    assert.equal(caller.received.match(/^HTTP\/1\.1 403 /gm)?.length, 2);
    assert.deepEqual(
      cast.sidecar.exchanges.map(({ outcome }) => outcome),
      ['refused', 'refused'],
    );
  }));
