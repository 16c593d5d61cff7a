/**
 * The chart as it is rendered, in every mode. What is proved of the golden files needs no Helm, only that they are
 * made of this very chart.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
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
  MODES,
  manifests,
  normal,
  originOf,
  valuesOf,
} from './chart.ts';
import { proveConfined } from './confinement.ts';
import { typeErrors } from './type-check.ts';

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
    for (const manifest of golden(mode)) proveConfined(manifest);
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
