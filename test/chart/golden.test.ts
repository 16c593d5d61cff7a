/**
 * The chart as it is rendered, in every mode. What is proved of the golden files needs no Helm, only that they are
 * made of this very chart.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, globSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Container } from 'kubernetes-types/core/v1.js';
import { folder, outrigger } from '../support/process.ts';
import { program, runWell } from '../support/program.ts';
import {
  argumentsOf,
  CHART,
  golden,
  goldenPath,
  goldenText,
  hasHelm,
  helm,
  type Manifest,
  MODES,
  manifests,
  normal,
  originOf,
  podOf,
  valuesOf,
} from './chart.ts';

const ROOT = join(import.meta.dirname, '../..');
const AGAIN = 'render them again with: UPDATE_GOLDEN=1 HELM=helm node --test test/chart/golden.test.ts';

for (const mode of MODES) {
  test(`${mode}: what Helm renders is the golden file, and lints`, (t) => {
    if (!hasHelm(t)) return;
    const values = valuesOf(mode);
    const linted = helm(['lint', CHART, ...argumentsOf(values)]);
    assert.equal(linted.code, 0, linted.stdout + linted.stderr);
    const text = normal(mode, manifests(values));
    if (process.env['UPDATE_GOLDEN']) writeFileSync(goldenPath(mode), text);
    assert.equal(existsSync(goldenPath(mode)) ? goldenText(mode) : '', text, AGAIN);
  });

  test(`${mode}: the golden file is of this chart, and nobody wrote in it`, () => {
    assert.equal(goldenText(mode), normal(mode, golden(mode)), AGAIN);
    assert.equal(goldenText(mode).split('\n')[0], originOf(mode), AGAIN);
  });

  test(`${mode}: outrigger check finds nothing wrong with the configuration, and nothing in vain`, async (t) => {
    const config = golden(mode).filter(({ kind, data }) => kind === 'ConfigMap' && data?.['chart.yaml']);
    assert.equal(config.length, 1);
    const at = folder(t);
    const args: string[] = ['check'];
    for (const [name, text] of Object.entries(config[0]?.data ?? {})) {
      const authority = text.includes('/etc/outrigger-ca/') ? await makeAuthority(t) : '';
      if (authority === null) return;
      writeFileSync(join(at, name), text.replaceAll('/etc/outrigger-ca', authority));
    }
    // In the order of OUTRIGGER_CONFIG.
    for (const name of ['outrigger.yaml', 'chart.yaml']) args.push('--config', join(at, name));
    const { code, stdout, stderr } = await outrigger(t, args);
    assert.equal(stderr, '');
    assert.match(stdout, /^ok: /);
    assert.equal(code, 0);
  });

  test(`${mode}: every container is confined, bounded and asked how it is`, () => {
    for (const manifest of golden(mode)) {
      const spec = podOf(manifest)?.spec;
      if (spec === undefined) continue;
      const at = `${manifest.kind} ${manifest.metadata.name}`;
      assert.equal(spec.automountServiceAccountToken, false, at);
      assert.ok(spec.securityContext?.runAsNonRoot, at);
      for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
        confined(container, `${at}, ${container.name}`);
        if (container.name === 'outrigger') proveOutrigger(container, at);
      }
    }
  });
}

test('there is a golden file for each mode, and no other', () => {
  const files = globSync('*.yaml', { cwd: join(import.meta.dirname, 'golden') }).toSorted();
  assert.deepEqual(
    files,
    MODES.map((mode) => `${mode}.yaml`),
  );
});

test('every object type-checks: no key is misspelt, missing or of the wrong kind', (t) => {
  assert.deepEqual(typeErrors(t, MODES.flatMap(golden)), []);
});

test('the type check does find a misspelt key, a missing one and a wrong kind', (t) => {
  const [deployment] = golden('sidecar').filter(({ kind }) => kind === 'Deployment');
  assert.ok(deployment);
  const text = JSON.stringify(deployment);
  for (const [from, to] of [
    ['"startupProbe"', '"startupProb"'],
    ['"selector"', '"selectors"'],
    ['"containerPort":9464', '"containerPort":"9464"'],
  ] as const) {
    assert.ok(text.includes(from), from);
    assert.notDeepEqual(typeErrors(t, [JSON.parse(text.replace(from, to))]), [], to);
  }
});

function confined({ securityContext, resources }: Container, at: string): void {
  assert.equal(securityContext?.readOnlyRootFilesystem, true, at);
  assert.equal(securityContext.allowPrivilegeEscalation, false, at);
  assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] }, at);
  assert.ok(resources?.requests?.['memory'] && resources.requests['cpu'] && resources.limits?.['memory'], at);
}

function proveOutrigger(container: Container, at: string): void {
  assert.deepEqual(
    container.securityContext,
    {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: 65532,
      runAsNonRoot: true,
      runAsUser: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    at,
  );
  const asked = [container.startupProbe, container.livenessProbe, container.readinessProbe];
  assert.deepEqual(
    asked.map((probe) => `${probe?.httpGet?.path} ${probe?.httpGet?.port}`),
    ['/readyz 9464', '/livez 9464', '/readyz 9464'],
    at,
  );
  const writable = (container.volumeMounts ?? []).filter(({ readOnly }) => readOnly !== true);
  assert.deepEqual(
    writable.filter(({ name }) => name !== 'outrigger-trust'),
    [],
    at,
  );
}

/** The files of an authority as its Secret has them; null after the test was skipped. */
async function makeAuthority(t: TestContext): Promise<string | null> {
  const openssl = program(t, 'openssl', 'openssl');
  if (openssl === null) return null;
  const cwd = folder(t);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'tls.key'];
  const usage = ['-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
  await runWell(t, openssl, ['req', '-x509', ...key, '-out', 'tls.crt', '-subj', '/CN=authority', ...usage], {
    cwd,
  });
  chmodSync(join(cwd, 'tls.key'), 0o600);
  return cwd;
}

/** What the compiler says of the manifests as literals. */
function typeErrors(t: TestContext, all: readonly Manifest[]): string[] {
  const at = folder(t);
  mkdirSync(join(at, 'node_modules'));
  symlinkSync(join(ROOT, 'node_modules/kubernetes-types'), join(at, 'node_modules/kubernetes-types'), 'dir');
  const own = 'monitoring.coreos.com/v1';
  const moduleOf = (apiVersion: string): string => {
    if (apiVersion === own) return join(import.meta.dirname, 'prometheus-operator.ts');
    const [version, group = 'core'] = apiVersion.split('/').toReversed();
    return `kubernetes-types/${group.replace('.k8s.io', '')}/${version}.js`;
  };
  const lines = all.map(
    (manifest, i) =>
      `export const manifest${i}: import('${moduleOf(manifest.apiVersion)}').${manifest.kind} = ${JSON.stringify(manifest)};`,
  );
  writeFileSync(join(at, 'manifests.ts'), lines.join('\n'));
  const options = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--allowImportingTsExtensions',
    '--types',
    '',
    '--pretty',
    'false',
  ];
  try {
    execFileSync(join(ROOT, 'node_modules/.bin/tsc'), [...options, 'manifests.ts'], {
      cwd: at,
      encoding: 'utf8',
      stdio: 'pipe',
    });
    return [];
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    if (stdout === undefined) throw error;
    return stdout.trim().split('\n');
  }
}
