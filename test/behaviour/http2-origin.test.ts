import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { SecureServerOptions } from 'node:http2';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { answerOf, Http2Caller } from '../support/http2-caller.ts';
import { type Frame, FrameOrigin, frame, Http2Origin, type StreamScript } from '../support/http2-origin.ts';
import { bufferBytes } from '../support/memory.ts';
import { until } from '../support/until.ts';

const certificates = makeCertificates();
const skip = certificates === null ? 'it needs openssl' : false;
const { good, ca } = certificates ?? ({ good: { key: '', cert: '' }, ca: '' } as Certificates);
const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
writeFileSync(join(folder, 'ca.pem'), ca);
after(() => rmSync(folder, { recursive: true }));

const yaml = (policy = '', http2 = true): string => `
routes:
  - name: vendor
    match: { hosts: [localhost] }
    http2: ${http2}
    tls: { ca: ${join(folder, 'ca.pem')} }
    policy: { breaker: null, ${policy} }
`;

async function http2Origin(
  cast: Cast,
  script: StreamScript,
  options: SecureServerOptions = {},
): Promise<Http2Origin> {
  const origin = await Http2Origin.start(good, script, options);
  cast.atEnd(() => origin.close());
  return origin;
}

async function frameOrigin(
  cast: Cast,
  onFrame: (frame: Frame, socket: TLSSocket) => void,
  onSocket?: (socket: TLSSocket) => void,
): Promise<FrameOrigin> {
  const origin = await FrameOrigin.start(good, onFrame, onSocket);
  cast.atEnd(() => origin.close());
  return origin;
}

const ok: StreamScript = (stream) => {
  stream.resume();
  stream.on('end', () => {
    stream.respond({ ':status': 200 });
    stream.end('ok');
  });
};

/** HPACK, as a test needs it: 0x88 is `:status: 200`. */
const STATUS_200 = Buffer.from([0x88]);
const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE] = [0, 1, 3, 4, 6, 7, 8];
const END_STREAM = 1;
const END_HEADERS = 4;
const u32 = (...numbers: number[]): Buffer => {
  const out = Buffer.alloc(4 * numbers.length);
  for (const [i, number] of numbers.entries()) out.writeUInt32BE(number, 4 * i);
  return out;
};

const options = { skip, timeout: 60_000 };

test(
  'five hundred exchanges at once share the connections, as many streams on each as the origin allows',
  options,
  () =>
    stage(
      yaml('pool: { connections: 8, queue: 1000, queueTimeout: 20s }, retry: { attempts: 1 }'),
      async (cast) => {
        const origin = await http2Origin(
          cast,
          (stream) => {
            setTimeout(() => {
              stream.respond({ ':status': 200 });
              stream.end('ok');
            }, 5);
          },
          { settings: { maxConcurrentStreams: 20 } },
        );
        const answers = await Promise.all(Array.from({ length: 500 }, () => cast.call(`${origin.url}/`)));
        assert.deepEqual([...new Set(answers.map((one) => one.status))], [200]);
        assert.equal(origin.requests, 500);
        assert.ok(origin.connections <= 8, `${origin.connections} connections`);
        assert.ok(origin.most <= 160, `${origin.most} streams`);
        const via = answers[0]?.headers.via ?? '';
        assert.match(via, /^2\.0 outrigger/);
      },
    ),
);

test('a burst to an origin that allows a hundred streams needs one connection', options, () =>
  stage(yaml('pool: { connections: 8 }'), async (cast) => {
    const origin = await http2Origin(cast, ok, { settings: { maxConcurrentStreams: 100 } });
    const answers = await Promise.all(Array.from({ length: 90 }, () => cast.call(`${origin.url}/`)));
    assert.deepEqual([...new Set(answers.map((one) => one.status))], [200]);
    assert.equal(origin.connections, 1);
  }),
);

test('an origin that agrees on HTTP/1.1 gets HTTP/1.1, and as many connections as usual', options, () =>
  stage(yaml('pool: { connections: 4, queue: 100 }'), async (cast) => {
    let most = 0;
    let open = 0;
    const server = createServer({ key: good.key, cert: good.cert }, (_request, response) => {
      most = Math.max(most, ++open);
      setTimeout(() => {
        open--;
        response.end('ok');
      }, 20);
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    cast.atEnd(
      () =>
        new Promise((resolve) => {
          server.closeAllConnections();
          server.close(resolve);
        }),
    );
    const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
    const answers = await Promise.all(Array.from({ length: 20 }, () => cast.call(url)));
    assert.deepEqual([...new Set(answers.map((one) => one.status))], [200]);
    assert.equal(most, 4);
    assert.match(answers[0]?.headers.via ?? '', /^1\.1 outrigger/);
  }),
);

test(
  'fields reach the origin in lower case, in order and with their duplicates; interim responses and trailers come back',
  options,
  () =>
    stage(yaml(), async (cast) => {
      let seen: string[] = [];
      const origin = await http2Origin(cast, (stream, _headers, raw) => {
        seen = raw;
        stream.additionalHeaders({ ':status': 103, link: '</a>' });
        stream.respond({ ':status': 200, 'set-cookie': ['a=1', 'b=2'] }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end('ok');
      });
      const answer = await cast.call(`${origin.url}/path?q=1`, {
        headers: { TE: 'trailers', 'X-Two': ['1', '2'], Cookie: 'c=d', Connection: 'keep-alive, te' },
      });
      assert.equal(answer.text, 'ok');
      assert.deepEqual(answer.informational, [103]);
      assert.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2']);
      assert.equal(answer.trailers['grpc-status'], '0');
      assert.deepEqual(seen.slice(0, 8), [
        ':method',
        'GET',
        ':scheme',
        'https',
        ':authority',
        `localhost:${origin.port}`,
        ':path',
        '/path?q=1',
      ]);
      const fields = seen.slice(8);
      const names = fields.filter((_, i) => i % 2 === 0);
      assert.ok(names.every((name) => name === name.toLowerCase()));
      assert.deepEqual(
        fields.filter((_, i) => names[i >> 1] === 'x-two' && i % 2 === 1),
        ['1', '2'],
      );
      assert.equal(fields[fields.indexOf('te') + 1], 'trailers');
      for (const name of ['connection', 'host', 'transfer-encoding', 'keep-alive'])
        assert.ok(!names.includes(name), name);
    }),
);

for (const [what, refuse] of [
  ['a stream that was refused', (one: Frame) => frame(RST_STREAM, 0, one.streamId, u32(7))],
  [
    'a stream beyond the last of a GOAWAY',
    (one: Frame) => frame(GOAWAY, 0, 0, u32(Math.max(0, one.streamId - 2), 0)),
  ],
  ['a stream beyond the last of a GOAWAY with an error', () => frame(GOAWAY, 0, 0, u32(0, 11))],
] as const) {
  test(`${what} is sent again, a POST too, and is processed once`, options, () =>
    stage(yaml('retry: { attempts: 2, backoff: { initial: 1ms, max: 1ms } }'), async (cast) => {
      let refused = '';
      let processed = 0;
      const origin = await frameOrigin(cast, (one, socket) => {
        const stream = `${socket.remotePort}:${one.streamId}`;
        if (one.type === HEADERS && refused === '') {
          refused = stream;
          socket.write(refuse(one));
        } else if (one.type === DATA && one.flags & END_STREAM && stream !== refused) {
          processed++;
          socket.write(frame(HEADERS, END_HEADERS | END_STREAM, one.streamId, STATUS_200));
        }
      });
      const answer = await cast.call(`${origin.url}/`, { method: 'POST', body: 'once' });
      assert.equal(answer.status, 200);
      assert.equal(processed, 1);
      const { attempts } = await cast.sidecar.line();
      assert.deepEqual(
        attempts.map((one) => [one.delivery, one.retry]),
        [
          ['unsent', 'retried: unsent'],
          ['answered', null],
        ],
      );
    }),
  );
}

test('a POST whose stream was reset otherwise is not sent again', options, () =>
  stage(yaml('retry: { attempts: 3, backoff: { initial: 1ms, max: 1ms } }'), async (cast) => {
    const origin = await http2Origin(cast, (stream) => stream.close(2));
    const answer = await cast.call(`${origin.url}/`, { method: 'POST', body: 'x' });
    assert.equal(answer.status, 502);
    assert.equal(origin.requests, 1);
    const { attempts, error } = await cast.sidecar.line();
    assert.equal(error, 'connection_terminated');
    assert.equal(attempts[0]?.retry, 'not retried: POST may have reached the origin');
  }),
);

for (const code of [0, 2, 8]) {
  test(
    `a response that is reset in the middle with code ${code} is cut, and never looks whole`,
    options,
    () =>
      stage(yaml(), async (cast) => {
        const origin = await frameOrigin(cast, (one, socket) => {
          if (one.type !== HEADERS) return;
          socket.write(
            Buffer.concat([
              frame(HEADERS, END_HEADERS, one.streamId, STATUS_200),
              frame(DATA, 0, one.streamId, Buffer.from('part')),
              frame(RST_STREAM, 0, one.streamId, u32(code)),
            ]),
          );
        });
        await assert.rejects(cast.call(`${origin.url}/`));
        const { outcome, error } = await cast.sidecar.line();
        assert.deepEqual([outcome, error], ['truncated', 'http_response_incomplete']);
      }),
  );
}

test('a caller that leaves has its own stream reset, and the others go on', options, () =>
  stage(yaml('pool: { connections: 1 }'), async (cast) => {
    let finish = (): void => {};
    const origin = await http2Origin(cast, (stream, headers) => {
      stream.respond({ ':status': 200 });
      stream.write('begun');
      if (headers[':path'] === '/stays') finish = () => stream.end(' and ended');
    });
    const stays = cast.call(`${origin.url}/stays`);
    await until(() => origin.open === 1, 'the first stream');
    const leaver = await cast.raw();
    leaver.write(`GET ${origin.url}/leaves HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(() => leaver.received.includes('begun'), 'the second stream');
    leaver.leave();
    await until(() => origin.resets.length === 1, 'the reset');
    assert.deepEqual(origin.resets, [8]);
    assert.equal(origin.connections, 1);
    finish();
    assert.equal((await stays).text, 'begun and ended');
    const another = cast.call(`${origin.url}/stays`);
    await until(() => origin.requests === 3, 'the stream in its place');
    finish();
    assert.equal((await another).status, 200);
    assert.equal(origin.connections, 1, 'and its place is given to the next');
  }),
);

test(
  'a head that does not come in time resets its stream, and an origin that answers a PING keeps its connection',
  options,
  () =>
    stage(yaml('timeouts: { head: 100ms }, retry: { attempts: 1 }'), async (cast) => {
      const origin = await http2Origin(cast, (stream, headers) => {
        if (headers[':path'] === '/slow') return;
        stream.respond({ ':status': 200 });
        stream.end('ok');
      });
      assert.equal((await cast.call(`${origin.url}/quick`)).status, 200);
      let pings = 0;
      for (const session of origin.sessions) session.on('ping', () => pings++);
      assert.equal((await cast.call(`${origin.url}/slow`)).status, 504);
      await until(() => origin.resets.length === 1, 'the reset');
      await until(() => pings === 1, 'the PING');
      assert.equal((await cast.call(`${origin.url}/quick`)).status, 200);
      assert.equal((await cast.call(`${origin.url}/quick`)).status, 200);
      assert.equal(origin.sessions.size, origin.connections, 'no connection was closed');
    }),
);

test(
  'an origin that answers no PING after a timeout gets no more on that connection, and loses it',
  options,
  () =>
    stage(yaml('timeouts: { head: 100ms }, retry: { attempts: 1 }'), async (cast) => {
      const silent = new Set<unknown>();
      let closed = 0;
      const origin = await frameOrigin(cast, (one, socket) => {
        if (one.type !== HEADERS) return;
        if (silent.size === 0) {
          silent.add(socket);
          socket.on('close', () => closed++);
        } else if (!silent.has(socket)) {
          socket.write(frame(HEADERS, END_HEADERS | END_STREAM, one.streamId, STATUS_200));
        }
      });
      assert.equal((await cast.call(`${origin.url}/`)).status, 504);
      assert.equal((await cast.call(`${origin.url}/`)).status, 200);
      assert.equal(origin.connections, 2);
      await until(() => closed === 1, 'the silent connection to be closed');
    }),
);

test('after a GOAWAY no new stream is begun on the connection, and those on it finish', options, () =>
  stage(yaml('pool: { connections: 2 }'), async (cast) => {
    let finish = (): void => {};
    const origin = await http2Origin(cast, (stream, headers) => {
      stream.respond({ ':status': 200 });
      if (headers[':path'] === '/long') finish = () => stream.end('long');
      else stream.end('short');
    });
    const long = cast.call(`${origin.url}/long`);
    await until(() => origin.open === 1, 'the stream');
    for (const session of origin.sessions) session.goaway(0, 2 ** 31 - 1);
    const short = await cast.call(`${origin.url}/short`);
    assert.equal(short.text, 'short');
    finish();
    assert.equal((await long).text, 'long');
    assert.ok(origin.connections <= 2);
  }),
);

test(
  'a large body goes up and comes down at the pace of who takes it, and does not pile up',
  { skip, timeout: 120_000 },
  () =>
    stage(yaml('timeouts: { idle: 20s }, retry: { attempts: 1 }'), async (cast) => {
      const size = 100 * 1024 * 1024;
      let received = 0;
      const origin = await http2Origin(cast, (stream, headers) => {
        if (headers[':method'] === 'POST') {
          stream.on('data', (chunk: Buffer) => {
            received += chunk.length;
          });
          stream.on('end', () => {
            stream.respond({ ':status': 200 });
            stream.end(String(received));
          });
          return;
        }
        stream.respond({ ':status': 200 });
        let left = size;
        const piece = Buffer.alloc(65_536, 'x');
        const more = (): void => {
          while (left > 0) {
            left -= piece.length;
            if (!stream.write(piece)) {
              stream.once('drain', more);
              return;
            }
          }
          stream.end();
        };
        more();
      });
      const answer = await cast.call(`${origin.url}/`, { method: 'POST', body: Buffer.alloc(size, 'y') });
      assert.equal(answer.text, String(size));
      // A caller that stands still.
      const before = bufferBytes();
      const caller = await cast.raw();
      caller.socket.pause();
      caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      await until(() => origin.requests === 2, 'the request');
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.ok(bufferBytes() - before < 40 * 1024 * 1024, `${bufferBytes() - before} bytes more`);
      let bytes = 0;
      caller.socket.removeAllListeners('data');
      caller.socket.on('data', (text: string) => {
        bytes += text.length;
      });
      caller.socket.resume();
      await caller.untilEnd();
      assert.ok(bytes >= size, `${bytes}`);
    }),
);

test('request and response flow at the same time', options, () =>
  stage(yaml(), async (cast) => {
    const origin = await http2Origin(cast, (stream) => {
      stream.respond({ ':status': 200 });
      stream.on('data', (chunk: Buffer) => stream.write(`<${chunk.toString()}>`));
      stream.on('end', () => stream.end());
    });
    const caller = await cast.raw();
    caller.write(
      `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    for (const word of ['one', 'two', 'three']) {
      caller.write(`${word.length.toString(16)}\r\n${word}\r\n`);
      await until(() => caller.received.includes(`<${word}>`), `the echo of ${word}`);
    }
    caller.write('0\r\n\r\n');
    await caller.untilEnd();
  }),
);

test('an origin that gives no window is a write timeout, and nobody else waits for it', options, () =>
  stage(yaml('timeouts: { idle: 300ms }, retry: { attempts: 1 }'), async (cast) => {
    const origin = await frameOrigin(
      cast,
      (one, socket) => {
        if (one.type === PING && (one.flags & 1) === 0) socket.write(frame(PING, 1, 0, one.payload));
        if (one.type === HEADERS && one.flags & END_STREAM) {
          socket.write(frame(HEADERS, END_HEADERS | END_STREAM, one.streamId, STATUS_200));
        }
      },
      (socket) => socket.write(frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]))),
    );
    assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    const stalled = cast.call(`${origin.url}/`, { method: 'POST', body: Buffer.alloc(200_000) });
    assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    assert.equal((await stalled).status, 504);
    const { error } = await cast.sidecar.line(3);
    assert.equal(error, 'connection_write_timeout');
    assert.equal(origin.connections, 1);
  }),
);

const garbage: readonly (readonly [string, (streamId: number) => Buffer, string])[] = [
  ['bytes that are no frames', () => Buffer.alloc(200, 0xff), 'http_protocol_error'],
  ['HTTP/1.1', () => Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 'http_protocol_error'],
  [
    'a header block that cannot be decoded',
    (id) => frame(HEADERS, END_HEADERS, id, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
    'http_protocol_error',
  ],
  [
    'no :status',
    (id) => frame(HEADERS, END_HEADERS | END_STREAM, id, Buffer.from([0x00, 1, 0x61, 1, 0x62])),
    'http_protocol_error',
  ],
  [
    'a pseudo-field of a request',
    (id) => frame(HEADERS, END_HEADERS | END_STREAM, id, Buffer.from([0x88, 0x84])),
    'http_protocol_error',
  ],
  [
    'a field name in upper case',
    (id) => frame(HEADERS, END_HEADERS | END_STREAM, id, Buffer.from([0x88, 0x00, 1, 0x41, 1, 0x62])),
    'http_protocol_error',
  ],
  ['DATA before HEADERS', (id) => frame(DATA, END_STREAM, id, Buffer.from('x')), 'http_protocol_error'],
  ['DATA on stream 0', () => frame(DATA, 0, 0, Buffer.from('x')), 'http_protocol_error'],
  ['a frame larger than allowed', (id) => frame(DATA, 0, id, Buffer.alloc(100_000)), 'http_protocol_error'],
  [
    'a push that was forbidden',
    (id) => frame(5, END_HEADERS, id, Buffer.concat([u32(2), Buffer.from([0x82])])),
    'http_protocol_error',
  ],
  ['settings of a wrong length', () => frame(SETTINGS, 0, 0, Buffer.alloc(5)), 'http_protocol_error'],
  [
    'a window beyond its end',
    () =>
      Buffer.concat([
        frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)),
        frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)),
      ]),
    'http_protocol_error',
  ],
];

for (const [what, bytes, token] of garbage) {
  test(
    `an origin that sends ${what} is answered with a 502, and only that connection is closed`,
    options,
    () =>
      stage(yaml('retry: { attempts: 1 }'), async (cast) => {
        let bad = true;
        const origin = await frameOrigin(cast, (one, socket) => {
          if (one.type !== HEADERS) return;
          socket.write(
            bad ? bytes(one.streamId) : frame(HEADERS, END_HEADERS | END_STREAM, one.streamId, STATUS_200),
          );
        });
        const answer = await cast.call(`${origin.url}/`);
        assert.equal(answer.status, 502);
        assert.equal((await cast.sidecar.line()).error, token);
        bad = false;
        assert.equal((await cast.call(`${origin.url}/`)).status, 200);
      }),
  );
}

test(
  'a response head beyond limits.headerBytes is a 502 of its own, on the first stream and on later ones',
  options,
  () =>
    stage(`limits: { headerBytes: 4KiB }\n${yaml('retry: { attempts: 1 }')}`, async (cast) => {
      const origin = await http2Origin(cast, (stream, headers) => {
        stream.respond({ ':status': 200, 'x-large': 'y'.repeat(headers[':path'] === '/large' ? 5_000 : 10) });
        stream.end('ok');
      });
      for (const path of ['/large', '/small', '/large']) {
        const { status } = await cast.call(origin.url + path);
        assert.equal(status, path === '/large' ? 502 : 200);
      }
      for (const n of [1, 3])
        assert.equal((await cast.sidecar.line(n)).error, 'http_response_header_section_size');
    }),
);

test('a flood of settings or pings closes the connection and nothing else', options, () =>
  stage(yaml('retry: { attempts: 1 }, timeouts: { head: 2s }'), async (cast) => {
    const origin = await frameOrigin(cast, (one, socket) => {
      if (one.type !== HEADERS) return;
      socket.pause();
      const flood = Buffer.concat(Array.from({ length: 20_000 }, () => frame(SETTINGS, 0, 0)));
      socket.write(flood);
    });
    const answer = await cast.call(`${origin.url}/`);
    assert.equal(answer.status, 502);
    const other = await http2Origin(cast, ok);
    assert.equal((await cast.call(`${other.url}/`)).status, 200);
  }),
);

const goaway = (last: number, code: number): Buffer => frame(GOAWAY, 0, 0, u32(last, code));

const endings: readonly (readonly [string, (socket: TLSSocket, id: number) => void])[] = [
  ['a FIN', (socket) => socket.end()],
  ['GOAWAY and a FIN', (socket, id) => socket.end(goaway(id, 0))],
  ['GOAWAY with an error and a FIN', (socket, id) => socket.end(goaway(id, 1))],
  ['a FIN without close_notify', (socket) => socket.write(frame(PING, 0, 0, Buffer.alloc(8)))],
  ['bytes that are no frames', (socket) => socket.write(Buffer.alloc(200, 0xff))],
];

for (const method of ['GET', 'POST']) {
  for (const [what, finish] of endings) {
    test(`the whole response to a ${method} outlives ${what} while its caller reads slowly`, options, () =>
      stage(yaml('retry: { attempts: 1 }'), async (cast) => {
        const size = 200_000;
        const trailer = Buffer.from([0x00, 3, 0x78, 0x2d, 0x74, 1, 0x31]);
        let closed = false;
        const origin = await frameOrigin(cast, (one, socket) => {
          // All that was written before the PING has been read.
          if (one.type === PING) socket.destroy();
          if (one.type !== HEADERS) return;
          const id = one.streamId;
          socket.once('close', () => {
            closed = true;
          });
          socket.write(frame(HEADERS, END_HEADERS, id, STATUS_200));
          for (let left = size; left > 0; left -= 10_000) {
            socket.write(frame(DATA, 0, id, Buffer.alloc(10_000, 'x')));
          }
          socket.write(frame(HEADERS, END_HEADERS | END_STREAM, id, trailer));
          finish(socket, id);
        });
        const caller = await Http2Caller.connect(cast.sidecar.port, {
          settings: { initialWindowSize: 1_000 },
        });
        cast.atEnd(() => caller.leave());
        cast.expected++;
        const stream = caller.open(`${origin.url}/`, { ':method': method }, method === 'GET');
        const answered = answerOf(stream);
        stream.pause();
        await until(() => closed, 'the end of the connection');
        if (method === 'POST') stream.end();
        stream.resume();
        const answer = await answered;
        assert.equal(answer.body.length, size);
        assert.deepEqual([answer.whole, answer.trailers?.['x-t']], [true, '1']);
      }),
    );
  }
}

for (const [what, then] of [
  [
    'a frame on a stream that is none',
    (socket: TLSSocket) => socket.write(frame(DATA, 0, 21, Buffer.from('x'))),
  ],
  ['bytes that are no frames', (socket: TLSSocket) => socket.write(Buffer.alloc(200, 0xff))],
  [
    'bytes that are no frames, and a FIN',
    (socket: TLSSocket) => {
      socket.write(Buffer.alloc(200, 0xff));
      socket.end();
    },
  ],
  ['a FIN', (socket: TLSSocket) => socket.end()],
] as const) {
  test(`after a GOAWAY, ${what} ends the streams that are left at once`, options, () =>
    stage(yaml('retry: { attempts: 1 }, timeouts: { head: 30s, idle: 30s }'), async (cast) => {
      const sockets = new Set<TLSSocket>();
      const origin = await frameOrigin(cast, (one, socket) => {
        if (one.type !== HEADERS) return;
        socket.write(goaway(0x7fffffff, 0));
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
        then(socket);
      });
      const began = performance.now();
      assert.equal((await cast.call(`${origin.url}/`)).status, 502);
      assert.ok(performance.now() - began < 10_000);
      await until(() => sockets.size === 0, 'the connection to be closed');
    }),
  );
}

test('a stream that shared a connection with a broken one is sent again where that is safe', options, () =>
  stage(
    yaml('pool: { connections: 1 }, retry: { attempts: 2, backoff: { initial: 1ms, max: 1ms } }'),
    async (cast) => {
      let first: TLSSocket | null = null;
      const ids: number[] = [];
      const origin = await frameOrigin(cast, (one, socket) => {
        if (one.type !== HEADERS) return;
        first ??= socket;
        if (socket === first) ids.push(one.streamId);
        if (socket !== first || ids.length === 1) {
          socket.write(frame(HEADERS, END_HEADERS | END_STREAM, one.streamId, STATUS_200));
        } else if (ids.length === 2) {
          socket.write(frame(HEADERS, END_HEADERS, one.streamId, STATUS_200));
        } else if (ids.length === 4) socket.write(Buffer.alloc(200, 0xff));
      });
      assert.equal((await cast.call(`${origin.url}/warm`)).status, 200);
      const inBody = assert.rejects(cast.call(`${origin.url}/body`));
      await until(() => ids.length === 2, 'the stream in its body');
      const siblings = ['GET', 'POST'].map((method) => cast.call(`${origin.url}/${method}`, { method }));
      const [get, post] = await Promise.all(siblings);
      await inBody;
      assert.deepEqual([get?.status, post?.status], [200, 502]);
      const errors: Record<string, string | null> = {};
      for (const n of [2, 3, 4]) {
        const { path, error } = await cast.sidecar.line(n);
        errors[String(path)] = error;
      }
      assert.deepEqual(errors, {
        '/body': 'http_protocol_error',
        '/GET': null,
        '/POST': 'connection_terminated',
      });
    },
  ),
);

for (const length of [2, 0]) {
  test(
    `what a caller of HTTP/1.1 has whole is not cut, though its stream did not end: ${length} bytes`,
    options,
    () =>
      stage(yaml('retry: { attempts: 1 }'), async (cast) => {
        const origin = await http2Origin(cast, (stream) => {
          stream.respond({ ':status': 200, 'content-length': length });
          // A stream that is closed alone would be ended first.
          const breakOff = (): void => stream.session?.destroy();
          if (length === 0) setTimeout(breakOff, 20);
          else stream.write('ok', () => setTimeout(breakOff, 20));
        });
        const caller = await cast.raw();
        const request = `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
        caller.write(request + request);
        cast.expected++;
        await caller.until((text) => text.split('HTTP/1.1 200').length > 2);
        await until(() => cast.sidecar.exchanges.length === 2, 'both lines');
        assert.equal(caller.ended || caller.closed, false);
        for (const { outcome, attempts } of cast.sidecar.exchanges)
          assert.deepEqual([outcome, attempts[0]?.error], ['completed', 'http_response_incomplete']);
      }),
  );
}
