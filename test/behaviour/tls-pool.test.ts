import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { until } from '../support/until.ts';

const certificates = makeCertificates();

/**
 * Connections of a listener on 127.0.0.1 as the kernel counts them: an event of a reset comes later than
 * the reset.
 */
function established(port: number): number {
  const local = ` 0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  // ESTABLISHED, and CLOSE_WAIT: the other side has gone, ours has not.
  return readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .filter((line) => line.indexOf(local) === 5 && /^.{34}0[18] /.test(line)).length;
}

test('exchanges over TLS that end at any moment leave the sidecar alive, and the origin with no more than its connections', {
  skip: certificates === null || !existsSync('/proc/net/tcp') ? 'it needs openssl, and Linux' : false,
}, async (t) => {
  const { good, ca } = certificates as Certificates;
  await stage(
    'policy: { pool: { connections: 4, queue: 1000, queueTimeout: 10s }, timeouts: { head: 50ms }, retry: { attempts: 1 }, breaker: null }',
    async (cast) => {
      const sockets = new Set<Socket>();
      let most = 0;
      let accepted = 0;
      const server = createServer({ key: good.key, cert: good.cert }, (request, response) => {
        request.resume();
        const n = Number(request.url?.slice(1));
        if (n % 5 === 0) return;
        response.write(Buffer.alloc(100_000, 'x'));
        setTimeout(() => response.end(), n % 7);
      });
      server.on('connection', (socket: Socket) => {
        sockets.add(socket);
        // Counting takes its time where the kernel remembers many connections.
        if (++accepted % 5 === 0) most = Math.max(most, established(port));
        const gone = (): boolean => sockets.delete(socket);
        socket.on('error', gone).on('close', gone);
      });
      server.on('tlsClientError', (_error, socket) => socket.destroy());
      server.on('secureConnection', (socket) => socket.on('error', () => {}));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      cast.atEnd(
        () =>
          new Promise((resolve) => {
            for (const socket of sockets) socket.destroy();
            server.close(resolve);
          }),
      );
      const { port } = server.address() as AddressInfo;
      const outcomes: Record<string, number> = {};
      let n = 0;
      const worker = async (): Promise<void> => {
        while (n < 400) {
          const i = n++;
          const leaves = i % 3 === 0;
          const caller = await cast.raw();
          const body = 'x'.repeat((i * 997) % 200_000);
          caller.write(
            `PUT https://localhost:${port}/${i} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`,
          );
          await new Promise((resolve) => setImmediate(resolve));
          if (leaves) {
            const begun = performance.now() + (i % 23) / 4;
            while (performance.now() < begun) await new Promise((resolve) => setImmediate(resolve));
            caller.leave();
          } else {
            caller.write(body);
            await caller.untilEnd();
          }
        }
      };
      await Promise.all(Array.from({ length: 16 }, worker));
      await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'every exchange to end');
      // Who left before its head was read made no exchange.
      cast.expected = cast.sidecar.exchanges.length;
      for (const line of cast.sidecar.exchanges) {
        const key = line.outcome === 'aborted' ? String(line.reason) : line.outcome;
        outcomes[key] = (outcomes[key] ?? 0) + 1;
      }
      t.diagnostic(`${JSON.stringify(outcomes)}; ${most} connections at most`);
      assert.ok(most <= 4, `${most}`);
    },
    {
      secureContext: createSecureContext({ ca }),
      lookup: (_host, callback) => setImmediate(() => callback(null, ['127.0.0.1'])),
    },
  );
});
