/** The one include: what a team's own workload gets, and what it is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasHelm } from './chart.ts';
import { APPLICATION, refusal, variable, wired } from './workload.ts';

const INTERCEPTS = {
  config: { routes: [{ name: 'vendor', match: { hosts: ['api.vendor.example'] }, https: 'intercept' }] },
};
const names = (containers: readonly { readonly name: string }[] | undefined) =>
  (containers ?? []).map(({ name }) => name);

for (const kind of ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job', 'CronJob', 'Pod']) {
  test(`a ${kind} is wired with one include`, (t) => {
    if (!hasHelm(t)) return;
    const { spec, outrigger, labels } = wired(t, { kind });
    assert.deepEqual(names(spec.initContainers), ['outrigger']);
    assert.equal(outrigger?.restartPolicy, 'Always');
    assert.deepEqual(names(spec.containers), ['application']);
    assert.equal(variable(spec.containers[0], 'HTTP_PROXY'), 'http://127.0.0.1:3128');
    assert.equal(labels['outrigger/sidecar'], 'shop-outrigger');
    assert.deepEqual(names(spec.volumes), ['outrigger-config']);
  });
}

test('what has no pods is refused by its kind', (t) => {
  if (!hasHelm(t)) return;
  assert.match(refusal(t, { kind: 'Service' }), /knows no pods in a Service/);
});

test('the native sidecar is the first init container, so that the others may call out', (t) => {
  if (!hasHelm(t)) return;
  const { spec } = wired(t, { pod: { initContainers: [{ name: 'migrate', image: 'shop:1' }] } });
  assert.deepEqual(names(spec.initContainers), ['outrigger', 'migrate']);
  assert.equal(variable(spec.initContainers?.[1], 'https_proxy'), 'http://127.0.0.1:3128');
  assert.equal(spec.initContainers?.[0]?.lifecycle, undefined);
});

test('the classic container is the first one, and the others wait until it is ready', (t) => {
  if (!hasHelm(t)) return;
  const pod = { initContainers: [{ name: 'migrate', image: 'shop:1' }] };
  const { spec, outrigger } = wired(t, { pod, set: ['sidecar.native=false'] });
  assert.deepEqual(names(spec.containers), ['outrigger', 'application']);
  assert.equal(outrigger?.restartPolicy, undefined);
  const command = outrigger?.lifecycle?.postStart?.exec?.command ?? [];
  assert.ok(command[0]?.startsWith('/'), 'there is no shell and nothing that looks for programs');
  assert.deepEqual(command.slice(-3), ['wait', '--timeout', '30s']);
  // What runs before there is a sidecar does not call through it.
  assert.equal(spec.initContainers?.[0]?.env, undefined);
  const alone = wired(t, { values: { sidecar: { native: false, wait: [] } } });
  assert.equal(alone.outrigger?.lifecycle, undefined);
});

for (const kind of ['Job', 'CronJob']) {
  test(`a ${kind} with a classic container is refused, for it would never end`, (t) => {
    if (!hasHelm(t)) return;
    assert.match(refusal(t, { kind, set: ['sidecar.native=false'] }), /never ends: set sidecar\.native/);
  });
}

test('variables that a container has stay; NO_PROXY and JAVA_TOOL_OPTIONS are added to', (t) => {
  if (!hasHelm(t)) return;
  const env = [
    { name: 'HTTP_PROXY', value: 'http://other:1' },
    { name: 'NO_PROXY', value: 'orders' },
    { name: 'JAVA_TOOL_OPTIONS', value: '-Xmx1g' },
    { name: 'no_proxy', valueFrom: { configMapKeyRef: { name: 'proxies', key: 'none' } } },
  ];
  const { spec } = wired(t, { pod: { containers: [{ ...APPLICATION, env }] } });
  const [application] = spec.containers;
  assert.equal(variable(application, 'HTTP_PROXY'), 'http://other:1');
  assert.match(variable(application, 'NO_PROXY') ?? '', /^orders,localhost,127\.0\.0\.1,::1,\.svc,/);
  assert.match(variable(application, 'JAVA_TOOL_OPTIONS') ?? '', /^-Xmx1g -Dhttp\.proxyHost=127\.0\.0\.1 /);
  assert.equal(variable(application, 'https_proxy'), 'http://127.0.0.1:3128');
  const given = names(application?.env);
  assert.deepEqual(given, [...new Set(given)]);
  assert.ok(application?.env?.some(({ name, valueFrom }) => name === 'no_proxy' && valueFrom));
});

test('what is spared is spared in the form of each list', (t) => {
  if (!hasHelm(t)) return;
  const values = {
    noProxy: ['orders', '.internal.example', '10.0.0.0/8', 'fd00::1'],
    clusterDomain: 'k8s.example',
  };
  const { spec } = wired(t, { values });
  const spared =
    'localhost,127.0.0.1,::1,.svc,.svc.k8s.example,kubernetes.default,$(KUBERNETES_SERVICE_HOST)';
  assert.equal(
    variable(spec.containers[0], 'NO_PROXY'),
    `${spared},orders,.internal.example,10.0.0.0/8,fd00::1`,
  );
  // Java knows no ranges.
  const java = variable(spec.containers[0], 'JAVA_TOOL_OPTIONS') ?? '';
  assert.ok(
    java.endsWith(
      '=localhost|127.0.0.1|[::1]|*.svc|*.svc.k8s.example|kubernetes.default|$(KUBERNETES_SERVICE_HOST)|orders|*.internal.example|[fd00::1]',
    ),
    java,
  );
});

test('only the containers that are named are wired, and a name that is nowhere is refused', (t) => {
  if (!hasHelm(t)) return;
  const pod = { containers: [APPLICATION, { name: 'other', image: 'other:1' }] };
  const { spec } = wired(t, { pod, values: { sidecar: { containers: ['other'] } } });
  assert.deepEqual(
    spec.containers.map((one) => variable(one, 'HTTP_PROXY') !== undefined),
    [false, true],
  );
  const refused = refusal(t, { pod, values: { sidecar: { containers: ['othr'] } } });
  assert.match(refused, /sidecar\.containers names othr, which Deployment team has not/);
});

test('a container that is named outrigger already is refused', (t) => {
  if (!hasHelm(t)) return;
  const pod = { containers: [{ ...APPLICATION, name: 'outrigger' }] };
  assert.match(refusal(t, { pod }), /Deployment team has a container named outrigger already/);
});

test('the pod has the time that a drain takes', (t) => {
  if (!hasHelm(t)) return;
  const graceOf = (drain: number, own?: number) =>
    wired(t, {
      values: { drainTimeoutSeconds: drain },
      ...(own === undefined ? {} : { pod: { terminationGracePeriodSeconds: own } }),
    }).spec.terminationGracePeriodSeconds;
  assert.equal(graceOf(30), 35);
  assert.equal(graceOf(60), 65);
  // Never less than what Kubernetes gives by itself.
  assert.equal(graceOf(5), 30);
  assert.equal(graceOf(30, 120), 120);
  const short = refusal(t, { pod: { terminationGracePeriodSeconds: 30 } });
  assert.match(short, /terminationGracePeriodSeconds 30 is too little for drainTimeoutSeconds 30/);
});

test('a changed configuration changes the pod, an equal one does not, and none with rolloutOnChange: false', (t) => {
  if (!hasHelm(t)) return;
  const checksumOf = (...set: string[]) => wired(t, { set }).annotations['outrigger/config-checksum'];
  const first = checksumOf();
  assert.match(first ?? '', /^[0-9a-f]{64}$/);
  assert.equal(checksumOf(), first);
  assert.equal(checksumOf('sidecar.native=false'), first);
  assert.notEqual(checksumOf('config.log.level=warn'), first);
  assert.notEqual(checksumOf('drainTimeoutSeconds=20'), first);
  assert.equal(checksumOf('rolloutOnChange=false'), undefined);
});

test('without interception there is no bundle, no CA variable and no volume for it', (t) => {
  if (!hasHelm(t)) return;
  const { spec } = wired(t);
  assert.equal(variable(spec.containers[0], 'SSL_CERT_FILE'), undefined);
  assert.equal(spec.containers[0]?.volumeMounts, undefined);
});

test('interception brings the bundle; the key of an authority is for the group of the pod, and nobody else', (t) => {
  if (!hasHelm(t)) return;
  const made = wired(t, { values: INTERCEPTS });
  assert.deepEqual(names(made.spec.volumes), ['outrigger-config', 'outrigger-trust']);
  assert.equal(variable(made.spec.containers[0], 'SSL_CERT_FILE'), '/var/run/outrigger/ca-bundle.pem');
  assert.equal(made.spec.securityContext, undefined);
  const values = { ...INTERCEPTS, intercept: { ca: { secretName: 'authority' } } };
  const given = wired(t, { values });
  const secret = given.spec.volumes?.find(({ name }) => name === 'outrigger-ca')?.secret;
  assert.deepEqual(secret, { secretName: 'authority', defaultMode: 0o440 });
  assert.equal(given.spec.securityContext?.fsGroup, 65532);
  assert.equal(given.outrigger?.volumeMounts?.find(({ name }) => name === 'outrigger-ca')?.readOnly, true);
  assert.ok(
    given.spec.containers.every(({ volumeMounts = [] }) => !names(volumeMounts).includes('outrigger-ca')),
  );
  const own = wired(t, { values, pod: { securityContext: { fsGroup: 7 } } });
  assert.equal(own.spec.securityContext?.fsGroup, 7);
});

test('volumes and mounts of the application stay, and come first', (t) => {
  if (!hasHelm(t)) return;
  const pod = {
    containers: [{ ...APPLICATION, volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
    volumes: [{ name: 'data', emptyDir: {} }],
  };
  const { spec } = wired(t, { pod, values: INTERCEPTS });
  assert.deepEqual(names(spec.volumes), ['data', 'outrigger-config', 'outrigger-trust']);
  assert.deepEqual(names(spec.containers[0]?.volumeMounts), ['data', 'outrigger-trust']);
});

test('image, environment, volumes, probes and resources of Outrigger are those of the values', (t) => {
  if (!hasHelm(t)) return;
  const digest = `sha256:${'0'.repeat(64)}`;
  const { outrigger, spec } = wired(t, {
    values: {
      image: { repository: 'registry.example/outrigger', digest, pullPolicy: 'Always' },
      env: [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'vendor', key: 'token' } } }],
      envFrom: [{ secretRef: { name: 'vendor' } }],
      extraVolumes: [{ name: 'secrets', secret: { secretName: 'vendor' } }],
      extraVolumeMounts: [{ name: 'secrets', mountPath: '/run/secrets', readOnly: true }],
      ports: { proxy: 8080, telemetry: 9999 },
      probes: { startup: { failureThreshold: 7 } },
      resources: { limits: { memory: '1Gi' } },
      runAsUser: 1234,
    },
  });
  assert.equal(outrigger?.image, `registry.example/outrigger@${digest}`);
  assert.equal(outrigger.imagePullPolicy, 'Always');
  assert.deepEqual(names(outrigger.env), ['OUTRIGGER_CONFIG', 'TOKEN']);
  assert.deepEqual(outrigger.envFrom, [{ secretRef: { name: 'vendor' } }]);
  assert.ok(names(outrigger.volumeMounts).includes('secrets'));
  assert.ok(names(spec.volumes).includes('secrets'));
  assert.equal(outrigger.readinessProbe?.httpGet?.port, 9999);
  assert.equal(outrigger.ports?.[0]?.containerPort, 9999);
  assert.equal(outrigger.startupProbe?.failureThreshold, 7);
  assert.equal(outrigger.startupProbe.periodSeconds, 1);
  assert.equal(outrigger.resources?.limits?.['memory'], '1Gi');
  assert.equal(outrigger.securityContext?.runAsUser, 1234);
  assert.equal(variable(spec.containers[0], 'HTTP_PROXY'), 'http://127.0.0.1:8080');
});

test('the include finds its own scope in the scope of the chart that depends on this one, and under an alias', (t) => {
  if (!hasHelm(t)) return;
  // As Helm gives them to the parent: the scope of each dependency by its name.
  for (const scope of [
    '(dict "Values" dict "Subcharts" (dict "outrigger" .))',
    '(dict "Values" (dict "image" 1) "Release" .Release "Subcharts" (dict "outrigger" . "other" (dict)))',
    '(dict "egress" .).egress',
  ]) {
    const { outrigger, labels } = wired(t, { scope });
    assert.equal(outrigger?.image, 'outrigger:0.1.0', scope);
    assert.equal(labels['outrigger/sidecar'], 'shop-outrigger', scope);
  }
});
