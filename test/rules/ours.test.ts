/** X: what we have promised ourselves beside the standards; B: the first bytes of real clients. */
import assert from 'node:assert/strict';
import { get as httpGet, request } from 'node:http';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { messagesOf } from '../support/messages.ts';
import { answer, RawOrigin } from '../support/origin.ts';
import { everyWay, passes, requestText, type Way } from './ways.ts';

/** The status of the admin listener for a request as a browser on another site could make it. */
function adminStatus(
  url: string,
  path: string,
  method: string,
  headers: Record<string, string>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}${path}`, { method, headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', reject);
    sent.end();
  });
}

test('X1 the admin listener is not there for another name, another site, or the proxy', () =>
  stage('', async (cast) => {
    const { adminUrl } = cast.sidecar;
    assert.equal(await adminStatus(adminUrl, '/livez', 'GET', {}), 200);
    for (const host of [
      'evil.example',
      'evil.example:3129',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
    ])
      assert.ok((await adminStatus(adminUrl, '/livez', 'GET', { Host: host })) >= 400, host);
    for (const path of ['/reload', '/drain', '/origins/x/circuit', '/config'])
      for (const headers of [{ Origin: 'http://evil.example' }, { 'Sec-Fetch-Site': 'cross-site' }])
        assert.ok((await adminStatus(adminUrl, path, 'POST', headers)) >= 400, path);
    const got = await cast.call(`${adminUrl}/livez`);
    assert.equal(got.status, 403);
    for (const path of ['/reload', '/drain'])
      assert.ok((await adminStatus(adminUrl, path, 'GET', {})) >= 400, path);
    await new Promise<void>((resolve) =>
      httpGet(`${adminUrl}/livez`, (response) => response.resume().on('end', resolve)),
    );
  }));

test('X2 credentials of the caller for the proxy, and those a route sets, go to no other origin', () =>
  stage('', async () => {
    const vendor = await RawOrigin.start(() => {});
    await vendor.close();
    await stage(
      `routes: [{ name: vendor, match: { hosts: ["127.0.0.1"], ports: [${vendor.port}] }, policy: { headers: { request: { set: { Authorization: "Bearer canary" } } } } }]\npolicy: { retry: { attempts: 1 } }`,
      async (cast) => {
        const other = await cast.origin(answer(200, 'ok'));
        const seen: string[] = [];
        const right = await cast.rawOrigin(
          (socket) =>
            socket.on('data', (chunk: Buffer) => {
              seen.push(chunk.toString('latin1'));
              socket.write(`HTTP/1.1 302 Found\r\nLocation: ${other.url}/\r\nContent-Length: 0\r\n\r\n`);
            }),
          vendor.port,
        );
        const redirected = await cast.call(`${right.url}/`);
        assert.equal(redirected.status, 302);
        assert.match(seen[0] ?? '', /Authorization: Bearer canary/);
        await cast.call(`${other.url}/`, {
          headers: { Host: `127.0.0.1:${vendor.port}`, 'Proxy-Authorization': 'Basic canary' },
        });
        assert.equal(JSON.stringify(other.seen[0]?.rawHeaders).includes('canary'), false);
        assert.equal(
          (JSON.stringify(redirected.rawHeaders) + cast.sidecar.lines.join('')).includes('canary'),
          false,
        );
      },
    );
  }));

test('X3 after doubt about a response its connection is not used again', () =>
  stage('policy: { retry: { attempts: 1 }, breaker: null }', async (cast) => {
    const asked: string[][] = [];
    const origin = await cast.rawOrigin((socket) => {
      const mine: string[] = [];
      asked.push(mine);
      socket.on('end', () => socket.end());
      socket.on('data', (chunk: Buffer) => {
        const path = chunk.toString('latin1').split(' ')[1] ?? '';
        mine.push(path);
        const bad = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokx';
        socket.write(
          path === '/bad' ? bad : `HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`,
        );
      });
    });
    for (let i = 0; i < 3; i++) {
      assert.equal((await cast.call(`${origin.url}/good`)).text, '/good');
      assert.equal((await cast.call(`${origin.url}/bad`)).status, 502);
    }
    assert.ok(
      asked.every((paths) => !paths.slice(0, -1).includes('/bad')),
      JSON.stringify(asked),
    );
  }));

/** Members of a structured list (RFC 9651), as far as Proxy-Status needs them. */
const MEMBER =
  /^[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*(; ?[a-z*][a-z0-9_.*-]*(=([A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*|-?[0-9]+|"([\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"))?)*$/;

test('X4 Proxy-Status is a list that parses, with our member last and those of the origin before it', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    const origin = await cast.origin(
      answer(200, 'ok', ['Proxy-Status', 'their.proxy; received-status=200', 'Proxy-Status', 'other']),
    );
    const got = await cast.call(origin.url);
    const members = String(got.headers['proxy-status']).split(/, ?/);
    assert.deepEqual(members.slice(0, 2), ['their.proxy; received-status=200', 'other']);
    for (const member of members) assert.match(member, MEMBER);
    assert.match(members.at(-1) ?? '', /^outrigger;/);
    for (const target of [
      'http://a"b/',
      'http://u:canary@h/',
      'ftp://h/',
      'http://10.0.0.1/',
      '/\\"',
      'http://h/a#canary',
    ]) {
      const caller = await cast.raw();
      caller.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const [message] = messagesOf(await caller.untilEnd());
      const [said = ''] = message?.values('proxy-status') ?? [];
      assert.match(said, MEMBER, target);
      assert.equal(said.includes('canary'), false);
    }
  }));

test('X5 a problem document is JSON of its type on every way, and a HEAD gets its fields alone', () =>
  everyWay(async (ways) => {
    for (const way of ways)
      for (const method of ['GET', 'HEAD']) {
        const peer = await way.open();
        peer.write(requestText(way, { method, lines: 'Expect: 200-maybe\r\n' }));
        const text = await peer.untilEnd();
        const [message] = messagesOf(text, method === 'HEAD');
        assert.equal(message?.status, 417, way.name);
        assert.deepEqual(message?.values('content-type'), ['application/problem+json']);
        if (method === 'GET') assert.equal(JSON.parse(message?.body ?? '').status, 417);
        else assert.ok(text.endsWith('\r\n\r\n'), way.name);
        peer.leave();
      }
  }));

test('X6 every response has the request ID of its line, on every way', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const { answer: good, line } = await passes(way, requestText(way));
      assert.deepEqual(good.values('x-request-id'), [line.requestId], way.name);
      const peer = await way.open();
      peer.write(`GET ${way.target('/')} HTTP/9.9\r\n\r\n`);
      await peer.untilEnd();
      const { requestId } = await way.cast.sidecar.line(way.cast.expected);
      assert.deepEqual(messagesOf(peer.received)[0]?.values('x-request-id'), [requestId], way.name);
    }
  }));

const HEADS: readonly (readonly [client: string, head: (way: Way) => string])[] = [
  [
    'curl',
    (way) =>
      `GET ${way.target('/x')} HTTP/1.1\r\nHost: ${way.authority}\r\nUser-Agent: curl/8\r\nAccept: */*\r\nProxy-Connection: Keep-Alive\r\n\r\n`,
  ],
  [
    'wget',
    (way) =>
      `GET ${way.target('/x')} HTTP/1.1\r\nUser-Agent: Wget/1.21\r\nAccept: */*\r\nAccept-Encoding: identity\r\nHost: ${way.authority}\r\nConnection: Keep-Alive\r\nProxy-Connection: Keep-Alive\r\nProxy-Authorization: Basic eDp5\r\n\r\n`,
  ],
  [
    'apt',
    (way) =>
      `GET ${way.target('/x')} HTTP/1.1\r\nHost: ${way.authority}\r\nRange: bytes=10-\r\nIf-Range: Thu, 01 Jan 1970 00:00:00 GMT\r\nUser-Agent: Debian APT-HTTP/1.3\r\n\r\n`,
  ],
  [
    'Java',
    (way) =>
      `GET ${way.target('/x')} HTTP/1.1\r\nContent-Length: 0\r\nHost: ${way.authority}\r\nUser-Agent: Java-http-client/17\r\n\r\n`,
  ],
  [
    'cargo',
    (way) =>
      `GET ${way.target('/x')} HTTP/1.1\r\nHost: ${way.authority}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n`,
  ],
  [
    'LWP',
    (way) =>
      `GET ${way.target('/x')} HTTP/1.1\r\nTE: deflate,gzip;q=0.3\r\nConnection: TE, close\r\nHost: ${way.authority}\r\n\r\n`,
  ],
  [
    'axios and deno',
    (way) =>
      `GET ${way.target('/x')} HTTP/1.1\r\nhost: ${way.authority}\r\naccept: application/json, text/plain, */*\r\nconnection: keep-alive\r\n\r\n`,
  ],
  [
    'aria2',
    (way) =>
      `GET ${way.target('/x')} HTTP/1.1\r\nUser-Agent: aria2/1.36\r\nAccept: */*\r\nHost: ${way.authority}\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nWant-Digest: SHA-512;q=1\r\n\r\n`,
  ],
];

test('B what real clients send first is served, on every way', () =>
  everyWay(async (ways) => {
    for (const way of ways)
      for (const [client, head] of HEADS) {
        const { answer: got } = await passes(way, head(way));
        assert.equal(got.status, 200, `${client}, ${way.name}`);
      }
  }));

test('B the CONNECTs of real clients open tunnels', async () => {
  const origin = await RawOrigin.start((socket) => socket.pipe(socket));
  await stage(
    `access: { tunnelPorts: [${origin.port}], tunnelProtocols: [tls, http, other] }`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      const to = `127.0.0.1:${origin.port}`;
      for (const head of [
        `CONNECT ${to} HTTP/1.0\r\n\r\n`,
        `CONNECT ${to} HTTP/1.0\r\nProxy-Authorization: Basic eDp5\r\n\r\n`,
        `CONNECT ${to} HTTP/1.1\r\nhost: ${to}\r\nconnection: close\r\nproxy-connection: keep-alive\r\n\r\n`,
        `CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\nProxy-Connection: close\r\nConnection: close\r\n\r\n`,
        `CONNECT ${to} HTTP/1.1\r\nUser-Agent: Wget/1.21\r\nProxy-Authorization: Basic eDp5\r\nHost: ${to}\r\n\r\n`,
        `CONNECT ${to} HTTP/1.1\r\nAccept: */*\r\nHost: ${to}\r\nUser-Agent: python-httpx\r\n\r\n`,
      ]) {
        const caller = await cast.raw();
        caller.write(head);
        assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1\.[01] 200 /, head);
        caller.write('\x01x');
        await caller.until((text) => text.endsWith('\x01x'));
        assert.equal(caller.ended, false);
        caller.leave();
      }
    },
  );
});
