import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Route, TlsPolicy } from '../../../src/policy/policy.ts';
import { rootsOf, TlsProfile, TlsProfiles } from '../../../src/upstream/tls-profile.ts';
import { type Certificates, makeCertificates } from '../../support/certificates.ts';
import { until } from '../../support/until.ts';
import { loadTexts } from '../config/sources.ts';

const made = makeCertificates();
const skip = made === null ? 'it needs openssl' : false;
const { ca, good, expired, selfSigned } = made as Certificates;
const roots = rootsOf(null);

function routesOf(...tls: string[]): readonly Route[] {
  const text = tls.map((it, i) => `  - { name: r${i}, ${it} }`).join('\n');
  return loadTexts([`routes:\n${text}`]).config.routes;
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-tls-profile-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function pairIn(
  t: TestContext,
): TlsPolicy & { cert: string; key: string; put(cert: string, key: string): void } {
  const folder = folderOf(t);
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const put = (first: string, second: string): void => {
    writeFileSync(cert, first);
    writeFileSync(key, second);
  };
  put(good.cert, good.key);
  return { ca: null, cert, key, servername: null, minVersion: 'TLSv1.2', insecure: null, put };
}

test('routes share a profile when they say the same, and have none of their own when they say nothing', () => {
  const all = routesOf(
    'http2: false',
    'tls: { servername: a }',
    'tls: { servername: a }',
    'tls: { servername: b }',
    'http2: true',
  );
  const profiles = new TlsProfiles(roots, all);
  const suffixes = all.map((route) => profiles.of(route).suffix);
  assert.deepEqual(suffixes, ['', '#r1', '#r1', '#r3', '#r4']);
});

test('a literal address is not sent as a server name, and only HTTP/1.1 is offered where nothing else can be used', () => {
  const plain = new TlsProfile('', null, false, roots);
  const h2 = new TlsProfile('', null, true, roots);
  assert.deepEqual(
    [plain.servername('a.example'), plain.servername('192.0.2.1'), plain.servername('::1')],
    ['a.example', '', ''],
  );
  assert.deepEqual(
    [plain.alpn(false), h2.alpn(false), h2.alpn(true)],
    [['http/1.1'], ['h2', 'http/1.1'], ['http/1.1']],
  );
});

test('a context is made again when the content of its files changes, and only then', { skip }, async (t) => {
  const policy = pairIn(t);
  const profile = new TlsProfile('', policy, false, roots);
  const first = profile.secureContext;
  assert.equal(await profile.renew(), 'none');
  policy.put(good.cert, good.key);
  assert.equal(await profile.renew(), 'none');
  assert.equal(profile.secureContext, first);
  policy.put(expired.cert, expired.key);
  assert.equal(await profile.renew(), 'renewed');
  assert.notEqual(profile.secureContext, first);
  assert.equal(await profile.renew(), 'none');
});

test('a pair that does not fit is worth a word the second time, and leaves what was there', {
  skip,
}, async (t) => {
  const policy = pairIn(t);
  const profile = new TlsProfile('', policy, false, roots);
  const first = profile.secureContext;
  writeFileSync(policy.key, expired.key);
  assert.equal(await profile.renew(), 'none');
  assert.equal(profile.problem, null);
  assert.equal(await profile.renew(), 'unusable');
  assert.match(profile.problem ?? '', /is not the key of/);
  assert.equal(await profile.renew(), 'none');
  unlinkSync(policy.cert);
  assert.equal(await profile.renew(), 'unusable');
  assert.match(profile.problem ?? '', /no such file/);
  assert.equal(profile.secureContext, first);
  // The very same as before is a recovery, too.
  policy.put(good.cert, good.key);
  assert.equal(await profile.renew(), 'renewed');
  assert.equal(profile.problem, null);
  // Once, and gone again: nothing happened.
  writeFileSync(policy.key, expired.key);
  assert.equal(await profile.renew(), 'none');
  policy.put(good.cert, good.key);
  assert.equal(await profile.renew(), 'none');
  writeFileSync(policy.key, expired.key);
  assert.equal(await profile.renew(), 'none', 'doubt begins anew');
});

test('files that cannot be used at the start are an error of the start', { skip }, (t) => {
  const policy = pairIn(t);
  policy.put(good.cert, selfSigned.key);
  assert.throws(() => new TlsProfile('', policy, false, roots), { name: 'TlsFileError', key: 'key' });
  assert.throws(() => new TlsProfiles(roots, routesOf('tls: { ca: /nowhere }')), {
    name: 'TlsFileError',
    key: 'ca',
  });
});

test('who has closed the profiles hears nothing more, even where it was in the middle of a look', {
  skip,
}, async (t) => {
  const folder = folderOf(t);
  const file = join(folder, 'ca.pem');
  writeFileSync(file, ca);
  const routes = routesOf(`tls: { ca: ${file} }`);
  const heard: string[] = [];
  const listen = (name: string, closes: boolean): TlsProfiles => {
    const profiles = new TlsProfiles(roots, routes);
    profiles.watch(1, {
      tlsRenewed: (names) => {
        heard.push(`${name} renewed ${names.join()}`);
        if (closes) profiles.close();
      },
      tlsUnusable: (names) => heard.push(`${name} unusable ${names.join()}`),
      tlsVerifiedAgain: () => {},
    });
    return profiles;
  };
  listen('closed', true);
  const witness = listen('witness', false);
  writeFileSync(file, selfSigned.cert);
  await until(() => heard.length >= 2, 'both to hear of the first');
  writeFileSync(file, ca);
  await until(() => heard.length >= 3, 'the witness to hear of the second');
  unlinkSync(file);
  await until(() => heard.length >= 4, 'the witness to hear of the third');
  witness.close();
  assert.deepEqual(heard.slice(2), ['witness renewed r0', 'witness unusable r0']);
});

test('nothing is watched where there is nothing to watch, and what is watched keeps no process alive', {
  skip,
}, (t) => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const file = join(folderOf(t), 'ca.pem');
  writeFileSync(file, ca);
  const observer = { tlsRenewed: () => {}, tlsUnusable: () => {}, tlsVerifiedAgain: () => {} };
  const profiles = ['http2: true', `tls: { ca: ${file} }`].map((it) => new TlsProfiles(roots, routesOf(it)));
  for (const one of profiles) one.watch(1, observer);
  assert.equal(timers(), before);
  for (const one of profiles) one.close();
});

test('who is not verified is shown as long as it is so', (t) => {
  const profiles = new TlsProfiles(
    roots,
    routesOf('tls: { insecure: { reason: late, until: "2999-12-30" } }', 'tls: { servername: a }'),
  );
  t.mock.timers.enable({ apis: ['Date'], now: Date.parse('2999-12-30T23:59:59.999Z') });
  assert.deepEqual(profiles.snapshot(), {
    insecure: [{ route: 'r0', reason: 'late', until: '2999-12-30' }],
    stale: [],
  });
  t.mock.timers.tick(1);
  assert.deepEqual(profiles.snapshot(), { insecure: [], stale: [] });
});

test('with other routes, equal settings keep their profile and others get a suffix that was never there', () => {
  const first = routesOf('tls: { servername: a }', 'tls: { servername: b }');
  const profiles = new TlsProfiles(roots, first);
  const second = routesOf('tls: { servername: c }', 'tls: { servername: a }', 'http2: false');
  const prepared = profiles.prepare(second, 2);
  assert.equal(profiles.of(second[0] as Route).suffix, '', 'nothing has changed yet');
  profiles.adopt(prepared);
  assert.deepEqual(
    second.map((route) => profiles.of(route).suffix),
    ['#r0~2', '#r0', ''],
  );
  assert.equal(profiles.of(second[1] as Route), profiles.of(first[0] as Route));
  assert.equal(profiles.of(first[1] as Route).suffix, '#r1', 'exchanges under way have theirs');
  assert.deepEqual(profiles.suffixes, ['#r0~2', '#r0']);
});
