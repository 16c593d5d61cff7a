import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { Forwarding } from '../../../src/downstream/forward.ts';
import { Http1Request } from '../../../src/downstream/http1-request.ts';
import { Http1Response } from '../../../src/downstream/http1-response.ts';
import { Exchange } from '../../../src/exchange.ts';
import { LiveExchanges } from '../../../src/live-exchanges.ts';
import type { Route } from '../../../src/policy/policy.ts';
import type { Response, ResponseSink } from '../../../src/response.ts';
import { FakeClock } from '../../support/clock.ts';

const IDLE_MS = 1_000;
const FIRST = 100;
const LAST = 50_000;

const route = {
  name: 'default',
  policy: { timeouts: { idleMs: IDLE_MS }, headers: { response: { remove: [], set: [] } } },
} as unknown as Route;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a caller that takes something within every idle time gets all of it, however much came at the end', async () => {
  // A caller's connection that takes a write when the test says so.
  const taken: (() => void)[] = [];
  const pipe = new Writable({ write: (_chunk, _encoding, done) => void taken.push(done) });
  const socket = Object.assign(pipe, { resetAndDestroy: () => pipe.destroy() }) as unknown as Socket;
  const gate = { socket, holdBody(): void {}, letBodyFlow(): void {} };
  const head = { method: 'GET', target: 'http://a/', minorVersion: 1 as const, fields: [] };
  const request = new Http1Request(head, gate, { startLineBytes: 1_000, headBytes: 1_000, fields: 10 });
  const home = { socket, keepAliveFields: '', responseOver(): void {} };
  const response = new Http1Response(home, request);
  const observer = { exchangeFinished(): void {} };
  const exchange = new Exchange(observer, 'id', null, '127.0.0.1:1', 'GET', null, '/', route, 'forward');
  const forwarding = new Forwarding(exchange, request, response, 'x-request-id', new LiveExchanges());
  const clock = new FakeClock();
  try {
    let sink: ResponseSink | null = null;
    const upstream: Response = {
      status: 200,
      statusText: 'OK',
      headers: ['Content-Length', String(FIRST + LAST)],
      retryAfter: null,
      length: FIRST + LAST,
      trailer: false,
      pipe(to) {
        sink = to;
        to.data(Buffer.alloc(FIRST));
      },
      resume() {},
      discard() {},
    };
    forwarding.follow(Promise.resolve(upstream));
    await turn();
    await turn();
    assert.ok(response.writableLength > FIRST, 'the beginning waits for the caller');
    const to = sink as ResponseSink | null;
    to?.data(Buffer.alloc(LAST));
    to?.end([]);
    await turn();
    await turn();
    assert.ok(response.writableLength > LAST, 'all of it waits for the caller');
    taken.shift()?.();
    await turn();
    clock.advance(IDLE_MS);
    assert.equal(exchange.error, null);
    while (taken.length > 0) {
      taken.shift()?.();
      await turn();
    }
    assert.equal(exchange.outcome, 'completed');
  } finally {
    clock.restore();
  }
});
