/**
 * The schema of the configuration as JSON Schema (draft 2020-12), for editors: the same keys, defaults and bounds,
 * with what each is for.
 *
 * Rules: what the loader accepts is accepted; of what it refuses, unknown keys, wrong types, missing keys, words that are
 * none of the choices, and numbers out of bounds are refused here, too. What only a program can judge (two keys
 * together, a host, a file) is left to `outrigger check`. A value may be taken from the environment or a file
 * wherever a single value belongs. Pure.
 */
import { LIST_MAX } from './field.ts';
import { configSchema } from './schema.ts';
import { type Schema, shapeOf } from './shape.ts';

type Json = Record<string, unknown>;

const REFERENCE = { $ref: '#/$defs/reference' };

export function jsonSchema(): Json {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Outrigger',
    ...schemaOf(configSchema),
    $defs: {
      reference: {
        type: 'string',
        pattern: '\\$\\{[^{}]+\\}',
        description:
          // biome-ignore lint/suspicious/noTemplateCurlyInString: it is written so
          'From outside the file: ${NAME}, ${NAME:-default} or ${file:PATH}.',
      },
    },
  };
}

/** `inherits`: what is left out has another default than its key says. `inItem`: it is an item of a list. */
function schemaOf(schema: Schema, inherits = false, inItem = false): Json {
  const shape = shapeOf(schema);
  const { nullable } = shape;
  const json: Json = { description: shape.description };
  switch (shape.kind) {
    case 'mapping': {
      const required = Object.entries(shape.keys).filter(([, key]) => shapeOf(key).default === undefined);
      json['type'] = nullable ? ['object', 'null'] : 'object';
      json['properties'] = Object.fromEntries(
        Object.entries(shape.keys).map(([key, below]) => [
          key,
          schemaOf(below, inherits || (inItem && key === 'policy')),
        ]),
      );
      if (required.length > 0) json['required'] = required.map(([key]) => key);
      json['additionalProperties'] = false;
      break;
    }
    case 'record':
      json['type'] = nullable ? ['object', 'null'] : 'object';
      json['additionalProperties'] = schemaOf(shape.value, inherits);
      break;
    case 'list':
      json['type'] = nullable ? ['array', 'null'] : 'array';
      json['items'] = schemaOf(shape.item, inherits, true);
      json['maxItems'] = LIST_MAX;
      break;
    default: {
      const { expected, json: own, secret } = shape.field;
      json['description'] = `${shape.description} Expected: ${expected}${nullable ? ', or null' : ''}.`;
      if (secret === true) json['writeOnly'] = true;
      // Any text may be a reference already.
      const anyText = own['type'] === 'string' && own['pattern'] === undefined;
      const alternatives = [own, ...(anyText ? [] : [REFERENCE]), ...(nullable ? [{ type: 'null' }] : [])];
      if (alternatives.length === 1) Object.assign(json, own);
      else json['anyOf'] = alternatives;
    }
  }
  // A section that may be left out has the defaults of its keys.
  if (shape.default !== undefined && !inherits && (shape.kind !== 'mapping' || shape.default === null))
    json['default'] = shape.default;
  return json;
}
