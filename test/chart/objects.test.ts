/** The objects of the chart beside the pods: which switch makes which, and that they mean each other. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Container, Service } from 'kubernetes-types/core/v1.js';
import type { NetworkPolicySpec } from 'kubernetes-types/networking/v1.js';
import { stringify } from 'yaml';
import { folder, outrigger } from '../support/process.ts';
import { golden, hasHelm, type Manifest, manifests, only, podOf, render } from './chart.ts';
import type { PodMonitor } from './prometheus-operator.ts';

type Labels = Readonly<Record<string, string>>;
const kinds = (all: readonly Manifest[]): string[] => all.map(({ kind }) => kind).toSorted();
const BASE = {
  sidecar: ['ConfigMap'],
  gateway: ['ConfigMap', 'Deployment', 'HorizontalPodAutoscaler', 'PodDisruptionBudget', 'Service'],
};

test('by itself the chart is a ConfigMap; as a gateway it is all that a service needs', (t) => {
  if (!hasHelm(t)) return;
  assert.deepEqual(kinds(manifests()), BASE.sidecar);
  assert.deepEqual(kinds(manifests({ set: ['mode=gateway'] })), BASE.gateway);
});

for (const mode of ['sidecar', 'gateway'] as const) {
  for (const [set, more] of [
    ['podMonitor.enabled=true', ['PodMonitor']],
    ['prometheusRule.enabled=true', ['PrometheusRule']],
    ['dashboard.enabled=true', ['ConfigMap']],
    ['example.enabled=true', ['Deployment']],
    ['example.enabled=true,example.kind=StatefulSet', ['Service', 'StatefulSet']],
    ['example.enabled=true,example.kind=Job', ['Job']],
    ['example.enabled=true,example.kind=CronJob', ['CronJob']],
  ] as const) {
    test(`${mode}: ${set} adds ${more.join(' and ')}, and nothing else`, (t) => {
      if (!hasHelm(t)) return;
      const found = kinds(manifests({ set: [`mode=${mode}`, set] }));
      assert.deepEqual(found, [...BASE[mode], ...more].toSorted());
    });
  }
}

test('gateway: what can be switched off goes, and replicas stand in for autoscaling', (t) => {
  if (!hasHelm(t)) return;
  const off = [
    'gateway.autoscaling.enabled=false',
    'gateway.podDisruptionBudget.enabled=false',
    'gateway.topologySpread=false',
    'gateway.preStopSeconds=0',
    'gateway.replicas=4',
  ];
  const all = manifests({ set: ['mode=gateway', ...off] });
  assert.deepEqual(kinds(all), ['ConfigMap', 'Deployment', 'Service']);
  const deployment = only(all, 'Deployment');
  assert.equal((deployment.spec as { replicas?: number }).replicas, 4);
  const pod = podOf(deployment)?.spec;
  assert.equal(pod?.topologySpreadConstraints, undefined);
  assert.equal(pod?.containers[0]?.lifecycle, undefined);
  assert.equal(pod?.terminationGracePeriodSeconds, 35);
  const scaled = only(manifests({ set: ['mode=gateway'] }), 'Deployment');
  assert.equal((scaled.spec as { replicas?: number }).replicas, undefined);
});

test('gateway: a pod first leaves the Service, then drains, and has the time for both', () => {
  const pod = podOf(only(golden('gateway'), 'Deployment'))?.spec;
  const [container] = pod?.containers ?? [];
  const stop = container?.lifecycle?.preStop?.sleep?.seconds ?? 0;
  const [, drain] = /drainTimeout: (\d+)s/.exec(configuration('gateway')['chart.yaml'] ?? '') ?? [];
  assert.ok(stop > 0);
  assert.ok((pod?.terminationGracePeriodSeconds ?? 0) >= stop + Number(drain) + 5);
});

test('gateway: it listens for the whole network; a sidecar for its own pod alone', () => {
  assert.match(configuration('gateway')['chart.yaml'] ?? '', /proxy: "?0\.0\.0\.0:3128/);
  for (const mode of ['defaults', 'sidecar', 'classic', 'job', 'intercept'])
    assert.match(configuration(mode)['chart.yaml'] ?? '', /proxy: "?127\.0\.0\.1:3128/, mode);
});

test('in a cluster with IPv6 both listen for it, and a sidecar still for its own pod alone', (t) => {
  if (!hasHelm(t)) return;
  for (const [mode, proxy] of [
    ['sidecar', '127.0.0.1:3128'],
    ['gateway', '[::]:3128'],
  ] as const) {
    const { data } = only(manifests({ set: [`mode=${mode}`, 'listenAddress=[::]'] }), 'ConfigMap');
    const listen = `proxy: "${proxy}"\n  telemetry: "[::]:9464"`;
    assert.ok(data?.['chart.yaml']?.includes(listen), data?.['chart.yaml']);
  }
});

test('every selector finds the pods that it is meant for, and named ports are there', () => {
  const all = golden('gateway');
  const deployment = only(all, 'Deployment');
  const pod = podOf(deployment);
  const labels = (pod?.metadata?.labels ?? {}) as Labels;
  const [container] = pod?.spec.containers ?? [];
  const service = only(all, 'Service') as unknown as Service;
  found(service.spec?.selector, labels, 'Service');
  for (const kind of ['Deployment', 'PodDisruptionBudget', 'PodMonitor'])
    found((only(all, kind).spec as { selector: { matchLabels: Labels } }).selector.matchLabels, labels, kind);
  for (const { labelSelector } of pod?.spec.topologySpreadConstraints ?? [])
    found(labelSelector?.matchLabels, labels, 'topologySpreadConstraints');
  assert.ok(portsOf(container).includes(String(service.spec?.ports?.[0]?.targetPort)));
  const target = (only(all, 'HorizontalPodAutoscaler').spec as { scaleTargetRef: unknown }).scaleTargetRef;
  assert.deepEqual(target, { apiVersion: 'apps/v1', kind: 'Deployment', name: deployment.metadata.name });
  assert.ok(container?.resources?.requests?.['cpu'], 'a share of it is what the autoscaler aims at');
});

test('the PodMonitor finds the sidecar of a workload, and its port', () => {
  const all = golden('sidecar');
  const monitor = only(all, 'PodMonitor') as unknown as PodMonitor;
  const pod = podOf(only(all, 'Deployment'));
  found(monitor.spec.selector.matchLabels, pod?.metadata?.labels ?? {}, 'PodMonitor');
  const [sidecar] = pod?.spec.initContainers ?? [];
  assert.ok(portsOf(sidecar).includes(monitor.spec.podMetricsEndpoints[0]?.port ?? ''));
});

test('policies: applications reach the gateway, DNS and what was added; only they reach the gateway, and it goes out', () => {
  const all = golden('gateway');
  const labels = (podOf(only(all, 'Deployment'))?.metadata?.labels ?? {}) as Labels;
  const policies = all.filter(({ kind }) => kind === 'NetworkPolicy');
  assert.deepEqual(
    policies.map(({ metadata }) => `${metadata.namespace ?? 'platform'}/${metadata.name}`).toSorted(),
    [
      'billing/egress-outrigger-applications',
      'platform/egress-outrigger',
      'shop/egress-outrigger-applications',
    ],
  );
  for (const { metadata, spec } of policies) {
    const policy = spec as NetworkPolicySpec;
    if (metadata.namespace === undefined) {
      found(policy.podSelector.matchLabels, labels, 'the gateway');
      assert.deepEqual(policy.policyTypes, ['Ingress', 'Egress']);
      assert.deepEqual(policy.egress, [{}]);
      assert.deepEqual(policy.ingress, [
        {
          from: [
            {
              namespaceSelector: {
                matchExpressions: [
                  { key: 'kubernetes.io/metadata.name', operator: 'In', values: ['shop', 'billing'] },
                ],
              },
              podSelector: { matchLabels: { 'outrigger/egress': 'gateway' } },
            },
          ],
          ports: [{ port: 3128, protocol: 'TCP' }],
        },
        { ports: [{ port: 9464, protocol: 'TCP' }] },
      ]);
      continue;
    }
    assert.deepEqual(policy.podSelector, { matchLabels: { 'outrigger/egress': 'gateway' } });
    assert.deepEqual(policy.policyTypes, ['Egress']);
    const [gateway, dns, database, ...others] = policy.egress ?? [];
    assert.deepEqual(others, []);
    // One peer with both selectors: pods of that name in that namespace, not either.
    assert.equal(gateway?.to?.length, 1);
    assert.deepEqual(gateway.to[0]?.namespaceSelector, {
      matchLabels: { 'kubernetes.io/metadata.name': 'platform' },
    });
    found(gateway.to[0]?.podSelector?.matchLabels, labels, 'the way to the gateway');
    assert.deepEqual(gateway.ports, [{ port: 3128, protocol: 'TCP' }]);
    assert.deepEqual(
      dns?.ports?.map(({ port, protocol }) => `${port} ${protocol}`),
      ['53 UDP', '53 TCP'],
    );
    assert.deepEqual(database?.ports, [{ port: 5432, protocol: 'TCP' }]);
  }
});

test('policies: no application is cut off by default, and the namespace is that of the release', (t) => {
  if (!hasHelm(t)) return;
  const set = ['mode=gateway', 'networkPolicy.enabled=true', 'example.enabled=true'];
  const all = manifests({ namespace: 'team', set });
  const example = podOf(only(all, 'Deployment', 'shop-outrigger-example'));
  const policy = only(all, 'NetworkPolicy', 'shop-outrigger-applications');
  assert.equal(policy.metadata.namespace, 'team');
  const spec = policy.spec as NetworkPolicySpec;
  found(spec.podSelector.matchLabels, example?.metadata?.labels ?? {}, 'the example');
  // And the include gives it the gateway in the place of a container.
  const [application, ...others] = example?.spec.containers ?? [];
  assert.deepEqual(others, []);
  assert.equal(example?.spec.initContainers, undefined);
  const proxy = application?.env?.find(({ name }) => name === 'HTTP_PROXY')?.value;
  assert.equal(proxy, 'http://shop-outrigger.team.svc:3128');
});

for (const [set, message] of [
  ['networkPolicy.enabled=true', /networkPolicy needs mode: gateway/],
  ['ports.telemetry=3128', /ports\.proxy and ports\.telemetry are the same/],
  ['intercept.ca.secretName=a', /intercept\.ca is for nothing/],
  ['intercept.ca.cert=a', /cert and key come together/],
  ['intercept.ca.secretName=a,intercept.ca.cert=b,intercept.ca.key=c', /either secretName, or cert and key/],
  ['config.listen.proxy=1', /config\.listen\.proxy is set by the chart; the value for it is ports\.proxy/],
  ['config.listen.telemetry=1', /the value for it is ports\.telemetry/],
  ['config.intercept.ca=1', /the value for it is intercept\.ca/],
  ['config.intercept.bundle=1', /config\.intercept\.bundle is set by the chart/],
  ['config.shutdown.drainTimeout=1', /the value for it is drainTimeoutSeconds/],
] as const) {
  test(`${set} is refused, with the reason`, (t) => {
    if (!hasHelm(t)) return;
    const { code, stderr } = render({ set: [set] });
    assert.notEqual(code, 0);
    assert.match(stderr, message);
  });
}

test('a gateway that intercepts needs an authority', (t) => {
  if (!hasHelm(t)) return;
  const values = file(folder(t), 'mode: gateway\nconfig: { routes: [{ name: a, https: intercept }] }\n');
  assert.match(render({ files: [values] }).stderr, /a gateway that intercepts needs intercept\.ca/);
  assert.equal(render({ files: [values], set: ['intercept.ca.secretName=authority'] }).code, 0);
});

test('the texts of an authority become a Secret, which the pod mounts', (t) => {
  if (!hasHelm(t)) return;
  const config = { routes: [{ name: 'a', https: 'intercept' }] };
  const intercept = { ca: { cert: 'CERT\n', key: 'KEY\n' } };
  const files = [file(folder(t), stringify({ mode: 'gateway', config, intercept }))];
  const all = manifests({ files });
  const secret = only(all, 'Secret') as Manifest & { readonly type: string };
  assert.equal(secret.type, 'kubernetes.io/tls');
  assert.deepEqual(secret.data, { 'tls.crt': btoa('CERT\n'), 'tls.key': btoa('KEY\n') });
  const volumes = podOf(only(all, 'Deployment'))?.spec.volumes ?? [];
  assert.ok(volumes.some(({ secret: it }) => it?.secretName === secret.metadata.name));
});

test('a configuration that is a text stays as it is, nulls and comments included', async (t) => {
  if (!hasHelm(t)) return;
  const text =
    '# ours\npolicy:\n  breaker: null   # they have one\n  headers: { request: { set: { A: "${X:-y}" } } }\n';
  const at = folder(t);
  const { data } = only(manifests({ files: [file(at, stringify({ config: text }))] }), 'ConfigMap');
  assert.equal(data?.['outrigger.yaml'], text);
  writeFileSync(join(at, 'outrigger.yaml'), text);
  const { code } = await outrigger(t, ['check', '--config', join(at, 'outrigger.yaml')]);
  assert.equal(code, 0);
});

test('a configuration that is no mapping is refused', (t) => {
  if (!hasHelm(t)) return;
  for (const config of ['- a\n- b\n', 'a: [', 'just words'])
    assert.match(
      render({ files: [file(folder(t), stringify({ config }))] }).stderr,
      /no YAML mapping/,
      config,
    );
});

test('names stay within what Kubernetes takes, whatever the release is called', (t) => {
  if (!hasHelm(t)) return;
  const release = `r${'x'.repeat(52)}`;
  const set = [
    'mode=gateway',
    'networkPolicy.enabled=true',
    'dashboard.enabled=true',
    'example.enabled=true',
  ];
  for (const { metadata } of manifests({ release, set })) {
    assert.match(metadata.name, /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/);
    for (const value of Object.values((metadata.labels ?? {}) as Labels))
      assert.ok(value.length <= 63, value);
  }
  // A name that reads as a number stays a text.
  for (const { metadata } of manifests({ release: '123', set: ['mode=gateway'] }))
    assert.equal((metadata.labels as Labels)['app.kubernetes.io/instance'], '123');
});

function configuration(mode: string): Labels {
  return golden(mode).find(({ data }) => data?.['chart.yaml'])?.data ?? {};
}

function found(selector: Labels | undefined, labels: Labels, what: string): void {
  assert.ok(selector !== undefined && Object.keys(selector).length > 0, what);
  for (const [name, value] of Object.entries(selector)) assert.equal(labels[name], value, `${what}: ${name}`);
}

const portsOf = (container: Container | undefined): string[] =>
  (container?.ports ?? []).map(({ name }) => name ?? '');

function file(at: string, text: string): string {
  const path = join(at, 'values.yaml');
  writeFileSync(path, text);
  return path;
}
