/**
 * The environment that the chart gives to an application is the one that `outrigger env` prints of the same
 * configuration. Of the golden files, so without Helm.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Container } from 'kubernetes-types/core/v1.js';
import { folder, outrigger } from '../support/process.ts';
import { golden, podOf } from './chart.ts';

const CLUSTER = ['.svc', '.svc.cluster.local', 'kubernetes.default', '$(KUBERNETES_SERVICE_HOST)'];

/** The containers of a mode's example that are not Outrigger. */
function applications(mode: string): readonly Container[] {
  const pods = golden(mode).flatMap((manifest) => podOf(manifest) ?? []);
  return pods.flatMap(({ spec }) => spec.containers).filter(({ name }) => name !== 'outrigger');
}

for (const mode of ['sidecar', 'classic', 'job', 'intercept']) {
  test(`${mode}: the application has every variable of outrigger env, with its value`, async (t) => {
    const at = folder(t);
    const args = ['env'];
    const [configuration] = golden(mode).filter(({ data }) => data?.['chart.yaml']);
    for (const name of ['outrigger.yaml', 'chart.yaml']) {
      writeFileSync(join(at, name), configuration?.data?.[name] ?? '');
      args.push('--config', join(at, name));
    }
    const found = applications(mode);
    assert.equal(found.length, 1);
    const given = new Map((found[0]?.env ?? []).map(({ name, value }) => [name, value ?? '']));
    // The names of the cluster are known to the chart alone.
    const { code, stdout } = await outrigger(t, args, { env: { NO_PROXY: given.get('NO_PROXY') ?? '' } });
    assert.equal(code, 0);
    const printed = new Map(
      [...stdout.matchAll(/^export (\w+)='(.*)'$/gm)].map(([, name = '', value = '']) => [name, value]),
    );
    assert.ok(printed.size >= 8);
    assert.deepEqual(Object.fromEntries(given), Object.fromEntries(printed));
    const spared = (given.get('NO_PROXY') ?? '').split(',');
    for (const name of ['localhost', '127.0.0.1', '::1', ...CLUSTER]) assert.ok(spared.includes(name), name);
  });
}

test('the bundle is in a volume that the application sees, and only Outrigger writes to', () => {
  const [pod] = golden('intercept').flatMap((manifest) => podOf(manifest) ?? []);
  const mount = (container: Container | undefined) =>
    container?.volumeMounts?.find(({ name }) => name === 'outrigger-trust');
  const [application] = applications('intercept');
  const bundle = application?.env?.find(({ name }) => name === 'SSL_CERT_FILE')?.value ?? '';
  assert.ok(bundle.startsWith(`${mount(application)?.mountPath}/`), bundle);
  assert.equal(mount(application)?.readOnly, true);
  assert.equal(mount(pod?.spec.initContainers?.[0])?.mountPath, mount(application)?.mountPath);
  assert.ok(pod?.spec.volumes?.some(({ name, emptyDir }) => name === 'outrigger-trust' && emptyDir));
});
