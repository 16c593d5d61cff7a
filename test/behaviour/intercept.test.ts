/** TLS of the caller ends in the sidecar, and every request inside has the whole policy. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls';
import { defaultBundlePath, truststorePathOf } from '../../src/certificates/bundle.ts';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { helloOfNode } from '../support/client-hello.ts';
import { answer, HttpOrigin, type Script } from '../support/origin.ts';
import { program } from '../support/program.ts';
import { until } from '../support/until.ts';

const certificates: Certificates | null = makeCertificates();

interface Play {
  readonly cast: Cast;
  readonly origin: HttpOrigin;
  /** `localhost:port` */
  readonly authority: string;
  /** The local authority, PEM. */
  readonly bundle: string;
}

interface Scene {
  readonly script?: Script;
  readonly pair?: keyof Omit<Certificates, 'ca'>;
  /** More of the route, more routes before it, and more of the rest of the configuration. */
  readonly route?: string;
  readonly more?: string;
  readonly yaml?: string;
}

/** A stage whose route intercepts an HTTPS origin that the sidecar trusts. */
async function intercepted(t: TestContext, scene: Scene, play: (play: Play) => Promise<void>): Promise<void> {
  if (!certificates) {
    t.skip('needs openssl');
    return;
  }
  const origin = await HttpOrigin.start(
    scene.script ?? answer(200, 'hello'),
    0,
    certificates[scene.pair ?? 'good'],
  );
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const bundle = join(folder, 'bundle.pem');
  await stage(
    `
access: { tunnelPorts: [443, ${origin.port}] }
intercept: { bundle: ${bundle} }
routes:
${scene.more ?? ''}
  - name: vendor
    match: { hosts: [localhost] }
    https: intercept
    ${scene.route ?? ''}
${scene.yaml ?? ''}`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      cast.atEnd(() => rmSync(folder, { recursive: true }));
      await play({
        cast,
        origin,
        authority: `localhost:${origin.port}`,
        bundle: readFileSync(bundle, 'utf8'),
      });
    },
    {
      secureContext: createSecureContext({ ca: certificates.ca }),
      lookup: (_host, callback) => callback(null, ['127.0.0.1']),
    },
  );
}

interface Handshake {
  readonly servername?: string;
  readonly ca?: string;
  readonly alpn?: string[];
}

/** A TLS connection through CONNECT; `exchanges`: log lines that it will make, its own included. */
async function secured(
  { cast, authority, bundle }: Play,
  exchanges: number,
  { servername = 'localhost', ca = bundle, alpn = ['http/1.1'] }: Handshake = {},
): Promise<TLSSocket> {
  const caller = await cast.raw(exchanges);
  caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1.1 200 /);
  const { socket } = caller;
  socket.removeAllListeners('data');
  socket.pause();
  const tls = connectTls({ socket, servername, ca, ALPNProtocols: alpn });
  cast.atEnd(() => void tls.destroy());
  await once(tls, 'secureConnect');
  return tls;
}

interface Got {
  readonly status: number;
  readonly text: string;
  readonly headers: Record<string, string | string[] | undefined>;
}

function get(tls: TLSSocket, path: string, headers: Record<string, string>, method = 'GET'): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request({
      createConnection: () => tls,
      path,
      method,
      headers: { Connection: 'keep-alive', ...headers },
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text, headers: response.headers }),
      );
    });
    sent.end();
  });
}

test('a request inside an intercepted CONNECT has an ID, a retry after a 503 and a line of its own', (t) => {
  let n = 0;
  return intercepted(
    t,
    {
      script: (request, response, seen) => answer(++n === 1 ? 503 : 200, 'hello')(request, response, seen),
      yaml: 'policy: { retry: { backoff: { initial: 1ms } } }',
    },
    async (play) => {
      const { cast, origin, authority } = play;
      const tls = await secured(play, 2);
      const got = await get(tls, '/v1/score?q=1', { Host: authority });
      assert.deepEqual([got.status, got.text], [200, 'hello']);
      tls.destroy();
      const connect = await cast.sidecar.line(1);
      const line = await cast.sidecar.line(2);
      assert.deepEqual([connect.method, connect.status, connect.outcome], ['CONNECT', 200, 'completed']);
      assert.match(JSON.stringify(connect), /"via":"intercept","serverName":"localhost"/);
      assert.match(JSON.stringify(line), /"via":"intercept"/);
      assert.deepEqual(
        [line.method, line.host, line.path, line.route],
        ['GET', 'localhost', '/v1/score', 'vendor'],
      );
      assert.equal(line.attempts.length, 2);
      assert.equal(got.headers['x-request-id'], line.requestId);
      assert.equal(origin.seen[1]?.headers['x-request-id'], line.requestId);
      assert.equal(origin.seen[0]?.headers.host, authority);
      assert.equal(origin.connections.total, 1, 'the connection that was verified carries the request');
    },
  );
});

test('a head timeout inside an intercepted connection is a 504 of ours', (t) =>
  intercepted(
    t,
    { script: () => {}, route: 'policy: { timeouts: { head: 50ms }, retry: { attempts: 1 } }' },
    async (play) => {
      const tls = await secured(play, 2);
      const got = await get(tls, '/', { Host: play.authority });
      assert.equal(got.status, 504);
      assert.match(String(got.headers['proxy-status']), /error=http_response_timeout/);
      tls.destroy();
    },
  ));

for (const pair of ['expired', 'wrongHost', 'selfSigned'] as const) {
  test(`an origin with a bad certificate (${pair}) is never a blind pass: the caller reads the error over TLS`, (t) =>
    intercepted(t, { pair }, async (play) => {
      const tls = await secured(play, 2);
      const got = await get(tls, '/', { Host: play.authority, Authorization: 'secret' });
      assert.equal(got.status, 502);
      assert.match(String(got.headers['proxy-status']), /error=tls_certificate_error/);
      assert.equal(play.origin.seen.length, 0);
      tls.destroy();
      assert.match(
        String((await play.cast.sidecar.line(1)).reason),
        /^origin not verified: tls_certificate_error/,
      );
    }));
}

test('a Host inside that is not the one of the CONNECT is misdirected', (t) =>
  intercepted(t, {}, async (play) => {
    const tls = await secured(play, 2);
    const got = await get(tls, '/', { Host: 'evil.test' });
    assert.equal(got.status, 421);
    assert.equal(play.origin.seen.length, 0);
    tls.destroy();
  }));

test('a server name that is not the host of the CONNECT is refused with an alert', (t) =>
  intercepted(t, {}, async (play) => {
    await assert.rejects(secured(play, 1, { servername: 'evil.test' }), /unrecognized.name/i);
    const line = await play.cast.sidecar.line();
    assert.deepEqual([line.outcome, line.error], ['refused', 'http_request_denied']);
    assert.match(String(line.reason), /^server_name_denied/);
  }));

test('a client that does not trust us and says so has a tunnel the next time, and somebody is warned', (t) =>
  intercepted(t, {}, async (play) => {
    const { cast, authority } = play;
    // Node's own client says nothing: openssl does, and so do most.
    const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
    cast.atEnd(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'ca.pem');
    writeFileSync(file, certificates?.ca ?? '');
    const child = spawn(
      'openssl',
      [
        's_client',
        '-proxy',
        `127.0.0.1:${cast.sidecar.port}`,
        '-connect',
        authority,
        '-servername',
        'localhost',
        '-verify_return_error',
        '-CAfile',
        file,
        '-verify',
        '3',
      ],
      { stdio: ['ignore', 'ignore', 'ignore'] },
    );
    cast.expected++;
    await once(child, 'close');
    const line = await cast.sidecar.line(1);
    assert.deepEqual([line.outcome, line.error], ['failed', 'http_request_error']);
    assert.match(String(line.reason), /^caller_distrusts/);
    assert.ok(
      cast.sidecar.lines.some((text) => text.includes('"level":"warn"') && text.includes('does not trust')),
    );
    const tls = await secured(play, 1, { ca: certificates?.ca ?? '' });
    const got = await get(tls, '/', { Host: authority });
    assert.equal(got.text, 'hello');
    tls.destroy();
    const tunnel = await cast.sidecar.line(2);
    assert.match(JSON.stringify(tunnel), /"via":"tunnel"/);
  }));

test('many requests on one intercepted connection, and a second connection needs no second verification', (t) =>
  intercepted(t, {}, async (play) => {
    const { cast, origin, authority } = play;
    for (let round = 0; round < 2; round++) {
      const tls = await secured(play, 4);
      for (let i = 0; i < 3; i++) assert.equal((await get(tls, `/${i}`, { Host: authority })).text, 'hello');
      tls.destroy();
      await until(() => cast.sidecar.exchanges.length === 4 * (round + 1), 'the lines');
    }
    assert.equal(origin.connections.total, 1);
    assert.equal(cast.sidecar.exchanges[4]?.attempts.length, 0);
  }));

test('a caller that says nothing after the CONNECT of an intercepted host is cut after listen.headTimeout, and nothing is dialled', (t) =>
  intercepted(t, { yaml: 'listen: { headTimeout: 100ms }' }, async ({ cast, origin, authority }) => {
    const caller = await cast.raw();
    caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    await caller.untilEnd();
    const line = await cast.sidecar.line();
    assert.deepEqual([line.via, line.outcome, line.attempts.length], ['intercept', 'refused', 0]);
    assert.match(String(line.reason), /^tunnel_hello_timeout/);
    assert.equal(origin.connections.total, 0);
  }));

test('a stop while the first bytes of an intercepted host are awaited cuts it and says so', (t) =>
  intercepted(t, {}, async ({ cast, authority }) => {
    const caller = await cast.raw();
    caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    await caller.until((text) => text.includes('\r\n\r\n'));
    await cast.sidecar.stop();
    await caller.untilEnd();
    const line = await cast.sidecar.line();
    assert.deepEqual([line.outcome, line.error], ['truncated', 'proxy_internal_response']);
  }));

test('inside an intercepted connection neither a CONNECT nor another authority leads anywhere', (t) =>
  intercepted(t, {}, async (play) => {
    const other = await play.cast.origin();
    const tls = await secured(play, 2);
    tls.write(`CONNECT localhost:${other.port} HTTP/1.1\r\nHost: localhost:${other.port}\r\n\r\n`);
    let text = '';
    tls.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    await until(() => text.includes('}'), 'the answer');
    assert.match(text, /^HTTP\/1.1 405 /);
    assert.equal(other.connections.total, 0);
    tls.destroy();
  }));

/** What `openssl s_client` does with a certificate that it does not trust: an alert. */
async function distrust(t: TestContext, { cast, authority }: Play): Promise<void> {
  const openssl = program(t, 'openssl', 'openssl') as string;
  const words = ['s_client', '-proxy', `127.0.0.1:${cast.sidecar.port}`, '-connect', authority];
  const more = ['-servername', 'localhost', '-verify_return_error', '-verify', '3'];
  cast.expected++;
  const child = spawn(openssl, [...words, ...more], {
    stdio: 'ignore',
    env: { SSL_CERT_FILE: '/dev/null', SSL_CERT_DIR: '/dev/null' },
  });
  await once(child, 'close');
}

test('a host that is not intercepted any more is shown by /readyz and by the lines of its tunnels', (t) =>
  intercepted(t, {}, async (play) => {
    const { cast, authority } = play;
    await distrust(t, play);
    await cast.sidecar.line(1);
    const { tls } = (await (await fetch(`${cast.sidecar.adminUrl}/readyz`)).json()) as {
      tls: { pinned: { host: string; until: string }[] };
    };
    assert.deepEqual(
      tls.pinned.map(({ host }) => host),
      [authority],
    );
    const socket = await secured(play, 1, { ca: certificates?.ca ?? '' });
    socket.destroy();
    const line = await cast.sidecar.line(2);
    assert.equal(line.via, 'tunnel');
    assert.match(String(line.reason), /^(?:not intercepted: a client|caller reset)/);
  }));

test('where access depends on paths, a client that does not trust us opens no tunnel past them', (t) =>
  intercepted(
    t,
    {
      more: '  - { name: no-admin, match: { hosts: [localhost], paths: ["/admin/*"] }, access: deny }',
    },
    async (play) => {
      const { cast, authority } = play;
      await distrust(t, play);
      await cast.sidecar.line(1);
      assert.ok(
        cast.sidecar.lines.some((line) => line.includes('access depends on methods, paths or credentials')),
      );
      const tls = await secured(play, 2);
      assert.equal((await get(tls, '/ok', { Host: authority })).status, 200);
      tls.destroy();
      assert.equal((await cast.sidecar.line(2)).via, 'intercept');
    },
  ));

test('a caller that hangs up in the handshake is seen at once', (t) =>
  intercepted(t, { route: 'policy: { timeouts: { tls: 60s } }' }, async (play) => {
    const { cast, authority } = play;
    const caller = await cast.raw();
    caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    await caller.until((text) => text.includes('\r\n\r\n'));
    caller.received = '';
    caller.write(await helloOfNode({ servername: 'localhost' }));
    await caller.until((text) => text.length > 0, 'the ServerHello');
    caller.socket.end();
    const line = await cast.sidecar.line();
    assert.match(String(line.reason), /^caller_tls_failed: the client hung up/);
  }));

test('a client that leaves without a request is warned of, once for each host', (t) =>
  intercepted(t, {}, async (play) => {
    for (let i = 1; i <= 2; i++) {
      const tls = await secured(play, 1);
      // The handshake is over on the other side, too.
      await play.cast.sidecar.line(i);
      tls.destroy();
    }
    const warned = (): string[] =>
      play.cast.sidecar.lines.filter((line) => line.includes('left an intercepted connection'));
    await until(() => warned().length > 0, 'the warning');
    await play.cast.sidecar.line(2);
    assert.equal(warned().length, 1);
  }));

test('accepted connections of which nothing is known yet count against limits.exchanges', (t) =>
  intercepted(t, { yaml: 'limits: { exchanges: 2 }' }, async ({ cast, authority }) => {
    const heads: string[] = [];
    for (let i = 0; i < 3; i++) {
      const caller = await cast.raw();
      caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
      heads.push((await caller.until((text) => text.includes('\r\n\r\n'))).slice(0, 12));
    }
    assert.deepEqual(heads, ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 503']);
  }));

test('a request on a connection that is intercepted meets the configuration of its moment', (t) =>
  intercepted(t, {}, async (play) => {
    const { cast, origin, authority } = play;
    const tls = await secured(play, 3);
    assert.equal((await get(tls, '/one', { Host: authority })).status, 200);
    const denied = await cast.sidecar.reload(
      `{ access: { tunnelPorts: [${origin.port}] }, routes: [{ name: never, match: { hosts: [localhost], paths: [/two] }, access: deny }] }`,
    );
    assert.ok(denied.ok);
    assert.equal((await get(tls, '/two', { Host: authority })).status, 403);
    assert.equal(origin.seen.length, 1);
  }));

test('a reload whose route is the first to intercept makes an authority and its bundle, and names hosts it is not for', async (t) => {
  if (!certificates) {
    t.skip('needs openssl');
    return;
  }
  const origin = await HttpOrigin.start(answer(200, 'hello'), 0, certificates.good);
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const path = join(folder, 'bundle.pem');
  writeFileSync(join(folder, 'a-file'), '');
  const authority = `localhost:${origin.port}`;
  const yaml = (...hosts: string[]): string =>
    `{ access: { tunnelPorts: [${origin.port}] }, intercept: { bundle: ${path} }, routes: [${hosts.map((host, i) => `{ name: r${i}, match: { hosts: [${host}] }, https: intercept }`).join()}] }`;
  await stage(
    yaml(),
    async (cast) => {
      cast.atEnd(() => origin.close());
      cast.atEnd(() => rmSync(folder, { recursive: true }));
      const broken = await cast.sidecar.reload(
        yaml('localhost').replace(path, join(folder, 'a-file', 'all.pem')),
      );
      assert.ok(!broken.ok);
      assert.match(broken.problems[0] ?? '', /^intercept\.bundle: /);
      const first = await cast.sidecar.reload(yaml('localhost'));
      assert.deepEqual(first, { ...first, ok: true, restart: [] });
      const tls = await secured({ cast, origin, authority, bundle: readFileSync(path, 'utf8') }, 2);
      assert.equal((await get(tls, '/', { Host: authority })).text, 'hello');
      tls.destroy();
      const second = await cast.sidecar.reload(yaml('localhost', 'other.example'));
      assert.ok(second.ok);
      assert.deepEqual(second.restart, ['routes.r1.https']);
    },
    {
      secureContext: createSecureContext({ ca: certificates.ca }),
      lookup: (_host, callback) => callback(null, ['127.0.0.1']),
    },
  );
});

test('a bundle at the default place is gone with the authority that made it', async () => {
  let path = '';
  const routes = '{ routes: [{ name: i, match: { hosts: [a.example] }, https: intercept }] }';
  await stage(routes, async ({ sidecar }) => {
    path = defaultBundlePath(sidecar.port);
    assert.deepEqual([path, truststorePathOf(path)].map(existsSync), [true, true]);
  });
  assert.deepEqual([path, truststorePathOf(path)].map(existsSync), [false, false]);
});
