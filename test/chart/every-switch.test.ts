/** Each switch of the chart, on and off, in both modes: it renders, lints, type-checks, and nothing in it is unconfined. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { folder } from '../support/process.ts';
import { argumentsOf, CHART, hasHelm, helm, type Manifest, manifests, type Rendering } from './chart.ts';
import { proveConfined } from './confinement.ts';
import { typeErrors } from './type-check.ts';

const config = { routes: [{ name: 'a', match: { hosts: ['a.example'] }, https: 'intercept' }] };
const ca = { cert: 'CERT', key: 'KEY' };
const everything = {
  podMonitor: { enabled: true, labels: { release: 'prometheus' } },
  prometheusRule: { enabled: true, labels: { release: 'prometheus' }, matcher: 'job=~".+"', queueRatio: 0.5 },
  dashboard: { enabled: true, annotations: { folder: 'egress' } },
};
const pod = {
  env: [{ name: 'A', value: 'b' }],
  envFrom: [{ secretRef: { name: 'vendor' } }],
  extraVolumes: [{ name: 'secrets', secret: { secretName: 'vendor' } }],
  extraVolumeMounts: [{ name: 'secrets', mountPath: '/run/secrets', readOnly: true }],
};
const example = (kind: string) => ({ example: { enabled: true, kind } });

const SWITCHES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'a Deployment': example('Deployment'),
  'a StatefulSet': example('StatefulSet'),
  'a Job': example('Job'),
  'a CronJob': example('CronJob'),
  'no annotation': { rolloutOnChange: false, ...example('Deployment') },
  watched: { ...everything, ...example('Deployment') },
  'an authority from a Secret': { config, intercept: { ca: { secretName: 'ca' } }, ...example('Deployment') },
  'an authority from texts': { config, intercept: { ca }, ...example('Job') },
  'whatever a container takes': { ...pod, ...example('StatefulSet') },
};
const ONLY_SIDECAR: typeof SWITCHES = {
  'a classic container': { sidecar: { native: false }, ...example('Deployment') },
  'a classic container that nobody waits for': {
    sidecar: { native: false, wait: [] },
    ...example('StatefulSet'),
  },
  'an authority of its own': { config, ...example('Deployment') },
};
const ONLY_GATEWAY: typeof SWITCHES = {
  policies: {
    networkPolicy: {
      enabled: true,
      telemetryFrom: [{ namespaceSelector: {} }],
      gatewayEgress: [{ ports: [{ port: 443, protocol: 'TCP' }] }],
      dns: [{ ipBlock: { cidr: '10.0.0.10/32' } }],
      applications: { matchLabels: { team: 'shop' } },
    },
  },
  'nothing that scales': {
    gateway: {
      autoscaling: { enabled: false },
      podDisruptionBudget: { enabled: false },
      topologySpread: false,
      preStopSeconds: 0,
    },
  },
  'a share may be missing': { gateway: { podDisruptionBudget: { maxUnavailable: '25%' } } },
  'whatever a pod takes': {
    ...pod,
    image: { pullSecrets: [{ name: 'registry' }] },
    gateway: {
      serviceAccountName: 'egress',
      priorityClassName: 'high',
      podLabels: { team: 'platform' },
      podAnnotations: { note: 'egress' },
      nodeSelector: { disk: 'none' },
      tolerations: [{ key: 'egress', operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      service: { type: 'LoadBalancer', annotations: { internal: 'true' } },
    },
  },
};
const CASES = [
  ...Object.entries({ ...SWITCHES, ...ONLY_SIDECAR }).map(
    ([name, values]) => ['sidecar', name, values] as const,
  ),
  ...Object.entries({ ...SWITCHES, ...ONLY_GATEWAY }).map(
    ([name, values]) => ['gateway', name, values] as const,
  ),
];

test('every switch renders, lints, type-checks and confines what it makes', (t) => {
  if (!hasHelm(t)) return;
  const at = folder(t);
  const all: Manifest[] = [];
  for (const [mode, name, values] of CASES) {
    const file = join(at, 'values.yaml');
    writeFileSync(file, stringify({ mode, ...values }));
    const rendering: Rendering = { files: [file] };
    const { code, stdout, stderr } = helm(['lint', CHART, ...argumentsOf(rendering)]);
    assert.equal(code, 0, `${mode}, ${name}: ${stdout}${stderr}`);
    all.push(...manifests(rendering));
  }
  for (const manifest of all) proveConfined(manifest);
  assert.ok(all.length > CASES.length);
  assert.deepEqual(typeErrors(t, all), []);
});
