/** Plain HTTP comes in, TLS goes out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSecureContext } from 'node:tls';
import type { Edges } from '../../src/sidecar.ts';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { Http2Origin } from '../support/http2-origin.ts';
import { answer, HttpOrigin, type Script } from '../support/origin.ts';

const made = makeCertificates();
const skip = made === null ? 'it needs openssl' : false;
const certificates = made as Certificates;

interface Scene {
  readonly script?: Script;
  readonly pair?: keyof Omit<Certificates, 'ca'>;
  /** More of the route. */
  readonly route?: string;
  readonly yaml?: string;
  readonly edges?: Edges;
}

async function originated(
  play: (cast: Cast, origin: HttpOrigin) => Promise<void>,
  { script = answer(200, 'over TLS'), pair = 'good', route = '', yaml = '', edges = {} }: Scene = {},
): Promise<void> {
  const origin = await HttpOrigin.start(script, 0, certificates[pair]);
  try {
    await stage(
      `routes:\n  - { name: vendor, match: { hosts: [localhost] }, https: originate${route} }\n${yaml}`,
      async (cast) => play(cast, origin),
      {
        secureContext: createSecureContext({ ca: certificates.ca }),
        lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']),
        ...edges,
      },
    );
  } finally {
    await origin.close();
  }
}

test(
  'http:// with a port goes out as TLS to that port, with the Host of the target, and the line says how',
  { skip },
  () =>
    originated(async (cast, origin) => {
      const got = await cast.call(`http://localhost:${origin.port}/v1/x?q=1`);
      assert.deepEqual([got.status, got.text], [200, 'over TLS']);
      const line = await cast.sidecar.line();
      assert.deepEqual(
        [line.via, line.scheme, line.host, line.port, line.path, line.route],
        ['originate', 'https', 'localhost', origin.port, '/v1/x', 'vendor'],
      );
      assert.ok((line.attempts[0]?.tlsMs ?? 0) > 0);
      assert.equal(origin.seen[0]?.headers.host, `localhost:${origin.port}`);
      assert.equal(origin.seen[0]?.headers['x-request-id'], line.requestId);
      assert.equal(got.headers['x-request-id'], line.requestId);
      assert.ok(cast.sidecar.origin(`https://localhost:${origin.port}`));
    }),
);

for (const [ports, port, via, target] of [
  ['', '', 'originate', 443],
  ['ports: [443]', '', 'originate', 443],
  ['ports: [80]', '', 'originate', 443],
  ['ports: [443]', ':80', 'originate', 443],
  ['ports: [8443]', ':8443', 'originate', 8443],
  ['ports: [8443]', '', 'forward', 80],
  ['ports: [443]', ':8080', 'forward', 8080],
] as const)
  test(`http://vendor.test${port}/ with ${ports || 'no ports'} goes to port ${target}, via ${via}`, async () => {
    const asked: string[] = [];
    await stage(
      `routes: [{ name: vendor, match: { hosts: [vendor.test]${ports && `, ${ports}`} }, https: originate }]
policy: { retry: { attempts: 1 } }`,
      async (cast) => {
        const got = await cast.call(`http://vendor.test${port}/`);
        assert.equal(got.status, 502);
        const line = await cast.sidecar.line();
        assert.deepEqual([line.via, line.port, asked], [via, target, ['vendor.test']]);
        assert.equal(line.scheme, via === 'originate' ? 'https' : 'http');
        assert.equal(
          JSON.parse(got.text).origin,
          `${via === 'originate' ? 'https' : 'http'}://vendor.test:${target}`,
        );
      },
      {
        lookup: (host, callback) => {
          asked.push(host);
          setImmediate(callback, Object.assign(new Error('none'), { code: 'ENOTFOUND' }), []);
        },
      },
    );
  });

test(
  'the Host that goes out names the target in its canonical spelling, whatever the caller wrote',
  { skip },
  () =>
    originated(async (cast, origin) => {
      await cast.call(`http://LOCALHOST.:${origin.port}/`, { headers: { Host: 'evil.test' } });
      assert.equal(origin.seen[0]?.headers.host, `localhost:${origin.port}`);
    }),
);

test('with http2 the :authority names the target, and the scheme is that of TLS', { skip }, async () => {
  const asked: (string | undefined)[] = [];
  const origin = await Http2Origin.start(certificates.good, (stream, headers) => {
    asked.push(headers[':scheme'], headers[':authority'], headers[':path'], headers.host);
    stream.respond({ ':status': 200 });
    stream.end('over HTTP/2');
  });
  try {
    await stage(
      'routes: [{ name: vendor, match: { hosts: [localhost] }, https: originate, http2: true }]',
      async (cast) => {
        assert.equal((await cast.call(`http://localhost:${origin.port}/x?y`)).text, 'over HTTP/2');
        assert.deepEqual(asked, ['https', `localhost:${origin.port}`, '/x?y', undefined]);
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

test('https:// in absolute form goes the same way, over the same connections', { skip }, () =>
  originated(async (cast, origin) => {
    for (const scheme of ['http', 'https', 'http'])
      assert.equal((await cast.call(`${scheme}://localhost:${origin.port}/`)).text, 'over TLS');
    await cast.sidecar.line(3);
    assert.deepEqual(
      cast.sidecar.exchanges.map(({ via, scheme }) => [via, scheme]),
      [
        ['originate', 'https'],
        ['forward', 'https'],
        ['originate', 'https'],
      ],
    );
    assert.equal(origin.connections.total, 1);
    assert.equal(cast.sidecar.sidecar.snapshot().origins.length, 1);
  }),
);

test('a 503 is tried again under the same request ID', { skip }, () => {
  let n = 0;
  return originated(
    async (cast, origin) => {
      assert.equal((await cast.call(`http://localhost:${origin.port}/`)).status, 200);
      const line = await cast.sidecar.line();
      assert.equal(line.attempts.length, 2);
      assert.deepEqual(
        origin.seen.map(({ headers }) => headers['x-request-id']),
        [line.requestId, line.requestId],
      );
    },
    {
      script: (request, response, seen) => answer(++n === 1 ? 503 : 200)(request, response, seen),
      route: ', policy: { retry: { backoff: { initial: 1ms } } }',
    },
  );
});

test('an origin that does not answer in time is a 504', { skip }, () =>
  originated(
    async (cast, origin) => {
      const got = await cast.call(`http://localhost:${origin.port}/`);
      assert.equal(got.status, 504);
      assert.match(String(got.headers['proxy-status']), /error=http_response_timeout/);
      assert.equal((await cast.sidecar.line()).via, 'originate');
    },
    { script: () => {}, route: ', policy: { timeouts: { head: 50ms }, retry: { attempts: 1 } }' },
  ),
);

for (const pair of ['expired', 'wrongHost', 'selfSigned'] as const)
  test(`a certificate that is not valid (${pair}) is a 502, and the origin sees no request`, { skip }, () =>
    originated(
      async (cast, origin) => {
        const got = await cast.call(`http://localhost:${origin.port}/`, {
          headers: { Authorization: 'secret' },
        });
        assert.equal(got.status, 502);
        assert.equal(JSON.parse(got.text).error, 'tls_certificate_error');
        assert.equal(origin.seen.length, 0);
        const line = await cast.sidecar.line();
        assert.deepEqual([line.outcome, line.error], ['failed', 'tls_certificate_error']);
      },
      { pair, route: ', policy: { retry: { attempts: 1 } }' },
    ),
  );

test('an origin that speaks no TLS there is a 502, and never gets plain HTTP instead', { skip }, () =>
  originated(
    async (cast) => {
      const plain = await cast.origin();
      const got = await cast.call(`http://localhost:${plain.port}/`);
      assert.equal(got.status, 502);
      assert.equal(plain.seen.length, 0);
    },
    { route: ', policy: { retry: { attempts: 1 } }' },
  ),
);

test('a redirect to https:// goes back as it is: it is the caller who knows where to go', { skip }, () =>
  originated(
    async (cast, origin) => {
      const got = await cast.call(`http://localhost:${origin.port}/`);
      assert.deepEqual([got.status, got.headers.location], [301, 'https://localhost/there']);
      assert.equal(cast.sidecar.exchanges.length, 1);
    },
    { script: answer(301, '', ['Location', 'https://localhost/there']) },
  ),
);

test('a cookie that is Secure goes back as it is', { skip }, () =>
  originated(
    async (cast, origin) => {
      const got = await cast.call(`http://localhost:${origin.port}/`);
      assert.deepEqual(got.headers['set-cookie'], ['a=1; Secure; Path=/']);
    },
    { script: answer(200, '', ['Set-Cookie', 'a=1; Secure; Path=/']) },
  ),
);

test('a route that denies is a 403 before anything is dialled', { skip }, () =>
  originated(
    async (cast, origin) => {
      assert.equal((await cast.call(`http://localhost:${origin.port}/`)).status, 403);
      assert.equal(origin.connections.total, 0);
    },
    { route: ', access: deny' },
  ),
);

test('plain HTTP to port 80 does not get to a port 443 that another route denies', { skip }, () =>
  stage(
    `routes:
  - { name: shut, match: { hosts: [vendor.test], ports: [443] }, access: deny }
  - { name: vendor, match: { hosts: [vendor.test] }, https: originate }`,
    async (cast) => {
      const refused = await cast.call('http://vendor.test/');
      assert.equal(refused.status, 403);
      assert.equal(JSON.parse(refused.text).route, 'shut');
    },
  ),
);
