/** Inputs that are worth keeping: each run of a fuzzer begins with them. */
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

type Kind = 'requests' | 'responses';

export interface Kept {
  readonly name: string;
  readonly bytes: Buffer;
}

export function corpus(kind: Kind): Kept[] {
  const folder = join(import.meta.dirname, 'corpus', kind);
  return globSync('*.bin', { cwd: folder })
    .toSorted()
    .map((name) => ({ name: basename(name, '.bin'), bytes: readFileSync(join(folder, name)) }));
}

/** Writes down what failed, outside the repository; with the path that it has there. */
export function keep(kind: Kind, name: string, bytes: Buffer): string {
  const folder = join(tmpdir(), 'outrigger-fuzz', kind);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.bin`);
  writeFileSync(path, bytes);
  return path;
}

/** What a run is: how many cases, from which seed, in slices of how many. */
export function runOf(usual: number): {
  readonly cases: number;
  readonly seed: number;
  readonly slice: number;
} {
  const { FUZZ_CASES, FUZZ_SEED } = process.env;
  return { cases: Number(FUZZ_CASES ?? usual), seed: Number(FUZZ_SEED ?? 20_260_401), slice: 20_000 };
}
