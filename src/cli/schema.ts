/** `outrigger schema`: the JSON Schema of the configuration, for editors. It reads nothing. */
import { jsonSchema } from '../config/json-schema.ts';
import { DONE } from './exit-code.ts';
import type { Output } from './invalid-configuration.ts';

/** As it is checked in beside the examples. */
export const schemaText = (): string => `${JSON.stringify(jsonSchema(), null, 2)}\n`;

export function printSchema(out: Output): number {
  out.write(schemaText());
  return DONE;
}
