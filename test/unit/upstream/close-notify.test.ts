import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Socket,
} from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, createServer } from 'node:tls';
import { onCloseNotify } from '../../../src/upstream/close-notify.ts';
import { type Certificates, makeCertificates } from '../../support/certificates.ts';
import { until } from '../../support/until.ts';

const certificates = makeCertificates();

for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
  for (const [how, told] of [
    ['a close_notify', true],
    ['a close_notify some time after the data', true],
    ['a FIN of the connection beneath', false],
    ['a FIN of the connection beneath, some time after the data', false],
    ['a reset', false],
  ] as const)
    test(`${version} that ends with ${how} is ${told ? '' : 'not '}taken for an end in good order`, {
      skip: certificates === null ? 'it needs openssl' : false,
    }, async (t) => {
      const { good } = certificates as Certificates;
      const beneath: Socket[] = [];
      const server = createServer({ ...good, minVersion: version, maxVersion: version }, (socket) => {
        socket.on('error', () => {});
        const end = (): void => {
          if (told) socket.end();
          else if (how === 'a reset') beneath[0]?.resetAndDestroy();
          else beneath[0]?.end();
        };
        socket.on('data', () =>
          socket.write('data', () => (how.includes('time') ? setTimeout(end, 20) : end())),
        );
      });
      const front = createTcpServer({ allowHalfOpen: true }, (socket) => {
        beneath.push(socket);
        server.emit('connection', socket);
      });
      await once(front.listen(0, '127.0.0.1'), 'listening');
      const tcp = connectTcp((front.address() as AddressInfo).port, '127.0.0.1');
      t.after(() => {
        for (const socket of [tcp, ...beneath]) socket.destroy();
        front.close();
      });
      await once(tcp, 'connect');
      tcp.on('error', () => {});
      const tls = connectTls({ socket: tcp, rejectUnauthorized: false });
      await once(tls, 'secureConnect');
      let notified = false;
      let data = '';
      tls.on('error', () => {});
      tls.on('data', (chunk: Buffer) => {
        if (data === '') onCloseNotify(tls, tcp, () => (notified = true));
        data += chunk.toString();
      });
      tls.write('go');
      await until(() => tls.closed, 'the end');
      assert.equal(data, 'data');
      assert.equal(notified, told);
    });

for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
  for (const told of [true, false])
    test(`${version}: an end ${told ? 'with' : 'without'} a close_notify is known for what it is to a reader that cannot keep up, wherever in the data it stood still`, {
      skip: certificates === null ? 'it needs openssl' : false,
    }, async (t) => {
      const { good } = certificates as Certificates;
      let bytes = 0;
      // What the server says comes in one go, so that its end is read together with data.
      const beneath = new Map<number, Socket>();
      const server = createServer({ ...good, minVersion: version, maxVersion: version }, (socket) => {
        socket.on('error', () => {});
        socket.on('data', () => {
          const under = beneath.get(socket.remotePort as number) as Socket;
          if (!told) socket.write(Buffer.alloc(bytes), () => under.end());
          else socket.end(Buffer.alloc(bytes));
        });
      });
      const front = createTcpServer({ allowHalfOpen: true }, (socket) => {
        beneath.set(socket.remotePort as number, socket);
        server.emit('connection', socket);
      });
      await once(front.listen(0, '127.0.0.1'), 'listening');
      const relay = createTcpServer({ allowHalfOpen: true }, (near) => {
        const far = connectTcp({
          port: (front.address() as AddressInfo).port,
          host: '127.0.0.1',
          allowHalfOpen: true,
        });
        const kept: Buffer[] = [];
        let holds = false;
        near.on('data', (chunk) => far.write(chunk)).on('error', () => {});
        near.on('end', () => far.end());
        far.on('error', () => {});
        far.on('data', (chunk) => (holds ? kept.push(chunk) : near.write(chunk)));
        far.on('end', () => near.end(Buffer.concat(kept)));
        near.on('hold', () => (holds = true));
        held.push(near);
      });
      const held: Socket[] = [];
      await once(relay.listen(0, '127.0.0.1'), 'listening');
      t.after(() => {
        for (const socket of [...held, ...beneath.values()]) socket.destroy();
        front.close();
        relay.close();
      });
      const wrong: number[] = [];
      for (bytes = 20_000; bytes <= 200_000; bytes += 12_000) {
        const tcp = connectTcp((relay.address() as AddressInfo).port, '127.0.0.1');
        await once(tcp, 'connect');
        tcp.on('error', () => {});
        const tls = connectTls({ socket: tcp, rejectUnauthorized: false });
        await once(tls, 'secureConnect');
        tls.on('error', () => {});
        let notified = false;
        let received = 0;
        onCloseNotify(tls, tcp, () => (notified = true));
        held.at(-1)?.emit('hold');
        tls.on('data', (chunk: Buffer) => {
          received += chunk.length;
          tls.pause();
          setTimeout(() => tls.resume(), 1);
        });
        tls.write('go');
        await until(() => tls.closed, 'the end');
        assert.equal(received, bytes);
        if (notified !== told) wrong.push(bytes);
      }
      assert.deepEqual(wrong, []);
    });
