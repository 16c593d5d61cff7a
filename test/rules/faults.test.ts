/** Faults on the way: eight kinds, before the head, within it, within the body, and while nothing is asked. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { eachHead, messagesOf } from '../support/messages.ts';
import { RawOrigin } from '../support/origin.ts';
import { until } from '../support/until.ts';

const WHOLE = `HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789`;
/** Before the head, in the head, in the body. */
const PLACES = [0, 20, WHOLE.length - 5];
const YAML = 'policy: { retry: { attempts: 1 }, breaker: null, timeouts: { head: 300ms, idle: 300ms } }';

type Fault = (socket: Socket, at: number) => void;

/** What the caller got for one request to an origin with that fault at that place. */
async function meets(
  fault: Fault,
  at: number,
  check: (
    heard: { status: number; whole: boolean; error: string | null; outcome: string },
    cast: Cast,
  ) => void | Promise<void>,
): Promise<void> {
  await stage(YAML, async (cast) => {
    const origin = await cast.rawOrigin((socket) => eachHead(socket, () => fault(socket, at)));
    const caller = await cast.raw();
    caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const [answer] = messagesOf(await caller.untilEnd());
    const { error, outcome } = await cast.sidecar.line();
    await check({ status: answer?.status ?? 0, whole: answer?.whole ?? false, error, outcome }, cast);
    const good = await cast.origin();
    assert.equal((await cast.call(good.url)).status, 200);
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'nothing to be left');
  });
}

/** An error of ours before the head has gone on, and a visible cut behind it. */
function broken(
  { status, whole, outcome }: { status: number; whole: boolean; outcome: string },
  at: number,
): void {
  if (status === 200) assert.deepEqual([whole, outcome], [false, 'truncated'], `at ${at}`);
  else assert.ok((status === 502 || status === 504) && whole, `at ${at}: ${status}`);
}

test('FAULTS latency within the timeouts changes nothing', async () => {
  for (const at of PLACES)
    await meets(
      (socket) => {
        socket.write(WHOLE.slice(0, at));
        setTimeout(() => socket.write(WHOLE.slice(at)), 100);
      },
      at,
      ({ status, whole }) => assert.deepEqual([status, whole], [200, true]),
    );
});

test('FAULTS a narrow way, and one that cuts every write into single bytes, change nothing', () =>
  meets(
    (socket) => {
      let at = 0;
      const next = (): void => {
        if (at >= WHOLE.length || socket.destroyed) return;
        socket.write(WHOLE.slice(at, ++at));
        setTimeout(next, 1);
      };
      next();
    },
    0,
    ({ status, whole }) => assert.deepEqual([status, whole], [200, true]),
  ));

test('FAULTS an origin that closes slowly is given up, not waited for', () =>
  meets(
    (socket) => {
      socket.removeAllListeners('end');
      socket.write(WHOLE);
    },
    0,
    ({ status, whole }) => assert.deepEqual([status, whole], [200, true]),
  ));

test('FAULTS data that stops coming is a 504, or a cut', async () => {
  for (const at of PLACES)
    await meets(
      (socket) => socket.write(WHOLE.slice(0, at)),
      at,
      (heard) => broken(heard, at),
    );
});

test('FAULTS a reset is a 502, or a cut', async () => {
  for (const at of PLACES)
    await meets(
      (socket) => {
        socket.write(WHOLE.slice(0, at), () => setTimeout(() => socket.resetAndDestroy(), 20));
      },
      at,
      (heard) => broken(heard, at),
    );
});

test('FAULTS an end after so many bytes is a 502, or a cut', async () => {
  for (const at of PLACES)
    await meets(
      (socket) => socket.end(WHOLE.slice(0, at)),
      at,
      (heard) => broken(heard, at),
    );
});

test('FAULTS an origin that is down is a 502 at once', () =>
  stage(YAML, async (cast) => {
    const origin = await RawOrigin.start(() => {});
    await origin.close();
    const got = await cast.call(origin.url);
    assert.deepEqual([got.status, JSON.parse(got.text).error], [502, 'connection_refused']);
  }));

test('FAULTS what happens to an idle connection happens to nobody', () =>
  stage('policy: { retry: { attempts: 1 }, breaker: null }', async (cast) => {
    for (const fault of [
      (socket: Socket) => socket.destroy(),
      (socket: Socket) => socket.resetAndDestroy(),
      (socket: Socket) => socket.end(),
      (socket: Socket) => void socket.write('x'),
    ]) {
      const origin = await cast.rawOrigin((socket) =>
        eachHead(socket, () => {
          socket.write(WHOLE);
          setTimeout(() => fault(socket), 10);
        }),
      );
      for (let i = 0; i < 3; i++) {
        assert.equal((await cast.call(origin.url)).text, '0123456789');
        await until(() => origin.connections.open.size === 0, 'the idle connection to go');
      }
    }
  }));

test('FAULTS in a tunnel a reset is a reset and an end an end, at every place', async () => {
  for (const how of ['reset', 'end'] as const)
    for (const at of [0, 5]) {
      const origin = await RawOrigin.start((socket) => {
        socket.on('data', () => {
          socket.write('\x01'.repeat(at), () =>
            how === 'reset' ? setTimeout(() => socket.resetAndDestroy(), 20) : socket.end(),
          );
        });
        socket.on('end', () => socket.end());
        socket.on('error', () => {});
      });
      await stage(`access: { tunnelPorts: [${origin.port}], tunnelProtocols: [other] }`, async (cast) => {
        cast.atEnd(() => origin.close());
        const caller = await cast.raw();
        let reset = false;
        caller.socket.on('error', () => {
          reset = true;
        });
        caller.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`);
        await caller.until((text) => text.includes('\r\n\r\n'));
        caller.write('\x01');
        await caller.untilEnd();
        caller.socket.end();
        await until(() => caller.closed, 'the end');
        assert.equal(caller.received.split('\r\n\r\n')[1]?.length, at);
        assert.equal(reset, how === 'reset');
        await cast.sidecar.line();
      });
    }
});
