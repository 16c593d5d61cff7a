import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { call, RawCaller } from '../support/caller.ts';
import { HttpOrigin } from '../support/origin.ts';
import { file, outrigger, SidecarProcess } from '../support/process.ts';

const TOKEN = '0123456789-abcdefghijklmnop';
const EVERYWHERE = 'listen: { admin: "0.0.0.0:0", telemetry: "0.0.0.0:0" }';

/** An address of this machine that is not loopback; null: it has none. */
function ownAddress(): string | null {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? null;
}

async function freePort(): Promise<number> {
  const origin = await HttpOrigin.start();
  await origin.close();
  return origin.port;
}

async function ask(
  host: string,
  port: number,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; body: string }> {
  const outgoing = request({ host, port, path, headers, agent: false });
  outgoing.end();
  const [response] = await once(outgoing, 'response');
  let body = '';
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode, body };
}

test('an admin listener that others can reach needs a token, or nothing starts', async (t) => {
  const open = file(t, 'listen: { admin: "0.0.0.0:0" }\n');
  const { code, stderr } = await outrigger(t, ['run', '--config', open]);
  assert.equal(code, 2);
  assert.match(stderr, /:1:18: listen\.admin must be a loopback address .*, unless admin\.token is set\n$/);
});

test('with a token the admin listener is asked over the network by whoever has it, and the token is said nowhere', async (t) => {
  const secret = file(t, `${TOKEN}\n`, 'token');
  const sidecar = await SidecarProcess.start(
    t,
    `${EVERYWHERE}\nadmin: { token: "\${file:${secret}}", hosts: [admin.internal] }\nlog: { level: trace }`,
  );
  const authorization = `Bearer ${TOKEN}`;
  const hosts = ['127.0.0.1', ...[ownAddress()].filter((it) => it !== null)];
  for (const host of hosts) {
    const at = (path: string, headers: Record<string, string> = {}) =>
      ask(host, sidecar.adminPort, path, headers);
    for (const path of ['/', '/metrics', '/origins']) {
      assert.equal((await at(path)).status, 401, host + path);
      assert.equal((await at(path, { authorization: `${authorization}x` })).status, 401, host + path);
      const { status, body } = await at(path, { authorization });
      assert.equal(status, 200, host + path);
      assert.ok(!body.includes(TOKEN));
    }
    assert.equal((await at('/livez')).status, 200);
    assert.equal((await at('/readyz')).status, 200);
    assert.equal((await at('/livez', { host: 'admin.internal' })).status, 200);
    assert.equal((await at('/origins', { authorization, host: 'evil.example' })).status, 403);
    assert.equal((await at('/origins', { authorization, origin: 'https://evil.example' })).status, 403);
  }
  sidecar.signal('SIGTERM');
  await sidecar.end();
  assert.ok(!(sidecar.stdout + sidecar.stderr).includes(TOKEN));
});

test('neither admin nor telemetry is reached through the proxy, with the token or without, by any address', async (t) => {
  const [admin, telemetry] = await Promise.all([freePort(), freePort()]);
  const sidecar = await SidecarProcess.start(
    t,
    `listen: { admin: "0.0.0.0:${admin}", telemetry: "0.0.0.0:${telemetry}" }
admin: { token: ${TOKEN} }
access: { addresses: { allow: [0.0.0.0/0, "::/0"] }, tunnelPorts: [${admin}, ${telemetry}], tunnelProtocols: [tls, http, other] }`,
  );
  const headers = { authorization: `Bearer ${TOKEN}` };
  const hosts = [
    '127.0.0.1',
    'localhost',
    '127.9.9.9',
    '[::ffff:127.0.0.1]',
    '0.0.0.0',
    ...[ownAddress() ?? []].flat(),
  ];
  for (const port of [admin, telemetry]) {
    for (const host of hosts) {
      const { status, body } = await call(sidecar.port, `http://${host}:${port}/metrics`, { headers });
      assert.equal(status, 403, `${host}:${port}`);
      assert.doesNotMatch(body.toString(), /outrigger_/);
      const caller = await RawCaller.connect(sidecar.port);
      t.after(() => caller.leave());
      caller.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
      assert.match(
        await caller.until((text) => text.includes('\r\n\r\n')),
        /^HTTP\/1\.1 403 /,
        `${host}:${port}`,
      );
      caller.leave();
    }
  }
  const lines = await sidecar.exchangeLines(4 * hosts.length);
  for (const { reason } of lines) assert.match(String(reason), /is a listener of this sidecar/);
});
