/**
 * `${NAME}`, `${NAME:-default}` and `${file:PATH}` inside a text; `$${` is a literal `${`. What is put in is
 * not looked at again, and is never part of a message: it may be a secret.
 */
import { dirname, resolve } from 'node:path';
import { readTextFile } from './text-file.ts';

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths of `${file:PATH}` begin where this file is; null: at the working directory. */
  readonly file: string | null;
}

/** `problem` completes a sentence that begins with the key's path. */
export type Interpolated =
  | { readonly text: string; readonly resolved: boolean }
  | { readonly problem: string };

const REFERENCE = /\$\$\{|\$\{([^{}]*)\}|\$\{/g;

export function interpolate(text: string, surroundings: Surroundings): Interpolated {
  if (!text.includes('${')) return { text, resolved: false };
  let problem: string | null = null;
  let resolved = false;
  const replaced = text.replace(REFERENCE, (whole: string, reference: string | undefined) => {
    if (whole === '$${') return '${';
    const result = reference === undefined ? UNCLOSED : lookUp(reference, surroundings);
    resolved = true;
    if ('text' in result) return result.text;
    problem ??= result.problem;
    return '';
  });
  return problem === null ? { text: replaced, resolved } : { problem };
}

const UNCLOSED = {
  problem:
    'has a "${" that is not a whole ${NAME}, ${NAME:-default} or ${file:PATH}; write $${ for a literal ${',
};

function lookUp(reference: string, { env, file }: Surroundings): { text: string } | { problem: string } {
  if (reference.startsWith('file:')) {
    const path = reference.slice('file:'.length);
    const result = readTextFile(file === null ? resolve(path) : resolve(dirname(file), path));
    if ('text' in result) return { text: result.text.replace(/\r?\n$/, '') };
    return { problem: `needs the file ${path}, which ${result.problem}` };
  }
  const [, name, fallback] = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([^]*))?$/.exec(reference) ?? [];
  if (name === undefined) return UNCLOSED;
  const value = env[name];
  // As in a shell: `:-` stands in for an empty variable too.
  if (fallback !== undefined) return { text: value === undefined || value === '' ? fallback : value };
  if (value === undefined) return { problem: `needs the environment variable ${name}, which is not set` };
  return { text: value };
}
