/**
 * No secret is ever written down or answered by us. A process of its own is driven through every way and every
 * error that can be reached, with a canary wherever a secret may be; then all that it wrote, and all that it
 * answered by itself, is searched. That the canaries were there is proven by those for whom they were meant.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { check } from '../../src/cli/check.ts';
import { makeCertificates } from '../support/certificates.ts';
import { helloOfNode } from '../support/client-hello.ts';
import { Http2Caller } from '../support/http2-caller.ts';
import { always } from '../support/messages.ts';
import { answer, HttpOrigin, RawOrigin } from '../support/origin.ts';
import { folder, outrigger, SidecarProcess } from '../support/process.ts';
import { reply, TokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';
import { handshakeOf, SWITCHING } from '../support/web-socket.ts';

const certificates = makeCertificates();

const CANARY = 'c4n4ry';
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const CLIENT = base64(`me:${CANARY}-client-secret`);
const PASSWORD = base64(`app:${CANARY}-password`);
const WRONG = base64(`app:${CANARY}-wrong-password`);

/** What no text of ours may hold. */
function findings(what: string, text: string, more: readonly string[] = []): string[] {
  return [CANARY, CLIENT, PASSWORD, WRONG, ...more].flatMap((needle) => {
    const at = text.indexOf(needle);
    return at === -1 ? [] : [`${what}: …${text.slice(Math.max(0, at - 120), at + 60)}…`];
  });
}

/** Every kind of field that carries what nobody else should read. */
const FIELDS = [
  `Authorization: Bearer ${CANARY}-authorization`,
  `Cookie: session=${CANARY}-cookie`,
  `X-Api-Key: ${CANARY}-api-key`,
  `Proxy-Authorization: Basic ${PASSWORD}`,
].join('\r\n');

const QUERY = `?page=2&token=${CANARY}-token&api_key=${CANARY}-key&X-Amz-Signature=${CANARY}-sig&next=%2F%3Fpassword%3D${CANARY}`;

const BODY = `${CANARY}-request-body`;

/** What an origin may answer with; `null`: it closes. */
const ANSWERS: readonly (string | null)[] = [
  `HTTP/1.1 200 OK\r\nSet-Cookie: id=${CANARY}-set-cookie\r\nContent-Length: 20\r\n\r\n${CANARY}-response-body`.slice(
    0,
    -1,
  ),
  `HTTP/1.1 503 Busy\r\nSet-Cookie: id=${CANARY}\r\nContent-Length: 6\r\n\r\n${CANARY}`,
  `HTTP/1.1 200 OK\r\nSet-Cookie: ${CANARY}\0\r\nContent-Length: 0\r\n\r\n`,
  `HTTP/1.1 200 OK\r\nSet-Cookie ${CANARY}\r\n\r\n`,
  `HTTP/1.1 200 OK\r\nContent-Length: ${CANARY}\r\n\r\n`,
  `HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: ${CANARY}\r\n\r\n`,
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${CANARY}\r\n\r\n`,
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${CANARY}\r\n`,
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n${CANARY}XX`,
  `HTTP/1.1 ${CANARY}\r\n\r\n`,
  `HTTP/1.1 200 ${CANARY}\0\r\n\r\n`,
  `${CANARY} this is not HTTP\r\n\r\n`,
  `HTTP/1.1 200 OK\r\nSet-Cookie: ${CANARY.repeat(10_000)}\r\n\r\n`,
  `HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n${CANARY}`,
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${CANARY}\r\nConnection: Upgrade\r\n\r\n`,
  `HTTP/1.1 103 Early Hints\r\nLink: ${CANARY}\r\n\r\n`.repeat(40),
  null,
];

/** What a token server may answer with. */
const BROKEN: readonly (readonly [status: number, body: object | string])[] = [
  [200, { access_token: `${CANARY}\n`, token_type: 'Bearer' }],
  [200, { access_token: CANARY, token_type: CANARY }],
  [200, { access_token: CANARY, token_type: 'Bearer', expires_in: CANARY }],
  [401, { error: CANARY, error_description: CANARY }],
  [500, CANARY],
  [200, CANARY],
];

/** Sends bytes to a port and takes what comes until both are done with each other, or for so long. */
async function exchange(port: number, bytes: string | Buffer, leaveMs = 2_000): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  return talk(socket, bytes, leaveMs);
}

async function talk(socket: Socket, bytes: string | Buffer, leaveMs: number): Promise<string> {
  let came = '';
  const gone = new Promise<void>((resolve) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => (came += chunk.toString('latin1')));
    socket.on('close', () => resolve());
    socket.on('end', () => socket.end());
  });
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  const timer = setTimeout(() => socket.destroy(), leaveMs);
  await gone;
  clearTimeout(timer);
  return came;
}

/** The answers of ours among what came: those are the ones that say so. */
const ours = (text: string): string =>
  text
    .split(/(?=HTTP\/1\.1 \d{3})/)
    .filter((one) => /application\/problem\+json|Proxy-Status: outrigger; error=/i.test(one))
    .join('');

interface Play {
  readonly sidecar: SidecarProcess;
  /** All that was answered to callers by the sidecar itself. */
  readonly answered: string[];
  /** All that came to whom it was meant for. */
  readonly received: string[];
  /** More that may not be seen. */
  readonly needles: readonly string[];
}

async function drive(t: TestContext, query: 'drop' | 'keep'): Promise<Play> {
  if (certificates === null) throw new Error('needs openssl');
  const directory = folder(t);
  const write = (name: string, content: string): string => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  const received: string[] = [];
  const answered: string[] = [];

  // Those for whom the secrets are meant.
  const server = await TokenServer.start();
  const broken = await TokenServer.start((response, n) => reply(response, ...(BROKEN[n - 1] ?? [500, ''])));
  const good = await HttpOrigin.start((request, response, seen) => {
    received.push(`${request.url} ${request.rawHeaders.join(' ')}`);
    response.setHeader('Set-Cookie', `id=${CANARY}-set-cookie`);
    answer(200, `${CANARY}-response-body`)(request, response, seen);
    request.on('end', () => received.push(seen.body.toString()));
  });
  const secure = await HttpOrigin.start(answer(200, `${CANARY}-over-tls`), 0, certificates.good);
  const selfSigned = await HttpOrigin.start(answer(200, CANARY), 0, certificates.selfSigned);
  let reply_: string | null = null;
  const bad = await RawOrigin.start((socket) => {
    socket.on('error', () => {});
    if (reply_ === null) socket.once('data', () => socket.destroy());
    else always(reply_)(socket);
    socket.on('end', () => socket.end());
  });
  const silent = await RawOrigin.start((socket) => socket.on('error', () => {}).resume());
  const closers = [server, broken, good, secure, selfSigned, bad, silent];
  t.after(async () => {
    for (const one of closers) await one.close();
  });

  const secret = write('secret', `${CANARY}-from-file\n`);
  const clientSecret = write('client-secret', `${CANARY}-client-secret`);
  const key = write('tls.key', certificates.good.key);
  const cert = write('tls.pem', certificates.good.cert);
  const ca = write('ca.pem', certificates.ca);
  const needles = certificates.good.key.split('\n').slice(1, 3);
  const sidecar = await SidecarProcess.start(
    t,
    `
listen: { telemetry: "127.0.0.1:0", headTimeout: 300ms }
admin: { token: "\${ADMIN_TOKEN}" }
log: { level: trace, query: ${query} }
clients: [{ name: app, username: app, password: "${CANARY}-password" }]
access: { tunnelPorts: [${good.port}, ${secure.port}, ${silent.port}] }
policy: { timeouts: { head: 150ms, idle: 300ms }, retry: { attempts: 2, backoff: { initial: 1ms, max: 1ms } }, breaker: null }
intercept: { bundle: ${join(directory, 'bundle.pem')} }
routes:
  - name: denied
    match: { paths: ["/denied*"] }
    access: deny
  - name: refuses
    match: { paths: ["/refuses*"] }
    credentials: { caller: refuse }
  - name: broken-tokens
    match: { paths: ["/broken-tokens*"] }
    credentials: { oauth2: { tokenUrl: "http://127.0.0.1:${bad.port}/t${QUERY}", clientId: me, clientSecret: "\${file:${clientSecret}}", auth: body } }
${BROKEN.map(
  (_, i) => `
  - name: broken-grant-${i}
    match: { paths: ["/broken-grant-${i}*"] }
    credentials: { oauth2: { tokenUrl: "${broken.url}", clientId: me, clientSecret: "\${file:${clientSecret}}" } }`,
).join('')}
  - name: tokens
    match: { paths: ["/tokens*"] }
    credentials: { caller: remove, oauth2: { tokenUrl: "${server.url}${QUERY}", clientId: me, clientSecret: "\${file:${clientSecret}}" } }
  - name: vendor
    match: { hosts: [127.0.0.1] }
    prefix: /vendor
    origin: "http://127.0.0.1:${good.port}"
    policy: { headers: { request: { set: { X-From-File: "Key \${file:${secret}}", X-From-Env: "\${FROM_ENV}" } } } }
  - name: mutual
    match: { hosts: [localhost], ports: [${secure.port}] }
    https: originate
    tls: { ca: "${ca}", cert: "${cert}", key: "${key}" }
  - name: distrusted
    match: { hosts: [localhost], ports: [${selfSigned.port}] }
    https: originate
  - name: intercepted
    match: { hosts: [localhost] }
    https: intercept
`,
    { env: { FROM_ENV: `${CANARY}-from-env`, ADMIN_TOKEN: `${CANARY}-admin-token` } },
  );
  const { port } = sidecar;
  const url = (origin: { readonly port: number }, path = '/', host = '127.0.0.1'): string =>
    `http://${host}:${origin.port}${path}`;
  const head = (target: string, method = 'GET', more = ''): string => {
    const host = /^http:\/\/([^/]+)/.exec(target)?.[1] ?? `127.0.0.1:${good.port}`;
    return `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${FIELDS}\r\n${more}\r\n`;
  };
  const send = async (bytes: string | Buffer, leaveMs?: number): Promise<string> => {
    const came = await exchange(port, bytes, leaveMs);
    answered.push(ours(came));
    return came;
  };
  const upload = (target: string): string =>
    head(target, 'POST', `Content-Length: ${BODY.length}\r\n`) + BODY;

  // What goes well, on every way.
  received.push(await send(head(url(good, `/a${QUERY}`))));
  received.push(await send(upload(url(good, `/b${QUERY}`))));
  await send(upload(`/vendor/c${QUERY}`));
  await send(head(url(secure, `/d${QUERY}`, 'localhost')));
  await send(head(url(good, `/tokens${QUERY}`)));
  await send(head(url(silent, '/'), 'TRACE', `X-More: ${CANARY}\r\n`));
  const opened = await tunnelOf(port, `127.0.0.1:${good.port}`);
  answered.push(ours(await talk(opened, head(`/in-a-tunnel${QUERY}`), 300)));
  const http2 = await Http2Caller.connect(port);
  const fields = {
    authorization: `${CANARY}-h2`,
    cookie: `a=${CANARY}`,
    'proxy-authorization': `Basic ${PASSWORD}`,
  };
  for (const path of ['/h2', '/refuses', '/denied', '/broken-tokens']) {
    const { status, body } = await http2.call(url(good, `${path}${QUERY}`), fields, BODY);
    if (status !== 200) answered.push(String(body));
  }
  // A call of gRPC that fails.
  const grpc = await http2.call(
    url(silent, '/denied'),
    { ...fields, 'content-type': 'application/grpc' },
    BODY,
  );
  answered.push(JSON.stringify(grpc.headers));
  http2.leave();

  // What an origin gets wrong, to requests and to handshakes.
  for (const one of ANSWERS) {
    reply_ = one;
    await Promise.all([
      send(upload(url(bad, `/bad${QUERY}`))),
      send(handshakeOf(url(bad, `/bad${QUERY}`), ...FIELDS.split('\r\n'))),
      send(head(url(bad, `/broken-tokens${QUERY}`))),
    ]);
  }
  reply_ = SWITCHING;
  await send(handshakeOf(url(bad, `/ws${QUERY}`), ...FIELDS.split('\r\n')) + CANARY, 300);

  // What a token server gets wrong; each route has its own first fetch.
  for (const i of BROKEN.keys()) await send(head(url(good, `/broken-grant-${i}${QUERY}`)));
  assert.equal(broken.asked.length, BROKEN.length);

  // What a caller gets wrong.
  const target = url(good, `/x${QUERY}`);
  const malformed = [
    head(`http://user:${CANARY}@127.0.0.1:${good.port}/`),
    head(target).replace(/Host: .*/, `Host: user:${CANARY}@127.0.0.1`),
    head(target).replace(/Host: .*/, `Host: 127.0.0.1\r\nHost: ${CANARY}`),
    head(target, 'POST', `Content-Length: ${CANARY}\r\n`),
    head(target, 'POST', `Content-Length: 1\r\nContent-Length: 2${CANARY}\r\n`),
    head(target, 'POST', `Transfer-Encoding: ${CANARY}\r\n`),
    `${head(target, 'POST', 'Transfer-Encoding: chunked\r\n')}${CANARY}\r\n`,
    `${head(target, 'POST', 'Transfer-Encoding: chunked\r\n')}6\r\n${CANARY}XX\r\n`,
    head(target, 'GET', `Expect: ${CANARY}\r\n`),
    head(target, 'GET', `Authorization : ${CANARY}\r\n`),
    head(target, 'GET', `Authorization: ${CANARY}\0\r\n`),
    head(target, 'GET', ` ${CANARY}-folded\r\n`),
    head(target, 'GET', `X: ${CANARY.repeat(12_000)}\r\n`),
    head(`${target}#${CANARY}`),
    head(target, 'POST', 'Content-Length: 99\r\n') + BODY,
    head(target).slice(0, -2),
    head(url(silent, `/slow${QUERY}`)),
    head(url(good, `/denied${QUERY}`)),
    head(url(good, `/refuses${QUERY}`)),
    head(`http://10.0.0.1/${QUERY}`),
    head(`http://no-such-host.invalid/${QUERY}`),
    head(url(selfSigned, `/${QUERY}`, 'localhost')),
    head(target).replace(PASSWORD, WRONG),
    `${CANARY}\r\n\r\n`,
    `CONNECT user:${CANARY}@127.0.0.1:443 HTTP/1.1\r\nHost: x\r\n${FIELDS}\r\n\r\n`,
    `CONNECT 127.0.0.1:25 HTTP/1.1\r\nHost: x\r\n${FIELDS}\r\n\r\n`,
  ];
  await Promise.all(malformed.map((bytes) => send(bytes)));

  // What is inside a tunnel and may not be.
  const hello = helloOfNode({ servername: 'localhost' });
  for (const inside of [
    `${CANARY} is neither TLS nor HTTP\r\n`,
    Buffer.concat([Buffer.from([0x16, 3, 1, 0, 40, 1, 0, 0, 36]), Buffer.from(CANARY.repeat(6))]),
    await hello,
  ])
    await talk(await tunnelOf(port, `127.0.0.1:${silent.port}`), inside, 300);
  const distrusting = connectTls({
    socket: await tunnelOf(port, `localhost:${secure.port}`),
    servername: 'localhost',
    ca: [],
  });
  distrusting.on('error', () => {});
  await until(() => distrusting.destroyed, 'the end of the handshake');

  // A secret that is exchanged for what is none.
  writeFileSync(secret, `${CANARY}\r\nX-Evil: ${CANARY}`);
  await until(
    () => sidecar.stdout.includes('the file of a secret has changed'),
    'the line about the file',
    20_000,
  );

  // What an operator sees, and somebody who is none.
  const { adminPort, telemetryPort } = sidecar;
  for (const at of [adminPort, telemetryPort ?? 0])
    for (const path of [
      '/',
      '/livez',
      '/readyz',
      '/metrics',
      '/origins',
      '/config',
      '/config?format=json',
      '/explain?url=http://127.0.0.1:1/',
      `/explain${QUERY}`,
      '/exchanges',
      `/exchanges/${sidecar.exchanges[0]?.requestId}`,
      `/${QUERY}`,
      `/nowhere${QUERY}`,
    ])
      for (const token of [`${CANARY}-admin-token`, `${CANARY}-guess`])
        answered.push(
          await exchange(
            at,
            `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`,
          ),
        );
  const token = `Authorization: Bearer ${CANARY}-admin-token\r\nConnection: close`;
  answered.push(await exchange(adminPort, `POST /reload HTTP/1.1\r\nHost: localhost\r\n${token}\r\n\r\n`));
  answered.push(
    await exchange(adminPort, `POST /livez HTTP/1.1\r\nHost: ${CANARY}\r\nCookie: ${CANARY}\r\n\r\n`),
  );
  answered.push(
    await exchange(adminPort, `GET / HTTP/1.1\r\nHost: ${CANARY}\r\nContent-Length: ${CANARY}\r\n\r\n`),
  );
  received.push(...server.asked.map(({ headers }) => JSON.stringify(headers)));
  sidecar.signal('SIGTERM');
  await sidecar.end();
  return { sidecar, answered, received, needles };
}

async function tunnelOf(port: number, authority: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => {});
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${FIELDS}\r\n\r\n`);
  await new Promise<void>((resolve, reject) => {
    socket.once('data', (head: Buffer) => {
      if (head.toString().startsWith('HTTP/1.1 200 ')) resolve();
      else reject(new Error(head.toString()));
    });
    socket.once('close', () => reject(new Error('no tunnel')));
  });
  return socket;
}

for (const query of ['drop', 'keep'] as const) {
  test(`no secret is in the log, on admin, or in an answer of ours, with log.query: ${query}`, {
    skip: certificates === null && 'needs openssl',
  }, async (t) => {
    const { sidecar, answered, received, needles } = await drive(t, query);

    // The canaries were there, and came to whom they were meant for.
    const all = received.join('\n');
    for (const kind of [
      'authorization',
      'cookie',
      'api-key',
      'token',
      'from-file',
      'from-env',
      'set-cookie',
      'request-body',
      'response-body',
    ])
      assert.ok(all.includes(`${CANARY}-${kind}`), `${kind} came to nobody`);
    assert.ok(all.includes(CLIENT), 'the client secret came to the token server');
    assert.ok(!all.includes(PASSWORD), "a client's own password goes no further");

    // And what is searched is what it should be.
    const errors = new Set(sidecar.exchanges.map(({ reason }) => reason?.split(':')[0]));
    for (const name of [
      'access_denied',
      'credentials_denied',
      'token_unavailable',
      'target_unusable',
      'request_malformed',
      'request_head_too_large',
      'response_malformed',
      'response_head_too_large',
      'head_timeout',
      'tls_certificate_error',
      'tunnel_protocol_denied',
      'address_denied',
      'client_unauthenticated',
    ])
      assert.ok(errors.has(name), `${name} is no error of the log: ${[...errors].join(' ')}`);
    assert.equal(sidecar.stdout.includes('page=2'), query === 'keep', 'the query is written as it should be');
    assert.ok(answered.filter((one) => one.includes('application/problem+json')).length > 30);
    assert.ok(answered.some((one) => one.includes('outrigger_exchanges_total')));
    assert.deepEqual(findings('control', `x ${CANARY} y`).length, 1, 'the search finds what is there');

    assert.deepEqual(
      [
        ...findings('stdout', sidecar.stdout, needles),
        ...findings('stderr', sidecar.stderr, needles),
        ...answered.flatMap((one) => findings('an answer', one, needles)),
      ],
      [],
    );
  });
}

test('check never shows a secret, however wrong the configuration is that holds it', async (t) => {
  const directory = folder(t);
  const secret = join(directory, 's');
  writeFileSync(secret, `${CANARY}\r\nx`);
  const route = (keys: string): string => `routes: [{ name: a, ${keys} }]`;
  const oauth2 = (keys: string): string => route(`credentials: { oauth2: { ${keys} } }`);
  const wrong: string[] = [
    `policy: { headers: { request: { set: { A: "${CANARY}\\n" } } } }`,
    `policy: { headers: { request: { set: { A: "\${file:${secret}}" } } } }`,
    `policy: { headers: { request: { set: { A: "\${BROKEN}" } } } }`,
    `policy: { headers: { request: { set: { A: { ${CANARY}: x } } } } }`,
    `policy: { headers: { request: { set: { A: [${CANARY}] } } } }`,
    `policy: { headers: { request: { set: ${CANARY} } } }`,
    `policy: { headers: { request: { set: { A: *${CANARY} } } } }`,
    `policy: { headers: { request: { set: { A: !${CANARY} x } } } }`,
    `policy: { headers: { request: { set: { A: @${CANARY} } } } }`,
    `policy: { headers: { request: { set: { A: "${CANARY} } } } }`,
    `policy:\n  headers:\n    request:\n      set:\n        A: ${CANARY}: x\n`,
    oauth2(`clientId: a, clientSecret: "${CANARY}\\n", tokenUrl: "https://a.example/"`),
    oauth2(`clientId: a, clientSecret: 1, tokenUrl: "https://user:${CANARY}@a.example/"`),
    oauth2(`clientId: a, clientSecret: "\${BROKEN}", tokenUrl: "https://a.example/#${CANARY}"`).replace(
      `#${CANARY}`,
      '#x',
    ),
    route(`prefix: /a, origin: "https://user:${CANARY}@a.example/"`),
    route(`match: { hosts: ["https://user:${CANARY}@a.example"] }`),
    `admin: { token: "${CANARY}" }`,
    `clients: [{ name: a, username: a, password: "${CANARY}\\n" }]`,
    `log: { level: "\${BROKEN}" }`,
  ];
  for (const [i, text] of wrong.entries()) {
    const file = join(directory, `${i}.yaml`);
    writeFileSync(file, text);
    const env = { BROKEN: `${CANARY}\n${CANARY}`, ...(i === 0 ? { OUTRIGGER__ADMIN__TOKEN: CANARY } : {}) };
    const written: string[] = [];
    const output = { write: (piece: string) => written.push(piece) };
    assert.equal(check([file], env, output, output), 2, `${text} is refused: ${written.join('')}`);
    assert.notDeepEqual(written, [], text);
    assert.deepEqual(findings(text, written.join('')), []);
  }
  // The start says it in the same words.
  const { code, stdout, stderr } = await outrigger(t, ['run', '--config', join(directory, '0.yaml')]);
  assert.equal(code, 2);
  assert.match(stderr, /set.A must be a text on one line/);
  assert.deepEqual(findings('run', stdout + stderr), []);
});
