/**
 * The command line as a value: which command, with what. It decides nothing else and reads no file.
 */
import { parseArgs } from 'node:util';
import { nearest } from '../config/nearest.ts';

export type Arguments =
  | { readonly command: 'run' | 'check' | 'env'; readonly files: readonly string[] }
  | { readonly command: 'help' | 'version' }
  /** One line for standard error; the exit code is 2. */
  | { readonly command: 'wrong'; readonly message: string };

const COMMANDS = ['run', 'check', 'env', 'help'] as const;
const OPTIONS = ['--config', '--help', '--version'];

const wrong = (what: string): Arguments => ({
  command: 'wrong',
  message: `outrigger: ${what} (see outrigger --help)`,
});

const meant = (near: string | null): string => (near === null ? '' : `; did you mean ${near}?`);

/** @param argv without the program: `process.argv.slice(2)` */
export function parseArguments(argv: readonly string[]): Arguments {
  // Not strict: a message of our own names what was meant.
  const { tokens } = parseArgs({
    args: [...argv],
    options: {
      config: { type: 'string', multiple: true },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
    strict: false,
    tokens: true,
  });
  const files: string[] = [];
  const words: string[] = [];
  let asked: 'help' | 'version' | null = null;
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const { name, rawName, value } = token;
    if (name === 'config') {
      if (value === undefined || value === '' || value.startsWith('--'))
        return wrong('--config needs the name of a file');
      files.push(value);
    } else if (name === 'help' || name === 'version') {
      if (value !== undefined) return wrong(`${rawName} takes no value`);
      asked ??= name;
    } else return wrong(`unknown option ${rawName}${meant(nearest(rawName, OPTIONS))}`);
  }
  if (asked !== null) return { command: asked };
  return commandOf(words, files);
}

function commandOf([word = 'run', ...rest]: readonly string[], files: readonly string[]): Arguments {
  const command = COMMANDS.find((name) => name === word);
  if (command === undefined) {
    const near = nearest(word, COMMANDS);
    const advice = near === null ? `; the commands are ${COMMANDS.join(', ')}` : meant(near);
    return wrong(`unknown command ${JSON.stringify(word)}${advice}`);
  }
  if (command === 'help') return { command };
  const [first] = rest;
  if (first === undefined) return { command, files };
  return wrong(`${command} takes no ${JSON.stringify(first)}; files are given with --config FILE`);
}
