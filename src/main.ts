#!/usr/bin/env node
/** Arguments, standard streams, exit code; no logic. */
import './cli/no-debugger.ts';
import { readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { parseArguments } from './cli/arguments.ts';
import { check } from './cli/check.ts';
import { printEnv } from './cli/env.ts';
import { DONE, INVALID } from './cli/exit-code.ts';
import { HELP } from './cli/help.ts';
import { printSchema } from './cli/schema.ts';
import { crashOnUnhandledErrors } from './cli/unhandled-errors.ts';
import { wait } from './cli/wait.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const { stdout: out, stderr: err } = process;
/** As given: what this process changes of its own is not for its child. */
const env = { ...process.env };
// Names are resolved on half of these threads, and each slow one holds its thread: with the usual four, two
// names that nobody answers would stall every other. It is read when the first thread is needed.
process.env['UV_THREADPOOL_SIZE'] ??= '64';

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
    case 'explain': {
      const { explain } = await import('./cli/explain.ts');
      return explain({ ...args, env }, out, err);
    }
    case 'diff': {
      const { diff } = await import('./cli/diff.ts');
      return diff({ ...args, env }, process.stdin, out, err);
    }
    case 'schema':
      return printSchema(out);
    // The sidecar is loaded by whoever starts one: a health check has no use for it.
    case 'run': {
      const { run } = await import('./cli/run.ts');
      return run({ files: args.files, set: args.set, env, version, terminal: isatty(1), err });
    }
    case 'exec': {
      const { exec } = await import('./cli/exec.ts');
      const { files, set, argv: command } = args;
      return exec({ files, set, command, env, version, terminal: isatty(2), err });
    }
    case 'wait':
      return wait({ files: args.files, set: args.set, env, err, timeoutMs: args.timeoutMs });
    case 'wrong':
      err.write(`${args.message}\n`);
      return INVALID;
  }
}

crashOnUnhandledErrors();
// Nobody reads any more: then there is nothing to say, and nothing to stumble over.
for (const stream of [out, err]) stream.on('error', () => {});

const code = await main();
// A pipe takes 64 KiB at once; what is more than that waits for its reader.
if (out.writableLength > 0) await new Promise((resolve) => out.write('', resolve));
// What is still being resolved or closed does not hold the process back.
process.exit(code);
