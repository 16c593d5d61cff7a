import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { giveUp, part, reset } from '../../../src/upstream/parting.ts';
import { type Certificates, makeCertificates } from '../../support/certificates.ts';
import { until } from '../../support/until.ts';

async function listen(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A server that writes down how its connections end, and ends its side only if told to. */
async function origin(t: TestContext, answersFin = true): Promise<{ port: number; ends: string[] }> {
  const ends: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => ends.push(error.code ?? ''));
    socket.on('end', () => {
      ends.push('FIN');
      if (answersFin) socket.end();
    });
    socket.resume();
  });
  return { port: await listen(t, server), ends };
}

function dial(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  return socket;
}

async function connected(port: number): Promise<Socket> {
  const socket = dial(port);
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.resume();
  return socket;
}

const closed = (socket: Socket): Promise<unknown> => new Promise((resolve) => socket.once('close', resolve));

test('at once is a reset', async (t) => {
  const { port, ends } = await origin(t);
  const socket = await connected(port);
  reset(socket, socket);
  await closed(socket);
  await until(() => ends.length > 0, 'the end');
  assert.deepEqual(ends, ['ECONNRESET']);
});

test('in good order is a FIN, and the socket closes once the origin has closed its side', async (t) => {
  const { port, ends } = await origin(t);
  const socket = await connected(port);
  part(socket, socket);
  await closed(socket);
  assert.deepEqual(ends, ['FIN']);
});

test('an origin that does not close its side is waited for no longer than a second', async (t) => {
  const { port, ends } = await origin(t, false);
  const socket = await connected(port);
  const began = performance.now();
  part(socket, socket);
  await closed(socket);
  const ms = performance.now() - began;
  assert.ok(ms > 950 && ms < 1_200, `${ms}`);
  assert.deepEqual(ends, ['FIN']);
});

test('a connection that is given up while it is made ends in good order if the kernel had made it already', async (t) => {
  const { port, ends } = await origin(t);
  const socket = dial(port);
  giveUp(socket);
  await closed(socket);
  assert.deepEqual(ends, ['FIN']);
});

test('what is refused while it is given up is simply gone', async (t) => {
  const server = createServer();
  const port = await listen(t, server);
  await new Promise((resolve) => server.close(resolve));
  const socket = dial(port);
  giveUp(socket);
  await closed(socket);
});

const certificates = makeCertificates();

test('a TLS connection may be reset in the very turn in which it has written', {
  skip: certificates === null ? 'the package openssl is missing' : false,
}, async (t) => {
  const { key, cert } = (certificates as Certificates).good;
  let resets = 0;
  const count = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'ECONNRESET') resets++;
  };
  const server = createTlsServer({ key, cert }, (socket) => {
    socket.on('error', count);
    socket.resume();
  });
  server.on('tlsClientError', count);
  const port = await listen(t, server);
  for (let i = 0; i < 100; i++) {
    const tcp = await connected(port);
    const tls = connectTls({ socket: tcp, ca: certificates?.ca ?? '', servername: 'localhost' });
    tls.on('error', () => {});
    await new Promise<void>((resolve) => {
      // At the end of the handshake, with a write under way, and in the middle of the handshake.
      const end = (): void => {
        if (i % 3 === 1) tls.write(Buffer.alloc(100_000));
        reset(tcp, tls);
        resolve();
      };
      if (i % 3 === 2) setImmediate(end);
      else tls.once('secureConnect', end);
    });
    await Promise.all([tcp.closed || closed(tcp), tls.closed || closed(tls)]);
  }
  await until(() => resets > 50, 'the resets');
});
