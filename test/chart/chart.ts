/**
 * The chart of `helm/` for its tests: rendered by Helm where there is one, and as the golden files have it.
 *
 * The golden files need no Helm. Each names the checksum of the sources that it was made from, so where Helm is missing
 * a change of the chart without new golden files is still found, and everything that is proved of them holds for the
 * chart. They are normal forms (keys sorted, no comments, checksums left out), so that Helm and whatever renders like it agree:
 *
 *   UPDATE_GOLDEN=1 HELM=... node --test test/chart/golden.test.ts
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { PodSpec, PodTemplateSpec } from 'kubernetes-types/core/v1.js';
import type { ObjectMeta } from 'kubernetes-types/meta/v1.js';
import { parseAllDocuments, parseDocument, stringify } from 'yaml';

const ROOT = join(import.meta.dirname, '../..');
export const CHART = join(ROOT, 'helm');
const GOLDEN = join(import.meta.dirname, 'golden');
const HELM = process.env['HELM'] ?? 'helm';

/** The examples of the chart, and no values at all. */
export const MODES = ['defaults', ...globSync('*.yaml', { cwd: join(CHART, 'examples') })]
  .map((name) => name.replace('.yaml', ''))
  .toSorted();

/** Something of Kubernetes, as far as every one has it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta & { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: unknown;
}

export interface Rendering {
  readonly release?: string;
  readonly namespace?: string;
  /** Files of values. */
  readonly files?: readonly string[];
  /** `--set`: `sidecar.native=false`. */
  readonly set?: readonly string[];
  /** In the place of `helm/`. */
  readonly chart?: string;
}

export interface Rendered {
  readonly code: number | null;
  readonly manifests: readonly Manifest[];
  readonly stderr: string;
}

/** Whether there is a Helm; if not the test is skipped, in CI too, for the golden files are proved all the same. */
export function hasHelm(t: TestContext): boolean {
  if (spawnSync(HELM, ['version'], { stdio: 'ignore' }).error === undefined) return true;
  t.skip(`${HELM} is missing: install Helm 3 (https://helm.sh), or name its path in HELM`);
  return false;
}

export function helm(args: readonly string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(HELM, args, { encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

/** What a chart is rendered with, as arguments. */
export function argumentsOf({ namespace, files = [], set = [] }: Rendering): string[] {
  return [
    ...(namespace === undefined ? [] : ['--namespace', namespace]),
    ...files.flatMap((file) => ['-f', file]),
    ...set.flatMap((one) => ['--set', one]),
  ];
}

export function render(rendering: Rendering = {}): Rendered {
  const { release = 'shop', chart = CHART } = rendering;
  const { code, stdout, stderr } = helm(['template', release, chart, ...argumentsOf(rendering)]);
  return { code, manifests: code === 0 ? manifestsOf(stdout) : [], stderr };
}

/** What has to succeed. */
export function manifests(rendering: Rendering = {}): readonly Manifest[] {
  const rendered = render(rendering);
  if (rendered.code !== 0) throw new Error(rendered.stderr);
  return rendered.manifests;
}

export function manifestsOf(text: string): readonly Manifest[] {
  return parseAllDocuments(text)
    .map((document) => {
      if (document.errors.length > 0) throw document.errors[0];
      return document.toJS() as Manifest | null;
    })
    .filter((manifest) => manifest !== null);
}

/** The one of this kind, or of this kind and name. */
export function only(all: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = all.filter((one) => one.kind === kind && (name === undefined || one.metadata.name === name));
  if (found.length !== 1 || found[0] === undefined)
    throw new Error(
      `${found.length} of ${kind} ${name ?? ''} among ${all.map(({ kind: it }) => it).join(' ')}`,
    );
  return found[0];
}

/** The template of the pods of a workload; null: it has none. */
export function podOf({ kind, metadata, spec }: Manifest): (PodTemplateSpec & { spec: PodSpec }) | null {
  if (kind === 'Pod') return { metadata, spec: spec as PodSpec };
  const job = kind === 'CronJob' ? (spec as { jobTemplate: { spec: unknown } }).jobTemplate.spec : spec;
  const template = (job as { template?: PodTemplateSpec } | undefined)?.template;
  return template?.spec === undefined ? null : { ...template, spec: template.spec };
}

/** The values of a mode, as Helm takes them. */
export function valuesOf(mode: string): Rendering {
  const namespace = mode === 'gateway' ? 'platform' : 'shop';
  const release = mode === 'gateway' ? 'egress' : 'shop';
  const files = mode === 'defaults' ? [] : [join(CHART, 'examples', `${mode}.yaml`)];
  return { release, namespace, files };
}

export const goldenPath = (mode: string): string => join(GOLDEN, `${mode}.yaml`);
export const goldenText = (mode: string): string => readFileSync(goldenPath(mode), 'utf8');
export const golden = (mode: string): readonly Manifest[] => manifestsOf(goldenText(mode));

/** The first line of a golden file. */
export function originOf(mode: string): string {
  const sum = createHash('sha256');
  const sources = globSync(['Chart.yaml', 'values.yaml', 'templates/*.{yaml,tpl}', 'dashboards/*'], {
    cwd: CHART,
  });
  const values = mode === 'defaults' ? [] : [`examples/${mode}.yaml`];
  for (const name of [...sources.toSorted(), ...values]) {
    sum
      .update(`${name}\n`)
      .update(readFileSync(join(CHART, name)))
      .update('\n');
  }
  return `# Of the sources ${sum.digest('hex')}; made by UPDATE_GOLDEN=1, not by hand.`;
}

/** What is the same however it was rendered. */
export function normal(mode: string, all: readonly Manifest[]): string {
  const documents = all.map((manifest) => {
    const copy = structuredClone(manifest) as Manifest & { data?: Record<string, string> };
    if (copy.kind === 'ConfigMap' && copy.data !== undefined) {
      for (const [name, text] of Object.entries(copy.data)) {
        if (name.endsWith('.yaml')) copy.data[name] = parseDocument(text).toString();
      }
    }
    const annotations = podOf(copy)?.metadata?.annotations;
    const checksum = annotations?.['outrigger/config-checksum'];
    // Of the text, which is written in more than one way.
    if (annotations !== undefined && /^[0-9a-f]{64}$/.test(checksum ?? ''))
      annotations['outrigger/config-checksum'] = 'checksum';
    return copy;
  });
  const name = ({ kind, metadata }: Manifest): string =>
    `${kind} ${metadata.namespace ?? ''} ${metadata.name}`;
  const texts = documents
    .toSorted((a, b) => (name(a) < name(b) ? -1 : 1))
    .map((one) => stringify(one, { sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false }));
  return `${originOf(mode)}\n${texts.join('---\n')}`;
}
