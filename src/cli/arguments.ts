/**
 * The command line as a value: which command, with what. It decides nothing else and reads no file.
 */
import { parseArgs } from 'node:util';
import { nearest } from '../config/nearest.ts';
import { parseDuration } from '../config/units.ts';

/** Where the configuration is. */
interface Sources {
  readonly files: readonly string[];
  /** `PATH=VALUE`, in order. */
  readonly set: readonly string[];
}

export type Arguments =
  | ({ readonly command: 'run' | 'check' | 'env' } & Sources)
  /** `argv`: the command of the application with its arguments; at least one. */
  | ({ readonly command: 'exec'; readonly argv: readonly string[] } & Sources)
  | ({ readonly command: 'wait'; readonly timeoutMs: number } & Sources)
  | ({
      readonly command: 'explain';
      readonly method: string;
      readonly url: string;
      readonly client: string | null;
      readonly json: boolean;
    } & Sources)
  | {
      readonly command: 'diff';
      /** Files, separated by `:`. */
      readonly before: string;
      readonly after: string;
      /** Null: none; `-`: standard input. */
      readonly log: string | null;
      readonly set: readonly string[];
      readonly json: boolean;
    }
  | { readonly command: 'help' | 'version' | 'schema' }
  /** One line for standard error; the exit code is 2. */
  | { readonly command: 'wrong'; readonly message: string };

const COMMANDS = ['run', 'check', 'explain', 'diff', 'schema', 'env', 'exec', 'wait', 'help'] as const;
const OPTIONS = ['--config', '--set', '--client', '--log', '--json', '--timeout', '--help', '--version'];

/** How long `wait` waits where nothing is said. */
const WAIT_MS = 10_000;

type Command = (typeof COMMANDS)[number];

/** Options that not every command has. */
const OF: Readonly<Record<string, readonly Command[]>> = {
  config: ['run', 'check', 'env', 'exec', 'wait', 'explain'],
  set: ['run', 'check', 'env', 'exec', 'wait', 'explain', 'diff'],
  timeout: ['wait'],
  client: ['explain'],
  log: ['diff'],
  json: ['explain', 'diff'],
};

/** What must follow the name of an option. */
const NEEDS: Readonly<Record<string, string>> = {
  config: 'the name of a file',
  set: 'PATH=VALUE, such as policy.timeouts.head=2s',
  client: 'the name of a client',
  log: 'the name of a file, or - for standard input',
};

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
      set: { type: 'string', multiple: true },
      client: { type: 'string' },
      log: { type: 'string' },
      timeout: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
    strict: false,
    tokens: true,
  });
  const options: Options = { config: [], set: [], client: [], log: [], json: [], timeout: [] };
  const words: string[] = [];
  let argv: readonly string[] | null = null;
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
    if (name in NEEDS) {
      const bad = value === undefined || value === '' || value.startsWith('--');
      if (bad || (name === 'set' && !/^[^=]+=/.test(value)))
        return wrong(`--${name} needs ${NEEDS[name] ?? ''}`);
      options[name as keyof Options].push(value);
    } else if (name === 'timeout') {
      if (value === undefined || parseDuration(value) === null)
        return wrong('--timeout needs a duration, such as 500ms, 10s or 1m');
      options.timeout.push(value);
    } else if (name === 'help' || name === 'version' || name === 'json') {
      if (value !== undefined) return wrong(`${rawName} takes no value`);
      if (name === 'json') options.json.push('');
      else asked ??= name;
    } else return wrong(`unknown option ${rawName}${meant(nearest(rawName, OPTIONS))}`);
  }
  if (asked !== null) return { command: asked };
  return commandOf(words, options, argv);
}

/** The values of each option, in order. */
type Options = Record<'config' | 'set' | 'client' | 'log' | 'json' | 'timeout', string[]>;

/** `argv` null: there was no `--`. */
function commandOf(
  [word = 'run', ...rest]: readonly string[],
  options: Options,
  argv: readonly string[] | null,
): Arguments {
  const command = COMMANDS.find((name) => name === word);
  if (command === undefined) {
    const near = nearest(word, COMMANDS);
    const advice = near === null ? `; the commands are ${COMMANDS.join(', ')}` : meant(near);
    return wrong(`unknown command ${JSON.stringify(word)}${advice}`);
  }
  if (command === 'help') return { command };
  for (const [name, values] of Object.entries(options)) {
    if (values.length > 0 && OF[name]?.includes(command) !== true)
      return wrong(`${command} takes no --${name}`);
    if (values.length > 1 && (name === 'client' || name === 'log'))
      return wrong(`--${name} can be given once`);
  }
  const { config: files, set, client, log, timeout } = options;
  const json = options.json.length > 0;
  const [first, second] = rest;
  const takes = command === 'explain' || command === 'diff' ? 2 : 0;
  if (command === 'exec') {
    if (first !== undefined || argv === null || argv.length === 0 || argv[0] === '')
      return wrong('exec needs its command after --: outrigger exec -- COMMAND');
    return { command, files, set, argv };
  }
  const extra = rest[takes];
  if (extra !== undefined) {
    const advice = takes === 0 && command !== 'schema' ? '; files are given with --config FILE' : '';
    return wrong(`${command} takes no ${JSON.stringify(extra)}${advice}`);
  }
  switch (command) {
    case 'wait':
      return { command, files, set, timeoutMs: parseDuration(timeout.at(-1) ?? '') ?? WAIT_MS };
    case 'schema':
      return { command };
    case 'explain':
      if (first === undefined || second === undefined)
        return wrong('explain needs a method and a URL, such as GET https://api.example.com/v1');
      return { command, method: first, url: second, client: client[0] ?? null, json, files, set };
    case 'diff':
      if (first === undefined || second === undefined)
        return wrong('diff needs the old and the new file; several are separated by ":"');
      return { command, before: first, after: second, log: log[0] ?? null, set, json };
    default:
      return { command, files, set };
  }
}
