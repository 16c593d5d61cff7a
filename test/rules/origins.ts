/**
 * Origins of the rules about responses: what one answers is text, and whether its connection is used again,
 * closed or reset is seen here.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type Cast, stage } from '../support/cast.ts';
import { type Message, messagesOf } from '../support/messages.ts';
import type { RawOrigin } from '../support/origin.ts';
import type { LoggedExchange } from '../support/sidecar.ts';
import { until } from '../support/until.ts';

const ONCE = 'policy: { retry: { attempts: 1 }, breaker: null }';

export interface Reply {
  /** Of the first request; every other is answered with a plain 200 that names its path. */
  readonly text: string;
  /** What the origin does then. */
  readonly ending?: 'keep' | 'fin' | 'reset';
}

/** Answers `/x` as told, and every other path with itself. */
export async function answering({ text, ending = 'keep' }: Reply, cast: Cast): Promise<RawOrigin> {
  return cast.rawOrigin((socket: Socket) => {
    let received = '';
    socket.on('end', () => socket.end());
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      for (let end = received.indexOf('\r\n\r\n'); end >= 0; end = received.indexOf('\r\n\r\n')) {
        const path = received.split(' ')[1] ?? '';
        received = received.slice(end + 4);
        if (path === '/x') {
          socket.write(text, 'latin1');
          if (ending === 'fin') socket.end();
          else if (ending === 'reset') socket.resetAndDestroy();
        } else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`, 'latin1');
      }
    });
  });
}

export interface Heard {
  /** What came for the first request; null: it was cut before its head was whole. */
  readonly answer: Message | null;
  readonly received: string;
  /** The sidecar closed the caller's connection. */
  readonly ended: boolean;
  readonly line: LoggedExchange;
  /** Connections that the origin saw, and how many of them are open. */
  readonly origin: RawOrigin;
  readonly cast: Cast;
}

interface Ask {
  readonly method?: string;
  readonly version?: string;
  readonly lines?: string;
  readonly yaml?: string;
}

/** What a caller hears when the origin answers so; `then` goes on from there, on the same stage. */
export async function hears(
  reply: Reply,
  { method = 'GET', version = 'HTTP/1.1', lines = '', yaml = ONCE }: Ask = {},
  then: (heard: Heard) => Promise<void> | void = () => {},
): Promise<Heard> {
  let heard: Heard | null = null;
  await stage(yaml, async (cast) => {
    const origin = await answering(reply, cast);
    const caller = await cast.raw();
    caller.write(`${method} ${origin.url}/x ${version}\r\nHost: x\r\n${lines}\r\n`);
    const whole = (text: string): boolean =>
      messagesOf(text, method === 'HEAD').some(
        (one) => one.whole && one.status >= 200 && framed(one, method),
      );
    await until(() => whole(caller.received) || caller.ended || caller.closed, `an answer to ${reply.text}`);
    const line = await cast.sidecar.line();
    const answers = messagesOf(caller.received, method === 'HEAD');
    const answer = answers.find(({ status }) => status >= 200) ?? null;
    heard = { answer, received: caller.received, ended: caller.ended || caller.closed, line, origin, cast };
    await then(heard);
  });
  assert.ok(heard);
  return heard;
}

/** Whether a message tells itself where it ends. */
function framed(message: Message, method: string): boolean {
  if (method === 'HEAD' || message.status === 204 || message.status === 304) return true;
  return message.values('content-length').length > 0 || message.values('transfer-encoding').length > 0;
}

/** The answer is a 502 of ours with that token, the connection of the origin is gone, and another request is served. */
export async function failsWith(reply: Reply, token: string, ask: Ask = {}): Promise<void> {
  const what = JSON.stringify(reply.text.slice(0, 200));
  await hears(reply, ask, async ({ answer, line, origin, cast }) => {
    assert.equal(answer?.status, 502, what);
    assert.match(answer?.values('proxy-status').at(-1) ?? '', new RegExp(`^outrigger; error=${token}`), what);
    assert.deepEqual([line.status, line.error, line.outcome], [502, token, 'failed'], what);
    await until(() => origin.connections.open.size === 0, `the connection to be closed after ${what}`);
    const next = await cast.call(`${origin.url}/next`);
    assert.deepEqual([next.status, next.text], [200, '/next'], what);
    assert.equal(origin.connections.total, 2, what);
  });
}
