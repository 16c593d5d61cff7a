/** Callers whose reset is here before what they sent has been read: they have left, and hold nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { connect, createSecureContext } from 'node:tls';
import { stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { Http2Origin } from '../support/http2-origin.ts';

const certificates = makeCertificates();
const skip = certificates === null ? 'it needs openssl' : false;
const { good, ca } = certificates ?? ({ good: { key: '', cert: '' }, ca: '' } as Certificates);

test('a caller inside interception whose half request and reset come together has left, and holds nothing', {
  skip,
}, async () => {
  const origin = await Http2Origin.start(good, (stream) => stream.resume());
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const bundle = join(folder, 'bundle.pem');
  const authority = `localhost:${origin.port}`;
  await stage(
    `
access: { tunnelPorts: [${origin.port}] }
intercept: { bundle: ${bundle} }
routes: [{ name: vendor, match: { hosts: [localhost] }, https: intercept }]`,
    async (cast) => {
      cast.atEnd(() => origin.close());
      cast.atEnd(() => rmSync(folder, { recursive: true }));
      // The CONNECT, and what is inside.
      const { socket } = await cast.raw(2);
      socket.removeAllListeners('data');
      // Undoes setEncoding: from here it is bytes.
      Object.assign((socket as unknown as { _readableState: object })._readableState, {
        decoder: null,
        encoding: null,
      });
      const from = `127.0.0.1:${socket.localPort}`;
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
      const [head] = (await once(socket, 'data')) as [Buffer];
      assert.match(head.toString(), /^HTTP\/1\.1 200 /);
      // Everything after the first flight waits.
      const held: Buffer[] = [];
      let flights = 0;
      const wire = new Duplex({
        read() {},
        write(chunk: Buffer, _encoding, done) {
          if (flights++ === 0) socket.write(chunk);
          else held.push(chunk);
          done();
        },
      });
      socket.on('data', (chunk: Buffer) => wire.push(chunk));
      const secured = connect({ socket: wire, servername: 'localhost', ca: readFileSync(bundle, 'utf8') });
      secured.on('error', () => {});
      await once(secured, 'secureConnect');
      await new Promise((resolve) =>
        secured.write(`POST / HTTP/1.1\r\nHost: ${authority}\r\nContent-Length: 5000\r\n\r\nxxx`, resolve),
      );
      socket.write(Buffer.concat(held));
      socket.resetAndDestroy();
      await cast.sidecar.line(2);
      const lines = cast.sidecar.exchanges;
      const line = lines.find(({ method }) => method === 'POST');
      assert.equal(line?.outcome, 'aborted');
      assert.match(line?.reason ?? '', /^caller left/);
      assert.deepEqual(
        lines.map(({ client }) => client),
        [from, from],
      );
      secured.destroy();
    },
    {
      secureContext: createSecureContext({ ca }),
      lookup: (_host, callback) => callback(null, ['127.0.0.1']),
    },
  );
});
