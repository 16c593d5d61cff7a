/**
 * From trees to the configuration: merged, checked, resolved; or every problem at once.
 *
 * Each source is checked by itself as well, so that a wrong value is reported even where another source
 * overrides it. Rules between two keys are judged on the whole only.
 */
import { unknownClients } from './client-schema.ts';
import type { Config } from './config.ts';
import { effectiveConfig } from './effective.ts';
import { resolveFilePaths } from './file-paths.ts';
import { inheritPolicy, merge, type Provenance, traceProvenance } from './layers.ts';
import { at, ConfigError, type Place, type Problem, sortProblems } from './problem.ts';
import { configSchema } from './schema.ts';
import { formatPath, locate, type MappingNode, mapping } from './tree.ts';
import { validate } from './validation.ts';

export interface LoadedConfig {
  readonly config: Config;
  readonly provenance: Provenance;
  /** What was written, merged, before routes inherit anything: for whoever speaks of a place. */
  readonly written: MappingNode;
}

const DEFAULT: Place = { file: 'default', line: null, column: null };

/**
 * @param layers in order of precedence, the weakest first
 * @param unread what went wrong before there was a layer
 * @param order the files and variables in the order in which they were read, for the order of problems
 * @throws ConfigError
 */
export function assemble(
  layers: readonly MappingNode[],
  unread: readonly Problem[],
  order: readonly string[],
): LoadedConfig {
  const problems = [...unread];
  const places = new Set<string>();
  for (const layer of layers) {
    for (const problem of validate(layer, true).problems) {
      problems.push(problem);
      places.add(placeOf(problem));
    }
  }
  const written = resolveFilePaths(layers.reduce(mergeMappings, mapping(DEFAULT)));
  const whole = inheritPolicy(written);
  const { settings, problems: together } = validate(whole, false);
  for (const problem of together) {
    // What a source has wrong by itself, and what a route inherits, is reported once.
    if (!places.has(placeOf(problem))) problems.push(problem);
    places.add(placeOf(problem));
  }
  for (const { route, index, message } of settings ? unknownClients(settings.routes, settings.clients) : []) {
    const path = ['routes', route, 'match', 'clients', index];
    problems.push(at(locate(whole, path).node.place, `${formatPath(path)} ${message}`));
  }
  if (problems.length > 0 || settings === null) throw new ConfigError(sortProblems(problems, order));
  return {
    config: effectiveConfig(settings, whole),
    provenance: traceProvenance(configSchema, whole),
    written,
  };
}

const mergeMappings = (base: MappingNode, over: MappingNode): MappingNode => merge(base, over) as MappingNode;

const placeOf = ({ file, line, column }: Place): string => `${file}:${line}:${column}`;

/** What a terminal changes about the defaults. */
export function terminalDefaults(): MappingNode {
  let tree = mapping(DEFAULT, [
    [
      'format',
      { place: DEFAULT, node: { kind: 'scalar', place: DEFAULT, value: 'pretty', origin: 'literal' } },
    ],
  ]);
  tree = mapping(DEFAULT, [['log', { place: DEFAULT, node: tree }]]);
  return tree;
}
