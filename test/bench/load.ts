/**
 * The load of a round, in a process of its own. Closed: so many connections, one request at a time on each, by
 * wrk where it is installed. Paced: so many requests per second, however long the answers take, and each is timed from
 * the moment when it was due, so that a wait for one counts for all that it held up.
 */
import { spawnSync } from 'node:child_process';
import type { Ground } from './ground.ts';

const WRK = spawnSync('wrk', ['-v']).error === undefined;
export const LOADER = WRK ? 'wrk' : 'own closed loop (wrk is not installed)';

export interface LoadSpec {
  readonly port: number;
  /** As bytes; sent in turn. */
  readonly requests: readonly string[];
  readonly connections: number;
  readonly seconds: number;
}

/** Latencies are milliseconds. */
export interface Load {
  readonly exchanges: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Answered with 400 or more. */
  readonly refused: number;
  /** Without an answer. */
  readonly broken: number;
}

export async function runLoad(ground: Ground, spec: LoadSpec): Promise<Load> {
  return WRK ? runWrk(ground, spec) : runOwn(ground, 'closed-load.ts', spec);
}

export async function runPaced(ground: Ground, spec: LoadSpec & { readonly rate: number }): Promise<Load> {
  return runOwn(ground, 'paced-load.ts', spec);
}

export const scriptOf = (name: string): string => new URL(`processes/${name}`, import.meta.url).pathname;

async function runOwn(ground: Ground, script: string, spec: LoadSpec): Promise<Load> {
  const file = ground.file('load.json', JSON.stringify(spec));
  const text = await ground.output({
    name: script,
    on: 'load',
    command: [process.execPath, scriptOf(script), file],
  });
  return JSON.parse(text) as Load;
}

const DONE = `
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"exchanges":%d,"seconds":%f,"p50":%f,"p99":%f,"p999":%f,"refused":%d,"broken":%d}\\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout))
end
`;

async function runWrk(ground: Ground, { port, requests, connections, seconds }: LoadSpec): Promise<Load> {
  const [only] = requests;
  // What is always the same is made once by wrk; a function is called for each request.
  const choice =
    requests.length === 1 && only !== undefined
      ? `wrk.format = function() return ${lua(only)} end\n`
      : `local all = {\n${requests.map(lua).join(',\n')}\n}\nlocal at = 0\nrequest = function() at = at % #all + 1; return all[at] end\n`;
  const script = ground.file('load.lua', choice + DONE);
  const text = await ground.output({
    name: 'wrk',
    on: 'load',
    command: [
      'wrk',
      '-t1',
      `-c${connections}`,
      `-d${seconds}s`,
      '--timeout',
      '10s',
      '-s',
      script,
      `http://127.0.0.1:${port}/`,
    ],
  });
  const result = /^RESULT (.*)$/m.exec(text)?.[1];
  if (result === undefined) throw new Error(`wrk says nothing of its load: ${text}`);
  return JSON.parse(result) as Load;
}

/** As a literal of Lua. */
function lua(text: string): string {
  const escaped = text.replaceAll(
    /[^ !#-[\]-~]/g,
    (character) => `\\${String(character.charCodeAt(0)).padStart(3, '0')}`,
  );
  return `"${escaped}"`;
}
