/**
 * `${NAME}`, `${NAME:-default}` and `${file:PATH}` inside a text; `$${` is a literal `${`. What is put in is
 * not looked at again, and is never part of a message: it may be a secret. An empty file is a problem: nobody
 * means an empty secret.
 */
import { dirname, resolve } from 'node:path';
import { type SecretPart, secretOf } from '../policy/secret-text.ts';
import { readTextFile } from './text-file.ts';

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths of `${file:PATH}` begin where this file is; null: at the working directory. */
  readonly file: string | null;
}

/** `problem` completes a sentence that begins with the key's path. */
export type Interpolated =
  | {
      readonly text: string;
      readonly resolved: boolean;
      /** What the text is made of; null: no file is part of it. */
      readonly parts: readonly SecretPart[] | null;
    }
  | { readonly problem: string };

const REFERENCE = /\$\$\{|\$\{([^{}]*)\}|\$\{/g;

export function interpolate(text: string, surroundings: Surroundings): Interpolated {
  if (!text.includes('${')) return { text, resolved: false, parts: null };
  const parts: SecretPart[] = [];
  let whole = '';
  let at = 0;
  let resolved = false;
  let hasFile = false;
  const add = (piece: string, part: SecretPart = piece): void => {
    whole += piece;
    if (piece !== '') parts.push(part);
  };
  for (const match of text.matchAll(REFERENCE)) {
    add(text.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[0] === '$${') {
      add('${');
      continue;
    }
    const [, reference] = match;
    const result = reference === undefined ? UNCLOSED : lookUp(reference, surroundings);
    if ('problem' in result) return result;
    resolved = true;
    hasFile ||= result.file !== null;
    add(result.text, result.file === null ? result.text : { file: result.file });
  }
  add(text.slice(at));
  return { text: whole, resolved, parts: hasFile ? parts : null };
}

const UNCLOSED = {
  problem:
    'has a "${" that is not a whole ${NAME}, ${NAME:-default} or ${file:PATH}; write $${ for a literal ${',
};

/** The file that the text is from, absolute; null: none. */
type Found = { readonly text: string; readonly file: string | null } | { readonly problem: string };

function lookUp(reference: string, { env, file }: Surroundings): Found {
  if (reference.startsWith('file:')) {
    const path = reference.slice('file:'.length);
    const absolute = file === null ? resolve(path) : resolve(dirname(file), path);
    const result = readTextFile(absolute);
    if ('problem' in result) return { problem: `needs the file ${path}, which ${result.problem}` };
    const secret = secretOf(result.text);
    if (secret === '') return { problem: `needs the file ${path}, which is empty` };
    return { text: secret, file: absolute };
  }
  const [, name, fallback] = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([^]*))?$/.exec(reference) ?? [];
  if (name === undefined) return UNCLOSED;
  const value = env[name];
  // As in a shell: `:-` stands in for an empty variable too.
  if (fallback !== undefined)
    return { text: value === undefined || value === '' ? fallback : value, file: null };
  if (value === undefined) return { problem: `needs the environment variable ${name}, which is not set` };
  return { text: value, file: null };
}
