/**
 * `outrigger diff OLD NEW`: what a change of the configuration changes, and with `--log` for which exchanges. It
 * starts nothing.
 *
 * Exit codes are those of diff(1): 0 nothing changes, 1 something does, 2 trouble.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { LoadedConfig } from '../config/assembly.ts';
import { type LoadOptions, loadConfig } from '../config/load.ts';
import { diffConfigs, diffText, isSame } from '../explanation/config-diff.ts';
import { Decider } from '../explanation/decider.ts';
import { LogReplay, type ReplayReport, replayText } from '../explanation/log-replay.ts';
import { DIFFERENT, DONE, INVALID } from './exit-code.ts';
import { type Output, reportInvalid } from './invalid-configuration.ts';

export interface DiffOptions extends Omit<LoadOptions, 'files'> {
  /** Files, separated by `:`; '' is no file, only defaults. */
  readonly before: string;
  readonly after: string;
  /** A file, or `-`; null: none. */
  readonly log: string | null;
  readonly json: boolean;
}

export async function diff(
  { before, after, log, json, env, set = [] }: DiffOptions,
  input: Readable,
  out: Output,
  err: Output,
): Promise<number> {
  const loaded = [before, after].map((names) => load(names, { env, set }, err));
  const [old, now] = loaded;
  if (!old || !now) return INVALID;
  const found = diffConfigs(old, now);
  let replayed: ReplayReport | null = null;
  if (log !== null) {
    const replay = new LogReplay(new Decider(old.config), new Decider(now.config));
    try {
      const source = log === '-' ? input : createReadStream(log);
      for await (const line of createInterface({ input: source, crlfDelay: Number.POSITIVE_INFINITY }))
        replay.take(line);
    } catch (error) {
      err.write(`outrigger: ${log}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}\n`);
      return INVALID;
    }
    replayed = replay.report();
  }
  if (json) out.write(`${JSON.stringify({ ...found, log: replayed }, null, 2)}\n`);
  else {
    out.write(diffText(found));
    if (replayed !== null) out.write(replayText(replayed));
  }
  return isSame(found) ? DONE : DIFFERENT;
}

/** Null: it is not valid, which has been said. */
function load(names: string, options: Omit<LoadOptions, 'files'>, err: Output): LoadedConfig | null {
  try {
    // Without the variable that names files in the place of those that are given.
    const { OUTRIGGER_CONFIG: _, ...env } = options.env;
    return loadConfig({ ...options, env, files: names.split(':').filter((name) => name !== '') });
  } catch (error) {
    reportInvalid(error, err);
    return null;
  }
}
