import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Grant } from '../../../src/credentials/token-response.ts';
import { Tokens } from '../../../src/credentials/tokens.ts';
import { OutriggerError } from '../../../src/errors.ts';
import { Exchange } from '../../../src/exchange.ts';
import { loadTexts } from '../config/sources.ts';

const { routes } = loadTexts([
  `routes:
  - name: a
    credentials: { oauth2: { tokenUrl: "https://t.example/t", clientId: me, clientSecret: s } }`,
]).config;
const [route] = routes;
const oauth2 = route?.credentials?.oauth2 ?? assert.fail('no credentials');

function exchange(): Exchange {
  if (route === undefined) return assert.fail('no route');
  return new Exchange({ exchangeFinished() {} }, 'id', null, 'client', 'GET', null, '/', route, 'forward');
}

interface Asked {
  readonly secret: string;
  grant(token: string, expiresInS?: number | null): Promise<void>;
  fail(name?: 'connection_refused' | 'head_timeout'): Promise<void>;
}

/** Tokens whose clock and fetches are the test's. */
class Bench {
  now = 1_000_000;
  readonly asked: Asked[] = [];
  /** Whatever the configuration has now. */
  secret = 's';
  readonly tokens: Tokens;

  constructor() {
    const text = { bench: this };
    // A holder, as the configuration has it for a file.
    const policy = {
      ...oauth2,
      get clientSecret() {
        return text.bench.secret;
      },
    };
    this.tokens = new Tokens(
      policy,
      (secret) => this.#fetch(secret),
      () => this.now,
    );
  }

  #fetch(secret: string): Promise<Grant> {
    const { promise, resolve, reject } = Promise.withResolvers<Grant>();
    this.asked.push({
      secret,
      async grant(token, expiresInS = 3600) {
        resolve({ token, expiresInS });
        await settled();
      },
      async fail(name = 'connection_refused') {
        reject(new OutriggerError(name, 'https://t.example:443'));
        await settled();
      },
    });
    return promise;
  }

  last(): Asked {
    return this.asked.at(-1) ?? assert.fail('nobody asked');
  }

  /** With a first token that lives an hour. */
  static async warm(): Promise<Bench> {
    const bench = new Bench();
    const waiting = bench.tokens.wait(exchange());
    await bench.last().grant('first');
    assert.equal(await waiting, 'Bearer first');
    return bench;
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a hundred that wait are one fetch, and all of them get its token', async () => {
  const bench = new Bench();
  assert.equal(bench.tokens.current(), null);
  const waiting = Array.from({ length: 100 }, () => bench.tokens.wait(exchange()));
  assert.equal(bench.asked.length, 1);
  await bench.last().grant('first');
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(['Bearer first']));
  assert.equal(bench.tokens.current(), 'Bearer first');
  assert.equal(bench.asked.length, 1);
});

test('a token is used until its end, and replaced ahead of it while it still is', async () => {
  const bench = await Bench.warm();
  bench.now += 3_539_999;
  assert.equal(bench.tokens.current(), 'Bearer first');
  assert.equal(bench.asked.length, 1, 'not within refreshBefore yet');
  bench.now += 1;
  assert.equal(bench.tokens.current(), 'Bearer first');
  assert.equal(bench.tokens.current(), 'Bearer first');
  assert.equal(bench.asked.length, 2, 'one fetch, and nobody waits for it');
  await bench.last().grant('second');
  assert.equal(bench.tokens.current(), 'Bearer second');
  bench.now += 3_600_000;
  assert.equal(bench.tokens.current(), null, 'its end has come');
});

test('a token with a short life is replaced in the second half of it', async () => {
  const bench = await Bench.warm();
  bench.tokens.rejected('Bearer first');
  const waiting = bench.tokens.wait(exchange());
  await bench.last().grant('short', 10);
  await waiting;
  bench.now += 4_999;
  bench.tokens.current();
  assert.equal(bench.asked.length, 2);
  bench.now += 1;
  bench.tokens.current();
  assert.equal(bench.asked.length, 3);
  bench.now += 5_000;
  assert.equal(bench.tokens.current(), null);
});

test('a life that is not told is five minutes, and none is believed to be longer than a day', async () => {
  for (const [told, lifeMs] of [
    [null, 300_000],
    [1e300, 86_400_000],
    [Number.POSITIVE_INFINITY, 86_400_000],
  ] as const) {
    const bench = new Bench();
    const waiting = bench.tokens.wait(exchange());
    await bench.last().grant('a', told);
    await waiting;
    bench.now += lifeMs - 1;
    assert.equal(bench.tokens.current(), 'Bearer a');
    bench.now += 1;
    assert.equal(bench.tokens.current(), null);
  }
});

test('while the token server is down, the old token goes on being used, and it is asked at growing intervals', async () => {
  const bench = await Bench.warm();
  bench.now += 3_540_000;
  const asked: number[] = [];
  for (let second = 0; second < 59; second++) {
    const before = bench.asked.length;
    assert.equal(bench.tokens.current(), 'Bearer first');
    if (bench.asked.length > before) {
      asked.push(second);
      await bench.last().fail();
    }
    bench.now += 1_000;
  }
  assert.deepEqual(asked, [0, 1, 3, 7, 15, 31]);
});

test('without a token a failed fetch is an error for all that wait, and the next are told at once, until it is time', async () => {
  const bench = new Bench();
  const waiting = Promise.allSettled([bench.tokens.wait(exchange()), bench.tokens.wait(exchange())]);
  await bench.last().fail();
  for (const result of await waiting) {
    assert.ok(result.status === 'rejected' && result.reason instanceof OutriggerError);
    assert.equal(result.reason.name, 'token_unavailable');
    assert.equal(result.reason.detail, 'connection_refused: https://t.example:443');
    assert.equal(result.reason.retryAfterS, 1);
  }
  bench.now += 999;
  await assert.rejects(bench.tokens.wait(exchange()), { name: 'token_unavailable' });
  assert.equal(bench.asked.length, 1);
  bench.now += 1;
  const next = bench.tokens.wait(exchange());
  assert.equal(bench.asked.length, 2);
  const refused = assert.rejects(next, { name: 'token_timeout', retryAfterS: 2 });
  await bench.last().fail('head_timeout');
  await refused;
  bench.now += 2_000;
  const third = bench.tokens.wait(exchange());
  await bench.last().grant('third');
  assert.equal(await third, 'Bearer third');
});

test('the pause grows to a minute and no further', async () => {
  const bench = new Bench();
  for (let i = 0; i < 12; i++) {
    const waiting = bench.tokens.wait(exchange());
    waiting.catch(() => {});
    await bench.last().fail();
    const { retryAfterS } = await waiting.then(
      () => assert.fail('a token'),
      (error: OutriggerError) => error,
    );
    assert.equal(retryAfterS, Math.min(2 ** i, 60));
    bench.now += (retryAfterS ?? 0) * 1_000;
  }
});

test('another client secret is tried at once', async () => {
  const bench = new Bench();
  const waiting = bench.tokens.wait(exchange());
  waiting.catch(() => {});
  await bench.last().fail();
  await assert.rejects(bench.tokens.wait(exchange()));
  bench.secret = 'rotated';
  const next = bench.tokens.wait(exchange());
  assert.equal(bench.last().secret, 'rotated');
  await bench.last().grant('a');
  assert.equal(await next, 'Bearer a');
});

test('a token that the origin does not take is dropped once, and a late word about an old one drops nothing', async () => {
  const bench = await Bench.warm();
  bench.tokens.rejected('Bearer first');
  bench.tokens.rejected('Bearer first');
  assert.equal(bench.tokens.current(), null);
  const waiting = bench.tokens.wait(exchange());
  await bench.last().grant('second');
  await waiting;
  bench.tokens.rejected('Bearer first');
  assert.equal(bench.tokens.current(), 'Bearer second');
  assert.equal(bench.asked.length, 2);
});

test('an origin that takes no token at all does not have one fetched for each request', async () => {
  const bench = await Bench.warm();
  for (let i = 0; i < 600; i++) {
    const token = bench.tokens.current();
    if (token === null) {
      const waiting = bench.tokens.wait(exchange());
      await bench.last().grant(`n${i}`);
      bench.tokens.rejected(await waiting);
    } else bench.tokens.rejected(token);
    bench.now += 100;
  }
  assert.ok(bench.asked.length <= 8, `${bench.asked.length} fetches in a minute`);
  bench.now += 600_000;
  const before = bench.asked.length;
  const token = bench.tokens.current() ?? assert.fail('no token');
  bench.tokens.rejected(token);
  assert.equal(bench.tokens.current(), null, 'long after, the first is dropped at once again');
  const waiting = bench.tokens.wait(exchange());
  assert.equal(bench.asked.length, before + 1);
  await bench.last().grant('late');
  await waiting;
});

test('who leaves while waiting is told why, and the others are not', async () => {
  const bench = new Bench();
  const leaver = exchange();
  const left = bench.tokens.wait(leaver);
  const stays = bench.tokens.wait(exchange());
  assert.equal(leaver.phase, 'waiting for a token');
  leaver.abort(new OutriggerError('total_timeout'));
  await assert.rejects(left, { name: 'total_timeout' });
  await bench.last().grant('a');
  assert.equal(await stays, 'Bearer a');
});

test('a fetch that throws at once is a failed one like any other', async () => {
  let throws = true;
  const fetch = (): Promise<Grant> => {
    if (throws) throw new TypeError('a bug');
    return Promise.resolve({ token: 'first', expiresInS: 60 });
  };
  let now = 0;
  const tokens = new Tokens(oauth2, fetch, () => now);
  await assert.rejects(
    tokens.wait(exchange()),
    (error: OutriggerError) => error.name === 'token_unavailable',
  );
  throws = false;
  now += 60_000;
  assert.equal(await tokens.wait(exchange()), 'Bearer first');
});
