/** Requests to the sidecar itself: a prefix chooses the origin, and what comes back can be followed. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Edges } from '../../src/sidecar.ts';
import { type Cast, stage } from '../support/cast.ts';
import { makeCertificates } from '../support/certificates.ts';
import { messagesOf } from '../support/messages.ts';
import { answer, HttpOrigin, type Script } from '../support/origin.ts';
import { until } from '../support/until.ts';

const HERE: Edges = { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) };

interface Got {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** A client that knows a base URL, and nothing of proxies; the path goes out byte for byte. */
function ask(cast: Cast, path: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<Got> {
  cast.expected++;
  return new Promise((resolve, reject) => {
    const sent = request({
      host: '127.0.0.1',
      port: cast.sidecar.port,
      path,
      method,
      headers,
      agent: new Agent(),
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    sent.end(body);
  });
}

interface Play {
  readonly cast: Cast;
  readonly origin: HttpOrigin;
}

/** `routes` knows its origin as ORIGIN. */
async function prefixed(
  routes: string,
  play: (play: Play) => Promise<void>,
  script: Script = (message, response) => response.end(message.url),
  yaml = '',
): Promise<void> {
  const origin = await HttpOrigin.start(script);
  await stage(
    `routes:\n${routes.replaceAll('ORIGIN', `http://vendor.test:${origin.port}`)}\n${yaml}`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      await play({ cast, origin });
    },
    HERE,
  );
}

const FRAUD = '  - { name: fraud, prefix: /fraud, origin: "ORIGIN" }';

test('a prefix is taken off and the rest goes to the origin of its route, with the query and the Host of the origin', () =>
  prefixed(FRAUD, async ({ cast, origin }) => {
    const got = await ask(cast, '/fraud/v1/score?a=1&b=/fraud/');
    assert.deepEqual([got.status, got.text], [200, '/v1/score?a=1&b=/fraud/']);
    assert.equal(origin.seen[0]?.headers.host, `vendor.test:${origin.port}`);
    const line = await cast.sidecar.line();
    assert.deepEqual(
      [line.via, line.route, line.host, line.port, line.path, line.scheme],
      ['prefix', 'fraud', 'vendor.test', origin.port, '/v1/score', 'http'],
    );
    assert.equal(origin.seen[0]?.headers['x-request-id'], line.requestId);
    assert.equal(got.headers['x-request-id'], line.requestId);
  }));

test('the longest prefix wins, and only where a segment ends', () =>
  prefixed(
    `${FRAUD}
  - { name: inner, prefix: /fraud/v2, origin: "ORIGIN/base" }
  - { name: rest, prefix: /, origin: "ORIGIN/rest/" }`,
    async ({ cast }) => {
      for (const [path, route, reached] of [
        ['/fraud', 'fraud', '/'],
        ['/fraud/', 'fraud', '/'],
        ['/fraud?x', 'fraud', '/?x'],
        ['/fraud/v2x', 'fraud', '/v2x'],
        ['/fraud/v2', 'inner', '/base'],
        ['/fraud/v2/', 'inner', '/base/'],
        ['/fraud/v2/a', 'inner', '/base/a'],
        ['/fraudulent', 'rest', '/rest/fraudulent'],
        ['/Fraud/a', 'rest', '/rest/Fraud/a'],
        ['/', 'rest', '/rest/'],
        ['//fraud/a', 'rest', '/rest//fraud/a'],
      ] as const) {
        const got = await ask(cast, path);
        assert.deepEqual([path, got.text], [path, reached]);
        assert.equal((await cast.sidecar.line(cast.expected)).route, route, path);
      }
    },
  ));

test('dot segments, escapes and empty segments go on byte for byte', () =>
  prefixed('  - { name: fraud, prefix: /fraud, origin: "ORIGIN/base" }', async ({ cast }) => {
    for (const rest of ['/../x', '/./x', '/%2e%2e/x', '//x', '/a%2Fb', '/a;b=c', '/%00', '/a|b', '/"<>'])
      assert.equal((await ask(cast, `/fraud${rest}`)).text, `/base${rest}`);
    // Escaped, it is another path.
    assert.equal((await ask(cast, '/%66raud/x')).status, 404);
  }));

test('a POST goes with its body, and is retried as in absolute form', () => {
  let n = 0;
  return prefixed(
    FRAUD,
    async ({ cast, origin }) => {
      const got = await ask(cast, '/fraud/pay', {
        method: 'POST',
        body: 'money',
        headers: { 'Idempotency-Key': '1' },
      });
      assert.deepEqual([got.status, origin.seen.length], [200, 2]);
      assert.deepEqual(
        origin.seen.map(({ body, url, method }) => [method, url, body.toString()]),
        Array.from({ length: 2 }, () => ['POST', '/pay', 'money']),
      );
      assert.equal((await cast.sidecar.line()).attempts.length, 2);
    },
    (message, response, seen) => answer(++n === 1 ? 503 : 200)(message, response, seen),
    'policy: { retry: { backoff: { initial: 1ms } } }',
  );
});

test('a path without a prefix is a 404 that lists the prefixes, a problem document and no secret', () =>
  prefixed(`${FRAUD}\n  - { name: pay, prefix: /pay, origin: "ORIGIN" }`, async ({ cast, origin }) => {
    for (const path of ['/', '/other?token=secret', '/fraud.', '/.well-known/x']) {
      const got = await ask(cast, path);
      assert.equal(got.status, 404);
      assert.equal(got.headers['content-type'], 'application/problem+json');
      assert.match(String(got.headers['proxy-status']), /^outrigger; error=destination_not_found/);
      const problem = JSON.parse(got.text);
      assert.equal(problem.detail, 'the prefixes are /fraud, /pay');
      assert.ok(!got.text.includes('secret'));
    }
    assert.equal(origin.seen.length, 0);
    const line = await cast.sidecar.line(4);
    assert.deepEqual([line.outcome, line.error, line.host], ['refused', 'destination_not_found', null]);
  }));

test('where no route has a prefix, a path is a 404 that says so', () =>
  stage('', async (cast) => {
    const got = await ask(cast, '/fraud/x');
    assert.equal(got.status, 404);
    assert.equal(JSON.parse(got.text).detail, 'no route has a prefix');
  }));

test('a redirect of the origin, followed by a client that knows no proxy, arrives at the origin', () =>
  prefixed(
    '  - { name: fraud, prefix: /fraud, origin: "ORIGIN/base" }',
    async ({ cast, origin }) => {
      for (const start of ['/absolute', '/path', '/relative', '/network']) {
        cast.expected += 2;
        const before = origin.seen.length;
        const got = await fetch(`${cast.sidecar.proxyUrl}/fraud${start}`, {
          headers: { connection: 'close' },
        });
        assert.deepEqual([start, got.status, await got.text()], [start, 200, 'arrived /base/there?x=1']);
        assert.equal(new URL(got.url).host, `127.0.0.1:${cast.sidecar.port}`);
        assert.equal(origin.seen.length, before + 2);
      }
    },
    (message, response) => {
      const host = String(message.headers.host);
      const to: Record<string, string> = {
        '/base/absolute': `http://${host}/base/there?x=1`,
        '/base/path': '/base/there?x=1',
        '/base/relative': 'there?x=1',
        '/base/network': `//${host}/base/there?x=1`,
      };
      const location = to[String(message.url)];
      if (location) response.writeHead(302, { Location: location }).end();
      else response.end(`arrived ${message.url}`);
    },
  ));

test('a redirect to somewhere else stays what it is', () =>
  prefixed(
    '  - { name: fraud, prefix: /fraud, origin: "ORIGIN/base" }',
    async ({ cast }) => {
      for (const location of [
        'https://login.test/x',
        '/outside',
        'http://vendor.test/base/x',
        '/base/../x',
      ]) {
        const got = await ask(cast, '/fraud/x', { headers: { 'X-Location': location } });
        assert.equal(got.headers.location, location);
      }
    },
    (message, response) => response.writeHead(302, { Location: String(message.headers['x-location']) }).end(),
  ));

/** As much of RFC 6265, section 5, as one host needs: what a jar at 127.0.0.1 would send back for a path. */
function jar(host: string, setCookies: readonly string[], path: string): string {
  const kept: string[] = [];
  for (const text of setCookies) {
    const [pair = '', ...attributes] = text.split(';').map((part) => part.trim());
    const of = (name: string): string | undefined =>
      attributes.find((one) => one.toLowerCase().split('=')[0] === name)?.split('=')[1] ?? undefined;
    const [domain, scope = '/'] = [of('domain'), of('path')];
    const secure = attributes.some((one) => one.toLowerCase() === 'secure');
    if ((domain !== undefined && domain !== host) || secure) continue;
    if (path === scope || path.startsWith(scope.endsWith('/') ? scope : `${scope}/`)) kept.push(pair);
  }
  return kept.join('; ');
}

test('a cookie of the origin is taken by a jar and sent back beneath the prefix, and not to another', () =>
  prefixed(
    `${FRAUD}\n  - { name: pay, prefix: /pay, origin: "ORIGIN" }`,
    async ({ cast, origin }) => {
      const { headers } = await ask(cast, '/fraud/login');
      const cookies = headers['set-cookie'] ?? [];
      const send = (path: string): Promise<Got> =>
        ask(cast, path, { headers: { Cookie: jar('127.0.0.1', cookies, path) } });
      await send('/fraud/v1/x');
      await send('/fraud/other');
      await send('/pay/v1/x');
      assert.deepEqual(
        origin.seen.slice(1).map(({ headers: { cookie = '' } }) => cookie),
        ['a=1; b=2; c=3', 'a=1; c=3', ''],
      );
    },
    (_message, response) => {
      response.setHeader('Set-Cookie', [
        'a=1; Domain=vendor.test; Path=/; Secure; HttpOnly',
        'b=2; Path=/v1; SameSite=None; Secure',
        'c=3; Path=/; Domain=.vendor.test',
        'd=4; Path=/; Domain=evil.test',
      ]);
      response.end();
    },
  ));

test('an HTTPS origin with an authority of its own is reached by its prefix', async (t: TestContext) => {
  const certificates = makeCertificates();
  if (!certificates) {
    t.skip('needs openssl');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const ca = join(folder, 'ca.pem');
  writeFileSync(ca, certificates.ca);
  let redirect = '';
  const origin = await HttpOrigin.start(
    (message, response) => {
      if (message.url === '/to') response.writeHead(302, { Location: redirect }).end();
      else response.end(`over TLS ${message.url}`);
    },
    0,
    certificates.good,
  );
  redirect = `https://localhost:${origin.port}/there`;
  await stage(
    `routes:
  - { name: private, prefix: /private, origin: "https://localhost:${origin.port}", tls: { ca: ${ca} } }
  - { name: public, prefix: /public, origin: "https://127.0.0.1:${origin.port}" }
policy: { retry: { attempts: 1 } }`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      assert.equal((await ask(cast, '/private/v1')).text, 'over TLS /v1');
      const line = await cast.sidecar.line();
      assert.deepEqual([line.via, line.scheme], ['prefix', 'https']);
      cast.expected += 2;
      const followed = await fetch(`${cast.sidecar.proxyUrl}/private/to`, {
        headers: { connection: 'close' },
      });
      assert.equal(await followed.text(), 'over TLS /there');
      const refused = await ask(cast, '/public/v1');
      assert.equal(refused.status, 502);
      assert.match(String(refused.headers['proxy-status']), /error=tls_certificate_error/);
    },
    { ...HERE, roots: [] },
  );
});

test('methods and paths of the route restrict its prefix: the rest has the route that it would have in absolute form', () =>
  prefixed(
    `  - { name: fraud, prefix: /fraud, origin: "ORIGIN", match: { methods: [POST], paths: ["/v1/*"] } }
  - { name: read, match: { hosts: [vendor.test], methods: [GET], paths: ["/status"] } }`,
    async ({ cast, origin }) => {
      const statuses: [string, string, number][] = [];
      for (const [method, path] of [
        ['POST', '/fraud/v1/score'],
        ['GET', '/fraud/v1/score'],
        ['POST', '/fraud/v2/score'],
        ['GET', '/fraud/status'],
      ] as const)
        statuses.push([method, path, (await ask(cast, path, { method })).status]);
      assert.deepEqual(statuses, [
        ['POST', '/fraud/v1/score', 200],
        ['GET', '/fraud/v1/score', 403],
        ['POST', '/fraud/v2/score', 403],
        ['GET', '/fraud/status', 200],
      ]);
      await cast.sidecar.line(4);
      assert.deepEqual(
        cast.sidecar.exchanges.map(({ route }) => route),
        ['fraud', 'default', 'default', 'read'],
      );
      assert.equal(origin.seen.length, 2);
    },
    undefined,
    'access: { default: deny }',
  ));

test('a route that denies its own prefix is a 403', () =>
  prefixed(
    '  - { name: fraud, prefix: /fraud, origin: "ORIGIN", access: deny }',
    async ({ cast, origin }) => {
      assert.equal((await ask(cast, '/fraud/x')).status, 403);
      assert.equal(origin.connections.total, 0);
    },
  ));

test('OPTIONS * is no path of any prefix, not even of /', () =>
  prefixed('  - { name: all, prefix: /, origin: "ORIGIN" }', async ({ cast, origin }) => {
    assert.equal((await ask(cast, '*', { method: 'OPTIONS' })).status, 405);
    assert.equal((await ask(cast, '/x', { method: 'OPTIONS' })).text, '/x');
    assert.equal(origin.seen.length, 1);
  }));

test('a caller of HTTP/1.0 without Host is served, and its redirects are paths', () =>
  prefixed(
    FRAUD,
    async ({ cast, origin }) => {
      const caller = await cast.raw();
      caller.write('GET /fraud/v1 HTTP/1.0\r\n\r\n');
      const [got] = messagesOf(await caller.untilEnd());
      assert.deepEqual([got?.status, got?.values('location')], [302, ['/fraud/next']]);
      assert.equal(origin.seen[0]?.headers.host, `vendor.test:${origin.port}`);
    },
    (message, response) => response.writeHead(302, { Location: `http://${message.headers.host}/next` }).end(),
  ));

test('a Host that could lead a redirect astray does not: what names no host is refused', () =>
  prefixed(
    FRAUD,
    async ({ cast }) => {
      const got = await ask(cast, '/fraud/x', { headers: { Host: 'evil.test/a?' } });
      assert.deepEqual([got.status, got.headers.location], [400, undefined]);
    },
    (message, response) => response.writeHead(302, { Location: `http://${message.headers.host}/next` }).end(),
  ));

test('absolute form and prefixes are served beside each other, on one connection', () =>
  prefixed(FRAUD, async ({ cast, origin }) => {
    const caller = await cast.raw(3);
    caller.write(
      `GET /fraud/1 HTTP/1.1\r\nHost: x\r\n\r\nGET ${origin.url}/2 HTTP/1.1\r\nHost: x\r\n\r\nGET /fraud/3 HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    await caller.until((text) => messagesOf(text).length === 3 && text.endsWith('/3'));
    assert.deepEqual(
      messagesOf(caller.received).map(({ body }) => body),
      ['/1', '/2', '/3'],
    );
    await cast.sidecar.line(3);
    assert.deepEqual(
      cast.sidecar.exchanges.map(({ via }) => via),
      ['prefix', 'forward', 'prefix'],
    );
  }));

for (const host of ['127.0.0.1', 'localhost', 'LOCALHOST'])
  test(`a client with both its proxy and its base URL here (http://${host}) means the prefix`, () =>
    prefixed(FRAUD, async ({ cast }) => {
      const base = `http://${host}:${cast.sidecar.port}`;
      const got = await cast.call(`${base}/fraud/x?y`);
      assert.deepEqual([got.status, got.text], [200, '/x?y']);
      assert.equal((await cast.sidecar.line(1)).via, 'prefix');
      const unknown = await cast.call(`${base}/other`);
      assert.equal(unknown.status, 404);
      assert.equal(JSON.parse(unknown.text).detail, 'the prefixes are /fraud');
    }));

test('neither https to the sidecar itself nor its other listeners is a prefix, and they stay refused', () =>
  prefixed(
    FRAUD,
    async ({ cast, origin }) => {
      for (const url of [
        `https://127.0.0.1:${cast.sidecar.port}/fraud/x`,
        `${cast.sidecar.adminUrl}/fraud/x`,
        `http://other.test:${cast.sidecar.port}/fraud/x`,
      ]) {
        const got = await cast.call(url);
        assert.deepEqual([url, got.status], [url, 403]);
        assert.match(String(got.headers['proxy-status']), /error=destination_ip_prohibited/);
      }
      assert.equal(origin.seen.length, 0);
    },
    undefined,
    'policy: { retry: { attempts: 1 } }',
  ));

test('a prefix whose origin is the sidecar itself is refused', async () => {
  const place = await HttpOrigin.start();
  await place.close();
  await stage(
    `listen: { proxy: "127.0.0.1:${place.port}" }
routes: [{ name: self, prefix: /self, origin: "http://localhost:${place.port}/self" }]`,
    async (cast) => {
      const got = await ask(cast, '/self/x');
      assert.equal(got.status, 403);
      assert.match(JSON.parse(got.text).detail, /is a listener of this sidecar/);
    },
    HERE,
  );
});

test('a prefix that leads here by way of another proxy is a loop', async () => {
  const relay = await HttpOrigin.start();
  // A proxy in between that sends everything back.
  relay.script = (message, response) => {
    const headers: string[] = [...message.rawHeaders];
    const back = request(
      {
        host: '127.0.0.1',
        port: Number(message.headers['x-back']),
        path: '/loop/again',
        headers,
        agent: new Agent(),
      },
      (answered) => {
        response.writeHead(answered.statusCode ?? 0);
        answered.pipe(response);
      },
    );
    back.end();
  };
  await stage(
    `routes:
  - { name: loop, prefix: /loop, origin: "${relay.url}" }
policy: { retry: { attempts: 1 } }`,
    async (cast) => {
      cast.atEnd(() => relay.close());
      cast.expected++;
      const got = await ask(cast, '/loop/x', { headers: { 'X-Back': String(cast.sidecar.port) } });
      assert.equal(got.status, 508);
      assert.equal(JSON.parse(got.text).error, 'proxy_loop_detected');
      await until(() => relay.seen.length === 1, 'the relay');
    },
  );
});

test('what an earlier route denies is denied by prefix, too', () =>
  prefixed(
    `  - { name: no-admin, match: { hosts: [vendor.test], paths: ["/admin/*"] }, access: deny }
  - { name: no-delete, match: { methods: [DELETE] }, access: deny }
${FRAUD}`,
    async ({ cast, origin }) => {
      for (const [path, method, route] of [
        ['/fraud/admin/x', 'GET', 'no-admin'],
        ['/fraud/x', 'DELETE', 'no-delete'],
      ] as const) {
        const got = await ask(cast, path, { method });
        assert.deepEqual([got.status, JSON.parse(got.text).route], [403, route]);
      }
      assert.equal((await ask(cast, '/fraud/x')).status, 200);
      assert.equal(origin.seen.length, 1);
    },
  ));

test('a path that no prefix has is in the log, for whoever looks for it', () =>
  prefixed(FRAUD, async ({ cast }) => {
    assert.equal((await ask(cast, '/frauds/x?secret=1')).status, 404);
    assert.equal((await cast.sidecar.line()).path, '/frauds/x');
  }));
