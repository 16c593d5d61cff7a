/** A route's token of OAuth 2: fetched by the data path, kept, replaced in time, and never a reason to wait twice. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Edges } from '../../src/sidecar.ts';
import type { Lookup } from '../../src/upstream/resolver.ts';
import { type Cast, stage } from '../support/cast.ts';
import { makeCertificates } from '../support/certificates.ts';
import { answer, type HttpOrigin, RawOrigin } from '../support/origin.ts';
import { folder } from '../support/process.ts';
import type { LoggedExchange } from '../support/sidecar.ts';
import { type Grants, grant, reply, TokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';
import { callerOf, closed, echo, opened, WebSocketOrigin } from '../support/web-socket.ts';

const certificates = makeCertificates();

interface Play {
  readonly cast: Cast;
  readonly server: TokenServer;
  readonly origin: HttpOrigin;
  /** The Authorization of every request that the origin has seen. */
  readonly sent: () => (string | undefined)[];
}

interface Scene {
  readonly grants?: Grants;
  /** More keys of `oauth2`. */
  readonly oauth2?: string;
  /** More keys of the route, more of the configuration. */
  readonly route?: string;
  readonly yaml?: string;
  readonly edges?: Edges;
}

const HERE: Lookup = (_host, callback) => setImmediate(callback, null, ['127.0.0.1']);

/** The origin's route asks a token server; requests for it go to `vendor.test`. */
async function withTokens(scene: Scene, play: (play: Play) => Promise<void>): Promise<void> {
  const server = await TokenServer.start(scene.grants);
  try {
    await stage(
      `
routes:
  - name: vendor
    match: { hosts: [vendor.test] }
    credentials:
      oauth2: { tokenUrl: "${server.url}", clientId: me, clientSecret: 0p3n, ${scene.oauth2 ?? ''} }
    ${scene.route ?? ''}
${scene.yaml ?? ''}`,
      async (cast) => {
        cast.atEnd(() => server.close());
        const origin = await cast.origin(answer(200, 'hello'));
        const sent = () => origin.seen.map(({ headers }) => headers.authorization);
        await play({ cast, server, origin, sent });
      },
      { lookup: HERE, ...scene.edges },
    );
  } finally {
    await server.close();
  }
}

const get = ({ cast, origin }: Play, headers: Record<string, string> = {}) =>
  cast.call(`http://vendor.test:${origin.port}/`, { headers });

const tokenLines = (cast: Cast): LoggedExchange[] =>
  cast.sidecar.exchanges.filter(({ via }) => via === 'token');

/** So many token requests are expected to have lines, too. */
async function expectFetches({ cast, server }: Play, count: number): Promise<void> {
  cast.expected += count;
  assert.equal(server.asked.length, count);
  await until(() => tokenLines(cast).length === count, `${count} lines of token requests`);
}

test('a request carries the token of its route, which is fetched once by the rules and has a line of its own', () =>
  withTokens({ oauth2: 'scopes: [a, b], audience: x' }, async (play) => {
    const { cast, server } = play;
    for (let i = 0; i < 3; i++) assert.equal((await get(play)).status, 200);
    assert.deepEqual(play.sent(), Array(3).fill('Bearer t1'));
    const [asked] = server.asked;
    assert.equal(asked?.authorization, `Basic ${Buffer.from('me:0p3n').toString('base64')}`);
    assert.deepEqual(asked?.form, { grant_type: 'client_credentials', scope: 'a b', audience: 'x' });
    assert.equal(asked?.headers['content-type'], 'application/x-www-form-urlencoded');
    await expectFetches(play, 1);
    const [line] = tokenLines(cast);
    assert.equal(line?.method, 'POST');
    assert.equal(line?.path, '/token');
    assert.equal(line?.route, 'default');
    assert.equal(line?.outcome, 'completed');
    assert.equal(line?.status, 200);
    assert.equal(line?.reason, 'token of route vendor');
    assert.equal(line?.attempts.length, 1);
    assert.ok((line?.requestBytes ?? 0) > 0 && (line?.responseBytes ?? 0) > 0);
    assert.equal(asked?.headers['x-request-id'], line?.requestId);
  }));

test('a hundred callers at once are one token request', () =>
  withTokens({}, async (play) => {
    const { server } = play;
    let granted = 0;
    server.grants = (response, n) => {
      // All of them are here before there is an answer.
      void until(
        () => play.cast.sidecar.sidecar.snapshot().exchangesInFlight > 100,
        'all of them to wait',
      ).then(() => {
        granted++;
        grant(3600)(response, n);
      });
    };
    const answers = await Promise.all(Array.from({ length: 100 }, () => get(play)));
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal(granted, 1);
    assert.deepEqual(new Set(play.sent()), new Set(['Bearer t1']));
    await expectFetches(play, 1);
  }));

test("the token replaces the caller's own field, in the field that the route names", () =>
  withTokens({ oauth2: 'header: X-Vendor-Auth' }, async (play) => {
    await get(play, { Authorization: 'mine', 'X-Vendor-Auth': 'forged' });
    const [seen] = play.origin.seen;
    assert.equal(seen?.headers.authorization, 'mine');
    assert.equal(seen?.headers['x-vendor-auth'], 'Bearer t1');
    await expectFetches(play, 1);
  }));

test('a token is replaced in the background ahead of its end: nobody waits, and after its end nobody has it', () => {
  let now = 0;
  return withTokens({ edges: { now: () => now } }, async (play) => {
    const { server } = play;
    await get(play);
    now = 3_545_000;
    let release = (): void => {};
    server.grants = (response, n) => {
      release = () => grant(3600)(response, n);
    };
    for (let i = 0; i < 5; i++) assert.equal((await get(play)).status, 200);
    await until(() => server.asked.length === 2, 'the second fetch');
    assert.deepEqual(play.sent(), Array(6).fill('Bearer t1'));
    release();
    await until(() => tokenLines(play.cast).length === 2, 'the end of the fetch');
    await get(play);
    assert.equal(play.sent().at(-1), 'Bearer t2');
    server.grants = grant(3600);
    now += 3_600_000;
    await get(play);
    assert.equal(play.sent().at(-1), 'Bearer t3');
    await expectFetches(play, 3);
  });
});

test('a token server that fails leaves the old token in use until its end', () => {
  let now = 0;
  return withTokens({ edges: { now: () => now } }, async (play) => {
    const { cast, server } = play;
    await get(play);
    server.grants = (response) => reply(response, 500, 'c4n4ry');
    now = 3_545_000;
    await get(play);
    await until(() => tokenLines(cast).length === 2, 'the failed fetch');
    assert.equal((await get(play)).status, 200);
    assert.deepEqual(play.sent(), Array(3).fill('Bearer t1'));
    now = 3_600_000;
    const answer = await get(play);
    assert.equal(answer.status, 502);
    assert.equal(JSON.parse(answer.text).type, 'urn:outrigger:error:token_unavailable');
    assert.equal(play.sent().length, 3, 'nothing goes out without a token');
    await until(() => tokenLines(cast).length === server.asked.length, 'the lines');
    await expectFetches(play, server.asked.length);
  });
});

const MALFORMED: [name: string, grants: Grants, detail: RegExp][] = [
  [
    'says 401',
    (response) => reply(response, 401, { error: 'invalid_client', x: 'c4n4ry' }),
    /answered 401: invalid_client$/,
  ],
  ['redirects', (response) => response.writeHead(302, { Location: '/c4n4ry' }).end(), /answered 302$/],
  ['is no JSON', (response) => reply(response, 200, 'c4n4ry'), /no JSON object$/],
  [
    'has no token',
    (response) => reply(response, 200, { token: 'c4n4ry', token_type: 'Bearer' }),
    /without an access_token$/,
  ],
  [
    'has a token of two lines',
    (response) => reply(response, 200, { access_token: 'c4n4ry\r\nX-Evil: 1', token_type: 'Bearer' }),
    /no header field can carry$/,
  ],
  [
    'has a negative life',
    (response) => reply(response, 200, { access_token: 'c4n4ry', token_type: 'Bearer', expires_in: -1 }),
    /expires_in that is no number/,
  ],
  [
    'has a life that is a text',
    (response) => reply(response, 200, { access_token: 'c4n4ry', token_type: 'Bearer', expires_in: '60' }),
    /expires_in that is no number/,
  ],
  [
    'is huge',
    (response) => reply(response, 200, `{"access_token":"${'c4n4ry'.repeat(20_000)}"`),
    /more than 64 KiB$/,
  ],
  [
    'breaks off',
    (response) => {
      response.writeHead(200, { 'Content-Length': '99' }).write('{"c4n4ry"');
      setImmediate(() => response.destroy());
    },
    /response_incomplete/,
  ],
];

for (const [name, grants, detail] of MALFORMED) {
  test(`an answer of the token server that ${name} is a 502 that holds nothing of it, and there is a pause`, () =>
    withTokens({ grants, yaml: 'policy: { retry: { attempts: 1 } }' }, async (play) => {
      const { cast, server } = play;
      const answers = [await get(play), await get(play)];
      for (const { status, text, headers } of answers) {
        const problem = JSON.parse(text);
        assert.equal(status, 502);
        assert.equal(problem.type, 'urn:outrigger:error:token_unavailable');
        assert.match(problem.detail, detail);
        assert.match(problem.hint, /clientSecret/);
        assert.equal(problem.route, 'vendor');
        assert.match(String(headers['proxy-status']), /^outrigger; error=proxy_internal_response/);
        assert.ok(Number(headers['retry-after']) >= 1);
        assert.doesNotMatch(text + JSON.stringify(headers), /c4n4ry|0p3n/);
      }
      assert.equal(server.asked.length, 1);
      assert.equal(play.origin.seen.length, 0);
      await expectFetches(play, 1);
      const [line] = tokenLines(cast);
      assert.equal(line?.outcome, 'failed');
      assert.doesNotMatch(cast.sidecar.lines.join(''), /c4n4ry|0p3n/);
    }));
}

test('a token server that is not there is a 502, and one that is too slow a 504', async () => {
  const gone = await RawOrigin.start(() => {});
  await gone.close();
  const yaml = (url: string): string => `
policy: { retry: { attempts: 1 } }
routes:
  - name: vendor
    match: { hosts: [vendor.test] }
    credentials: { oauth2: { tokenUrl: "${url}", clientId: me, clientSecret: s, timeout: 100ms } }`;
  await stage(yaml(`${gone.url}/token`), async (cast) => {
    const { status, text } = await cast.call('http://vendor.test/');
    assert.equal(status, 502);
    assert.match(JSON.parse(text).detail, /^connection_refused: /);
    cast.expected++;
  });
  const silent = await RawOrigin.start((socket) => socket.on('error', () => {}).resume());
  await stage(yaml(`${silent.url}/token`), async (cast) => {
    cast.atEnd(() => silent.close());
    const { status, text } = await cast.call('http://vendor.test/');
    assert.equal(status, 504);
    assert.equal(JSON.parse(text).type, 'urn:outrigger:error:token_timeout');
    cast.expected++;
    const line = tokenLines(cast).at(0);
    assert.match(line?.reason ?? '', /^total_timeout: 100 ms, /);
  });
});

test('a 401 of the origin drops the token once: the next request has another', () =>
  withTokens({}, async (play) => {
    const { origin } = play;
    origin.script = answer(401, 'who?');
    assert.equal((await get(play)).status, 401, 'the answer is the origin’s');
    origin.script = answer(200, 'hello');
    await Promise.all([get(play), get(play), get(play)]);
    assert.deepEqual(play.sent(), ['Bearer t1', 'Bearer t2', 'Bearer t2', 'Bearer t2']);
    await expectFetches(play, 2);
  }));

test('every attempt of a request carries the same token', () =>
  withTokens({ route: 'policy: { retry: { backoff: { initial: 1ms, max: 1ms } } }' }, async (play) => {
    const { origin } = play;
    let n = 0;
    origin.script = (request, response, seen) => answer(++n < 3 ? 503 : 200)(request, response, seen);
    assert.equal((await get(play)).status, 200);
    assert.deepEqual(play.sent(), Array(3).fill('Bearer t1'));
    await expectFetches(play, 1);
  }));

test('the handshake of a WebSocket carries the token, and a 401 to it drops it, too', () =>
  withTokens({}, async (play) => {
    const { cast } = play;
    const origin = await WebSocketOrigin.start(cast);
    cast.expected++;
    const caller = callerOf(cast.sidecar.port, `http://vendor.test:${origin.port}/`);
    await opened(caller);
    assert.equal(String(await echo(caller, 'x')), 'x');
    assert.equal(origin.heads[0]?.headers.authorization, 'Bearer t1');
    await closed(caller);
    play.origin.script = answer(401);
    cast.expected++;
    const refused = callerOf(cast.sidecar.port, `http://vendor.test:${play.origin.port}/`);
    await assert.rejects(opened(refused), /401/);
    await until(
      () => cast.sidecar.exchanges.some(({ status }) => status === 401),
      'the end of the handshake',
    );
    play.origin.script = answer(200);
    await get(play);
    assert.equal(play.sent().at(-1), 'Bearer t2');
    await expectFetches(play, 2);
  }));

test('a caller that leaves while it waits, and one whose time is up, take nothing from the others', () =>
  withTokens({ route: 'policy: { timeouts: { total: 150ms } }' }, async (play) => {
    const { cast, server } = play;
    let release = (): void => {};
    server.grants = (response, n) => {
      release = () => grant(3600)(response, n);
    };
    const leaver = await cast.raw();
    leaver.write(
      `GET http://vendor.test:${play.origin.port}/ HTTP/1.1\r\nHost: vendor.test:${play.origin.port}\r\n\r\n`,
    );
    await until(() => server.asked.length === 1, 'the fetch');
    leaver.leave();
    const late = await get(play);
    assert.equal(late.status, 504);
    assert.match(JSON.parse(late.text).detail, /waiting for a token/);
    release();
    await until(() => tokenLines(cast).length === 1, 'the token');
    assert.equal((await get(play)).status, 200);
    assert.ok(
      cast.sidecar.exchanges.some(({ reason }) => reason === 'caller left while waiting for a token'),
    );
    await expectFetches(play, 1);
  }));

test('a token request needs no permit of its own: a limit of one exchange is enough for both', () =>
  withTokens({ yaml: 'limits: { exchanges: 1 }' }, async (play) => {
    assert.equal((await get(play)).status, 200);
    await expectFetches(play, 1);
  }));

test('a route for everything, its token server included, waits for itself nowhere, and gives it nothing of its own', async () => {
  const server = await TokenServer.start();
  await stage(
    `
routes:
  - name: all
    credentials: { oauth2: { tokenUrl: "${server.url}", clientId: me, clientSecret: s } }
    policy: { headers: { request: { set: { X-Vendor-Key: k3y, Authorization: other } } } }`,
    async (cast) => {
      cast.atEnd(() => server.close());
      const origin = await cast.origin();
      assert.equal((await cast.call(origin.url)).status, 200);
      assert.equal(origin.seen[0]?.headers.authorization, 'Bearer t1');
      assert.equal(origin.seen[0]?.headers['x-vendor-key'], 'k3y');
      assert.match(server.asked[0]?.authorization ?? '', /^Basic /);
      assert.equal(server.asked[0]?.headers['x-vendor-key'], undefined);
      cast.expected++;
      assert.equal(tokenLines(cast)[0]?.route, 'all');
    },
  );
});

test('the token URL has the access of a caller: denied by name or address, there is no token', async () => {
  for (const [yaml, detail] of [
    ['access: { default: deny }', /^access_denied: /],
    ['access: { deniedPorts: [PORT] }', /^port_denied: /],
    ['access: { addresses: { allow: [127.0.0.2/32] } }', /^address_denied: /],
  ] as const) {
    const server = await TokenServer.start();
    await stage(
      `
${yaml.replace('PORT', String(server.port))}
routes:
  - name: vendor
    match: { hosts: [vendor.test] }
    credentials: { oauth2: { tokenUrl: "${server.url}", clientId: me, clientSecret: s } }`,
      async (cast) => {
        cast.atEnd(() => server.close());
        const { status, text } = await cast.call('http://vendor.test/');
        assert.equal(status, 502);
        assert.match(JSON.parse(text).detail, detail);
        assert.equal(server.asked.length, 0);
        cast.expected++;
      },
    );
  }
});

test('the token server is verified as any origin', {
  skip: certificates === null && 'needs openssl',
}, async () => {
  if (certificates === null) return;
  for (const [pair, status] of [
    ['good', 200],
    ['wrongHost', 502],
    ['selfSigned', 502],
  ] as const) {
    const server = await TokenServer.start(grant(60), certificates[pair]);
    await stage(
      `
policy: { retry: { attempts: 1 } }
routes:
  - name: vendor
    match: { hosts: [127.0.0.1] }
    credentials: { oauth2: { tokenUrl: "https://localhost:${server.port}/token", clientId: me, clientSecret: s } }`,
      async (cast) => {
        cast.atEnd(() => server.close());
        const origin = await cast.origin();
        assert.equal((await cast.call(origin.url)).status, status);
        cast.expected++;
        const line = tokenLines(cast)[0];
        assert.equal(line?.error, status === 200 ? null : 'tls_certificate_error');
        assert.equal(server.asked.length, status === 200 ? 1 : 0);
      },
      { lookup: HERE, roots: [certificates.ca] },
    );
  }
});

test('a client secret in a file may be exchanged: the next fetch has the new one, and is not put off by the old', async (t) => {
  const secret = join(folder(t), 'secret');
  writeFileSync(secret, 'old\n');
  const server = await TokenServer.start((response, n) => {
    const [, pair = ''] = (server.asked[n - 1]?.authorization ?? '').split(' ');
    if (Buffer.from(pair, 'base64').toString() === 'me:new') grant(3600)(response, n);
    else reply(response, 401, { error: 'invalid_client' });
  });
  await stage(
    `
routes:
  - name: vendor
    match: { hosts: [127.0.0.1] }
    credentials: { oauth2: { tokenUrl: "${server.url}", clientId: me, clientSecret: "\${file:${secret}}" } }`,
    async (cast) => {
      cast.atEnd(() => server.close());
      const origin = await cast.origin();
      assert.equal((await cast.call(origin.url)).status, 502);
      writeFileSync(secret, 'new\n');
      await until(
        () => cast.sidecar.lines.some((line) => line.includes('secrets were renewed')),
        'the new secret',
      );
      assert.equal((await cast.call(origin.url)).status, 200);
      cast.expected += 2;
      assert.equal(server.asked.length, 2);
    },
    { secretLookMs: 10 },
  );
});

test('a sidecar that stops while a token is fetched leaves nothing behind', () =>
  withTokens({ grants: () => {} }, async (play) => {
    const { cast, server } = play;
    const waiting = get(play);
    await until(() => server.asked.length === 1, 'the fetch');
    await cast.sidecar.stop();
    assert.equal((await waiting).status, 503);
    cast.expected++;
  }));
