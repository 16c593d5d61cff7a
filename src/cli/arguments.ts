/**
 * The command line as a value: which command, with what. It decides nothing else and reads no file.
 */
import { parseArgs } from 'node:util';
import { nearest } from '../config/nearest.ts';
import { parseDuration } from '../config/units.ts';

export type Arguments =
  | { readonly command: 'run' | 'check' | 'env'; readonly files: readonly string[] }
  /** `argv`: the command of the application with its arguments; at least one. */
  | { readonly command: 'exec'; readonly files: readonly string[]; readonly argv: readonly string[] }
  | { readonly command: 'wait'; readonly files: readonly string[]; readonly timeoutMs: number }
  | { readonly command: 'help' | 'version' }
  /** One line for standard error; the exit code is 2. */
  | { readonly command: 'wrong'; readonly message: string };

const COMMANDS = ['run', 'check', 'env', 'exec', 'wait', 'help'] as const;
const OPTIONS = ['--config', '--timeout', '--help', '--version'];

/** How long `wait` waits where nothing is said. */
const WAIT_MS = 10_000;

const wrong = (what: string): Arguments => ({
  command: 'wrong',
  message: `outrigger: ${what} (see outrigger --help)`,
});

const meant = (near: string | null): string => (near === null ? '' : `; did you mean ${near}?`);

/** @param given without the program: `process.argv.slice(2)` */
export function parseArguments(given: readonly string[]): Arguments {
  // Not strict: a message of our own names what was meant.
  const { tokens } = parseArgs({
    args: [...given],
    options: {
      config: { type: 'string', multiple: true },
      timeout: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
    strict: false,
    tokens: true,
  });
  const files: string[] = [];
  const words: string[] = [];
  let argv: readonly string[] | null = null;
  let timeoutMs: number | null = null;
  let asked: 'help' | 'version' | null = null;
  for (const token of tokens) {
    // What follows is not ours to read, if it is a command.
    if (token.kind === 'option-terminator' && words[0] === 'exec') {
      argv = given.slice(token.index + 1);
      break;
    }
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const { name, rawName, value } = token;
    if (name === 'config') {
      if (value === undefined || value === '' || value.startsWith('--'))
        return wrong('--config needs the name of a file');
      files.push(value);
    } else if (name === 'timeout') {
      timeoutMs = value === undefined ? null : parseDuration(value);
      if (timeoutMs === null) return wrong('--timeout needs a duration, such as 500ms, 10s or 1m');
    } else if (name === 'help' || name === 'version') {
      if (value !== undefined) return wrong(`${rawName} takes no value`);
      asked ??= name;
    } else return wrong(`unknown option ${rawName}${meant(nearest(rawName, OPTIONS))}`);
  }
  if (asked !== null) return { command: asked };
  return commandOf(words, { files, argv, timeoutMs });
}

interface Given {
  readonly files: readonly string[];
  /** Null: there was no `--`. */
  readonly argv: readonly string[] | null;
  readonly timeoutMs: number | null;
}

function commandOf([word = 'run', ...rest]: readonly string[], { files, argv, timeoutMs }: Given): Arguments {
  const command = COMMANDS.find((name) => name === word);
  if (command === undefined) {
    const near = nearest(word, COMMANDS);
    const advice = near === null ? `; the commands are ${COMMANDS.join(', ')}` : meant(near);
    return wrong(`unknown command ${JSON.stringify(word)}${advice}`);
  }
  if (command === 'help') return { command };
  if (timeoutMs !== null && command !== 'wait') return wrong(`${command} takes no --timeout`);
  const [first] = rest;
  if (command === 'exec') {
    if (first !== undefined || argv === null || argv.length === 0 || argv[0] === '')
      return wrong('exec needs its command after --: outrigger exec -- COMMAND');
    return { command, files, argv };
  }
  if (first === undefined)
    return command === 'wait' ? { command, files, timeoutMs: timeoutMs ?? WAIT_MS } : { command, files };
  return wrong(`${command} takes no ${JSON.stringify(first)}; files are given with --config FILE`);
}
