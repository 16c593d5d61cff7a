/** HTTP/2 inside a tunnel: in plain text, and where the sidecar ends the TLS of its caller. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, createSecureContext } from 'node:tls';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { answerOf, Http2Caller } from '../support/http2-caller.ts';
import { Http2Origin, type StreamScript } from '../support/http2-origin.ts';
import { HttpOrigin } from '../support/origin.ts';
import { until } from '../support/until.ts';

const certificates = makeCertificates();
const skip = certificates === null ? 'it needs openssl' : false;
const { good, ca } = certificates ?? ({ good: { key: '', cert: '' }, ca: '' } as Certificates);

async function tunnel(cast: Cast, authority: string): Promise<Socket> {
  const caller = await cast.raw();
  caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1\.1 200 /);
  const { socket } = caller;
  socket.removeAllListeners('data');
  // Undoes setEncoding: from here it is bytes.
  Object.assign((socket as unknown as { _readableState: object })._readableState, {
    decoder: null,
    encoding: null,
  });
  return socket;
}

interface Play {
  readonly cast: Cast;
  readonly origin: Http2Origin;
  readonly caller: Http2Caller;
}

/** A caller of HTTP/2 behind interception, and an origin that speaks it, too. */
async function intercepted(script: StreamScript, play: (play: Play) => Promise<void>): Promise<void> {
  const origin = await Http2Origin.start(good, script);
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const bundle = join(folder, 'bundle.pem');
  await stage(
    `
access: { tunnelPorts: [${origin.port}] }
intercept: { bundle: ${bundle} }
routes: [{ name: vendor, match: { hosts: [localhost] }, https: intercept, http2: true }]`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      cast.atEnd(() => rmSync(folder, { recursive: true }));
      const socket = connect({
        socket: await tunnel(cast, `localhost:${origin.port}`),
        servername: 'localhost',
        ca: readFileSync(bundle, 'utf8'),
        ALPNProtocols: ['h2', 'http/1.1'],
      });
      await once(socket, 'secureConnect');
      assert.equal(socket.alpnProtocol, 'h2');
      const caller = await Http2Caller.over(socket);
      cast.atEnd(() => caller.leave());
      await play({ cast, origin, caller });
      caller.leave();
    },
    {
      secureContext: createSecureContext({ ca }),
      lookup: (_host, callback) => callback(null, ['127.0.0.1']),
    },
  );
}

test('streams inside interception are exchanges of their own, in both protocols', { skip }, () =>
  intercepted(
    (stream, headers) => {
      stream.respond({ ':status': 200, 'x-path': headers[':path'] });
      stream.resume().on('end', () => stream.end('hello'));
    },
    async ({ cast, origin, caller }) => {
      const url = `https://localhost:${origin.port}`;
      const got = await Promise.all(Array.from({ length: 20 }, (_, n) => caller.call(`${url}/${n}?q`)));
      cast.expected += 20;
      assert.deepEqual(
        got.map(({ status, headers, text }) => `${status} ${String(headers['x-path'])} ${text}`),
        got.map((_, n) => `200 /${n}?q hello`),
      );
      const elsewhere = await caller.call('https://elsewhere.example/');
      cast.expected++;
      assert.equal(elsewhere.status, 421);
      await until(() => cast.sidecar.exchanges.length >= 21, 'the lines');
      const lines = cast.sidecar.exchanges.filter(({ path }) => path?.startsWith('/'));
      assert.ok(lines.every(({ route }) => route === 'vendor'));
    },
  ),
);

test('what names another scheme than its tunnel is misdirected, as it is in HTTP/1.1', { skip }, () =>
  intercepted(
    (stream) => {
      stream.resume();
      stream.respond({ ':status': 200 }, { endStream: true });
    },
    async ({ cast, origin, caller }) => {
      const url = `https://localhost:${origin.port}/`;
      const got: (number | undefined)[] = [];
      for (const scheme of ['http', 'HTTP', 'ftp', 'https', 'HTTPS']) {
        got.push((await caller.call(url, { ':scheme': scheme })).status);
        cast.expected++;
      }
      assert.deepEqual(got, [421, 421, 400, 200, 200]);
      assert.equal(origin.sessions.size, 1);
    },
  ),
);

test('a response that ends with its head still does', { skip }, () =>
  intercepted(
    (stream) => {
      stream.resume();
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5', 'grpc-message': 'none' },
        { endStream: true },
      );
    },
    async ({ cast, origin, caller }) => {
      cast.expected++;
      const stream = caller.open(`https://localhost:${origin.port}/a.B/C`, { ':method': 'POST' });
      let flags = 0;
      stream.on('response', (_headers, seen) => {
        flags = seen;
      });
      const answered = answerOf(stream);
      stream.end('x');
      const got = await answered;
      assert.equal(got.headers['grpc-status'], '5');
      assert.equal(flags & 1, 1, 'END_STREAM came with the head');
      assert.equal(got.code, 0);
    },
  ),
);

test('a stream flows both ways at once, and its trailers end it', { skip }, () =>
  intercepted(
    (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('data', (chunk: Buffer) => stream.write(`<${chunk.toString()}>`));
      stream.on('end', () => stream.end());
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    },
    async ({ cast, origin, caller }) => {
      cast.expected++;
      const stream = caller.open(`https://localhost:${origin.port}/a.B/C`, {
        ':method': 'POST',
        te: 'trailers',
      });
      const answered = answerOf(stream);
      let text = '';
      stream.on('data', (chunk) => {
        text += chunk;
      });
      for (let n = 0; n < 10; n++) {
        stream.write(String(n));
        // Each goes up and comes back before the next.
        await until(() => text.endsWith(`<${n}>`), `the answer to ${n}`);
      }
      stream.end();
      const got = await answered;
      assert.equal(got.trailers?.['grpc-status'], '0');
      assert.equal(got.code, 0);
    },
  ),
);

test('an origin that ends a stream early ends it for the caller, too, and not as an error', { skip }, () =>
  intercepted(
    (stream) => {
      stream.once('data', () => {
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.end('enough');
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '8' }));
      });
    },
    async ({ cast, origin, caller }) => {
      cast.expected++;
      const stream = caller.open(`https://localhost:${origin.port}/`, { ':method': 'POST' });
      const answered = answerOf(stream);
      stream.write('some');
      const got = await answered;
      assert.equal(got.text, 'enough');
      assert.equal(got.trailers?.['grpc-status'], '8');
      assert.equal(got.code, 0);
      assert.equal((await cast.sidecar.line(1)).outcome, 'completed');
    },
  ),
);

test('HTTP/2 in plain text inside a tunnel has the whole policy, and goes nowhere else', async () => {
  let asked = 0;
  const origin = await HttpOrigin.start((_request, response) => {
    response.writeHead(++asked === 1 ? 503 : 200);
    response.end('plain');
  });
  await stage(
    `access: { tunnelPorts: [${origin.port}] }`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      const caller = await Http2Caller.over(await tunnel(cast, `localhost:${origin.port}`));
      cast.atEnd(() => caller.leave());
      const url = `http://localhost:${origin.port}`;
      const got = await caller.call(`${url}/x`);
      assert.equal(got.text, 'plain');
      assert.match(String(got.headers['proxy-status']), /attempts=2/);
      assert.equal((await caller.call('http://elsewhere.example/')).status, 421);
      cast.expected += 2;
      assert.equal(origin.seen.length, 2);
      caller.leave();
    },
    { lookup: (_host, callback) => callback(null, ['127.0.0.1']) },
  );
});
