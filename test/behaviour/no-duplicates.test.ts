import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { answer } from '../support/origin.ts';

const POSTS = 10_000;
const AT_ONCE = 48;

/** Runs `call` for every number below `POSTS`, so many at once. */
async function all(call: (n: number, worker: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (_: unknown, index: number): Promise<void> => {
    while (next < POSTS) await call(next++, index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

const tally = (counts: Map<string, number>, key: string): void => {
  counts.set(key, (counts.get(key) ?? 0) + 1);
};

/** The sidecar's budget allows every retry that its rules do: only they stand between a POST and its double. */
const EAGER = `policy:
  retry: { attempts: 3, backoff: { initial: 1ms, max: 2ms }, budget: { floor: 1000000 } }
  pool: { connections: 64, queue: 10000, queueTimeout: 30s }
  breaker: null`;

const ANSWER = Buffer.from(
  'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nok',
);

/** Reads POSTs with a body of `id=<number>;` off a connection, one after the other. */
function onPost(socket: Socket, then: (id: number) => void): void {
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    for (;;) {
      const match = /\r\n\r\nid=(\d+);/.exec(received);
      if (!match) return;
      received = received.slice(match.index + match[0].length);
      then(Number(match[1]));
    }
  });
}

async function post(cast: Cast, url: string, id: number, results: Map<string, number>): Promise<void> {
  await cast.call(url, { method: 'POST', body: `id=${id};` }).then(
    (got) => tally(results, String(got.status)),
    () => tally(results, 'cut'),
  );
}

test('10,000 POSTs to an origin that kills the connection at every byte of its answer: none is sent twice', (t) =>
  stage(EAGER, async (cast) => {
    const seen = new Uint8Array(POSTS);
    const origin = await cast.rawOrigin((socket) => {
      socket.on('end', () => socket.end());
      onPost(socket, (id) => {
        seen[id] = (seen[id] ?? 0) + 1;
        const offset = id % (ANSWER.length + 1);
        const kill = (): void => {
          if (id % 2 === 0) socket.resetAndDestroy();
          else socket.destroy();
        };
        // The whole answer, and nothing is killed, once in a round: connections are used again too.
        if (offset === ANSWER.length && id % 3 === 0) socket.write(ANSWER);
        else if (offset === 0) kill();
        else socket.write(ANSWER.subarray(0, offset), kill);
      });
    });
    const results = new Map<string, number>();
    await all((id) => post(cast, `${origin.url}/`, id, results));
    const twice = seen.filter((times) => times > 1).length;
    const reached = seen.filter((times) => times > 0).length;
    t.diagnostic(
      `${POSTS} POSTs: ${reached} reached the origin, ${twice} twice; ${JSON.stringify([...results])}`,
    );
    assert.equal(twice, 0);
    assert.ok(reached > POSTS * 0.99);
  }));

test('10,000 POSTs over connections that the origin closes whenever it likes: none is sent twice', (t) =>
  stage(EAGER, async (cast) => {
    const seen = new Uint8Array(POSTS);
    const origin = await cast.rawOrigin((socket) => {
      socket.on('end', () => socket.end());
      let left = 5;
      onPost(socket, (id) => {
        seen[id] = (seen[id] ?? 0) + 1;
        socket.write(ANSWER);
        // After the answer, without a word: the next POST may be on its way.
        if (--left === 0) setImmediate(() => (id % 2 === 0 ? socket.destroy() : socket.resetAndDestroy()));
      });
    });
    const results = new Map<string, number>();
    await all((id) => post(cast, `${origin.url}/`, id, results));
    const twice = seen.filter((times) => times > 1).length;
    t.diagnostic(`${POSTS} POSTs: ${twice} twice; ${JSON.stringify([...results])}`);
    assert.equal(twice, 0);
    assert.ok((results.get('200') ?? 0) > POSTS * 0.95);
  }));

test('of 10,000 POSTs that were refused at first more than 99 % succeed, and none is sent twice', (t) => {
  const asked = new Map<string, number>();
  return stage(
    EAGER,
    async (cast) => {
      const seen = new Uint8Array(POSTS);
      const origin = await cast.origin((request, response, it) => {
        answer(200, 'ok', ['Connection', 'close'])(request, response, it);
        request.on('end', () => {
          const id = Number(it.body.toString().slice(3, -1));
          seen[id] = (seen[id] ?? 0) + 1;
        });
      });
      const results = new Map<string, number>();
      await all((id, worker) => post(cast, `http://w${worker}.test:${origin.port}/`, id, results));
      const twice = seen.filter((times) => times > 1).length;
      const share = (results.get('200') ?? 0) / POSTS;
      t.diagnostic(
        `${(share * 100).toFixed(2)} % succeeded, ${twice} twice; ${JSON.stringify([...results])}`,
      );
      assert.ok(share > 0.99);
      assert.equal(twice, 0);
      const refused = cast.sidecar.exchanges.filter(
        (line) => line.attempts[0]?.error === 'connection_refused',
      );
      assert.equal(refused.length, POSTS, 'every one was refused at first');
    },
    {
      // Every other answer is an address where nothing listens; each name has one exchange at a time.
      lookup: (host, callback) => {
        const n = asked.get(host) ?? 0;
        asked.set(host, n + 1);
        setImmediate(() => callback(null, [n % 2 === 0 ? '127.0.0.9' : '127.0.0.1']));
      },
    },
  );
});
