/** A team's own workload, rendered through the include by a chart of the test's own, which is a copy of ours. */
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Container, PodSpec } from 'kubernetes-types/core/v1.js';
import { stringify } from 'yaml';
import { folder } from '../support/process.ts';
import { CHART, type Manifest, only, podOf, type Rendered, type Rendering, render } from './chart.ts';

export interface Team extends Rendering {
  readonly kind?: string;
  readonly pod?: Partial<PodSpec>;
  /** How the team's chart calls the scope of ours. */
  readonly scope?: string;
  /** Laid over the default values. */
  readonly values?: unknown;
}

export const APPLICATION: Container = { name: 'application', image: 'shop:1' };

/** What comes of `kind` with these containers. */
export function renderTeam(t: TestContext, team: Team): Rendered {
  const { kind = 'Deployment', pod = {}, scope = '.', values = {}, ...rendering } = team;
  const at = folder(t);
  cpSync(CHART, at, { recursive: true });
  const spec = { containers: [APPLICATION], ...pod };
  const template = { metadata: { labels: { app: 'team' } }, spec };
  const inside: Record<string, unknown> = {
    CronJob: { schedule: '@daily', jobTemplate: { spec: { template } } },
    Pod: spec,
  };
  const workload = stringify({
    apiVersion: 'v1',
    kind,
    metadata: { name: 'team' },
    spec: inside[kind] ?? { template },
  });
  const include = `{{ include "outrigger.sidecar.inject" (list ${scope} (include "team.workload" .)) }}`;
  writeFileSync(
    join(at, 'templates/team.yaml'),
    `{{- define "team.workload" -}}\n${workload}{{- end -}}\n${include}\n`,
  );
  writeFileSync(join(at, 'team-values.yaml'), stringify(values));
  return render({ ...rendering, chart: at, files: [join(at, 'team-values.yaml')] });
}

export interface Wired {
  readonly manifest: Manifest;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
  /** That of Outrigger, wherever it is. */
  readonly outrigger: Container | undefined;
}

export function wired(t: TestContext, team: Team = {}): Wired {
  const { code, manifests, stderr } = renderTeam(t, team);
  if (code !== 0) throw new Error(stderr);
  const manifest = only(manifests, team.kind ?? 'Deployment', 'team');
  const pod = podOf(manifest);
  if (pod === null) throw new Error('no pod');
  const { labels = {}, annotations = {} } = pod.metadata ?? {};
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const outrigger = all.find(({ name }) => name === 'outrigger');
  return { manifest, labels, annotations, spec: pod.spec, outrigger };
}

/** The value of a variable of a container. */
export const variable = (container: Container | undefined, name: string): string | undefined =>
  container?.env?.find((one) => one.name === name)?.value;

/** What Helm says when it has to refuse. */
export function refusal(t: TestContext, team: Team): string {
  const { code, stderr } = renderTeam(t, team);
  if (code === 0) throw new Error('it was not refused');
  return stderr;
}
