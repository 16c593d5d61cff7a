/**
 * The options of a program beside the tests (the demo, the soak, the scenarios, the benchmarks): `--help` prints how it
 * is called and ends with 0, what it does not know is named above the same line, and ends with 2.
 */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

/** `usage` is the call without the options that every program has. */
export function readOptions<const T extends ParseArgsOptionsConfig>(usage: string, options: T) {
  if (process.argv.slice(2).some((argument) => argument === '--help' || argument === '-h')) {
    console.log(`usage: ${usage}`);
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return wrongUsage((error as Error).message, usage);
  }
}

export function wrongUsage(problem: string, usage: string): never {
  console.error(`${problem}\nusage: ${usage}`);
  process.exit(2);
}
