/** Several applications beside one sidecar: who is told from whom, what is asked of whom, and what stays here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { Http2Caller } from '../support/http2-caller.ts';
import { HttpOrigin } from '../support/origin.ts';
import { until } from '../support/until.ts';
import { handshakeOf } from '../support/web-socket.ts';

const made = makeCertificates();
const skip = made === null ? 'it needs openssl' : false;
const certificates = made as Certificates;

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
const RIGHT = basic('payments:s3cr3t-canary');
const WRONG = basic('payments:wr0ng-canary');

const CLIENTS = `
clients:
  - { name: payments, username: payments, password: s3cr3t-canary, exchanges: 2 }
  - { name: batch, username: batch, password: other }
`;

const asked = (headers: Record<string, unknown>): void =>
  assert.equal(headers['proxy-authenticate'], 'Basic realm="outrigger", charset="UTF-8"');

const ROUTES = `${CLIENTS}
access: { default: deny }
routes:
  - { name: for-payments, match: { clients: [payments] } }
  - { name: for-batch, match: { clients: [batch], methods: [GET] } }
`;

test('a route for one client is for nobody else, and who has not said who they are is asked to', () =>
  stage(ROUTES, async (cast) => {
    const origin = await cast.origin();
    const ask = (headers: Record<string, string>, method = 'GET') =>
      cast.call(`${origin.url}/`, { headers, method });
    const right = await ask({ 'Proxy-Authorization': RIGHT });
    assert.equal(right.status, 200);
    assert.equal((await ask({ 'Proxy-Authorization': basic('batch:other') })).status, 200);
    const post = await ask({ 'Proxy-Authorization': basic('batch:other') }, 'POST');
    assert.equal(post.status, 403, 'known, and denied');
    assert.equal(post.headers['proxy-authenticate'], undefined);
    for (const headers of [{}, { 'Proxy-Authorization': WRONG }, { 'Proxy-Authorization': 'Bearer x' }]) {
      const got = await ask(headers);
      assert.equal(got.status, 407);
      asked(got.headers);
      assert.equal(JSON.parse(got.text).type, 'urn:outrigger:error:client_unauthenticated');
      assert.match(String(got.headers['proxy-status']), /error=http_request_denied/);
    }
    assert.equal(origin.seen.length, 2);
    for (const { rawHeaders } of origin.seen)
      assert.doesNotMatch(rawHeaders.join(' '), /proxy-authorization|canary/i);
    assert.deepEqual(
      cast.sidecar.exchanges.map(({ clientName, route }) => `${clientName} ${route}`),
      [
        'payments for-payments',
        'batch for-batch',
        'batch default',
        'null default',
        'null default',
        'null default',
      ],
    );
    assert.doesNotMatch(cast.sidecar.lines.join(''), /canary/);
  }));

test('wrong credentials are a 407 also where everything is allowed, and none are asked for', () =>
  stage(CLIENTS, async (cast) => {
    const origin = await cast.origin();
    assert.equal((await cast.call(`${origin.url}/`)).status, 200);
    const got = await cast.call(`${origin.url}/`, { headers: { 'Proxy-Authorization': WRONG } });
    assert.equal(got.status, 407);
    assert.equal(origin.seen.length, 1);
  }));

test('the question and its answer are on one kept-alive connection, a body thrown away between them', () =>
  stage(ROUTES, async (cast) => {
    const origin = await cast.origin();
    const caller = await cast.raw(2);
    caller.write(`POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`);
    const question = await caller.until((text) => text.includes('}\n'));
    assert.match(question, /^HTTP\/1.1 407 Proxy Authentication Required\r\n/);
    assert.doesNotMatch(question, /connection: close/i);
    caller.write(
      `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: ${RIGHT}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello`,
    );
    const answer = (await caller.untilEnd()).slice(question.length);
    assert.match(answer, /^HTTP\/1.1 200 /);
    assert.equal(origin.seen[0]?.body.toString(), 'hello');
  }));

test('a CONNECT that is asked for credentials is a whole answer, and its connection ends', () =>
  stage(ROUTES, async (cast) => {
    for (const header of ['', `Proxy-Authorization: ${WRONG}\r\n`]) {
      const caller = await cast.raw();
      caller.write(`CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n${header}\r\n`);
      const got = await caller.untilEnd();
      assert.match(got, /^HTTP\/1.1 407 Proxy Authentication Required\r\n/);
      assert.match(got, /\r\nProxy-Authenticate: Basic realm="outrigger", charset="UTF-8"\r\n/);
      assert.match(got, /\r\nConnection: close\r\n/);
      const [, length] = /Content-Length: (\d+)/.exec(got) ?? [];
      assert.equal(got.split('\r\n\r\n')[1]?.length, Number(length));
    }
  }));

test('who opened a tunnel is who sends what is inside it', async () => {
  const origin = await HttpOrigin.start();
  try {
    await stage(
      ROUTES.replace('default: deny', `default: deny, tunnelPorts: [${origin.port}]`),
      async (cast) => {
        const caller = await cast.raw(3);
        const authority = `127.0.0.1:${origin.port}`;
        caller.write(
          `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${RIGHT}\r\n\r\n`,
        );
        await caller.until((text) => text.includes('\r\n\r\n'));
        caller.write(`GET /1 HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
        await caller.until((text) => text.includes('\r\nok'));
        // What is said inside a tunnel is said to the far end; it is not passed on all the same.
        caller.write(
          `GET /2 HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${WRONG}\r\nConnection: close\r\n\r\n`,
        );
        await caller.untilEnd();
        const told = cast.sidecar.exchanges.map(({ clientName, status }) => `${clientName} ${status}`);
        assert.deepEqual(told, ['payments 200', 'payments 200', 'payments 200']);
        for (const { rawHeaders } of origin.seen)
          assert.doesNotMatch(rawHeaders.join(' '), /proxy-authorization/i);
      },
    );
  } finally {
    await origin.close();
  }
});

test('what is inside an intercepted connection is its opener, too', { skip }, async () => {
  const origin = await HttpOrigin.start(undefined, 0, certificates.good);
  try {
    await stage(
      `${CLIENTS}
access: { clients: known, tunnelPorts: [${origin.port}] }
routes:
  - { name: inner, match: { hosts: [localhost], clients: [payments] }, https: intercept }
`,
      async (cast) => {
        const authority = `localhost:${origin.port}`;
        const caller = await cast.raw(2);
        caller.write(
          `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${RIGHT}\r\n\r\n`,
        );
        await caller.until((text) => text.includes('\r\n\r\n'));
        const { socket } = caller;
        socket.removeAllListeners('data');
        socket.pause();
        const tls = connectTls({ socket, servername: 'localhost', rejectUnauthorized: false });
        let text = '';
        tls
          .on('error', () => {})
          .on('data', (chunk: Buffer) => {
            text += chunk.toString();
          });
        await once(tls, 'secureConnect');
        tls.write(`GET / HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`);
        await until(() => text.includes('\r\nok'), 'an answer');
        tls.destroy();
        await cast.sidecar.line(2);
        assert.deepEqual(
          cast.sidecar.exchanges.map(({ clientName, route, via }) => [clientName, route, via]),
          [
            ['payments', 'inner', 'intercept'],
            ['payments', 'inner', 'intercept'],
          ],
        );
      },
      {
        secureContext: createSecureContext({ ca: certificates.ca }),
        lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']),
      },
    );
  } finally {
    await origin.close();
  }
});

test('a prefix, a WebSocket and HTTP/2 ask and are answered alike', async () => {
  const origin = await HttpOrigin.start();
  try {
    await stage(
      `${CLIENTS}
access: { clients: known }
routes:
  - { name: vendor, prefix: /vendor, origin: "${origin.url}" }
`,
      async (cast) => {
        const url = `http://localhost:${cast.sidecar.port}/vendor/x`;
        const got = await cast.call(url);
        assert.equal(got.status, 407);
        asked(got.headers);
        assert.equal((await cast.call(url, { headers: { 'Proxy-Authorization': RIGHT } })).status, 200);

        const upgrade = await cast.raw();
        upgrade.write(handshakeOf(`${origin.url}/`));
        assert.match(await upgrade.untilEnd(), /^HTTP\/1.1 407 [^]*\r\nProxy-Authenticate: Basic /);
        const known = await cast.raw();
        known.write(handshakeOf(`${origin.url}/`, `Proxy-Authorization: ${RIGHT}`));
        assert.match(await known.untilEnd(), /^HTTP\/1.1 200 /);

        const caller = await Http2Caller.connect(cast.sidecar.port);
        cast.atEnd(() => caller.leave());
        cast.expected += 2;
        const refused = await caller.call(`${origin.url}/`);
        assert.equal(refused.status, 407);
        asked(refused.headers);
        const taken = await caller.call(`${origin.url}/`, { 'proxy-authorization': RIGHT });
        assert.equal(taken.status, 200);
        for (const { rawHeaders } of origin.seen) assert.doesNotMatch(rawHeaders.join(' '), /proxy-auth/i);
      },
    );
  } finally {
    await origin.close();
  }
});

test('access.clients: known without any credentials refuses with 403, for nobody could answer', () =>
  stage('access: { clients: known }\nclients: [{ name: far, addresses: [10.0.0.0/8] }]', async (cast) => {
    const origin = await cast.origin();
    const got = await cast.call(`${origin.url}/`);
    assert.equal(got.status, 403);
    assert.equal(JSON.parse(got.text).type, 'urn:outrigger:error:client_unknown');
    assert.equal(got.headers['proxy-authenticate'], undefined);
  }));

test('a client that is known by its address has its route', () =>
  stage(
    `
clients: [{ name: here, addresses: [127.0.0.0/8] }]
access: { default: deny, clients: known }
routes: [{ name: local, match: { clients: [here] } }]
`,
    async (cast) => {
      const origin = await cast.origin();
      assert.equal((await cast.call(`${origin.url}/`)).status, 200);
      const line = await cast.sidecar.line();
      assert.deepEqual([line.clientName, line.route], ['here', 'local']);
    },
  ));

async function held(cast: Cast): Promise<{ url: string; release: () => void; waiting: () => number }> {
  const waiting: (() => void)[] = [];
  const origin = await cast.origin((_request, response) => {
    waiting.push(() => response.end('done'));
  });
  return {
    url: origin.url,
    waiting: () => waiting.length,
    release: () => {
      for (const one of waiting.splice(0)) one();
    },
  };
}

test('one more exchange than a client may have is shed at once, and others are not', () =>
  stage(CLIENTS, async (cast) => {
    const { url, release, waiting } = await held(cast);
    const ask = (who: string) => cast.call(`${url}/`, { headers: { 'Proxy-Authorization': who } });
    const first = [ask(RIGHT), ask(RIGHT)];
    await until(() => waiting() === 2, 'two exchanges');
    const shed = await ask(RIGHT);
    assert.equal(shed.status, 503);
    assert.equal(shed.headers['retry-after'], '1');
    assert.equal(JSON.parse(shed.text).type, 'urn:outrigger:error:client_limit');
    const other = ask(basic('batch:other'));
    await until(() => waiting() === 3, 'somebody else');
    release();
    assert.deepEqual(
      (await Promise.all([...first, other])).map(({ status }) => status),
      [200, 200, 200],
    );
    const again = ask(RIGHT);
    await until(() => waiting() === 1, 'the place is free again');
    release();
    assert.equal((await again).status, 200);
  }));
