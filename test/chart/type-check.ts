/** Manifests as literals before the compiler: it knows each key of Kubernetes, and which must be there. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { folder } from '../support/process.ts';
import type { Manifest } from './chart.ts';

const ROOT = join(import.meta.dirname, '../..');

/** What the compiler says of the manifests as literals. */
export function typeErrors(t: TestContext, all: readonly Manifest[]): string[] {
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
