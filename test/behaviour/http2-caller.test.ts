import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import {
  answerOf,
  END_HEADERS,
  fieldBlock,
  frame,
  GOAWAY,
  HEADERS,
  Http2Caller,
  number32,
  PREFACE,
  RawHttp2Caller,
  RST_STREAM,
  requestFields,
  SETTINGS,
  WINDOW_UPDATE,
} from '../support/http2-caller.ts';
import { bufferBytes } from '../support/memory.ts';
import { messagesOf, once } from '../support/messages.ts';
import { answer, onHead } from '../support/origin.ts';
import { until, untilStill } from '../support/until.ts';

const NO_ERROR = 0;
const PROTOCOL_ERROR = 1;
const INTERNAL_ERROR = 2;
const REFUSED_STREAM = 7;
const CANCEL = 8;

async function callerOf(cast: Cast, options = {}): Promise<Http2Caller> {
  const caller = await Http2Caller.connect(cast.sidecar.port, options);
  cast.atEnd(() => caller.leave());
  return caller;
}

async function rawOf(cast: Cast, greeting?: Buffer<ArrayBuffer>): Promise<RawHttp2Caller> {
  const caller = await RawHttp2Caller.connect(cast.sidecar.port, greeting);
  cast.atEnd(() => void caller.socket.destroy());
  return caller;
}

/** Says what it got. */
function echo(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('end', () => response.end(`${request.method} ${request.url} ${bytes}`));
}

test('the preface of HTTP/2 is known wherever it is cut', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(echo);
    const opening = Buffer.concat([
      PREFACE,
      frame(SETTINGS, 0, 0),
      frame(HEADERS, 5, 1, fieldBlock(requestFields(`${origin.url}/x`))),
    ]);
    for (let cut = 0; cut <= PREFACE.length + 12; cut++) {
      cast.expected++;
      const caller = await rawOf(cast, opening.subarray(0, cut));
      await until(() => cast.sidecar.sidecar.snapshot().callerConnections === 1, 'the caller to be there');
      // A turn of the event loop is a packet of its own.
      await new Promise((resolve) => setImmediate(resolve));
      caller.write(opening.subarray(cut));
      await caller.got(0, 1);
      caller.socket.destroy();
      await until(() => cast.sidecar.sidecar.snapshot().callerConnections === 0, 'the caller to be gone');
    }
    const bytewise = await rawOf(cast, Buffer.alloc(0));
    cast.expected++;
    for (const byte of opening) {
      bytewise.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await bytewise.got(0, 1);
  }));

test('the preface of HTTP/2 behind a request of HTTP/1.1 is no request', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'first'));
    for (const apart of [false, true]) {
      const caller = await cast.raw(2);
      caller.write(`GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      if (apart) await caller.until((text) => text.includes('first'));
      caller.write(PREFACE);
      const got = messagesOf(await caller.untilEnd());
      assert.deepEqual(
        got.map(({ status }) => status),
        [200, 400],
      );
    }
  }));

test('each stream is an exchange of its own, and a slow one does not hold up the others', () =>
  stage('', async (cast) => {
    let release: (() => void) | null = null;
    const origin = await cast.origin((request, response) => {
      if (request.url === '/slow') release = () => response.end('slow');
      else response.end(`fast ${request.url}`);
    });
    const caller = await callerOf(cast);
    const slow = caller.call(`${origin.url}/slow`);
    await until(() => release !== null, 'the slow one to arrive');
    const fast = await Promise.all(
      Array.from({ length: 60 }, (_, n) => caller.call(`${origin.url}/${n}?q=${n}`)),
    );
    cast.expected += 61;
    assert.deepEqual(
      fast.map(({ status, text }) => `${status} ${text}`),
      fast.map((_, n) => `200 fast /${n}?q=${n}`),
    );
    assert.equal(cast.sidecar.exchanges.length, 60);
    (release as unknown as () => void)();
    assert.equal((await slow).text, 'slow');
    await until(() => cast.sidecar.exchanges.length === 61, 'the last line');
    const ids = new Set(cast.sidecar.exchanges.map(({ requestId }) => requestId));
    assert.equal(ids.size, 61);
    assert.ok(fast.every(({ headers }) => ids.has(String(headers['x-request-id']))));
    const [line] = cast.sidecar.exchanges;
    assert.equal(line?.method, 'GET');
    assert.equal(line?.outcome, 'completed');
    assert.equal(line?.port, origin.port);
    assert.match(line?.path ?? '', /^\/[0-9]+$/);
  }));

test('a request goes on as HTTP/1.1 would have said it', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const caller = await callerOf(cast);
    cast.expected += 2;
    await caller.call(`${origin.url}/a%20b;c?d=e&f`, {
      'x-request-id': 'given-by-the-caller',
      cookie: ['a=1', 'b=2', 'c=3'],
      te: 'trailers',
      accept: '*/*',
    });
    await caller.call(`${origin.url}/`, { ':method': 'POST', 'content-length': 3 }, 'abc');
    const [first, second] = origin.seen;
    assert.equal(first?.url, '/a%20b;c?d=e&f');
    assert.equal(first?.headers.host, `127.0.0.1:${origin.port}`);
    assert.equal(first?.headers.cookie, 'a=1; b=2; c=3');
    assert.equal(first?.headers['x-request-id'], 'given-by-the-caller');
    assert.equal(first?.headers.te, undefined);
    assert.equal(first?.headers['transfer-encoding'], undefined);
    assert.match(String(first?.headers.via), /^2\.0 outrigger-/);
    assert.equal(second?.headers['content-length'], '3');
    assert.equal(second?.headers['transfer-encoding'], undefined);
    assert.equal(second?.body.toString(), 'abc');
  }));

test('an authority of the sidecar itself is origin form, any other absolute form', () =>
  stage(
    'routes: [{ name: fraud, match: { hosts: [a.example] }, prefix: /fraud, origin: "http://127.0.0.1:1" }]',
    async (cast) => {
      const caller = await callerOf(cast);
      for (const host of ['localhost', 'LOCALHOST', '127.0.0.1']) {
        const got = await caller.call('http://x/fraud/y', { ':authority': `${host}:${cast.sidecar.port}` });
        assert.equal(got.status, 502, got.text);
        assert.match(got.text, /"route":"fraud"/);
      }
      const unknown = await caller.call('http://x/else', { ':authority': `localhost:${cast.sidecar.port}` });
      assert.equal(unknown.status, 404);
      const other = await caller.call(`http://127.0.0.1:1/fraud/y`);
      assert.match(other.text, /"route":"default"/);
      cast.expected += 5;
    },
  ));

test('a Host beside the authority must say the same, and alone takes its place', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const { host } = new URL(origin.url);
    const caller = await rawOf(cast);
    const [method, scheme, authority, path] = requestFields(`${origin.url}/`);
    const ask = async (stream: number, fields: readonly (readonly [string, string])[]): Promise<string> => {
      cast.expected++;
      caller.write(frame(HEADERS, 5, stream, fieldBlock(fields)));
      await caller.got(0, stream);
      const line = await cast.sidecar.line(cast.expected);
      return `${line.status} ${line.reason ?? ''}`;
    };
    assert.equal(await ask(1, [method, scheme, authority, path, ['host', host]] as never), '200 ');
    assert.equal(await ask(3, [method, scheme, path, ['host', host]] as never), '200 ');
    assert.match(
      await ask(5, [method, scheme, authority, path, ['host', 'other.example']] as never),
      /^400 request_malformed: more than one Host/,
    );
    assert.equal(origin.seen.length, 2);
  }));

test('what cannot be understood gets its 4xx and takes only its stream along', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const caller = await callerOf(cast);
    const statusOf = async (url: string, headers = {}): Promise<number | undefined> => {
      cast.expected++;
      return (await caller.call(url, headers)).status;
    };
    assert.equal(await statusOf(`${origin.url}/`, { ':method': 'TRACE' }), 405);
    assert.equal(await statusOf(`${origin.url}/`, { ':method': 'OPTIONS', ':path': '*' }), 405);
    assert.equal(await statusOf(`${origin.url}/#fragment`, { ':path': '/#fragment' }), 400);
    assert.equal(await statusOf(`${origin.url}/`, { ':scheme': 'ftp' }), 400);
    assert.equal(await statusOf(`${origin.url}/`, { expect: 'wonders' }), 417);
    cast.expected++;
    const connect = caller.session.request({ ':method': 'CONNECT', ':authority': 'example.com:443' });
    connect.on('error', () => {});
    assert.equal((await answerOf(connect)).status, 405);
    assert.equal(await statusOf(`${origin.url}/`), 200);
    assert.equal(origin.seen.length, 1);
    assert.equal(caller.session.remoteSettings.enableConnectProtocol, false);
  }));

test('a response keeps its fields, twice what came twice, without those of the connection', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin(
      once(
        'HTTP/1.1 200 Well\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Twice: 1\r\nx-twice: 2\r\nEtag: "1"\r\n' +
          'Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n' +
          'Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      ),
    );
    const caller = await callerOf(cast);
    cast.expected++;
    const got = await caller.call(`${origin.url}/`);
    assert.equal(got.text, 'ok');
    const names = got.rawHeaders.filter((_, i) => i % 2 === 0);
    assert.deepEqual(names, [
      ':status',
      'set-cookie',
      'set-cookie',
      'x-twice',
      'x-twice',
      'etag',
      'via',
      'x-request-id',
      'proxy-status',
    ]);
    assert.equal(got.headers['x-twice'], '1, 2');
  }));

test('a response without a body ends with its head', () =>
  stage('', async (cast) => {
    const origin = await cast.origin((request, response) => {
      const status = Number(request.url?.slice(1));
      response.writeHead(status, request.method === 'HEAD' || status === 200 ? { 'Content-Length': 7 } : {});
      response.end(request.method === 'HEAD' ? undefined : status === 200 ? '7 bytes' : undefined);
    });
    const empty = await cast.origin(answer(200, '', ['Content-Length', '0']));
    const caller = await rawOf(cast);
    const asked: [string, string][] = [
      ['HEAD', `${origin.url}/200`],
      ['GET', `${origin.url}/204`],
      ['GET', `${origin.url}/304`],
      ['GET', `${empty.url}/`],
    ];
    for (const [n, [method, url]] of asked.entries()) {
      cast.expected++;
      caller.request(url, 2 * n + 1, 5, method);
      const { flags } = await caller.got(HEADERS, 2 * n + 1);
      assert.equal(flags & 1, 1, `${method} ${url}`);
    }
    assert.ok(caller.frames.every(({ type }) => type !== 0 && type !== RST_STREAM));
  }));

test('trailers pass, announced or not', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin(
      once(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/grpc\r\n\r\n' +
          '2\r\nok\r\n0\r\nGrpc-Status: 0\r\ngrpc-message: fine\r\nX-A: 1\r\nX-A: 2\r\n\r\n',
      ),
    );
    const caller = await callerOf(cast);
    cast.expected++;
    const got = await caller.call(`${origin.url}/`, { te: 'trailers' });
    assert.equal(got.text, 'ok');
    assert.equal(got.code, NO_ERROR);
    assert.equal(got.trailers?.['grpc-status'], '0');
    assert.equal(got.trailers?.['grpc-message'], 'fine');
    assert.equal(got.trailers?.['x-a'], '1, 2');
  }));

test('interim responses pass, and 100 Continue comes when the body is wanted', () =>
  stage('', async (cast) => {
    const origin = await cast.origin((request, response) => {
      response.writeEarlyHints({ link: '</a.css>; rel=preload' });
      echo(request, response);
    });
    const caller = await callerOf(cast);
    cast.expected++;
    const stream = caller.open(`${origin.url}/`, { ':method': 'POST', expect: '100-continue' });
    const answered = answerOf(stream);
    let continued = false;
    stream.on('continue', () => {
      continued = true;
      stream.end('abc');
    });
    const got = await answered;
    assert.equal(continued, true);
    assert.equal(got.text, 'POST / 3');
    assert.deepEqual(
      got.informational.filter((status) => status === 103),
      [103],
    );
  }));

test('50 MB go up and down, and memory stays small', () =>
  stage('', async (cast) => {
    const piece = Buffer.alloc(65_536, 'x');
    const bytes = 800 * piece.length;
    const origin = await cast.origin((request, response) => {
      if (request.method === 'POST') {
        echo(request, response);
        return;
      }
      let left = 800;
      const more = (): void => {
        while (left-- > 0) if (!response.write(piece)) return;
        response.end();
      };
      response.on('drain', more);
      more();
    });
    const caller = await callerOf(cast);
    cast.expected += 2;
    const before = bufferBytes();
    let most = 0;
    const look = (): void => {
      most = Math.max(most, bufferBytes());
    };

    const up = caller.open(`${origin.url}/up`, { ':method': 'POST' });
    const uploaded = answerOf(up);
    for (let n = 0; n < 800; n++) {
      if (!up.write(piece)) await new Promise((resolve) => up.once('drain', resolve));
      if (n % 50 === 0) look();
    }
    up.end();
    assert.equal((await uploaded).text, `POST /up ${bytes}`);

    const down = caller.open(`${origin.url}/down`, {}, true);
    let received = 0;
    let looked = 0;
    down.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received - looked > 4_000_000) {
        looked = received;
        look();
      }
    });
    await new Promise((resolve) => down.once('close', resolve));
    assert.equal(received, bytes);
    assert.ok(most - before < 16_000_000, `${most - before} bytes more in buffers`);
  }));

test('a caller that does not read pauses its origin, and only that', () =>
  stage('', async (cast) => {
    let written = 0;
    const piece = Buffer.alloc(65_536);
    const origin = await cast.origin((request, response) => {
      if (request.url === '/small') {
        response.end('small');
        return;
      }
      const more = (): void => {
        while (written < 100_000_000) {
          written += piece.length;
          if (!response.write(piece)) return;
        }
        response.end();
      };
      response.on('drain', more);
      more();
    });
    const caller = await callerOf(cast);
    cast.expected += 3;
    const stream = caller.open(`${origin.url}/large`, {}, true);
    stream.pause();
    await untilStill(() => written);
    assert.ok(written < 20_000_000, `${written} bytes`);
    assert.equal((await caller.call(`${origin.url}/small`)).text, 'small');
    stream.close(CANCEL);
    const line = await cast.sidecar.line(2);
    assert.equal(line.outcome, 'aborted');
    assert.equal((await caller.call(`${origin.url}/small`)).text, 'small');
  }));

test('an origin that does not read pauses the upload, and only that', () =>
  stage('policy: { retry: { replayBytes: 0B } }', async (cast) => {
    const slow = await cast.rawOrigin((socket) => void socket.pause());
    const quick = await cast.origin(echo);
    const caller = await callerOf(cast);
    cast.expected += 2;
    let taken = 0;
    const piece = Buffer.alloc(65_536);
    const stream = caller.open(`${slow.url}/`, { ':method': 'POST' });
    const more = (): void => {
      if (taken < 100_000_000 && !stream.destroyed) {
        stream.write(piece, () => {
          taken += piece.length;
          more();
        });
      }
    };
    more();
    await untilStill(() => taken);
    assert.ok(taken < 20_000_000, `${taken} bytes`);
    assert.equal((await caller.call(`${quick.url}/`, { ':method': 'POST' }, piece)).text, 'POST / 65536');
    stream.close(CANCEL);
    assert.equal((await cast.sidecar.line(2)).outcome, 'aborted');
  }));

test('a caller that resets a stream ends that exchange and no other', () =>
  stage('', async (cast) => {
    const waiting: ServerResponse[] = [];
    let gone = 0;
    const origin = await cast.origin((_request, response) => {
      waiting.push(response);
      response.on('close', () => {
        if (!response.writableFinished) gone++;
      });
    });
    const caller = await callerOf(cast);
    cast.expected += 3;
    const streams = [1, 2, 3].map((n) => caller.open(`${origin.url}/${n}`, {}, true));
    const answers = streams.map((stream) => answerOf(stream));
    await until(() => waiting.length === 3, 'all to arrive');
    streams[1]?.close(CANCEL);
    await until(() => gone === 1, 'the origin to see it');
    const line = await cast.sidecar.line(1);
    assert.equal(line.path, '/2');
    assert.equal(line.outcome, 'aborted');
    assert.match(line.reason ?? '', /caller left while waiting for the head/);
    for (const response of waiting) response.end('ok');
    assert.deepEqual(
      (await Promise.all(answers)).map(({ text }) => text),
      ['ok', '', 'ok'],
    );
  }));

test('a caller whose connection vanishes ends all its exchanges', () =>
  stage('', async (cast) => {
    let arrived = 0;
    const origin = await cast.origin(() => void arrived++);
    const caller = await callerOf(cast);
    cast.expected += 10;
    for (let n = 0; n < 10; n++) {
      if (n % 2 === 0) caller.open(`${origin.url}/${n}`, {}, true);
      else caller.open(`${origin.url}/${n}`, { ':method': 'POST' }).write('a beginning');
    }
    await until(() => arrived === 10, 'all to arrive');
    caller.session.destroy();
    await cast.sidecar.line(10);
    for (const { outcome } of cast.sidecar.exchanges) assert.equal(outcome, 'aborted');
  }));

test('a response that was not whole ends with a reset', () =>
  stage('', async (cast) => {
    const bodies = [
      'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
    ];
    const caller = await callerOf(cast);
    for (const text of bodies) {
      const origin = await cast.rawOrigin(once(text));
      cast.expected++;
      const got = await caller.call(`${origin.url}/`);
      assert.equal(got.code, INTERNAL_ERROR);
      assert.equal(got.whole, false);
    }
    for (const { outcome } of cast.sidecar.exchanges) assert.equal(outcome, 'truncated');
  }));

test('a response that is over before its request comes whole, and the rest is refused without an error', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin(once('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!'));
    const quick = await cast.origin();
    const caller = await rawOf(cast);
    cast.expected += 2;
    caller.request(`${origin.url}/`, 1, END_HEADERS, 'POST');
    caller.write(frame(0, 0, 1, Buffer.alloc(1_000)));
    const reset = await caller.got(RST_STREAM, 1);
    assert.equal(reset.payload.readUInt32BE(), NO_ERROR);
    const data = caller.frames.filter(({ type, stream }) => type === 0 && stream === 1);
    assert.equal(Buffer.concat(data.map(({ payload }) => payload)).toString(), 'no!');
    assert.equal((data.at(-1)?.flags ?? 0) & 1, 1, 'END_STREAM came');
    assert.ok(caller.frames.indexOf(reset) > caller.frames.indexOf(data.at(-1) as never));
    assert.equal((await cast.sidecar.line(1)).outcome, 'completed');
    // What is still on its way is no error, and the connection lives.
    caller.write(frame(0, 1, 1, Buffer.alloc(10)));
    caller.request(`${quick.url}/`, 3);
    await caller.got(0, 3);
  }));

test('retries, request IDs and timeouts are those of any exchange', () =>
  stage('policy: { timeouts: { head: 100ms }, retry: { backoff: { initial: 1ms } } }', async (cast) => {
    let asked = 0;
    const origin = await cast.origin((request, response) => {
      if (request.url === '/silent') return;
      response.writeHead(++asked === 1 ? 503 : 200);
      response.end('done');
    });
    const caller = await callerOf(cast);
    cast.expected += 2;
    const got = await caller.call(`${origin.url}/`, { 'x-request-id': 'mine-alone-0001' });
    assert.equal(got.status, 200);
    assert.equal(got.headers['x-request-id'], 'mine-alone-0001');
    assert.match(String(got.headers['proxy-status']), /attempts=2/);
    const late = await caller.call(`${origin.url}/silent`, { ':method': 'POST' }, 'x');
    assert.equal(late.status, 504);
    assert.equal((await cast.sidecar.line(2)).error, 'http_response_timeout');
  }));

test('streams beyond listen.streams are refused as not processed', () =>
  stage('listen: { streams: 3 }', async (cast) => {
    let arrived = 0;
    const origin = await cast.origin(() => void arrived++);
    const caller = await rawOf(cast);
    const settings = await caller.got(SETTINGS);
    const limit = [...Array(settings.payload.length / 6).keys()]
      .map((n) => [settings.payload.readUInt16BE(n * 6), settings.payload.readUInt32BE(n * 6 + 2)])
      .find(([id]) => id === 3);
    assert.equal(limit?.[1], 3);
    cast.expected += 3;
    for (const stream of [1, 3, 5]) caller.request(`${origin.url}/`, stream);
    await until(() => arrived === 3, 'three to arrive');
    caller.request(`${origin.url}/`, 7);
    assert.equal((await caller.got(RST_STREAM, 7)).payload.readUInt32BE(), REFUSED_STREAM);
    // Once it has agreed to the limit it breaks the protocol.
    caller.write(frame(SETTINGS, 1, 0));
    caller.request(`${origin.url}/`, 9);
    assert.equal((await caller.got(GOAWAY)).payload.readUInt32BE(4), PROTOCOL_ERROR);
    await caller.ended();
    assert.equal(arrived, 3);
  }));

test('a connection without streams is closed after listen.idleTimeout, with a GOAWAY', () =>
  stage('listen: { idleTimeout: 150ms }', async (cast) => {
    const origin = await cast.origin();
    const caller = await callerOf(cast);
    cast.expected++;
    assert.equal((await caller.call(`${origin.url}/`)).status, 200);
    await until(() => caller.closed, 'the connection to be closed');
    assert.equal(caller.goaway, NO_ERROR);
    // Nor does a caller that stays have to be waited for.
    const staying = await rawOf(cast);
    assert.equal((await staying.got(GOAWAY)).payload.readUInt32BE(4), NO_ERROR);
    await until(() => cast.sidecar.sidecar.snapshot().callerConnections === 0, 'the caller to be let go');
  }));

test('an exchange that takes longer than listen.idleTimeout keeps its connection', () =>
  stage('listen: { idleTimeout: 50ms }', async (cast) => {
    const origin = await cast.origin(
      (_request, response) => void setTimeout(() => response.end('late'), 200),
    );
    const caller = await callerOf(cast);
    cast.expected++;
    assert.equal((await caller.call(`${origin.url}/`)).text, 'late');
  }));

test('a preface that is not finished, or not followed by anything, is given up after listen.headTimeout', () =>
  stage('listen: { headTimeout: 150ms }', async (cast) => {
    const half = await rawOf(cast, PREFACE.subarray(0, 10));
    const silent = await rawOf(cast, PREFACE);
    // The first is answered, as any head that does not come.
    cast.expected++;
    await silent.got(GOAWAY);
    await until(() => cast.sidecar.sidecar.snapshot().callerConnections === 0, 'both to be let go');
    assert.equal((await cast.sidecar.line(1)).status, 408);
    assert.equal(half.frames.length, 0);
  }));

test('a stop sends a GOAWAY and does not wait for callers', async () => {
  await stage('', async (cast) => {
    const origin = await cast.origin(() => {});
    const idle = await rawOf(cast);
    const busy = await rawOf(cast);
    await idle.got(SETTINGS);
    cast.expected++;
    busy.request(`${origin.url}/`, 1);
    await until(() => origin.seen.length === 1, 'the request to arrive');
    const began = performance.now();
    await cast.sidecar.stop();
    assert.ok(performance.now() - began < 1_000);
    assert.equal((await idle.got(GOAWAY)).payload.readUInt32BE(4), NO_ERROR);
    await busy.got(GOAWAY);
    assert.equal((await cast.sidecar.line(1)).outcome, 'failed');
  });
});

test('a caller whose window stays shut loses its exchange after the idle timeout', () =>
  stage('policy: { timeouts: { idle: 200ms } }', async (cast) => {
    const origin = await cast.origin(answer(200, 'x'.repeat(10_000)));
    const caller = await rawOf(cast, Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0])]));
    cast.expected += 2;
    caller.request(`${origin.url}/`, 1);
    assert.equal((await caller.got(RST_STREAM, 1)).payload.readUInt32BE(), INTERNAL_ERROR);
    const line = await cast.sidecar.line(1);
    assert.equal(line.outcome, 'truncated');
    assert.equal(line.reason?.split(':')[0], 'caller_stalled');
    // The connection is as good as before.
    caller.write(frame(SETTINGS, 0, 0, [0, 4, 0, 1, 0, 0]), frame(WINDOW_UPDATE, 0, 0, number32(1)));
    caller.request(`${origin.url}/`, 3);
    await caller.got(0, 3);
  }));

test('a caller that closes its side has left', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(() => {});
    const caller = await rawOf(cast);
    cast.expected++;
    caller.request(`${origin.url}/`, 1);
    await until(() => origin.seen.length === 1, 'the request to arrive');
    caller.socket.end();
    assert.equal((await cast.sidecar.line(1)).outcome, 'aborted');
    await caller.ended();
  }));

test('a method has the length that it may have in HTTP/1.1', () =>
  stage('', async (cast) => {
    const origin = await cast.rawOrigin((socket) =>
      onHead(socket, () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')),
    );
    const caller = await callerOf(cast);
    for (const [length, status] of [
      [64, 200],
      [65, 400],
    ] as const) {
      cast.expected++;
      const got = await caller.call(`${origin.url}/`, { ':method': 'M'.repeat(length) });
      assert.equal(got.status, status);
    }
    assert.equal(origin.connections.total, 1);
  }));

test('a status that HTTP/2 cannot say is a 502, with a body or without', () =>
  stage('', async (cast) => {
    const caller = await callerOf(cast);
    for (const body of ['', 'abc']) {
      const origin = await cast.rawOrigin(
        once(`HTTP/1.1 600 Beyond\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
      );
      cast.expected++;
      const got = await caller.call(`${origin.url}/`);
      assert.equal(got.status, 502);
      const line = await cast.sidecar.line(cast.expected);
      assert.equal(line.outcome, 'failed');
      assert.match(line.reason ?? '', /^response_malformed/);
    }
  }));

test('a 205 has no content, whatever its origin sends', () =>
  stage('', async (cast) => {
    const caller = await callerOf(cast);
    for (const rest of [
      'Content-Length: 3\r\n\r\nabc',
      'Content-Length: 0\r\n\r\n',
      'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: 1\r\n\r\n',
      'Connection: close\r\n\r\nabc',
    ]) {
      const origin = await cast.rawOrigin((socket) => {
        socket.once('data', () => {
          socket.write('HTTP/1.1 205 Reset Content\r\n');
          socket.write(rest);
          if (rest.startsWith('Connection')) socket.end();
        });
      });
      cast.expected++;
      const got = await caller.call(`${origin.url}/`);
      assert.equal(got.status, 205, rest);
      assert.equal(got.code, NO_ERROR, rest);
      assert.equal(got.whole, true, rest);
      assert.equal(got.text, '');
      assert.equal(got.headers['content-length'], undefined);
      assert.equal((await cast.sidecar.line(cast.expected)).outcome, 'completed', rest);
    }
  }));
