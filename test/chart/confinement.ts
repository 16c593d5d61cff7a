/** What every container of the chart keeps: the restricted standard of pod security, bounds, and probes. */
import assert from 'node:assert/strict';
import type { Container } from 'kubernetes-types/core/v1.js';
import { type Manifest, podOf } from './chart.ts';

/** Says nothing of what has no pods. */
export function proveConfined(manifest: Manifest): void {
  const spec = podOf(manifest)?.spec;
  if (spec === undefined) return;
  const at = `${manifest.kind} ${manifest.metadata.name}`;
  assert.equal(spec.automountServiceAccountToken, false, at);
  assert.ok(spec.securityContext?.runAsNonRoot, at);
  assert.equal(spec.securityContext.seccompProfile?.type, 'RuntimeDefault', at);
  assert.ok(!spec.hostNetwork && !spec.hostPID && !spec.hostIPC, at);
  assert.ok(
    (spec.volumes ?? []).every(({ hostPath }) => hostPath === undefined),
    at,
  );
  for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
    confined(container, `${at}, ${container.name}`);
    if (container.name === 'outrigger') proveOutrigger(container, at);
  }
}

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
