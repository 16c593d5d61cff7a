import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { laidOver, resetSocket } from '../../src/socket-reset.ts';
import { makeCertificates } from '../support/certificates.ts';

const certificates = makeCertificates();

/** Both ends of a connection, and how each of them ended. */
async function pair(t: TestContext): Promise<{ near: Socket; far: Socket; errors: string[] }> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[near]] = (await Promise.all([once(server, 'connection'), once(far, 'connect')])) as [
    [Socket],
    unknown,
  ];
  const errors: string[] = [];
  far.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''));
  t.after(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  return { near, far, errors };
}

function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

test('a socket is reset, and closed plainly while its end is under way', async (t) => {
  const one = await pair(t);
  resetSocket(one.near);
  await closeOf(one.far);
  assert.deepEqual(one.errors, ['ECONNRESET']);

  const two = await pair(t);
  two.near.end('the end');
  resetSocket(two.near);
  resetSocket(two.near);
  assert.equal(two.near.destroyed, true);
  two.far.resume();
  await closeOf(two.far);
  assert.deepEqual(two.errors, []);
});

test('TLS is reset by the socket beneath it, also while a write is under way', {
  skip: certificates === null ? 'it needs openssl' : false,
}, async (t) => {
  const { good, ca } = certificates as NonNullable<typeof certificates>;
  const { near, far, errors } = await pair(t);
  const secured = new TLSSocket(near, { isServer: true, secureContext: createSecureContext(good) });
  laidOver(secured, near);
  secured.on('error', () => {});
  const client = connectTls({ socket: far, ca, servername: 'localhost' });
  client.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''));
  await Promise.all([once(client, 'secureConnect'), once(secured, 'secure')]);
  client.resume();
  secured.write(Buffer.alloc(30_000_000));
  const gone = closeOf(client);
  const ended = closeOf(secured);
  resetSocket(secured);
  assert.equal(near.destroyed, true);
  await Promise.all([gone, ended]);
  assert.ok(errors.includes('ECONNRESET'), errors.join());
});
