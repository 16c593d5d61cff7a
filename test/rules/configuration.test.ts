/** G: what is read at the start, and by whom it is reached. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { stage } from '../support/cast.ts';
import { messagesOf } from '../support/messages.ts';

function loaded(text: string): Config {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const file = join(folder, 'test.yaml');
  try {
    writeFileSync(file, text);
    return loadConfig({ files: [file], env: {} }).config;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function refusal(text: string): string {
  const began = performance.now();
  try {
    loaded(text);
  } catch (error) {
    assert.ok(performance.now() - began < 10_000, 'it takes no time');
    return JSON.stringify(error, Object.getOwnPropertyNames(error));
  }
  throw new Error(`it was taken: ${text.slice(0, 100)}`);
}

test('G01 bombs, depth, merges, tags, duplicates and prototypes are errors, and quick ones', () => {
  const level = (n: number): string =>
    `a${n}: &a${n} [${Array.from({ length: 9 }, () => `*a${n - 1}`).join()}]`;
  refusal(['a0: &a0 [x]', ...Array.from({ length: 9 }, (_, i) => level(i + 1))].join('\n'));
  refusal(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
  refusal(`a: ${'{a: '.repeat(50_000)}1${'}'.repeat(50_000)}`);
  refusal('limits: { headerBytes: 32KiB, headerBytes: 16KiB }');
  refusal('limits: !!js/function "function () {}"');
  refusal('limits: !x { headerBytes: 32KiB }');
  refusal('__proto__: { polluted: 1 }');
  refusal('limits: { __proto__: { polluted: 1 } }');
  refusal('limits: { constructor: { prototype: { polluted: 1 } } }');
  refusal('base: &b { a: 1 }\nlimits: { <<: *b }');
  refusal('log: { format: no }');
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('G02 an unknown key and a value out of range are errors that name their place', () => {
  assert.match(refusal('limits: { headerByte: 1KiB }'), /headerByte/);
  assert.match(refusal('limits: { headerBytes: 1 }'), /headerBytes/);
  assert.match(refusal('limits: { connections: -1 }'), /connections/);
  assert.match(refusal('policy: { timeouts: { head: soon } }'), /head/);
});

test('G03 without a word about it, only this machine gets in', () => {
  const { listen } = loaded('');
  assert.deepEqual(
    [listen.proxy.host, listen.admin.host, listen.telemetry],
    ['127.0.0.1', '127.0.0.1', null],
  );
});

test('G03 a listener on loopback is not reached by another address of this machine', () =>
  stage('', async (cast) => {
    const others = Object.values(networkInterfaces())
      .flatMap((all) => all ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && !internal);
    for (const { address } of others)
      for (const port of [cast.sidecar.port, cast.sidecar.addresses.admin.port])
        await assert.rejects(
          new Promise((resolve, reject) => {
            const socket = connect({ host: address, port }, () => resolve(socket.destroy()));
            socket.on('error', reject);
          }),
        );
  }));

test('G04 proxy credentials are asked for, go nowhere and are shown nowhere, right or wrong', () =>
  stage(
    'clients: [{ name: app, username: app, password: canary-right }]\naccess: { clients: known }',
    async (cast) => {
      const origin = await cast.origin();
      for (const [password, status] of [
        ['canary-right', 200],
        ['canary-wrong', 407],
        ['', 407],
      ] as const) {
        const caller = await cast.raw();
        const credentials = Buffer.from(`app:${password}`).toString('base64');
        caller.write(
          `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic ${credentials}\r\nConnection: close\r\n\r\n`,
        );
        const received = await caller.untilEnd();
        assert.equal(messagesOf(received)[0]?.status, status);
        assert.equal(received.includes('canary') || received.includes(credentials), false);
      }
      assert.equal(origin.seen.length, 1);
      assert.equal(origin.seen[0]?.headers['proxy-authorization'], undefined);
      const admin = await (await fetch(`${cast.sidecar.adminUrl}/metrics`)).text();
      assert.equal((admin + cast.sidecar.lines.join('')).includes('canary'), false);
    },
  ));
