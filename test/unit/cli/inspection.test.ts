import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inspect } from '../../../src/cli/inspection.ts';
import { ConfigError, formatProblem } from '../../../src/config/problem.ts';
import { type Certificates, makeCertificates } from '../../support/certificates.ts';

const made = makeCertificates();
const skip = made === null ? 'it needs openssl' : false;
const { ca, good, expired, selfSigned } = made as Certificates;

const folder = mkdtempSync(join(tmpdir(), 'outrigger-inspection-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** What is found, without the directory: problems if there are any, else warnings. */
function found(yaml: string): string[] {
  const short = (one: Parameters<typeof formatProblem>[0]): string =>
    formatProblem(one).replaceAll(`${folder}/`, '');
  try {
    return inspect({ files: [file('a.yaml', yaml)], env: {} }).warnings.map(short);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return ['problems:', ...error.problems.map(short)];
  }
}

test('every file that cannot be used is a problem at its key, all at once', { skip }, () => {
  const [cert, key, other] = [
    file('cert.pem', good.cert),
    file('key.pem', good.key),
    file('o.pem', expired.key),
  ];
  const text = `routes:
  - { name: a, tls: { ca: ${folder}/none.pem } }
  - { name: b, https: originate, tls: { cert: ${cert}, key: ${key} } }
  - { name: c, tls: { cert: ${cert}, key: ${other} } }
`;
  assert.deepEqual(
    found(text).map((line) => line.replace(/:\d+: /, ': ')),
    [
      'problems:',
      'a.yaml:2: routes[0].tls.ca names the file none.pem, which cannot be read: there is no such file',
      'a.yaml:4: routes[2].tls.key names the file o.pem, which is not the key of cert.pem',
    ],
  );
});

test('warnings of files and of routes come in reading order', { skip }, () => {
  const cert = file('late.pem', expired.cert);
  const key = file('late.key', expired.key, 0o604);
  const text = `routes:
  - { name: a, https: originate, tls: { cert: ${cert}, key: ${key} } }
  - { name: b, https: tunnel, http2: true }
`;
  const lines = found(text);
  assert.equal(lines.length, 3);
  assert.match(
    lines[0] as string,
    /^a\.yaml:2:\d+: routes\[0\]\.tls\.cert names the file late\.pem, which expired at /,
  );
  assert.match(
    lines[1] as string,
    /^a\.yaml:2:\d+: routes\[0\]\.tls\.key names the file late\.key, which can be read by everybody: its mode is 0604/,
  );
  assert.match(lines[2] as string, /^a\.yaml:3:\d+: routes\[1\]\.http2 does not apply to tunnels/);
});

test('the files of the authority count where a route intercepts', { skip }, () => {
  const cert = file('ca.pem', ca);
  const key = file('other.key', selfSigned.key);
  const open = file('open.key', selfSigned.key, 0o644);
  const authority = (one: string, two: string): string => `intercept:\n  ca: { cert: ${one}, key: ${two} }\n`;
  const route = 'routes: [{ name: a, https: intercept }]\n';
  assert.match(
    found(authority(cert, key) + route)[1] ?? '',
    /^a\.yaml:2:\d+: intercept\.ca\.key names other\.key: it is not the key of ca\.pem$/,
  );
  assert.match(
    found(authority(cert, open) + route)[1] ?? '',
    /intercept\.ca\.key names open\.key: its mode is 0644/,
  );
  assert.match(
    found(authority(join(folder, 'none'), key) + route)[1] ?? '',
    /intercept\.ca\.cert names none: /,
  );
  assert.match(found(authority(cert, key)).join(), /^a\.yaml:1:1: intercept is for nothing/);
});
