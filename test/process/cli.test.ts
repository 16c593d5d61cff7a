import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { call } from '../support/caller.ts';
import { makeCertificates } from '../support/certificates.ts';
import { HttpOrigin } from '../support/origin.ts';
import { file, folder, outrigger, SidecarProcess } from '../support/process.ts';
import { TlsOrigin } from '../support/tls-origin.ts';

const READY_MS = 1_000;

/** A port that somebody else has. */
async function taken(t: TestContext): Promise<number> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('run is ready in under a second', async (t) => {
  const times: number[] = [];
  for (let n = 0; n < 3; n++) {
    const sidecar = await SidecarProcess.start(t);
    const { readyMs, processorMs } = sidecar;
    t.diagnostic(`ready after ${readyMs.toFixed(0)} ms, with ${processorMs} ms of processor time`);
    // Starting is nothing but work: on a machine that is busy with other things, what it costs is what counts.
    times.push(Math.min(readyMs, processorMs));
    sidecar.signal('SIGKILL');
    await sidecar.end();
  }
  assert.ok(Math.min(...times) < READY_MS, times.join(' '));
});

test('a signal ends an idle sidecar with exit code 0', async (t) => {
  const sidecar = await SidecarProcess.start(t, 'shutdown: { quiet: 10ms }');
  sidecar.signal('SIGTERM');
  assert.deepEqual(await sidecar.end(), { code: 0, signal: null });
  assert.equal(sidecar.stderr, '');
});

test('--help and help print the commands, --version the version, and both exit with 0', async (t) => {
  for (const args of [['--help'], ['-h'], ['help'], ['run', '--help']]) {
    const { code, stdout, stderr } = await outrigger(t, args);
    assert.deepEqual([code, stderr], [0, ''], args.join(' '));
    assert.match(stdout, /outrigger \[run\] \[--config FILE\]/);
  }
  const { code, stdout } = await outrigger(t, ['--version']);
  assert.equal(code, 0);
  assert.match(stdout, /^outrigger \d+\.\d+\.\d+\n$/);
});

test('wrong usage is one line on standard error that says what was meant, and exit code 2', async (t) => {
  const wrong: [string[], RegExp][] = [
    [['chekc'], /unknown command "chekc"; did you mean check\?/],
    [['--confg', 'a.yaml'], /unknown option --confg; did you mean --config\?/],
    [['run', '--config'], /--config needs the name of a file/],
    [['run', 'a.yaml'], /run takes no "a.yaml"; files are given with --config FILE/],
  ];
  for (const [args, says] of wrong) {
    const { code, stdout, stderr } = await outrigger(t, args);
    assert.deepEqual([code, stdout], [2, ''], args.join(' '));
    assert.match(stderr, says);
    assert.equal(stderr.split('\n').length, 2, stderr);
  }
});

test('check prints every problem as file:line:column with what was meant, and exits with 2', async (t) => {
  const name = file(t, 'listn: {}\npolicy:\n  timeouts: { head: 30 }\n  retry:\n    attemps: 3\n');
  const { code, stdout, stderr } = await outrigger(t, ['check', '--config', name]);
  assert.deepEqual([code, stdout], [2, '']);
  const lines = stderr.trimEnd().split('\n');
  assert.equal(lines.length, 3, stderr);
  assert.match(lines[0] as string, /^.+:1:1: unknown key "listn".*did you mean "listen"\?$/);
  assert.match(lines[1] as string, /^.+:3:21: .*(duration|ms)/);
  assert.match(lines[2] as string, /^.+:5:5: unknown key "attemps".*did you mean "attempts"\?$/);
  for (const line of lines) assert.ok(line.startsWith(`${name}:`), line);
});

test('check says ok to what run would take, and starts nothing', async (t) => {
  const name = file(t, `listen: { proxy: "127.0.0.1:${await taken(t)}" }\n`);
  const { code, stdout } = await outrigger(t, ['check', '--config', name]);
  assert.deepEqual([code, stdout], [0, `ok: ${name}\n`]);
});

test('a configuration that cannot be used is one line on standard error, exit code 2, and nothing is started', async (t) => {
  const unreadable = file(t, '');
  chmodSync(unreadable, 0);
  const directory = join(folder(t), 'a-directory');
  mkdirSync(directory);
  const broken: [string, RegExp][] = [
    [file(t, 'policy: { pool: { queueTimeout: 2 } }\n'), /:1:33: .*queueTimeout.*(duration|ms)/],
    [file(t, 'policy: { pool: { queueTimeout: 2 seconds } }\n'), /:1:33: .*queueTimeout/],
    [file(t, 'limits:\n  conections: 5\n'), /:2:3: unknown key "conections".*did you mean "connections"\?/],
    [file(t, 'listen: [\n'), /:\d+:\d+: /],
    [join(folder(t), 'missing.yaml'), /missing\.yaml: cannot be read: there is no such file/],
    [directory, /a-directory: cannot be read: it is a directory/],
  ];
  // To root every file is readable.
  if (process.getuid?.() !== 0) broken.push([unreadable, /: cannot be read: permission denied/]);
  for (const [name, says] of broken) {
    const { code, stdout, stderr } = await outrigger(t, ['run', '--config', name]);
    assert.deepEqual([code, stdout], [2, ''], stderr);
    assert.match(stderr, says);
    assert.equal(stderr.split('\n').length, 2, stderr);
  }
});

test('a port in use is one line that names its key, exit code 2, and the other listeners do not keep it alive', async (t) => {
  const used = await taken(t);
  for (const key of ['proxy', 'admin', 'telemetry']) {
    const ports = { proxy: 0, admin: 0, telemetry: 0, [key]: used };
    const listen = Object.entries(ports).map(([name, port]) => `${name}: "127.0.0.1:${port}"`);
    const name = file(t, `listen: { ${listen.join(', ')} }\n`);
    const { code, stdout, stderr } = await outrigger(t, ['run', '--config', name]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.equal(
      stderr,
      `outrigger: listen.${key}: cannot listen on 127.0.0.1:${used}: the address is in use\n`,
    );
  }
});

test('an address that this machine does not have is one line, exit code 2', async (t) => {
  const known = 'clients: [{ name: a, addresses: [10.0.0.0/8] }]\naccess: { clients: known }\n';
  const name = file(t, `${known}listen: { proxy: "192.0.2.1:3128", admin: "127.0.0.1:0" }\n`);
  const { code, stdout, stderr } = await outrigger(t, ['run', '--config', name]);
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, /^outrigger: listen\.proxy: cannot listen on 192\.0\.2\.1:3128: .+\n$/);
});

test('OUTRIGGER_CONFIG names the files, and --config takes its place', async (t) => {
  const good = file(t, 'log: { query: keep }\n');
  const bad = file(t, 'nonsense: 1\n');
  const env = { OUTRIGGER_CONFIG: `${good}:${bad}` };
  const both = await outrigger(t, ['check'], { env });
  assert.equal(both.code, 2);
  assert.ok(both.stderr.startsWith(`${bad}:1:1: unknown key "nonsense"`), both.stderr);
  const given = await outrigger(t, ['check', '--config', good], { env });
  assert.deepEqual([given.code, given.stdout], [0, `ok: ${good}\n`]);
});

test('a later file overrides an earlier one and the environment overrides both, key by key', async (t) => {
  const origin = await HttpOrigin.start();
  t.after(() => origin.close());
  const sidecar = await SidecarProcess.start(
    t,
    'requestId: { header: X-From-File }\nlog: { query: keep }\n',
    {
      env: { OUTRIGGER__REQUESTID__HEADER: 'X-From-Environment' },
    },
  );
  const { headers } = await call(sidecar.port, `${origin.url}/a?b=c`);
  const [line] = await sidecar.exchangeLines(1);
  assert.equal(headers['x-from-environment'], line?.requestId);
  assert.equal(line?.path, '/a?b=c');
});

test('a wrong value in the environment is one line that names the variable, exit code 2', async (t) => {
  const { code, stdout, stderr } = await outrigger(t, ['run'], {
    env: { OUTRIGGER__LISTEN__PROXI: '127.0.0.1:0' },
  });
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, /^OUTRIGGER__LISTEN__PROXI: unknown key "PROXI".*did you mean "proxy"\?\n$/);
});

test('files of TLS that cannot be used are problems at their keys, for check as for run', async (t) => {
  const certificates = makeCertificates();
  if (certificates === null) return t.skip('it needs openssl');
  const { good, expired } = certificates;
  const [cert, key, other] = [good.cert, good.key, expired.key].map((text) => file(t, text, 'a.pem'));
  const name = file(
    t,
    [
      'routes:',
      '  - name: a',
      '    tls: { ca: /nowhere/ca.pem }',
      '  - name: b',
      `    tls: { cert: ${cert},`,
      `           key: ${other} }`,
      '  - name: c',
      `    tls: { cert: ${cert}, key: ${key} }`,
    ].join('\n'),
  );
  for (const command of ['check', 'run']) {
    const { code, stdout, stderr } = await outrigger(t, [command, '--config', name]);
    assert.deepEqual([code, stdout], [2, ''], command);
    assert.deepEqual(stderr.split('\n'), [
      `${name}:3:16: routes[0].tls.ca names the file /nowhere/ca.pem, which cannot be read: there is no such file`,
      `${name}:6:17: routes[1].tls.key names the file ${other}, which is not the key of ${cert}`,
      '',
    ]);
  }
});

test('what is said in vain is a warning: check prints it and is content, run logs it and starts', async (t) => {
  const text = 'routes:\n  - name: a\n    https: tunnel\n    policy:\n      timeouts: { head: 1s }\n';
  const name = file(t, text);
  const { code, stdout, stderr } = await outrigger(t, ['check', '--config', name]);
  assert.deepEqual([code, stdout], [0, `ok: ${name}\n`]);
  assert.match(
    stderr,
    /^.+:5:19: warning: routes\[0\]\.policy\.timeouts\.head does not apply to tunnels, .+\n$/,
  );
  assert.ok(stderr.startsWith(name), stderr);
  const sidecar = await SidecarProcess.start(t, text);
  const [line, ...more] = sidecar.stdout
    .split('\n')
    .filter((one) => one.includes('"level":"warn"'))
    .map((one) => JSON.parse(one) as Record<string, unknown>);
  assert.deepEqual(more, []);
  assert.match(String(line?.['msg']), /^routes\[0\]\.policy\.timeouts\.head does not apply to tunnels/);
  assert.match(String(line?.['at']), /:5:19$/);
});

test('an authority that the machine trusts is trusted, as far as SSL_CERT_FILE says', async (t) => {
  const certificates = makeCertificates();
  if (certificates === null) return t.skip('it needs openssl');
  const origin = await TlsOrigin.start(certificates.good);
  t.after(() => origin.close());
  const url = `https://127.0.0.1:${origin.port}/`;
  const strange = await SidecarProcess.start(t);
  assert.equal((await call(strange.port, url)).status, 502);
  const trusting = await SidecarProcess.start(t, '', {
    env: { SSL_CERT_FILE: file(t, certificates.ca, 'ca.pem') },
  });
  assert.equal((await call(trusting.port, url)).text, 'over TLS');
});

test('env prints what an application needs, for a shell; the CA only where a route intercepts', async (t) => {
  const plain = await outrigger(t, ['env'], { env: { NO_PROXY: '.svc,localhost' } });
  assert.deepEqual([plain.code, plain.stderr], [0, '']);
  assert.match(plain.stdout, /^export HTTP_PROXY='http:\/\/127\.0\.0\.1:3128'$/m);
  assert.match(plain.stdout, /^export https_proxy='http:\/\/127\.0\.0\.1:3128'$/m);
  assert.match(plain.stdout, /^export NO_PROXY='\.svc,localhost,127\.0\.0\.1,::1'$/m);
  assert.match(
    plain.stdout,
    /^export JAVA_TOOL_OPTIONS='.*-Dhttp\.nonProxyHosts=\*\.svc\|localhost\|127\.0\.0\.1\|\[::1\]'$/m,
  );
  assert.doesNotMatch(plain.stdout, /SSL_CERT_FILE|trustStore/);
  const yaml = `
listen: { proxy: "0.0.0.0:4000" }
intercept: { bundle: "/run/it's/ca.pem" }
routes: [{ name: a, https: intercept }]
`;
  const intercepting = await outrigger(t, ['env', '--config', file(t, yaml)]);
  assert.match(intercepting.stdout, /^export HTTP_PROXY='http:\/\/127\.0\.0\.1:4000'$/m);
  assert.match(intercepting.stdout, /^export NODE_EXTRA_CA_CERTS='\/run\/it'\\''s\/ca\.pem'$/m);
  assert.match(intercepting.stdout, /-Djavax\.net\.ssl\.trustStore=\/run\/it'\\''s\/ca\.jks/);
  const anyPort = await outrigger(t, ['env'], { env: { OUTRIGGER__LISTEN__PROXY: '127.0.0.1:0' } });
  assert.equal(anyPort.code, 2);
});

test('a start that fails leaves the bundle of a sidecar that runs as it is', async (t) => {
  const bundle = join(folder(t), 'bundle.pem');
  const yaml = `intercept: { bundle: ${bundle} }\nroutes: [{ name: a, match: { hosts: [a.test] }, https: intercept }]\n`;
  const running = await SidecarProcess.start(t, yaml);
  const before = readFileSync(bundle, 'utf8');
  const used = file(t, `${yaml}listen: { proxy: "127.0.0.1:${running.port}", admin: "127.0.0.1:0" }\n`);
  const failed = await outrigger(t, ['run', '--config', used]);
  assert.equal(failed.code, 2);
  assert.match(failed.stderr, /listen\.proxy: cannot listen/);
  assert.equal(readFileSync(bundle, 'utf8'), before);
});
