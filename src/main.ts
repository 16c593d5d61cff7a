#!/usr/bin/env node
/** Arguments, standard streams, exit code; no logic. */
import './cli/no-debugger.ts';
import { readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { parseArguments } from './cli/arguments.ts';
import { check } from './cli/check.ts';
import { diff } from './cli/diff.ts';
import { printEnv } from './cli/env.ts';
import { DONE, INVALID } from './cli/exit-code.ts';
import { explain } from './cli/explain.ts';
import { HELP } from './cli/help.ts';
import { run } from './cli/run.ts';
import { printSchema } from './cli/schema.ts';
import { crashOnUnhandledErrors } from './cli/unhandled-errors.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
// Names are resolved on half of these threads, and each slow one holds its thread: with the usual four, two
// names that nobody answers would stall every other. It is read when the first thread is needed.
process.env['UV_THREADPOOL_SIZE'] ??= '64';

const { env, stdout: out, stderr: err } = process;

async function main(): Promise<number> {
  const args = parseArguments(process.argv.slice(2));
  switch (args.command) {
    case 'help':
      out.write(HELP);
      return DONE;
    case 'version':
      out.write(`outrigger ${version}\n`);
      return DONE;
    case 'check':
      return check(args.files, env, out, err, args.set);
    case 'env':
      return printEnv(args.files, env, out, err, args.set);
    case 'explain':
      return explain({ ...args, env }, out, err);
    case 'diff':
      return diff({ ...args, env }, process.stdin, out, err);
    case 'schema':
      return printSchema(out);
    case 'run':
      return run({ ...args, env, version, terminal: isatty(1), err });
    case 'wrong':
      err.write(`${args.message}\n`);
      return INVALID;
  }
}

crashOnUnhandledErrors();
// Nobody reads any more: then there is nothing to say, and nothing to stumble over.
for (const stream of [out, err]) stream.on('error', () => {});

// What is still being resolved or closed does not hold the process back.
process.exit(await main());
