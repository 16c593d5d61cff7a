import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { BodyGate } from '../../../src/downstream/body-gate.ts';
import { OutriggerError } from '../../../src/errors.ts';
import { Exchange } from '../../../src/exchange.ts';
import type { Route } from '../../../src/policy/policy.ts';
import { ReplayBound, RequestBody } from '../../../src/upstream/replay-body.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const CONNECTIONS = 5;
const EXCHANGES = 9;
const ENOUGH = 65_536;

const route = {
  name: 'default',
  http2: false,
  policy: {
    pool: { connections: CONNECTIONS, queueTimeoutMs: 60_000 },
    timeouts: { idleMs: 60_000, totalMs: null },
    limits: { minRate: 128, minRateWindowMs: 60_000 },
  },
} as Route;

interface Play {
  readonly exchange: Exchange;
  readonly body: RequestBody;
  readonly source: PassThrough;
  readonly origin: string;
  state: 'waiting' | 'gone on' | 'refused';
  sent: number;
  /** Its bytes, its end or its answer have come, or it is over. */
  settled: boolean;
}

function begin(gate: BodyGate, host: string, length: number | null, bound: ReplayBound): Play {
  const target = { scheme: 'http', host, port: 80, authority: host, origin: `http://${host}:80` } as const;
  const exchange = new Exchange(
    { exchangeFinished(): void {} },
    'id',
    null,
    '127.0.0.1:1',
    'POST',
    target,
    '/',
    route,
    'forward',
  );
  const source = new PassThrough({ highWaterMark: 1_048_576 });
  const body = new RequestBody(source, length, { keepBytes: 1_000, once: false, maxBytes: null }, bound);
  exchange.body = body;
  exchange.onFinish(body);
  const origin = target.origin;
  const play: Play = { exchange, body, source, origin, state: 'waiting', sent: 0, settled: false };
  const waits = gate.pass(exchange, body);
  if (waits === null) play.state = 'gone on';
  else
    waits.then(
      () => {
        play.state = 'gone on';
      },
      () => {
        play.state = 'refused';
      },
    );
  return play;
}

test('whatever happens in whatever order, streams that have sent little take up half at most, and no place is lost', async () => {
  const step = fc.oneof(
    fc.record({ does: fc.constant('begin' as const), host: fc.constantFrom('a', 'b', 'c') }),
    fc.record({
      does: fc.constantFrom<'send' | 'send much' | 'end' | 'answer' | 'abort' | 'finish'>(
        'send',
        'send much',
        'end',
        'answer',
        'abort',
        'finish',
      ),
      at: fc.nat(40),
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const gate = new BodyGate({ exchanges: EXCHANGES, refuses: () => false });
      const bound = new ReplayBound(1_000_000);
      const plays: Play[] = [];
      for (const one of steps) {
        if (one.does === 'begin') plays.push(begin(gate, one.host, null, bound));
        else {
          const play = plays[one.at % Math.max(1, plays.length)];
          if (!play || play.exchange.finished) continue;
          const { exchange, body, source } = play;
          if (one.does === 'send' || one.does === 'send much') {
            if (source.writableEnded) continue;
            source.write(Buffer.alloc(one.does === 'send' ? 10 : ENOUGH));
            if (one.does === 'send much') play.settled = true;
          } else if (one.does === 'end') {
            source.end();
            play.settled = true;
          } else if (one.does === 'answer') {
            if (play.state !== 'gone on') continue;
            body.onAnswered?.();
            play.settled = true;
          } else {
            if (one.does === 'abort') exchange.abort(new OutriggerError('caller_left'));
            exchange.finish('aborted');
            play.settled = true;
          }
        }
        await turn();
        const held = plays.filter((play) => play.state === 'gone on' && !play.settled);
        assert.ok(held.length <= Math.floor(EXCHANGES / 2), 'all together');
        for (const origin of ['http://a:80', 'http://b:80', 'http://c:80']) {
          const own = held.filter((play) => play.origin === origin);
          assert.ok(own.length <= Math.floor(CONNECTIONS / 2), origin);
          // Nobody waits while there is a place.
          const waits = plays.some(
            (play) => play.origin === origin && play.state === 'waiting' && !play.settled,
          );
          if (waits)
            assert.ok(
              own.length === Math.floor(CONNECTIONS / 2) || held.length === Math.floor(EXCHANGES / 2),
            );
        }
        assert.ok(plays.every((play) => !play.settled || play.exchange.finished || play.state === 'gone on'));
      }
      for (const { exchange, source } of plays) {
        source.end();
        exchange.finish('aborted');
      }
      await turn();
      const again = ['a', 'a', 'b', 'b'].map((host) => begin(gate, host, null, bound));
      assert.ok(again.every(({ state }) => state === 'gone on'));
      for (const { exchange } of again) exchange.finish('aborted');
      assert.equal(bound.used, 0);
    }),
    { numRuns: 200 },
  );
});

test('a body of known length waits for all of itself, and one that was refused ends the wait', async () => {
  const gate = new BodyGate({ exchanges: 2, refuses: () => false });
  const bound = new ReplayBound(1_000);
  const whole = begin(gate, 'a', 4, bound);
  whole.source.write('abc');
  await turn();
  assert.equal(whole.state, 'waiting');
  assert.equal(whole.exchange.phase, 'receiving the body');
  whole.source.write('d');
  await turn();
  assert.equal(whole.state, 'gone on');
  assert.equal(whole.body.whole()?.toString(), 'abcd');
  const left = begin(gate, 'a', 4, bound);
  left.exchange.abort(new OutriggerError('caller_left'));
  await turn();
  assert.equal(left.state, 'refused');
  for (const { exchange } of [whole, left]) exchange.finish('aborted');
  assert.equal(bound.used, 0);
});

test('who would be refused does not wait', () => {
  const gate = new BodyGate({ exchanges: 2, refuses: () => true });
  const play = begin(gate, 'a', 4, new ReplayBound(1_000));
  assert.equal(play.state, 'gone on');
  play.exchange.finish('refused');
});
