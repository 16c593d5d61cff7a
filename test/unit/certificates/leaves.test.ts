import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect, type PeerCertificate, type SecureContext, TLSSocket } from 'node:tls';
import { type Authority, createAuthority } from '../../../src/certificates/authority.ts';
import { Leaves } from '../../../src/certificates/leaves.ts';
import { runWell } from '../../support/program.ts';

const DAY_MS = 86_400_000;

interface Met {
  readonly protocol: string | null;
  readonly leaf: PeerCertificate;
}

/** A whole handshake over a socket, as a client that trusts this authority alone. */
async function meet(
  t: TestContext,
  { certificate }: Authority,
  context: SecureContext,
  options: { readonly servername?: string; readonly maxVersion?: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3' } = {},
): Promise<Met> {
  const server = createServer((socket) => {
    const secured = new TLSSocket(socket, { isServer: true, secureContext: context });
    // A client that refuses the certificate resets, or says so in an alert.
    secured.on('error', () => secured.destroy());
    secured.resume();
  });
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const caller = connect({ host: '127.0.0.1', port, ca: certificate, minVersion: 'TLSv1', ...options });
  try {
    await once(caller, 'secureConnect');
    return { protocol: caller.getProtocol(), leaf: caller.getPeerCertificate() };
  } finally {
    caller.destroy();
  }
}

test('a client that trusts the authority accepts its leaves, with TLS 1.2 and 1.3', async (t) => {
  const authority = await createAuthority({ permittedHosts: ['a.example', '127.0.0.1'] });
  const leaves = new Leaves({ authority });
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const context = await leaves.contextFor('a.example');
    const met = await meet(t, authority, context, { servername: 'a.example', maxVersion });
    assert.equal(met.protocol, maxVersion);
    assert.equal(met.leaf.subjectaltname, 'DNS:a.example');
  }
  const { leaf } = await meet(t, authority, await leaves.contextFor('127.0.0.1'));
  assert.equal(leaf.subjectaltname, 'IP Address:127.0.0.1');
});

test('nothing older than TLS 1.2 is spoken', async (t) => {
  const authority = await createAuthority({ permittedHosts: null });
  const context = await new Leaves({ authority }).contextFor('a.example');
  const old = { servername: 'a.example', maxVersion: 'TLSv1.1' as const };
  await assert.rejects(meet(t, authority, context, old), /alert|version|protocol|reset|ECONNRESET/i);
});

test('a client refuses a leaf for a host that the authority may not sign for', async (t) => {
  const authority = await createAuthority({ permittedHosts: ['a.example'] });
  const leaves = new Leaves({ authority });
  await meet(t, authority, await leaves.contextFor('a.example'), { servername: 'a.example' });
  const other = await leaves.contextFor('b.example');
  await assert.rejects(meet(t, authority, other, { servername: 'b.example' }), /permitted subtree violation/);
  const address = await leaves.contextFor('127.0.0.1');
  await assert.rejects(meet(t, authority, address), /excluded subtree violation/);
});

test('a client refuses the leaf of another authority, and of another host', async (t) => {
  const [authority, stranger] = await Promise.all([
    createAuthority({ permittedHosts: null }),
    createAuthority({ permittedHosts: null }),
  ]);
  const context = await new Leaves({ authority }).contextFor('a.example');
  await assert.rejects(meet(t, stranger, context, { servername: 'a.example' }), /unable to/);
  const wrong = { code: 'ERR_TLS_CERT_ALTNAME_INVALID' };
  await assert.rejects(meet(t, authority, context, { servername: 'b.example' }), wrong);
});

test('a host has one leaf, however many ask for it at once and however they spell it', async () => {
  const leaves = new Leaves({ authority: await createAuthority({ permittedHosts: null }) });
  const spellings = ['a.example', 'A.example', 'a.example.', 'A.EXAMPLE.'];
  const asked = Array.from({ length: 100 }, (_, i) => leaves.contextFor(spellings[i % 4] ?? ''));
  const other = leaves.contextFor('b.example');
  assert.equal(new Set(await Promise.all(asked)).size, 1);
  assert.equal(await leaves.contextFor('a.example'), await asked[0]);
  assert.notEqual(await other, await asked[0]);
  assert.equal(leaves.size, 2);
});

test('the least recently used leaf makes place for a new one', async () => {
  const leaves = new Leaves({ authority: await createAuthority({ permittedHosts: null }), capacity: 3 });
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((host) => leaves.contextFor(host)));
  assert.equal(await leaves.contextFor('a'), a);
  const d = await leaves.contextFor('d');
  assert.equal(leaves.size, 3);
  assert.equal(await leaves.contextFor('c'), c);
  assert.equal(await leaves.contextFor('d'), d);
  assert.equal(await leaves.contextFor('a'), a);
  assert.notEqual(await leaves.contextFor('b'), b);
  assert.equal(leaves.size, 3);
});

test('hosts that callers invent do not add up', async () => {
  const leaves = new Leaves({ authority: await createAuthority({ permittedHosts: null }), capacity: 16 });
  const flood = Array.from({ length: 300 }, (_, i) => leaves.contextFor(`host-${i}.example`));
  assert.equal(leaves.size, 16);
  assert.equal(
    new Set(await Promise.all(flood)).size,
    300,
    'who asked before the eviction is served all the same',
  );
  assert.equal(leaves.size, 16);
});

test('a leaf is renewed in its last day and not before', async (t) => {
  let nowMs = Date.now();
  const now = (): number => nowMs;
  const authority = await createAuthority({ permittedHosts: null, now });
  const leaves = new Leaves({ authority, now });
  const first = await leaves.contextFor('a.example');
  const { leaf } = await meet(t, authority, first, { servername: 'a.example' });
  const ends = (text: string): number => Math.round((Date.parse(text) - nowMs) / 1000);
  assert.ok(Math.abs(ends(leaf.valid_from) + 3_600) <= 1, leaf.valid_from);
  assert.ok(Math.abs(ends(leaf.valid_to) - 7 * 86_400) <= 1, leaf.valid_to);
  nowMs += 6 * DAY_MS - 1;
  assert.equal(await leaves.contextFor('a.example'), first);
  nowMs += 1;
  const second = await leaves.contextFor('a.example');
  assert.notEqual(second, first);
  assert.equal(await leaves.contextFor('a.example'), second);
  assert.equal(leaves.size, 1);
});

test('a leaf never outlives its authority, and an authority that expired signs nothing', async (t) => {
  const madeMs = Date.now() - 362 * DAY_MS;
  let nowMs = Date.now();
  const authority = await createAuthority({ permittedHosts: null, now: () => madeMs });
  const leaves = new Leaves({ authority, now: () => nowMs });
  const context = await leaves.contextFor('a.example');
  const { leaf } = await meet(t, authority, context, { servername: 'a.example' });
  assert.equal(Date.parse(leaf.valid_to), authority.notAfter.getTime());
  nowMs = authority.notAfter.getTime() - 1;
  assert.equal(await leaves.contextFor('a.example'), context, 'a new one would end at the same time');
  nowMs += 1;
  await assert.rejects(leaves.contextFor('a.example'), /authority expired at 20/);
  await assert.rejects(leaves.contextFor('b.example'), /authority expired at 20/);
});

test('what failed is not kept', async () => {
  let nowMs = Number.NaN;
  const leaves = new Leaves({ authority: await createAuthority({ permittedHosts: null }), now: () => nowMs });
  await assert.rejects(leaves.contextFor('a b'), /no certificate can name the host/);
  await assert.rejects(leaves.contextFor('a.example'), /utctime/);
  assert.equal(leaves.size, 0);
  nowMs = Date.now();
  await leaves.contextFor('a.example');
  assert.equal(leaves.size, 1);
});

test('contexts that the cache let go give their memory back', async (t) => {
  const at = (name: string): string =>
    JSON.stringify(new URL(`../../../src/certificates/${name}`, import.meta.url));
  // A process of its own, since memory is counted by process.
  const script = `
    const { createAuthority } = await import(${at('authority.ts')});
    const { Leaves } = await import(${at('leaves.ts')});
    const leaves = new Leaves({ authority: await createAuthority({ permittedHosts: null }), capacity: 64 });
    const meet = async (from, to) => {
      for (let i = from; i < to; i++) await leaves.contextFor('host-' + i + '.example');
    };
    await meet(0, 800);
    const before = process.memoryUsage.rss();
    await meet(800, 2400);
    console.log(process.memoryUsage.rss() - before);
  `;
  const { stdout } = await runWell(t, process.execPath, ['--input-type=module', '-e', script]);
  const grownMiB = Number(stdout.toString()) / 1024 / 1024;
  // 1,600 contexts are about 48 MiB.
  assert.ok(grownMiB < 24, `${grownMiB} MiB`);
});
