/**
 * Text to tree: the only file that knows YAML; and the way of a whole configuration, from the names of its
 * files to frozen values.
 *
 * What YAML offers beyond values is refused where it surprises: merge keys, tags, several documents, keys
 * given twice. Aliases are allowed within bounds.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { Config } from './config.ts';
import { effectiveConfig } from './effective.ts';
import { overrides } from './environment.ts';
import { interpolate, type Surroundings } from './interpolation.ts';
import { inheritPolicy, merge, type Provenance, traceProvenance } from './layers.ts';
import { ConfigError, type Place, type Problem, sortProblems } from './problem.ts';
import { configSchema } from './schema.ts';
import { readTextFile } from './text-file.ts';
import { type Entry, type MappingNode, mapping, scalar, type TreeNode } from './tree.ts';
import { validate } from './validation.ts';

export interface LoadOptions {
  /** The files of the command line, in order. Empty: those of OUTRIGGER_CONFIG, or none. */
  readonly files: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether standard output is a terminal: then `log.format` is `pretty` unless something else is said. */
  readonly terminal?: boolean;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly provenance: Provenance;
}

/** Every file, in order: those given, else those of OUTRIGGER_CONFIG (separated by `:`), else none. */
export function configFiles(files: readonly string[], env: LoadOptions['env']): string[] {
  if (files.length > 0) return [...files];
  return (env['OUTRIGGER_CONFIG'] ?? '').split(':').filter((name) => name !== '');
}

/**
 * Defaults < files in order < environment.
 * @throws ConfigError with every problem of every source
 */
export function loadConfig({ files, env, terminal = false }: LoadOptions): LoadedConfig {
  const names = configFiles(files, env);
  const problems: Problem[] = [];
  const layers: MappingNode[] = [baseLayer(terminal)];
  const order = [...names];
  for (const file of names) {
    const read = readFile(file, env);
    problems.push(...read.problems);
    if (read.tree !== null) layers.push(read.tree);
  }
  const readValue = (text: string, place: Place) => readYaml(text, () => place, { env, file: null });
  for (const override of overrides(configSchema, env, readValue)) {
    order.push(override.name);
    problems.push(...override.problems);
    if (override.tree !== null) layers.push(override.tree);
  }
  const whole = inheritPolicy(layers.reduce<TreeNode>(merge, layers[0] as MappingNode) as MappingNode);
  const { settings, problems: last } = validate(whole, false);
  // A route's inherited values are reported once, as the default policy's.
  const reported = new Set<string>();
  for (const layer of layers) {
    for (const problem of validate(layer, true).problems) {
      problems.push(problem);
      reported.add(JSON.stringify([problem.file, problem.line, problem.column]));
    }
  }
  for (const problem of last) {
    const place = JSON.stringify([problem.file, problem.line, problem.column]);
    if (!reported.has(place)) problems.push(problem);
    reported.add(place);
  }
  if (problems.length > 0 || settings === null) throw new ConfigError(sortProblems(problems, order));
  return { config: effectiveConfig(settings), provenance: traceProvenance(configSchema, whole) };
}

const DEFAULT: Place = { file: 'default', line: null, column: null };

function baseLayer(terminal: boolean): MappingNode {
  if (!terminal) return mapping(DEFAULT);
  const format = { place: DEFAULT, node: scalar(DEFAULT, 'pretty', 'literal') };
  return mapping(DEFAULT, [['log', { place: DEFAULT, node: mapping(DEFAULT, [['format', format]]) }]]);
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
  const { node, problems } = readYaml(content.text, place, { env, file }, lines);
  if (node.kind === 'mapping') return { tree: node, problems };
  // An empty file, or one with nothing but comments, changes nothing.
  if (node.kind === 'scalar' && (node.origin === 'empty' || node.origin === 'broken'))
    return { tree: null, problems };
  return {
    tree: null,
    problems: [...problems, { ...node.place, message: 'the file must be a mapping of keys to values' }],
  };
}

/** Bounds on what a document may become: YAML can say much with little. */
const MAX_DEPTH = 64;
const MAX_ALIASED_NODES = 10_000;

interface Reading {
  readonly place: (offset: number) => Place;
  readonly surroundings: Surroundings;
  readonly problems: Problem[];
  /** The latest anchor of each name, in the order of the document. */
  readonly anchors: Map<string, Node>;
  aliased: number;
}

function readYaml(
  text: string,
  place: (offset: number) => Place,
  surroundings: Surroundings,
  lineCounter = new LineCounter(),
): { node: TreeNode; problems: readonly Problem[] } {
  const broken = (problems: readonly Problem[]) => ({ node: scalar(place(0), null, 'broken'), problems });
  // Keys given twice are found below, in linear time.
  const options = {
    lineCounter,
    prettyErrors: false,
    stringKeys: true,
    strict: true,
    uniqueKeys: false,
    logLevel: 'silent',
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
  const reading: Reading = { place, surroundings, problems: [], anchors: new Map(), aliased: 0 };
  const node = treeOf(document.contents, reading, place(0), 0, false);
  return { node, problems: reading.problems };
}

function describeSyntax(code: string, message: string): string {
  if (code === 'MULTIPLE_DOCS') return 'a file holds one document; remove the "---" and what follows';
  if (code === 'TAG_RESOLVE_FAILED') return 'unknown tag; only plain values are read';
  return message.split('\n')[0] ?? message;
}

function treeOf(node: Node | null, reading: Reading, near: Place, depth: number, aliased: boolean): TreeNode {
  const here = node?.range ? reading.place(node.range[0]) : near;
  const fail = (message: string): TreeNode => {
    reading.problems.push({ ...here, message });
    return scalar(here, null, 'broken');
  };
  if (node === null) return scalar(here, null, 'empty');
  if (depth > MAX_DEPTH) return fail(`nested deeper than ${MAX_DEPTH} levels`);
  if (aliased && ++reading.aliased > MAX_ALIASED_NODES) return fail('aliases make the document too large');
  if (isAlias(node)) {
    const anchor = reading.anchors.get(node.source);
    if (anchor === undefined)
      return fail(`there is no anchor &${node.source} above; quote the text if it is not an alias`);
    return treeOf(anchor, reading, here, depth + 1, true);
  }
  if ('anchor' in node && typeof node.anchor === 'string' && !aliased) reading.anchors.set(node.anchor, node);
  if (isSeq(node)) {
    const items = node.items.map((item) => treeOf(item as Node | null, reading, here, depth + 1, aliased));
    return { kind: 'list', place: here, items };
  }
  if (isMap(node)) {
    const entries = new Map<string, Entry>();
    for (const { key, value } of node.items) {
      const place = (key as Node | null)?.range ? reading.place((key as Node).range?.[0] ?? 0) : here;
      const name = isScalar(key) ? String(key.value) : null;
      const refusal = refuseKey(name, entries);
      if (name === null || refusal !== null) reading.problems.push({ ...place, message: refusal ?? '' });
      else
        entries.set(name, { place, node: treeOf(value as Node | null, reading, place, depth + 1, aliased) });
    }
    return { kind: 'mapping', place: here, entries };
  }
  return isScalar(node) ? scalarTree(node.value, node.source, here, reading) : fail('is not a value');
}

function refuseKey(name: string | null, entries: ReadonlyMap<string, Entry>): string | null {
  if (name === null) return 'a key must be a text';
  if (name === '<<') return 'merge keys (<<) are not read; write the keys out';
  if (name === '__proto__' || name === 'constructor' || name === 'prototype')
    return `the key "${name}" is not allowed`;
  return entries.has(name) ? `the key ${JSON.stringify(name.slice(0, 60))} is given twice` : null;
}

function scalarTree(value: unknown, source: string | undefined, place: Place, reading: Reading): TreeNode {
  if (value === null && (source ?? '') === '') return scalar(place, null, 'empty');
  if (typeof value === 'number' || typeof value === 'boolean' || value === null)
    return scalar(place, value, 'literal');
  const result = interpolate(String(value), reading.surroundings);
  if ('text' in result) return scalar(place, result.text, result.resolved ? 'resolved' : 'literal');
  reading.problems.push({ ...place, message: result.problem });
  return scalar(place, null, 'broken');
}
