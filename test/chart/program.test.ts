/**
 * The program under the arguments, the environment and the files of a golden pod: what its probes ask for is answered,
 * and what its application is told to trust is there.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Container } from 'kubernetes-types/core/v1.js';
import { folder, SidecarProcess } from '../support/process.ts';
import { golden, MODES, podOf } from './chart.ts';

/** Files as the kubelet mounts them: links through a link that it swaps. */
function mount(t: TestContext, data: Readonly<Record<string, string>>): string {
  const at = folder(t);
  mkdirSync(join(at, '..first'));
  symlinkSync('..first', join(at, '..data'));
  for (const [name, text] of Object.entries(data)) {
    writeFileSync(join(at, '..data', name), text);
    symlinkSync(join('..data', name), join(at, name));
  }
  return at;
}

function outriggerOf(mode: string): Container | undefined {
  const pods = golden(mode).flatMap((manifest) => podOf(manifest)?.spec ?? []);
  const all = pods.flatMap(({ containers, initContainers = [] }) => [...initContainers, ...containers]);
  return all.find(({ name }) => name === 'outrigger');
}

async function statusOf(port: number, path: string): Promise<number | undefined> {
  const asked = request({ host: '127.0.0.1', port, path, agent: false }).end();
  const [response] = await once(asked, 'response');
  response.resume();
  return response.statusCode;
}

for (const mode of MODES.filter((name) => name !== 'defaults')) {
  test(`${mode}: the program starts as its pod starts it, answers the probes, and drains`, async (t) => {
    const container = outriggerOf(mode);
    assert.ok(container);
    const [configuration] = golden(mode).filter(({ data }) => data?.['chart.yaml']);
    const mounted = mount(t, configuration?.data ?? {});
    const env = new Map((container.env ?? []).map(({ name, value }) => [name, value ?? 'secret']));
    const files = (env.get('OUTRIGGER_CONFIG') ?? '').split(':');
    const path = container.volumeMounts?.find(({ name }) => name === 'outrigger-config')?.mountPath ?? '';
    for (const one of files) assert.equal(one, `${path}/${basename(one)}`);
    env.set('OUTRIGGER_CONFIG', files.map((one) => join(mounted, basename(one))).join(':'));
    const bundle = join(folder(t), 'trust/ca-bundle.pem');
    // Free ports, and what is nowhere but in a pod; everything else is as it stands.
    for (const listener of ['PROXY', 'ADMIN', 'TELEMETRY'])
      env.set(`OUTRIGGER__LISTEN__${listener}`, '127.0.0.1:0');
    if (mode === 'intercept') {
      env.set('OUTRIGGER__INTERCEPT__BUNDLE', bundle);
      env.set('OUTRIGGER__INTERCEPT__CA', 'null');
    }
    const sidecar = new SidecarProcess(t, container.args ?? [], { env: Object.fromEntries(env) });
    sidecar.listening(await sidecar.line('ready'));
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe];
    for (const probe of probes)
      assert.equal(await statusOf(sidecar.telemetryPort ?? 0, probe?.httpGet?.path ?? ''), 200);
    assert.equal(existsSync(bundle), mode === 'intercept');
    if (mode === 'intercept') assert.match(readFileSync(bundle, 'utf8'), /BEGIN CERTIFICATE/);
    sidecar.signal('SIGTERM');
    assert.deepEqual(await sidecar.end(), { code: 0, signal: null });
  });
}
