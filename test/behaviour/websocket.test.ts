import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as connectTls, createSecureContext } from 'node:tls';
import type { RawCaller } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { messagesOf } from '../support/messages.ts';
import { onHead, RawOrigin } from '../support/origin.ts';
import { memoryGrowth, SidecarProcess } from '../support/process.ts';
import { until, untilStill } from '../support/until.ts';
import {
  callerOf,
  closed,
  echo,
  handshakeOf,
  opened,
  SWITCHING,
  switchingFor,
  WebSocketOrigin,
} from '../support/web-socket.ts';

const certificates = makeCertificates();

/** For a configuration that names an origin which is not here yet. */
async function freePort(): Promise<number> {
  const origin = await RawOrigin.start(() => {});
  await origin.close();
  return origin.port;
}

/** A caller of `ws` that counts as one exchange. */
function wsCaller(cast: Cast, target: string, ...more: [Parameters<typeof callerOf>[2]?]) {
  cast.expected++;
  const caller = callerOf(cast.sidecar.port, target, ...more);
  cast.atEnd(() => caller.terminate());
  return caller;
}

interface Answering {
  readonly url: string;
  readonly sockets: Socket[];
  readonly heads: string[];
  /** What came behind the heads. */
  readonly rest: string[];
}

/** An origin that answers every handshake with the same text. */
async function answering(cast: Cast, answer: string): Promise<Answering> {
  const sockets: Socket[] = [];
  const heads: string[] = [];
  const rest: string[] = [];
  const origin = await cast.rawOrigin((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    onHead(socket, (head, more) => {
      heads.push(head);
      rest.push(more.toString('latin1'));
      socket.on('data', (chunk: Buffer) => rest.push(chunk.toString('latin1')));
      socket.write(answer, 'latin1');
    });
  });
  return { url: origin.url, sockets, heads, rest };
}

/** An origin that takes the handshake and says nothing, and the sockets it has. */
async function silent(
  cast: Cast,
): Promise<{ url: string; sockets: Socket[]; heads: string[]; gone: number[] }> {
  const sockets: Socket[] = [];
  const heads: string[] = [];
  const gone: number[] = [];
  const origin = await cast.rawOrigin((socket) => {
    sockets.push(socket);
    const left = (): void => void gone.push(performance.now());
    socket.on('error', left).on('end', left);
    onHead(socket, (head) => heads.push(head));
  });
  return { url: origin.url, sockets, heads, gone };
}

const field = (head: string, name: string): string[] =>
  head
    .split('\r\n')
    .filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}: `))
    .map((line) => line.slice(name.length + 2));

test('a WebSocket in absolute form echoes; the head goes up and comes back with what we add, and nothing lost', () =>
  stage(
    'policy: { headers: { request: { set: { X-Edit: up } }, response: { set: { X-Edit: down }, remove: [Sec-Gone] } } }',
    async (cast) => {
      const origin = await WebSocketOrigin.start(cast);
      const target = `http://127.0.0.1:${origin.port}/a/../b//c?q=%41&r=/../d`;
      const caller = wsCaller(cast, target, {
        headers: { Host: 'elsewhere.example', Authorization: 'Bearer x', Cookie: 'a=b' },
        finishRequest: (sent) => {
          sent.path = target;
          sent.setHeader('X-Two', ['1', '2']);
          sent.end();
        },
      });
      const answer = await opened(caller);
      assert.equal((await echo(caller, 'hello')).toString(), 'hello');
      assert.equal((await echo(caller, Buffer.alloc(70_000, 7))).length, 70_000);
      const seen = origin.heads[0];
      assert.equal(seen?.url, '/a/../b//c?q=%41&r=/../d', 'the path byte for byte');
      const raw = (seen?.rawHeaders ?? []).map((one) => one);
      assert.deepEqual(
        raw.slice(0, 2),
        ['Host', `127.0.0.1:${origin.port}`],
        'Host first, and of the target',
      );
      const { headers } = seen;
      assert.equal(headers['x-two'], '1, 2');
      assert.equal(raw.filter((name) => name === 'X-Two').length, 2, 'two lines are two lines');
      assert.equal(headers.authorization, 'Bearer x');
      assert.equal(headers.cookie, 'a=b');
      assert.equal(headers['x-edit'], 'up');
      assert.match(String(headers.via), /^1\.1 outrigger-/);
      assert.equal(headers.connection, 'Upgrade');
      assert.equal(headers.upgrade, 'websocket');
      assert.equal(headers['sec-websocket-version'], '13');
      await closed(caller);
      const line = await cast.sidecar.line();
      assert.equal(answer.statusCode, 101);
      assert.equal(answer.headers['x-origin'], 'one, two');
      assert.equal(answer.headers['x-edit'], 'down');
      assert.equal(answer.headers['x-request-id'], line.requestId, 'ours, and only ours');
      assert.equal(headers['x-request-id'], line.requestId);
      assert.equal(answer.headers['proxy-status'], 'outrigger; attempts=1; received-status=101');
      assert.deepEqual(
        [line.method, line.path, line.status, line.outcome, line.error],
        ['GET', '/a/../b//c', 101, 'completed', null],
      );
      assert.equal((line as unknown as { via: string }).via, 'forward');
      const [attempt] = line.attempts;
      assert.deepEqual([attempt?.status, attempt?.verdict, attempt?.delivery], [101, 'success', 'answered']);
      assert.ok((attempt?.headMs ?? 0) > 0);
      assert.ok(line.requestBytes > 70_000 && line.responseBytes > 70_000, 'bytes are counted both ways');
    },
  ));

test('a WebSocket by a prefix goes to the origin of its route', async () => {
  const port = await freePort();
  await stage(
    `routes: [{ name: chat, prefix: /chat, origin: "http://127.0.0.1:${port}/base" }]`,
    async (cast) => {
      const heads: string[] = [];
      await cast.rawOrigin((socket) => {
        socket.on('error', () => {}).on('end', () => socket.end());
        onHead(socket, (head) => {
          heads.push(head);
          socket.write(
            switchingFor(head).replace(
              '\r\n\r\n',
              `\r\nSet-Cookie: a=b; Domain=127.0.0.1; Path=/base\r\n\r\n`,
            ),
          );
        });
      }, port);
      const caller = wsCaller(cast, '/chat/room?x=1');
      const answer = await new Promise<{ headers: NodeJS.Dict<string | string[]> }>((resolve) =>
        caller.once('upgrade', resolve),
      );
      assert.match(heads[0] ?? '', /^GET \/base\/room\?x=1 HTTP\/1\.1\r\n/);
      assert.deepEqual(answer.headers['set-cookie'], ['a=b; Path=/chat'], 'a cookie of the 101 stays usable');
      caller.terminate();
      const line = await cast.sidecar.line();
      assert.deepEqual([(line as unknown as { via: string }).via, line.route], ['prefix', 'chat']);
    },
  );
});

test('TLS goes out where the route originates it, and where the target says https; a bad certificate is a 502 before the handshake', {
  skip: certificates === null ? 'it needs openssl' : false,
}, async () => {
  const { good, selfSigned, ca } = certificates as Certificates;
  await stage(
    'routes: [{ name: tls, match: { hosts: [localhost] }, https: originate }]',
    async (cast) => {
      const origin = await WebSocketOrigin.start(cast, good);
      for (const target of [`http://localhost:${origin.port}/x`, `https://127.0.0.1:${origin.port}/x`]) {
        const caller = wsCaller(cast, target);
        await opened(caller);
        const message = Buffer.alloc(300_000, 'x');
        assert.deepEqual(await echo(caller, message), message);
        await closed(caller);
      }
      await cast.sidecar.line(2);
      const lines = cast.sidecar.exchanges as unknown as { via: string; attempts: { tlsMs: number }[] }[];
      assert.deepEqual(
        lines.map(({ via }) => via),
        ['originate', 'forward'],
      );
      for (const { attempts } of lines) assert.ok((attempts[0]?.tlsMs ?? 0) > 0, 'the handshake is timed');

      const bad = await WebSocketOrigin.start(cast, selfSigned);
      const raw = await cast.raw();
      raw.write(handshakeOf(`https://127.0.0.1:${bad.port}/`));
      const [reply] = messagesOf(await raw.untilEnd());
      assert.equal(reply?.status, 502);
      assert.match(reply?.body ?? '', /tls_certificate_error/);
      assert.equal(bad.heads.length, 0);
    },
    { secureContext: createSecureContext({ ca }) },
  );
});

/** A tunnel of a caller; its CONNECT is an exchange of its own. */
async function tunnelTo(cast: Cast, authority: string): Promise<Socket> {
  cast.expected++;
  const asked = request({ host: '127.0.0.1', port: cast.sidecar.port, method: 'CONNECT', path: authority });
  asked.end();
  const [answer, socket] = (await once(asked, 'connect')) as [IncomingMessage, Socket];
  assert.equal(answer.statusCode, 200);
  socket.on('error', () => {});
  cast.atEnd(() => void socket.destroy());
  return socket;
}

test('inside interception a handshake has the whole policy, and whatever ends it ends it well', {
  skip: certificates === null ? 'it needs openssl' : false,
}, async (t) => {
  const { good, ca } = certificates as Certificates;
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const port = await freePort();
  const bundle = join(folder, 'bundle.pem');
  await stage(
    `
access: { tunnelPorts: [${port}] }
intercept: { bundle: ${bundle} }
policy: { timeouts: { idle: 300ms } }
routes: [{ name: vendor, match: { hosts: [localhost] }, https: intercept }]`,
    async (cast) => {
      const origin = await WebSocketOrigin.start(cast, good, port);
      const authority = `localhost:${port}`;
      const open = async () => {
        const socket = await tunnelTo(cast, authority);
        const secured = connectTls({
          socket,
          servername: 'localhost',
          ca: readFileSync(bundle),
          ALPNProtocols: ['http/1.1'],
        });
        secured.on('error', () => {});
        await once(secured, 'secureConnect');
        const caller = wsCaller(cast, '/inside', {
          createConnection: () => secured,
          headers: { Host: authority },
        });
        const answer = await opened(caller);
        assert.ok(answer.headers['x-request-id']);
        return { caller, secured };
      };
      const outcomes = async (count: number): Promise<string[]> => {
        await cast.sidecar.line(count);
        return cast.sidecar.exchanges.filter(({ status }) => status === 101).map(({ outcome }) => outcome);
      };
      const message = Buffer.alloc(200_000, 'm');

      const first = await open();
      assert.deepEqual(await echo(first.caller, message), message);
      await closed(first.caller);
      assert.deepEqual(await outcomes(2), ['completed']);

      const second = await open();
      assert.deepEqual(await echo(second.caller, message), message);
      for (const socket of origin.sockets) socket.resetAndDestroy();
      await once(second.caller, 'close');
      assert.deepEqual(await outcomes(4), ['completed', 'truncated'], 'a reset of the origin');

      const third = await open();
      await once(third.caller, 'close');
      assert.deepEqual(await outcomes(6), ['completed', 'truncated', 'truncated'], 'nothing moved');

      const fourth = await open();
      fourth.caller.terminate();
      await outcomes(8);
      await until(() => origin.sockets.size === 0, 'the sockets of the origin to be closed');

      const lines = cast.sidecar.exchanges.filter(({ status }) => status === 101) as unknown as {
        via: string;
        route: string;
      }[];
      assert.ok(lines.every(({ via, route }) => via === 'intercept' && route === 'vendor'));
    },
    {
      secureContext: createSecureContext({ ca }),
      lookup: (_host, callback) => callback(null, ['127.0.0.1']),
    },
  );
});

test('a handshake in plain HTTP inside a tunnel is one, too', async () => {
  const port = await freePort();
  await stage(`access: { tunnelPorts: [${port}] }`, async (cast) => {
    await WebSocketOrigin.start(cast, null, port);
    const authority = `127.0.0.1:${port}`;
    const socket = await tunnelTo(cast, authority);
    const caller = wsCaller(cast, '/inside', {
      createConnection: () => socket,
      headers: { Host: authority },
    });
    await opened(caller);
    assert.equal((await echo(caller, 'hello')).toString(), 'hello');
    await closed(caller);
    await cast.sidecar.line(2);
    const line = cast.sidecar.exchanges.find(({ status }) => status === 101);
    assert.deepEqual([line?.path, line?.outcome], ['/inside', 'completed']);
  });
});

test('1,000 messages of 1 B to 1 MB on 100 sockets come back intact, and memory stays bounded', async (t) => {
  const sidecar = await SidecarProcess.start(t, 'policy: { pool: { connections: 100 } }');
  const origin = await WebSocketOrigin.start(null);
  const callers = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const caller = callerOf(sidecar.port, `http://127.0.0.1:${origin.port}/`);
      await opened(caller);
      return caller;
    }),
  );
  t.after(() => {
    for (const caller of callers) caller.terminate();
    return origin.close();
  });
  let returned = 0;
  let bytes = 0;
  const growth = await memoryGrowth(sidecar, async () => {
    await Promise.all(
      callers.map(async (caller, i) => {
        const sent = Array.from({ length: 10 }, (_, n) => {
          // Every order of magnitude, and both ends of the range.
          const size =
            n === 0 ? 1 : n === 9 && i % 10 === 0 ? 1_048_576 : Math.round(10 ** ((n + i / 100) * 0.6));
          return Buffer.alloc(Math.max(1, size), `${i}.${n};`);
        });
        let next = 0;
        const all = new Promise<void>((resolve, reject) => {
          caller.on('message', (data: Buffer) => {
            const expected = sent[next++];
            if (expected === undefined || !data.equals(expected))
              reject(new Error(`message ${next} of ${i}`));
            returned++;
            bytes += data.length;
            if (next === sent.length) resolve();
          });
          caller.once('close', () => reject(new Error(`socket ${i} closed`)));
        });
        for (const message of sent) caller.send(message);
        await all;
      }),
    );
  });
  assert.equal(returned, 1_000);
  assert.ok(bytes > 20_000_000, `${bytes} bytes`);
  t.diagnostic(`${bytes} bytes each way, memory grew by ${growth} bytes`);
  assert.ok(growth < 48_000_000, `memory grew by ${growth} bytes`);
  for (const caller of callers) caller.close();
  const lines = await sidecar.exchangeLines(100);
  assert.ok(lines.every(({ outcome, status }) => outcome === 'completed' && status === 101));
});

test('an answer that is no 101 passes through whole, and the connection ends with it', () =>
  stage('', async (cast) => {
    const cases: [answer: string, status: number, body: string][] = [
      [
        'HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\nX-A: 1\r\nX-A: 2\r\n\r\nnope',
        401,
        'nope',
      ],
      [
        'HTTP/1.1 403 F\r\nTransfer-Encoding: chunked\r\nWWW-Authenticate: B\r\nX-A: 1\r\nX-A: 2\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
        403,
        'abc',
      ],
      ['HTTP/1.1 204 N\r\nWWW-Authenticate: B\r\nX-A: 1\r\nX-A: 2\r\n\r\n', 204, ''],
      [
        'HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nWWW-Authenticate: B\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nok',
        200,
        'ok',
      ],
      [
        'HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 503 S\r\nWWW-Authenticate: B\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nno',
        503,
        'no',
      ],
    ];
    for (const [index, [answer, status, body]] of cases.entries()) {
      const { url, heads, rest } = await answering(cast, answer);
      const raw = await cast.raw();
      raw.write(`${handshakeOf(`${url}/x`)}GET http://smuggled.example/ HTTP/1.1\r\nHost: s\r\n\r\n`);
      const messages = messagesOf(await raw.untilEnd());
      assert.equal(messages.length, 1, 'what came behind the handshake is no request');
      const [message] = messages;
      assert.deepEqual([message?.status, message?.body, message?.whole], [status, body, true]);
      assert.deepEqual(message?.values('X-A'), ['1', '2']);
      assert.deepEqual(message?.values('Connection'), ['close']);
      assert.deepEqual(message?.values('Upgrade'), []);
      const line = await cast.sidecar.line(index + 1);
      assert.deepEqual(message?.values('X-Request-Id'), [line.requestId]);
      assert.deepEqual(message?.values('Proxy-Status'), [`outrigger; attempts=1; received-status=${status}`]);
      assert.deepEqual([line.status, line.outcome, line.responseBytes], [status, 'completed', body.length]);
      assert.equal(line.attempts.length, 1, 'no status is tried again once the handshake went out');
      assert.equal(line.attempts[0]?.verdict, status >= 500 ? 'failure' : 'success');
      assert.equal(heads.length, 1);
      assert.equal(rest.join(''), '', 'nothing but the head went up');
    }
  }));

test('an answer that is no 101 may be as large as policy.limits.responseBytes, and no larger', () =>
  stage('policy: { limits: { responseBytes: 10B } }', async (cast) => {
    const answers = [
      ['Content-Length: 10\r\n\r\n0123456789', '404', 'completed'],
      ['Content-Length: 11\r\n\r\n0123456789a', '502', 'failed'],
      ['Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n', '404', 'truncated'],
    ] as const;
    for (const [i, [rest, status, outcome]] of answers.entries()) {
      const { url } = await answering(cast, `HTTP/1.1 404 Not Found\r\n${rest}`);
      const raw = await cast.raw();
      raw.write(handshakeOf(`${url}/`));
      assert.equal((await raw.untilEnd()).slice(9, 12), status);
      const line = await cast.sidecar.line(i + 1);
      assert.equal(line.outcome, outcome);
      if (outcome !== 'completed') assert.equal(line.error, 'http_response_body_size');
    }
  }));

test('a 426 keeps its Upgrade', () =>
  stage('', async (cast) => {
    const { url } = await answering(
      cast,
      'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket/99\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n',
    );
    const raw = await cast.raw();
    const [message] = messagesOf(await raw.write(handshakeOf(`${url}/`)).untilEnd());
    assert.deepEqual(message?.values('Upgrade'), ['websocket/99']);
    assert.deepEqual(message?.values('Connection'), ['close, Upgrade']);
  }));

test('a large answer that is no 101 is held back while the caller does not read, and comes whole', () =>
  stage('', async (cast) => {
    const size = 30_000_000;
    let origin: Socket | null = null;
    const { url } = await cast.rawOrigin((socket) => {
      origin = socket;
      socket.on('error', () => {}).on('end', () => socket.end());
      onHead(socket, () => {
        socket.write(`HTTP/1.1 404 N\r\nContent-Length: ${size}\r\n\r\n`);
        socket.write(Buffer.alloc(size, 'x'));
      });
    });
    const raw = await cast.raw();
    raw.socket.pause();
    raw.write(handshakeOf(`${url}/`));
    await until(() => origin !== null && origin.bytesWritten > 0, 'the answer');
    const unsent = (): number => (origin as unknown as Socket).writableLength;
    await untilStill(unsent);
    assert.ok(unsent() > 0, 'the origin is held back');
    raw.socket.resume();
    const [message] = messagesOf(await raw.untilEnd());
    assert.equal(message?.body.length, size);
  }));

test('an answer that breaks off does not look whole', () =>
  stage('', async (cast) => {
    const framings = [
      'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
      'Content-Length: 9\r\n\r\nabc',
      '\r\nabc',
    ];
    for (const [index, framing] of framings.entries()) {
      const { url, sockets } = await answering(cast, `HTTP/1.1 403 F\r\nX-A: 1\r\n${framing}`);
      const raw = await cast.raw();
      raw.write(handshakeOf(`${url}/`));
      await raw.until((text) => text.includes('abc'), 'what comes of it');
      sockets[0]?.resetAndDestroy();
      const [message] = messagesOf(await raw.untilEnd());
      assert.equal(message?.whole, false, framing);
      const line = await cast.sidecar.line(index + 1);
      assert.deepEqual([line.outcome, line.error], ['truncated', 'http_response_incomplete']);
      assert.equal(line.attempts[0]?.verdict, 'failure');
    }
  }));

test('an origin that refuses is tried again, for nothing was sent, and then is a 502', () =>
  stage('policy: { retry: { backoff: { initial: 1ms, max: 2ms } } }', async (cast) => {
    const origin = await cast.origin();
    await origin.close();
    const raw = await cast.raw();
    const [message] = messagesOf(await raw.write(handshakeOf(`${origin.url}/`)).untilEnd());
    assert.equal(message?.status, 502);
    assert.deepEqual(message?.values('Connection'), ['close']);
    assert.equal(JSON.parse(message?.body ?? '').error, 'connection_refused');
    const line = await cast.sidecar.line();
    assert.equal(line.attempts.length, 3);
    assert.deepEqual([line.outcome, line.status], ['failed', 502]);
  }));

test('an origin that closes instead of answering is a 502, one that speaks no HTTP too', () =>
  stage('', async (cast) => {
    const closing = await cast.rawOrigin((socket) => {
      socket.on('error', () => {});
      onHead(socket, () => socket.end());
    });
    const resetting = await cast.rawOrigin((socket) => {
      socket.on('error', () => {});
      onHead(socket, () => socket.resetAndDestroy());
    });
    const halting = await cast.rawOrigin((socket) => {
      socket.on('error', () => {});
      onHead(socket, () => socket.end('HTTP/1.1 101 Swi'));
    });
    const accepting = await cast.rawOrigin((socket) => {
      socket.on('error', () => {});
      socket.resetAndDestroy();
    });
    const garbage = await answering(cast, 'SSH-2.0-x\r\n\r\n');
    const huge = await answering(cast, `HTTP/1.1 101 S\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`);
    const bare = await answering(cast, 'HTTP/1.1 101 Switching Protocols\r\n\r\n');
    const other = await answering(cast, SWITCHING.replace('Upgrade: websocket', 'Upgrade: h2c'));
    const interim = await answering(cast, 'HTTP/1.1 102 P\r\n\r\n'.repeat(40));
    const accepted = /Sec-WebSocket-Accept: .*\r\n/;
    const unanswered = await answering(cast, SWITCHING.replace(accepted, ''));
    const twice = await answering(
      cast,
      SWITCHING.replace(accepted, (line) => line + line),
    );
    // To the key of another handshake.
    const elsewhere = await answering(
      cast,
      SWITCHING.replace(accepted, 'Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n'),
    );
    const cases: [url: string, error: string][] = [
      [closing.url, 'connection_terminated'],
      [resetting.url, 'connection_terminated'],
      [halting.url, 'connection_terminated'],
      [accepting.url, 'connection_terminated'],
      [garbage.url, 'http_protocol_error'],
      [huge.url, 'http_response_header_section_size'],
      [bare.url, 'http_protocol_error'],
      [other.url, 'http_protocol_error'],
      [interim.url, 'http_protocol_error'],
      [unanswered.url, 'http_protocol_error'],
      [twice.url, 'http_protocol_error'],
      [elsewhere.url, 'http_protocol_error'],
    ];
    for (const [index, [url, error]] of cases.entries()) {
      const raw = await cast.raw();
      const [message] = messagesOf(await raw.write(handshakeOf(`${url}/`)).untilEnd());
      assert.equal(message?.status, 502, url);
      assert.equal(JSON.parse(message?.body ?? '').error, error);
      const line = await cast.sidecar.line(index + 1);
      assert.equal(line.attempts.at(-1)?.verdict, 'failure');
      // A connection that is reset before anything went out may be tried again.
      if (url !== accepting.url) assert.equal(line.attempts.length, 1);
    }
  }));

test('a handshake without its key, or with two, is a request like any other, and its 101 an error of the origin', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    const plain = await answering(cast, 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    const switching = await answering(cast, SWITCHING);
    const key = /Sec-WebSocket-Key: .*\r\n/;
    for (const [url, status] of [
      [plain.url, 200],
      [switching.url, 502],
    ] as const) {
      const handshake = handshakeOf(`${url}/`);
      for (const text of [handshake.replace(key, ''), handshake.replace(key, (line) => line + line)]) {
        const raw = await cast.raw();
        await raw.write(text).until((received) => received.includes('\r\n\r\n'));
        assert.equal(messagesOf(raw.received)[0]?.status, status);
      }
    }
    for (const head of [...plain.heads, ...switching.heads])
      assert.ok(!/^(?:upgrade|connection):.*(?:upgrade|websocket)/im.test(head), head);
  }));

test('an origin that does not answer is a 504 after the head timeout, its connection is closed and its circuit told', () =>
  stage(
    'policy: { timeouts: { head: 80ms }, breaker: { minimumCalls: 2, failureRatio: 50%, window: 10s } }',
    async (cast) => {
      const origin = await silent(cast);
      for (let n = 1; n <= 2; n++) {
        const began = performance.now();
        const raw = await cast.raw();
        const [message] = messagesOf(await raw.write(handshakeOf(`${origin.url}/`)).untilEnd());
        const ms = performance.now() - began;
        assert.equal(message?.status, 504);
        assert.equal(JSON.parse(message?.body ?? '').type, 'urn:outrigger:error:head_timeout');
        assert.ok(ms >= 79 && ms < 1_000, `${ms} ms`);
        await until(() => origin.gone.length === n, 'the connection of the origin to be closed');
        const line = await cast.sidecar.line(n);
        assert.deepEqual([line.outcome, line.attempts[0]?.verdict], ['failed', 'failure']);
      }
      const raw = await cast.raw();
      const [message] = messagesOf(await raw.write(handshakeOf(`${origin.url}/`)).untilEnd());
      assert.equal(message?.status, 503, 'the circuit is open');
      assert.equal(JSON.parse(message?.body ?? '').error, 'destination_unavailable');
      assert.ok(message?.values('Retry-After').length === 1);
      assert.equal(origin.heads.length, 2);
    },
  ));

test('a caller that leaves before the 101 frees the socket of the origin at once', () =>
  stage('policy: { pool: { connections: 1 } }', async (cast) => {
    const origin = await silent(cast);
    const ways: ((raw: RawCaller) => void)[] = [
      (raw) => raw.socket.end(),
      (raw) => raw.socket.destroy(),
      (raw) => raw.socket.resetAndDestroy(),
      (raw) => void raw.write('early bytes').socket.end(),
    ];
    for (const [index, leave] of ways.entries()) {
      const raw = await cast.raw();
      raw.write(handshakeOf(`${origin.url}/`));
      await until(() => origin.heads.length === index + 1, 'the handshake');
      const left = performance.now();
      leave(raw);
      await until(() => origin.gone.length === index + 1, 'the end of the connection');
      const ms = (origin.gone[index] ?? 0) - left;
      assert.ok(ms < 100, `${ms} ms`);
      const line = await cast.sidecar.line(index + 1);
      assert.deepEqual(
        [line.outcome, line.reason, line.status, line.attempts[0]?.verdict],
        ['aborted', 'caller left while waiting for the head', null, 'ignored'],
      );
    }
  }));

test('what the caller sends before the 101 is bounded, kept, and delivered after it, in order', () =>
  stage('', async (cast) => {
    let origin: Socket | null = null;
    let head = false;
    const digest: number[] = [];
    const { url } = await cast.rawOrigin((socket) => {
      origin = socket;
      socket.on('error', () => {}).on('end', () => socket.end());
      onHead(socket, (_head, rest) => {
        head = true;
        assert.equal(rest.length, 0, 'nothing goes up before the 101');
        socket.on('data', (chunk: Buffer) => {
          for (const byte of chunk) digest.push(byte);
        });
      });
    });
    const early = Buffer.alloc(16_000_000, Buffer.from([1, 2, 3, 4, 5, 6, 7]));
    const raw = await cast.raw();
    raw.write(Buffer.concat([Buffer.from(handshakeOf(`${url}/`)), early]));
    await until(() => head, 'the handshake');
    await untilStill(() => raw.socket.writableLength);
    assert.ok(raw.socket.writableLength > 0, 'the caller is held back');
    assert.equal(digest.length, 0);
    (origin as unknown as Socket).write(SWITCHING);
    await until(() => digest.length === early.length, 'all of it', 30_000);
    assert.ok(Buffer.from(digest).equals(early));
  }));

test('a reset on one side is a reset on the other, an end on one side lets the other finish', () =>
  stage('', async (cast) => {
    const sockets: Socket[] = [];
    const ends: string[] = [];
    const { url } = await cast.rawOrigin((socket) => {
      sockets.push(socket);
      socket.on('error', (error: NodeJS.ErrnoException) => ends.push(error.code ?? ''));
      socket.on('end', () => ends.push('FIN'));
      onHead(socket, () => socket.write(`${SWITCHING}from the origin at once`));
    });
    const open = async (): Promise<[RawCaller, string[]]> => {
      const raw = await cast.raw();
      const errors: string[] = [];
      raw.socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''));
      raw.write(handshakeOf(`${url}/`));
      await raw.until((text) => text.endsWith('from the origin at once'), 'the 101');
      return [raw, errors];
    };
    const [first, firstErrors] = await open();
    sockets[0]?.resetAndDestroy();
    await until(() => first.closed, 'the reset');
    assert.deepEqual(firstErrors, ['ECONNRESET']);
    const one = await cast.sidecar.line(1);
    assert.deepEqual([one.outcome, one.reason], ['truncated', 'origin reset the tunnel']);

    const [second] = await open();
    second.socket.resetAndDestroy();
    await until(() => ends.length === 1, 'the reset');
    assert.deepEqual(ends, ['ECONNRESET']);
    assert.equal((await cast.sidecar.line(2)).outcome, 'aborted');

    const [third] = await open();
    third.socket.end('the last word');
    await until(() => ends.length === 2, 'the end');
    assert.equal(ends[1], 'FIN');
    sockets[2]?.end(' and an answer');
    assert.match(await third.untilEnd(), / and an answer$/);
    const three = await cast.sidecar.line(3);
    assert.deepEqual([three.outcome, three.requestBytes], ['completed', 'the last word'.length]);
  }));

test('a socket counts against the pool until it is closed: the 101st waits, the 102nd is shed', () =>
  stage('policy: { pool: { connections: 100, queue: 1, queueTimeout: 10s } }', async (cast) => {
    const origin = await WebSocketOrigin.start(cast);
    const target = `http://127.0.0.1:${origin.port}/`;
    const callers = Array.from({ length: 100 }, () => wsCaller(cast, target));
    await Promise.all(callers.map(opened));
    const waiting = wsCaller(cast, target);
    const open = opened(waiting);
    const key = `http://127.0.0.1:${origin.port}`;
    await until(() => cast.sidecar.origin(key)?.queue === 1, 'the 101st in the queue');
    const raw = await cast.raw();
    const [message] = messagesOf(await raw.write(handshakeOf(target)).untilEnd());
    assert.equal(message?.status, 503);
    assert.equal(JSON.parse(message?.body ?? '').error, 'connection_limit_reached');
    assert.equal(origin.sockets.size, 100);
    await closed(callers[0] as (typeof callers)[0]);
    await open;
    assert.equal((await echo(waiting, 'here')).toString(), 'here');
    await Promise.all([...callers, waiting].map(closed));
  }));

test('a socket on which nothing moves for the idle timeout is cut; one on which something moves is not', () =>
  stage('policy: { timeouts: { idle: 150ms } }', async (cast) => {
    const origin = await WebSocketOrigin.start(cast);
    const caller = wsCaller(cast, `http://127.0.0.1:${origin.port}/`);
    await opened(caller);
    const began = performance.now();
    while (performance.now() - began < 400) await echo(caller, 'still here');
    const still = performance.now();
    await once(caller, 'close');
    const ms = performance.now() - still;
    assert.ok(ms > 100 && ms < 1_000, `${ms} ms`);
    const line = await cast.sidecar.line();
    assert.deepEqual([line.outcome, line.reason], ['truncated', 'tunnel_idle: after 150 ms']);
    await until(() => origin.sockets.size === 0, 'the socket of the origin to be closed');
  }));

test('the total timeout ends a socket, and a handshake', () =>
  stage('policy: { timeouts: { total: 150ms } }', async (cast) => {
    const origin = await WebSocketOrigin.start(cast);
    const caller = wsCaller(cast, `http://127.0.0.1:${origin.port}/`);
    await opened(caller);
    await once(caller, 'close');
    assert.deepEqual((await cast.sidecar.line(1)).outcome, 'truncated');
    const dumb = await silent(cast);
    const raw = await cast.raw();
    const [message] = messagesOf(await raw.write(handshakeOf(`${dumb.url}/`)).untilEnd());
    assert.equal(JSON.parse(message?.body ?? '').type, 'urn:outrigger:error:total_timeout');
    await until(() => dumb.gone.length === 1, 'the connection of the origin to be closed');
  }));

test('the end of the sidecar cuts sockets and handshakes, and logs them', () =>
  stage('', async (cast) => {
    const origin = await WebSocketOrigin.start(cast);
    const caller = wsCaller(cast, `http://127.0.0.1:${origin.port}/`);
    await opened(caller);
    const dumb = await silent(cast);
    const raw = await cast.raw();
    raw.write(handshakeOf(`${dumb.url}/`));
    await until(() => dumb.heads.length === 1, 'the handshake');
    const gone = once(caller, 'close');
    await cast.sidecar.stop();
    await gone;
    assert.match(await raw.untilEnd(), /^HTTP\/1\.1 503 /);
    const lines = cast.sidecar.exchanges;
    assert.deepEqual(lines.map(({ outcome }) => outcome).toSorted(), ['failed', 'truncated']);
    await until(() => origin.sockets.size === 0 && dumb.gone.length === 1, 'the origins to be left');
  }));

test('a handshake behind another request waits for its turn', () =>
  stage('', async (cast) => {
    const order: string[] = [];
    const slow = await cast.origin((_request, response) => {
      order.push('request');
      setTimeout(() => response.end('first'), 50);
    });
    const { url, heads } = await answering(cast, `${SWITCHING}welcome`);
    const raw = await cast.raw(2);
    raw.write(`GET ${slow.url}/ HTTP/1.1\r\nHost: x\r\n\r\n${handshakeOf(`${url}/`)}early`);
    await until(() => order.length === 1, 'the request');
    assert.equal(heads.length, 0);
    const text = await raw.until((received) => received.endsWith('welcome'), 'the 101');
    assert.ok(text.indexOf('first') > 0 && text.indexOf('first') < text.indexOf('HTTP/1.1 101'));
    assert.equal(heads.length, 1);
  }));

test('a head of the origin may be as large as limits.headerBytes', () =>
  stage('limits: { headerBytes: 48KiB }', async (cast) => {
    const long = 'x'.repeat(40_000);
    const { url } = await answering(cast, SWITCHING.replace('\r\n\r\n', `\r\nX-Long: ${long}\r\n\r\n`));
    const raw = await cast.raw();
    raw.write(handshakeOf(`${url}/`));
    const text = await raw.until((received) => received.includes('\r\n\r\n'), 'the 101');
    assert.match(text, /^HTTP\/1\.1 101 /);
    assert.ok(text.includes(`X-Long: ${long}\r\n`));
  }));

test('whatever else names Upgrade goes on as a request without it', () =>
  stage('', async (cast) => {
    const origin = await cast.origin((request, response) => {
      request.resume();
      request.on('end', () =>
        response.end(`${request.method} ${request.headers.upgrade} ${request.headers.connection}`),
      );
    });
    const lines = 'Sec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n';
    const requests: [string, string][] = [
      [
        `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
        'GET',
      ],
      [
        `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}Content-Length: 3\r\n\r\nabc`,
        'POST',
      ],
      [
        `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}Content-Length: 3\r\n\r\nabc`,
        'GET',
      ],
      [
        `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
        'GET',
      ],
      [`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n${lines}\r\n`, 'GET'],
      [
        `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocketx, TLS/1.0\r\n${lines}\r\n`,
        'GET',
      ],
      [
        `GET ${origin.url}/ HTTP/1.0\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}\r\n`,
        'GET',
      ],
    ];
    const raw = await cast.raw(requests.length);
    for (const [index, [request, method]] of requests.entries()) {
      raw.write(request);
      const text = await raw.until(
        (received) => messagesOf(received).filter(({ whole }) => whole).length > index,
      );
      const message = messagesOf(text)[index];
      assert.equal(message?.status, 200);
      assert.equal(message?.body, `${method} undefined undefined`, request);
    }
    assert.ok(origin.seen.every(({ headers }) => headers['http2-settings'] === undefined));
  }));

test('a handshake among other protocols is one, and only WebSocket goes up', () =>
  stage('', async (cast) => {
    const { url, heads } = await answering(cast, SWITCHING);
    const raw = await cast.raw();
    raw.write(
      `GET ${url}/ HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, upgrade, HTTP2-Settings\r\nUpgrade: h2c, WebSocket\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    await raw.until((text) => text.startsWith('HTTP/1.1 101'), 'the 101');
    assert.deepEqual(field(heads[0] ?? '', 'Upgrade'), ['websocket']);
    assert.deepEqual(field(heads[0] ?? '', 'Connection'), ['Upgrade']);
    assert.deepEqual(field(heads[0] ?? '', 'HTTP2-Settings'), []);
  }));

test('what may not pass is refused before anything is dialled', () =>
  stage(
    'routes: [{ name: closed, match: { hosts: [127.0.0.1], paths: ["/closed"] }, access: deny }]',
    async (cast) => {
      const origin = await silent(cast);
      const cases: [target: string, status: number, lines: string[]][] = [
        [`${origin.url}/closed`, 403, []],
        ['http://user@x/', 400, []],
        ['/nowhere', 404, []],
        [`${origin.url}/`, 417, ['Expect: the unexpected']],
        [`${origin.url}/`, 400, ['Host: twice']],
      ];
      for (const [target, status, lines] of cases) {
        const raw = await cast.raw();
        raw.write(`${handshakeOf(target, ...lines)}garbage\r\n\r\n`);
        const messages = messagesOf(await raw.untilEnd());
        assert.deepEqual(
          messages.map((one) => one.status),
          [status],
          target,
        );
        assert.deepEqual(messages[0]?.values('Connection'), ['close']);
      }
      assert.equal(origin.heads.length, 0);
    },
  ));

test('no secret is printed where the environment asks every library to say what it does', async (t) => {
  const sidecar = await SidecarProcess.start(t, '', { env: { DEBUG: '*' } });
  const origin = await WebSocketOrigin.start(null);
  const caller = callerOf(sidecar.port, `http://127.0.0.1:${origin.port}/x?token=hidden-query`, {
    headers: { Authorization: 'Bearer hidden-header', Cookie: 'a=hidden-cookie' },
  });
  t.after(() => {
    caller.terminate();
    return origin.close();
  });
  await opened(caller);
  await echo(caller, 'hidden-message');
  await closed(caller);
  await sidecar.exchangeLines(1);
  assert.equal(origin.heads[0]?.headers.authorization, 'Bearer hidden-header');
  assert.doesNotMatch(sidecar.stdout + sidecar.stderr, /hidden/);
});
