import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { createSecureContext, createServer } from 'node:tls';
import { stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';

const certificates = makeCertificates();

/** An end that is not protected: whoever is on the way could have made it up (RFC 8446, section 5.1). */
const FORGED = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x01, 0x00]);

const BODY = 'HTTP/1.1 200 OK\r\n\r\nabc';

for (const [when, said, status, error] of [
  ['before the head', '', 502, 'tls_protocol_error'],
  ['within the head', 'HTTP/1.1 200 OK\r\nContent-', 502, 'tls_protocol_error'],
  [
    'within a body',
    BODY.replace('\r\n\r\n', '\r\nContent-Length: 9\r\n\r\n'),
    200,
    'http_response_incomplete',
  ],
  ['within a body without a length', BODY, 200, 'http_response_incomplete'],
] as const)
  test(`TLS that breaks ${when} is the fault of the origin or of the way there, and none of ours`, {
    skip: certificates === null ? 'it needs openssl' : false,
  }, () => {
    const { good, ca } = certificates as Certificates;
    return stage(
      'policy: { retry: { attempts: 1 }, timeouts: { head: 2s, idle: 2s } }',
      async (cast) => {
        let near: Socket | null = null;
        let breaks = false;
        // With version 1.2 nothing comes between the handshake and the answer.
        const server = createServer({ ...good, maxVersion: 'TLSv1.2' }, (socket) => {
          socket.on('error', () => {});
          socket.once('data', () => {
            breaks = true;
            if (said === '') near?.write(FORGED);
            else socket.write(said);
          });
        });
        const sockets: Socket[] = [];
        const way = createTcpServer((caller) => {
          near = caller;
          const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
          sockets.push(caller, far);
          for (const socket of [caller, far]) socket.on('error', () => {});
          caller.on('data', (chunk) => far.write(chunk));
          far.on('data', (chunk) => {
            caller.write(chunk);
            if (breaks) caller.write(FORGED);
          });
        });
        await Promise.all([server, way].map((one) => once(one.listen(0, '127.0.0.1'), 'listening')));
        cast.atEnd(async () => {
          for (const socket of sockets) socket.destroy();
          await Promise.all([server, way].map((one) => new Promise((resolve) => one.close(resolve))));
        });
        const called = cast.call(`https://127.0.0.1:${(way.address() as AddressInfo).port}/`);
        if (status === 200) await assert.rejects(called);
        else assert.equal((await called).status, status);
        const line = await cast.sidecar.line();
        assert.deepEqual([line.status, line.error], [status, error]);
        assert.equal(line.attempts[0]?.verdict, 'failure');
      },
      { secureContext: createSecureContext({ ca }) },
    );
  });
