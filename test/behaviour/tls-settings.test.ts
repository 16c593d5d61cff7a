import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TlsOptions } from 'node:tls';
import type { Edges } from '../../src/sidecar.ts';
import type { Answer } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, type KeyPair, makeCertificates } from '../support/certificates.ts';
import { messagesOf } from '../support/messages.ts';
import { TestSidecar } from '../support/sidecar.ts';
import { TlsOrigin } from '../support/tls-origin.ts';
import { until } from '../support/until.ts';

/** Two authorities that know nothing of each other: the public one, and a private one. */
const made = [makeCertificates(), makeCertificates()];
const skip = made.includes(null) ? 'it needs openssl' : false;
const [common, own] = made as [Certificates, Certificates];

/** The public authority is what a machine trusts; every name is this machine. */
function edges(more: Partial<Edges> = {}): Edges {
  return {
    roots: [common.ca],
    tlsLookMs: 5,
    lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']),
    ...more,
  };
}

async function tlsOrigin(cast: Cast, options: TlsOptions): Promise<TlsOrigin> {
  const origin = await TlsOrigin.start(options);
  cast.atEnd(() => origin.close());
  return origin;
}

/** A directory that is gone after the test. */
function directory(t: TestContext): (name: string, text?: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-tls-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return (name, text) => {
    const path = join(folder, name);
    if (text === undefined) return path;
    // In one step: half a file would be a problem of its own.
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
    return path;
  };
}

const BASE = 'policy: { retry: { attempts: 1 }, breaker: null }\n';

const detail = (answer: Answer): { type: string; detail: string } => JSON.parse(answer.text);

function proveRefused(answer: Answer, says: RegExp, token = 'tls_certificate_error'): void {
  assert.equal(answer.status, 502, answer.text);
  assert.match(String(answer.headers['proxy-status']), new RegExp(`error=${token}`));
  assert.match(detail(answer).detail, says);
}

const logged = (cast: Cast, message: string): Record<string, unknown>[] =>
  cast.sidecar.lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => typeof msg === 'string' && msg.includes(message));

const RENEWED = 'TLS files were renewed';
const UNUSABLE = 'cannot be used';

const ready = async (cast: Cast): Promise<{ ready: boolean; tls: Record<string, unknown> }> => {
  const answer = await fetch(`${cast.sidecar.adminUrl}/readyz`, { headers: { connection: 'close' } });
  return (await answer.json()) as { ready: boolean; tls: Record<string, unknown> };
};

test('a private authority is trusted on its route and nowhere else, and there in the place of all others', {
  skip,
}, async (t) => {
  const ca = directory(t)('ca.pem', own.ca);
  await stage(
    `${BASE}routes: [{ name: private, match: { hosts: [localhost] }, https: originate, tls: { ca: ${ca} } }]`,
    async (cast) => {
      const [inside, outside] = [await tlsOrigin(cast, own.good), await tlsOrigin(cast, common.good)];
      assert.equal((await cast.call(`http://localhost:${inside.port}/`)).text, 'over TLS');
      assert.equal((await cast.call(`https://127.0.0.1:${outside.port}/`)).text, 'over TLS');
      proveRefused(await cast.call(`https://127.0.0.1:${inside.port}/`), /UNABLE_TO_VERIFY|SELF_SIGNED/);
      proveRefused(await cast.call(`http://localhost:${outside.port}/`), /UNABLE_TO_VERIFY|SELF_SIGNED/);
      assert.deepEqual([inside.seen.length, outside.seen.length], [1, 1]);
    },
    edges(),
  );
});

test('an origin that asks for a client certificate gets that of the route; the roots stay trusted without a ca', {
  skip,
}, async (t) => {
  const file = directory(t);
  const cert = file('cert.pem', own.good.cert);
  const key = file('key.pem', own.good.key);
  await stage(
    `${BASE}routes: [{ name: mutual, match: { paths: ["/mutual"] }, tls: { cert: ${cert}, key: ${key} } }]`,
    async (cast) => {
      const mutual = { requestCert: true, ca: own.ca };
      const origin = await tlsOrigin(cast, { ...common.good, ...mutual, maxVersion: 'TLSv1.2' });
      const modern = await tlsOrigin(cast, { ...common.good, ...mutual, minVersion: 'TLSv1.3' });
      for (const { port, seen } of [origin, modern]) {
        assert.equal((await cast.call(`https://localhost:${port}/mutual`)).text, 'over TLS');
        assert.equal(seen[0]?.client, 'good');
        // Without it, the origin shuts the door: in the handshake, or right behind it.
        const refused = await cast.call(`https://localhost:${port}/other`);
        assert.equal(refused.status, 502);
        assert.match(detail(refused).type, /tls_protocol_error/);
        assert.equal(seen.length, 1);
      }
    },
    edges(),
  );
});

test(
  'the server name of the route is what is asked for, and what the certificate has to be for',
  { skip },
  () =>
    stage(
      `${BASE}
routes:
  - { name: named, match: { paths: ["/named"] }, tls: { servername: elsewhere.example } }
  - { name: misnamed, match: { paths: ["/misnamed"] }, tls: { servername: nowhere.example } }`,
      async (cast) => {
        const origin = await tlsOrigin(cast, common.wrongHost);
        const url = `https://localhost:${origin.port}`;
        assert.equal((await cast.call(`${url}/named`)).text, 'over TLS');
        assert.equal(origin.seen[0]?.servername, 'elsewhere.example');
        proveRefused(await cast.call(`${url}/misnamed`), /ALTNAME/);
        proveRefused(await cast.call(`${url}/plain`), /ALTNAME/);
        assert.equal(origin.seen.length, 1);
      },
      edges(),
    ),
);

test(
  'an origin that speaks nothing newer than TLS 1.2 is refused where 1.3 is the least, and only there',
  { skip },
  () =>
    stage(
      `${BASE}routes: [{ name: modern, match: { paths: ["/modern"] }, tls: { minVersion: TLSv1.3 } }]`,
      async (cast) => {
        const origin = await tlsOrigin(cast, { ...common.good, maxVersion: 'TLSv1.2' });
        const url = `https://localhost:${origin.port}`;
        proveRefused(await cast.call(`${url}/modern`), /VERSION/, 'tls_protocol_error');
        assert.equal((await cast.call(`${url}/plain`)).text, 'over TLS');
        const newer = await tlsOrigin(cast, common.good);
        assert.equal((await cast.call(`https://localhost:${newer.port}/modern`)).text, 'over TLS');
      },
      edges(),
    ),
);

for (const [what, pick, code] of [
  ['has expired', 'expired', /CERT_HAS_EXPIRED/],
  ['is for another host', 'wrongHost', /ALTNAME/],
  ['is signed by itself', 'selfSigned', /SELF_SIGNED/],
] as const)
  test(`a certificate that ${what} is 502 tls_certificate_error by originate, by prefix and in absolute form`, {
    skip,
  }, async () => {
    const origin = await TlsOrigin.start(common[pick]);
    try {
      await stage(
        `${BASE}
routes:
  - { name: originated, match: { hosts: [localhost] }, https: originate }
  - { name: prefixed, prefix: /secure, origin: "https://127.0.0.1:${origin.port}" }`,
        async (cast) => {
          for (const url of ['http://localhost', 'https://localhost', 'https://127.0.0.1'])
            proveRefused(await cast.call(`${url}:${origin.port}/`), code);
          const caller = await cast.raw();
          caller.write('GET /secure/x HTTP/1.1\r\nHost: sidecar\r\nConnection: close\r\n\r\n');
          const [message] = messagesOf(await caller.untilEnd());
          assert.equal(message?.status, 502);
          assert.match(String(message?.values('proxy-status')), /error=tls_certificate_error/);
          assert.match(message?.body ?? '', code);
          assert.equal(cast.sidecar.exchanges[3]?.route, 'prefixed');
          assert.equal(origin.seen.length, 0);
        },
        edges(),
      );
    } finally {
      await origin.close();
    }
  });

const FUTURE = '2999-12-31';

test(
  'insecure lets a bad certificate pass on its route only: another route to the same host never has its connections',
  {
    skip,
  },
  () =>
    stage(
      `${BASE}
routes:
  - name: lenient
    match: { paths: ["/lenient"] }
    tls: { insecure: { reason: "their certificate is late", until: "${FUTURE}" } }
  - { name: strict, match: { paths: ["/strict"] } }`,
      async (cast) => {
        const warnings = logged(cast, 'not verified');
        assert.deepEqual(
          warnings.map(({ level, route, reason, until: day }) => ({ level, route, reason, until: day })),
          [{ level: 'warn', route: 'lenient', reason: 'their certificate is late', until: FUTURE }],
        );
        const { ready: isReady, tls } = await ready(cast);
        assert.equal(isReady, true);
        assert.deepEqual(tls, {
          insecure: [{ route: 'lenient', reason: 'their certificate is late', until: FUTURE }],
          stale: [],
          pinned: [],
        });
        for (const pick of ['expired', 'wrongHost', 'selfSigned'] as const) {
          const origin = await tlsOrigin(cast, common[pick]);
          const url = `https://localhost:${origin.port}`;
          assert.equal((await cast.call(`${url}/lenient`)).text, 'over TLS', pick);
          // A connection to that very host is open and idle now.
          assert.equal((await cast.call(`${url}/strict`)).status, 502, pick);
          assert.equal((await cast.call(`${url}/default`)).status, 502, pick);
          assert.equal((await cast.call(`${url}/lenient`)).text, 'over TLS', pick);
          assert.deepEqual(
            origin.seen.map(({ url: path, connection }) => `${path} ${connection}`),
            ['/lenient 1', '/lenient 1'],
          );
        }
      },
      edges(),
    ),
);

test('the day after the last day of insecure, new connections are verified again, and the log says so once', {
  skip,
}, async (t) => {
  const today = new Date().toISOString().slice(0, 10);
  await stage(
    `${BASE}routes: [{ name: lenient, tls: { insecure: { reason: late, until: "${today}" } } }]`,
    async (cast) => {
      const origin = await tlsOrigin(cast, common.expired);
      origin.keepAlive = false;
      const url = `https://localhost:${origin.port}/`;
      assert.equal((await cast.call(url)).text, 'over TLS');
      assert.equal(logged(cast, 'verified again').length, 0);
      t.mock.timers.enable({ apis: ['Date'], now: Date.parse(`${today}T00:00:00Z`) + 86_400_000 });
      proveRefused(await cast.call(url), /CERT_HAS_EXPIRED/);
      await until(() => logged(cast, 'verified again').length > 0, 'the word in the log');
      assert.deepEqual((await ready(cast)).tls, { insecure: [], stale: [], pinned: [] });
      t.mock.timers.reset();
      assert.equal(logged(cast, 'verified again').length, 1);
      assert.equal(logged(cast, 'verified again')[0]?.['route'], 'lenient');
    },
    edges(),
  );
});

test('a client certificate is renewed without a restart: new connections show the new one, old ones live on', {
  skip,
}, async (t) => {
  const file = directory(t);
  const cert = file('cert.pem', own.good.cert);
  const key = file('key.pem', own.good.key);
  await stage(
    `${BASE}routes: [{ name: mutual, tls: { cert: ${cert}, key: ${key} } }]`,
    async (cast) => {
      const origin = await tlsOrigin(cast, { ...common.good, requestCert: true, ca: own.ca });
      const url = `https://localhost:${origin.port}/`;
      await cast.call(url);
      // As an editor does it, one after the other: in between, the two do not fit together.
      file('key.pem', own.wrongHost.key);
      file('cert.pem', own.wrongHost.cert);
      await until(() => logged(cast, RENEWED).length === 1, 'the renewal');
      await cast.call(url);
      origin.keepAlive = false;
      await cast.call(url);
      await cast.call(url);
      assert.deepEqual(
        origin.seen.map(({ client, connection }) => `${client} ${connection}`),
        ['good 1', 'good 1', 'good 1', 'wrong 2'],
      );
      assert.deepEqual(logged(cast, RENEWED)[0]?.['routes'], ['mutual']);
    },
    edges(),
  );
});

test('a directory that is swapped by its link, as Kubernetes does it, renews the authority of a route', {
  skip,
}, async (t) => {
  const file = directory(t);
  const swap = (pair: Certificates, n: number): void => {
    const target = mkdtempSync(file(`data-${n}-`));
    writeFileSync(join(target, 'ca.pem'), pair.ca);
    symlinkSync(target, file('..tmp'));
    renameSync(file('..tmp'), file('..data'));
  };
  swap(own, 1);
  symlinkSync(join('..data', 'ca.pem'), file('ca.pem'));
  await stage(
    `${BASE}routes: [{ name: private, tls: { ca: ${file('ca.pem')} } }]`,
    async (cast) => {
      const origin = await tlsOrigin(cast, own.good);
      origin.keepAlive = false;
      const url = `https://localhost:${origin.port}/`;
      assert.equal((await cast.call(url)).text, 'over TLS');
      origin.renew(common.good);
      assert.equal((await cast.call(url)).status, 502);
      swap(common, 2);
      await until(() => logged(cast, RENEWED).length === 1, 'the renewal');
      assert.equal((await cast.call(url)).text, 'over TLS');
    },
    edges(),
  );
});

test('a renewal that cannot be used keeps what was there, is one line and shown, and is over when the files are good again', {
  skip,
}, async (t) => {
  const file = directory(t);
  const cert = file('cert.pem', own.good.cert);
  const key = file('key.pem', own.good.key);
  await stage(
    `${BASE}
routes:
  - { name: a, match: { paths: ["/a"] }, tls: { cert: ${cert}, key: ${key} } }
  - { name: b, match: { paths: ["/b"] }, tls: { cert: ${cert}, key: ${key} } }`,
    async (cast) => {
      const origin = await tlsOrigin(cast, { ...common.good, requestCert: true, ca: own.ca });
      origin.keepAlive = false;
      const url = `https://localhost:${origin.port}/a`;
      const broken: [() => void, RegExp][] = [
        [() => file('key.pem', own.expired.key), /key\.pem is not the key of .*cert\.pem$/],
        [() => file('cert.pem', 'nonsense'), /cert\.pem holds no PEM certificate$/],
        [() => unlinkSync(cert), /cert\.pem cannot be read: there is no such file$/],
        [
          () => file('cert.pem', `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`),
          /cert\.pem holds a certificate that cannot be parsed$/,
        ],
      ];
      for (const [n, [breakIt, says]] of broken.entries()) {
        breakIt();
        await until(() => logged(cast, UNUSABLE).length === n + 1, `the error ${says}`);
        assert.equal((await cast.call(url)).text, 'over TLS');
        const line = logged(cast, UNUSABLE)[n];
        assert.equal(line?.['level'], 'error');
        assert.deepEqual(line?.['routes'], ['a', 'b']);
        assert.match(String(line?.['problem']), says);
        const { ready: isReady, tls } = await ready(cast);
        assert.equal(isReady, true);
        assert.deepEqual(tls['stale'], [{ routes: ['a', 'b'], problem: line?.['problem'] }]);
      }
      const put = (pair: KeyPair): void => {
        file('cert.pem', pair.cert);
        file('key.pem', pair.key);
      };
      put(own.wrongHost);
      await until(() => logged(cast, RENEWED).length === 1, 'the recovery');
      assert.deepEqual((await ready(cast)).tls['stale'], []);
      await cast.call(url);
      assert.deepEqual(
        origin.seen.map(({ client }) => client),
        ['good', 'good', 'good', 'good', 'wrong'],
      );
      assert.equal(logged(cast, UNUSABLE).length, broken.length);
      // What was there before the trouble is good again, too.
      unlinkSync(key);
      await until(() => logged(cast, UNUSABLE).length === broken.length + 1, 'one more error');
      put(own.wrongHost);
      await until(() => logged(cast, RENEWED).length === 2, 'the recovery');
      assert.deepEqual((await ready(cast)).tls['stale'], []);
    },
    edges(),
  );
});

test('a sidecar that has been stopped looks at no file any more', { skip }, async (t) => {
  const file = directory(t);
  const ca = file('ca.pem', own.ca);
  const yaml = `routes: [{ name: private, tls: { ca: ${ca} } }]`;
  const stopped = await TestSidecar.start(yaml, edges());
  await stage(
    yaml,
    async (cast) => {
      await stopped.stop();
      const lines = stopped.lines.length;
      for (const [n, text] of [common.ca, own.ca, common.ca].entries()) {
        file('ca.pem', text);
        await until(() => logged(cast, RENEWED).length === n + 1, 'the other sidecar to see it');
      }
      assert.equal(stopped.lines.length, lines);
    },
    edges(),
  );
});
