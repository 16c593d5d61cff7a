#!/usr/bin/env node
/** Arguments, standard streams, exit code; no logic. */
import { readFileSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { isatty } from 'node:tty';

// Without it every start strips the types anew, which costs a third of a second and 25 MB that stay. It lies
// beside the code it was made from, so it is as trustworthy as that; where it cannot be written there is none.
enableCompileCache(new URL('../node_modules/.cache/outrigger/', import.meta.url).pathname);

// What is imported from here on is cached.
const { parseArguments } = await import('./cli/arguments.ts');
const { check } = await import('./cli/check.ts');
const { DONE, INVALID } = await import('./cli/exit-code.ts');
const { HELP } = await import('./cli/help.ts');
const { run } = await import('./cli/run.ts');
flushCompileCache();

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
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
      return check(args.files, env, out, err);
    case 'run':
      return run({ files: args.files, env, version, terminal: isatty(1), err });
    case 'wrong':
      err.write(`${args.message}\n`);
      return INVALID;
  }
}

process.exitCode = await main();
