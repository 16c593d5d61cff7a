/** T: whom the sidecar trusts over TLS, and who may trust it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSecureContext, createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { loadConfig } from '../../src/config/load.ts';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, type KeyPair, makeCertificates } from '../support/certificates.ts';
import { messagesOf } from '../support/messages.ts';
import { until } from '../support/until.ts';
import { everyWay, passes, requestText } from './ways.ts';

const certificates = makeCertificates() as Certificates;

interface SecureOrigin {
  readonly port: number;
  /** Requests, by what begins them. */
  readonly seen: string[];
  readonly sessions: boolean[];
  readonly protocols: (string | null)[];
}

/** An origin over TLS that answers `ok`, and notes every byte behind the handshake. */
async function secureOrigin(
  cast: Cast,
  options: TlsOptions,
  reply = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  then: (socket: TLSSocket) => void = () => {},
): Promise<SecureOrigin> {
  const origin = {
    port: 0,
    seen: [] as string[],
    sessions: [] as boolean[],
    protocols: [] as (string | null)[],
  };
  const sockets = new Set<TLSSocket>();
  const server = createServer(options, (socket) => {
    sockets.add(socket);
    origin.sessions.push(socket.isSessionReused());
    origin.protocols.push(socket.getProtocol());
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      origin.seen.push(chunk.toString('latin1').split('\r\n')[0] ?? '');
      socket.write(reply);
      then(socket);
    });
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin.port = (server.address() as { port: number }).port;
  cast.atEnd(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return origin;
}

const EDGES = {
  secureContext: createSecureContext({ ca: certificates.ca }),
  lookup: (_host: string, callback: (error: Error | null, addresses: string[]) => void) =>
    void setImmediate(callback, null, ['127.0.0.1']),
};

/** A certificate that openssl makes by these words, signed by itself. */
function odd(...words: string[]): KeyPair & { readonly ca: string } {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
  try {
    execFileSync(
      'openssl',
      ['req', '-x509', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...words],
      { stdio: 'pipe' },
    );
    const pair = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
    return { ...pair, ca: pair.cert };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

test('T01 a certificate that is expired, of another host, unsigned, of nobody we trust, or names its host nowhere but in CN is a 502, and no request is sent', async () => {
  const cn = odd(...P256, '-subj', '/CN=localhost');
  const deep = odd(...P256, '-subj', '/CN=x', '-addext', 'subjectAltName=DNS:*.test');
  const bad: [what: string, pair: KeyPair, ca: string, host: string][] = [
    ['expired', certificates.expired, certificates.ca, 'localhost'],
    ['of another host', certificates.wrongHost, certificates.ca, 'localhost'],
    ['signed by itself', certificates.selfSigned, certificates.ca, 'localhost'],
    ['of an authority that nobody trusts', certificates.good, certificates.selfSigned.cert, 'localhost'],
    ['with a host in CN alone', cn, cn.ca, 'localhost'],
    ['of a wildcard for another depth', deep, deep.ca, 'a.vendor.test'],
    ['of names, for an address', certificates.wrongHost, certificates.ca, '127.0.0.1'],
  ];
  for (const [what, pair, ca, host] of bad)
    await stage(
      'policy: { retry: { attempts: 1 } }',
      async (cast) => {
        const origin = await secureOrigin(cast, pair);
        const got = await cast.call(`https://${host}:${origin.port}/`);
        assert.deepEqual([got.status, JSON.parse(got.text).error], [502, 'tls_certificate_error'], what);
        assert.deepEqual(origin.seen, [], what);
      },
      { ...EDGES, secureContext: createSecureContext({ ca }) },
    );
});

test('T01 a key that is too weak is no certificate', async (t) => {
  let weak: KeyPair & { ca: string };
  try {
    weak = odd('-newkey', 'rsa:1024', '-subj', '/CN=x', '-addext', 'subjectAltName=DNS:localhost');
  } catch (error) {
    t.skip(`openssl makes no such key here: ${(error as Error).message.split('\n')[0]}`);
    return;
  }
  await stage(
    'policy: { retry: { attempts: 1 } }',
    async (cast) => {
      const origin = await secureOrigin(cast, { ...weak, ciphers: 'DEFAULT@SECLEVEL=0' });
      const got = await cast.call(`https://localhost:${origin.port}/`);
      assert.equal(got.status, 502);
      assert.deepEqual(origin.seen, []);
    },
    { ...EDGES, secureContext: createSecureContext({ ca: weak.ca }) },
  );
});

test('T02 a bad certificate is bad by every way: absolute form, originate, prefix, WebSocket, and the second time, too', async () => {
  for (const pair of [certificates.expired, certificates.wrongHost, certificates.selfSigned]) {
    let port = 0;
    const yaml = (): string => `
policy: { retry: { attempts: 2, backoff: { initial: 1ms } }, breaker: null }
routes:
  - { name: originate, match: { hosts: [vendor.test] }, https: originate }
  - { name: prefixed, prefix: /p, origin: "https://localhost:${port}" }`;
    // The port must be known before the configuration is.
    const server = createServer(pair);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as { port: number }).port;
    const heard: string[] = [];
    server.on('secureConnection', (socket) =>
      socket.on('error', () => {}).on('data', (chunk) => void heard.push(String(chunk))),
    );
    server.on('tlsClientError', () => {});
    await stage(
      yaml(),
      async (cast) => {
        cast.atEnd(() => new Promise<void>((resolve) => server.close(() => resolve())));
        const upgrade =
          'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
        for (const target of [`https://localhost:${port}/`, `http://vendor.test:${port}/`, '/p/x'])
          for (const lines of ['', '', upgrade]) {
            const caller = await cast.raw();
            caller.write(
              `GET ${target} HTTP/1.1\r\nHost: x\r\n${lines === '' ? 'Connection: close\r\n' : lines}\r\n`,
            );
            const [got] = messagesOf(await caller.until((text) => messagesOf(text)[0]?.whole === true));
            assert.equal(got?.status, 502, `${target} ${lines}`);
            assert.match(got?.values('proxy-status')[0] ?? '', /error=tls_certificate_error/, target);
            caller.leave();
          }
      },
      EDGES,
    );
    assert.deepEqual(heard, []);
  }
});

test('T03 nothing is intercepted unless a route says so, and then only its hosts', async () => {
  const { config } = loadConfig({ files: [], env: {} });
  assert.equal(
    config.routes.some(({ https }) => https === 'intercept'),
    false,
  );
  assert.ok(config.intercept.leaves <= 4_096);
});

test('T04 Host, server name and CONNECT must agree inside an interception', () =>
  everyWay(async (ways) => {
    const way = ways.find(({ name }) => name === 'interception');
    assert.ok(way);
    const peer = await way.open();
    const before = way.recorder.requests.length;
    peer.write(requestText(way, { host: 'Host: evil.test\r\n' }));
    assert.equal((await peer.answered()).status, 421);
    assert.equal(way.recorder.requests.length, before);
    peer.leave();
    await passes(way, requestText(way));
  }));

test('T05 less than TLS 1.2 is not spoken, and a session of one trust is not taken up by another', async () => {
  await stage(
    'policy: { retry: { attempts: 1 } }',
    async (cast) => {
      const old = await secureOrigin(cast, {
        ...certificates.good,
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
      });
      const got = await cast.call(`https://localhost:${old.port}/`);
      assert.deepEqual([got.status, old.seen], [502, []]);
    },
    EDGES,
  );
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const ca = join(folder, 'ca.pem');
  writeFileSync(ca, certificates.selfSigned.cert);
  const yaml = `policy: { retry: { attempts: 1 } }\nroutes: [{ name: other, match: { paths: ["/other"] }, tls: { ca: ${ca} } }]`;
  await stage(
    yaml,
    async (cast) => {
      cast.atEnd(() => rmSync(folder, { recursive: true }));
      const origin = await secureOrigin(cast, certificates.good);
      assert.equal((await cast.call(`https://localhost:${origin.port}/`)).status, 200);
      // The same origin by a route that does not trust it: neither the connection nor the session is of use.
      assert.equal((await cast.call(`https://localhost:${origin.port}/other`)).status, 502);
      assert.equal(origin.seen.length, 1);
      assert.ok(origin.protocols.every((protocol) => protocol === 'TLSv1.2' || protocol === 'TLSv1.3'));
    },
    EDGES,
  );
});

test('T06 a body that ends with a connection of TLS without a farewell is not whole', async () => {
  for (const farewell of [true, false])
    await stage(
      'policy: { retry: { attempts: 1 } }',
      async (cast) => {
        const origin = await secureOrigin(
          cast,
          certificates.good,
          'HTTP/1.1 200 OK\r\n\r\nhello',
          (socket) => {
            if (farewell) socket.end();
            else {
              // The FIN of TCP alone, which anybody on the way could have sent.
              const beneath = (socket as unknown as { _parent?: { destroy(): void; end(): void } })._parent;
              setImmediate(() => (beneath === undefined ? socket.destroySoon() : beneath.end()));
            }
          },
        );
        const caller = await cast.raw();
        caller.write(`GET https://localhost:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
        const { outcome } = await cast.sidecar.line();
        await until(() => !farewell || messagesOf(caller.received)[0]?.whole === true, 'the whole');
        assert.equal(outcome === 'completed', farewell, outcome);
      },
      EDGES,
    );
});
