/**
 * From the names of files to a configuration: which sources there are, and how a text becomes a tree. The
 * only file that knows YAML.
 *
 * What YAML offers beyond values is refused where it surprises: merge keys, tags, several documents, keys
 * given twice. Aliases are allowed within bounds.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from 'yaml';
import { assemble, type LoadedConfig, terminalDefaults } from './assembly.ts';
import { overrides, type ReadValue, settings, type ValueReader } from './environment.ts';
import { interpolate, type Surroundings } from './interpolation.ts';
import type { Place, Problem } from './problem.ts';
import { configSchema } from './schema.ts';
import { readTextFile } from './text-file.ts';
import {
  type Entry,
  formatPath,
  type MappingNode,
  type Path,
  resolvedScalar,
  scalar,
  type TreeNode,
} from './tree.ts';

export interface LoadOptions {
  /** The files of the command line, in order. Empty: those of OUTRIGGER_CONFIG, or none. */
  readonly files: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `PATH=VALUE` of the command line, each for a single key. */
  readonly set?: readonly string[];
  /** Whether standard output is a terminal: then `log.format` is `pretty` unless something else is said. */
  readonly terminal?: boolean;
}

/** Every file, in order: those given, else those of OUTRIGGER_CONFIG (separated by `:`), else none. */
export function configFiles(files: readonly string[], env: LoadOptions['env']): string[] {
  if (files.length > 0) return [...files];
  return (env['OUTRIGGER_CONFIG'] ?? '').split(':').filter((name) => name !== '');
}

/**
 * Defaults < files in order < environment < command line.
 * @throws ConfigError with every problem of every source
 */
export function loadConfig({ files, env, set = [], terminal = false }: LoadOptions): LoadedConfig {
  const names = configFiles(files, env);
  let problems: readonly Problem[] = [];
  const layers: MappingNode[] = terminal ? [terminalDefaults()] : [];
  const order = [...names];
  for (const file of names) {
    const read = readFile(file, env);
    problems = problems.concat(read.problems);
    if (read.tree !== null) layers.push(read.tree);
  }
  const readValue: ValueReader = (text, place, path) =>
    readYaml({ text, place: () => place, surroundings: { env, file: null }, path });
  const single = [...overrides(configSchema, env, readValue), ...settings(configSchema, env, set, readValue)];
  for (const override of single) {
    order.push(override.name);
    problems = problems.concat(override.problems);
    if (override.tree !== null) layers.push(override.tree);
  }
  return assemble(layers, problems, order);
}

function readFile(
  file: string,
  env: LoadOptions['env'],
): { tree: MappingNode | null; problems: readonly Problem[] } {
  const top: Place = { file, line: null, column: null };
  const content = readTextFile(file);
  if ('problem' in content) return { tree: null, problems: [{ ...top, message: content.problem }] };
  const lines = new LineCounter();
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const { node, problems } = readYaml({
    text: content.text,
    place,
    lines,
    surroundings: { env, file },
    path: [],
  });
  if (node.kind === 'mapping') return { tree: node, problems };
  // An empty file, or one with nothing but comments, changes nothing.
  if (node.kind === 'scalar' && (node.origin === 'empty' || node.origin === 'broken'))
    return { tree: null, problems };
  return {
    tree: null,
    problems: [...problems, { ...node.place, message: 'the file must be a mapping of keys to values' }],
  };
}

interface Source {
  readonly text: string;
  /** Where an offset of the text is. */
  readonly place: (offset: number) => Place;
  readonly lines?: LineCounter;
  readonly surroundings: Surroundings;
  /** Where the value belongs in the configuration. */
  readonly path: Path;
}

function readYaml({ text, place, lines, surroundings, path }: Source): ReadValue {
  const broken = (problems: readonly Problem[]) => ({ node: scalar(place(0), null, 'broken'), problems });
  const options = {
    lineCounter: lines ?? new LineCounter(),
    prettyErrors: false,
    stringKeys: true,
    strict: true,
    // Keys given twice are found below, in linear time.
    uniqueKeys: false,
    // Not 'silent': that would let a second document pass unheard.
    logLevel: 'error',
  } as const;
  let document: ReturnType<typeof parseDocument>;
  try {
    document = parseDocument(text, options);
  } catch {
    return broken([{ ...place(0), message: 'is not YAML that can be read; is it nested too deeply?' }]);
  }
  if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== '1.2') {
    return broken([{ ...place(0), message: 'must be YAML 1.2' }]);
  }
  const syntax = [...document.errors, ...document.warnings];
  if (syntax.length > 0) {
    return broken(
      syntax.map((error) => ({ ...place(error.pos[0]), message: describeSyntax(error.code, error.message) })),
    );
  }
  const reader = new TreeReader(place, surroundings);
  return { node: reader.read(document.contents, path, place(0), false), problems: reader.problems };
}

function describeSyntax(code: string, message: string): string {
  if (code === 'MULTIPLE_DOCS') return 'a file holds one document; remove the "---" and what follows';
  if (code === 'TAG_RESOLVE_FAILED') return 'unknown tag; only plain values are read';
  if (message.startsWith('Maximum call stack')) return 'nested too deeply';
  return (message.split('\n')[0] ?? message).slice(0, 200);
}

/** Bounds on what a document may become: YAML can say much with little. */
const MAX_DEPTH = 64;
const MAX_ALIASED_NODES = 10_000;

class TreeReader {
  readonly problems: Problem[] = [];
  readonly #place: (offset: number) => Place;
  readonly #surroundings: Surroundings;
  /** The latest anchor of each name, in the order of the document. */
  readonly #anchors = new Map<string, Node>();
  #aliasedNodes = 0;

  constructor(place: (offset: number) => Place, surroundings: Surroundings) {
    this.#place = place;
    this.#surroundings = surroundings;
  }

  /** @param near the place of what has none of its own: a key without a value */
  read(node: Node | null, path: Path, near: Place, aliased: boolean): TreeNode {
    if (node === null) return scalar(near, null, 'empty');
    const here = node.range ? this.#place(node.range[0]) : near;
    if (path.length > MAX_DEPTH) return this.#fail(here, `nested deeper than ${MAX_DEPTH} levels`);
    if (aliased && ++this.#aliasedNodes > MAX_ALIASED_NODES) {
      return this.#fail(here, 'aliases make the document too large');
    }
    if (isAlias(node)) {
      const anchor = this.#anchors.get(node.source);
      if (anchor !== undefined) return this.read(anchor, path, here, true);
      return this.#fail(here, 'there is no anchor of that name above; quote a text that begins with *');
    }
    if (typeof node.anchor === 'string' && !aliased) this.#anchors.set(node.anchor, node);
    if (isSeq<Node | null>(node)) {
      const items = node.items.map((item, i) => this.read(item, [...path, i], here, aliased));
      return { kind: 'list', place: here, items };
    }
    if (isMap<Node, Node | null>(node)) return this.#mapping(node, path, here, aliased);
    return isScalar(node)
      ? this.#scalar(node.value, node.source, path, here)
      : this.#fail(here, 'is not a value');
  }

  #mapping({ items }: YAMLMap<Node, Node | null>, path: Path, here: Place, aliased: boolean): TreeNode {
    const entries = new Map<string, Entry>();
    for (const { key, value } of items) {
      const place = key.range ? this.#place(key.range[0]) : here;
      const name = isScalar(key) ? String(key.value) : null;
      const refusal = refuseKey(name, entries);
      if (name === null || refusal !== null) this.#fail(place, refusal ?? '');
      else entries.set(name, { place, node: this.read(value, [...path, name], place, aliased) });
    }
    return { kind: 'mapping', place: here, entries };
  }

  #scalar(value: unknown, source: string | undefined, path: Path, here: Place): TreeNode {
    if (value === null)
      return scalar(here, null, source === undefined || source === '' ? 'empty' : 'literal');
    if (typeof value === 'number' || typeof value === 'boolean') return scalar(here, value, 'literal');
    if (typeof value !== 'string') return this.#fail(here, `${formatPath(path)} is not a value`);
    const result = interpolate(value, this.#surroundings);
    if ('problem' in result) return this.#fail(here, `${formatPath(path)} ${result.problem}`.trimStart());
    return result.resolved
      ? resolvedScalar(here, result.text, result.parts)
      : scalar(here, result.text, 'literal');
  }

  #fail(place: Place, message: string): TreeNode {
    this.problems.push({ ...place, message });
    return scalar(place, null, 'broken');
  }
}

function refuseKey(name: string | null, entries: ReadonlyMap<string, Entry>): string | null {
  if (name === null) return 'a key must be a text';
  if (name === '<<') return 'merge keys (<<) are not read; write the keys out';
  if (name === '__proto__' || name === 'constructor' || name === 'prototype')
    return `the key "${name}" is not allowed`;
  return entries.has(name) ? `the key ${JSON.stringify(name.slice(0, 60))} is given twice` : null;
}
