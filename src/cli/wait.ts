/**
 * `outrigger wait`: returns when the sidecar of the same configuration is ready, or when the time is up. Asks
 * `/readyz` of `listen.admin`, or of `listen.telemetry` where the former takes any free port. It starts
 * nothing, and is what a health check of a container runs.
 *
 * Rules: it always asks once, however short the time; it speaks to the address itself, whatever the
 * environment says of proxies.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ListenAddress } from '../config/config.ts';
import { type LoadOptions, loadConfig } from '../config/load.ts';
import { formatDuration } from '../config/units.ts';
import { request } from '../node-http.ts';
import { reachable } from './application-environment.ts';
import { DONE, FAILED, INVALID } from './exit-code.ts';
import { type Output, reportInvalid } from './invalid-configuration.ts';

/** Between two questions, milliseconds. */
const PAUSE_MS = 50;
/** The longest wait for one answer, milliseconds; a sidecar that is well answers within one. */
const ANSWER_MS = 1_000;

export interface WaitOptions {
  readonly files: readonly string[];
  readonly set?: readonly string[];
  readonly env: LoadOptions['env'];
  readonly err: Output;
  /** The longest wait in all. */
  readonly timeoutMs: number;
}

/** @returns the exit code: 0 ready, 1 not ready in time, 2 nobody can know whom to ask */
export async function wait({ files, set = [], env, err, timeoutMs }: WaitOptions): Promise<number> {
  let address: ListenAddress | null;
  try {
    // Not inspected: whoever asks need not be able to read the keys that it names.
    const { admin, telemetry } = loadConfig({ files, env, set }).config.listen;
    address = [admin, telemetry].find((one) => one !== null && one.port !== 0) ?? null;
  } catch (error) {
    return reportInvalid(error, err);
  }
  if (address === null) {
    err.write('outrigger: listen.admin takes any free port (0), which nobody can know from outside\n');
    return INVALID;
  }
  const end = performance.now() + timeoutMs;
  for (;;) {
    const left = end - performance.now();
    const answer = await ask(address, Math.min(Math.max(left, PAUSE_MS), ANSWER_MS));
    if (answer === 'ready') return DONE;
    if (performance.now() + PAUSE_MS >= end) {
      const { host, port } = address;
      const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
      err.write(`outrigger: not ready after ${formatDuration(timeoutMs)}: ${where} ${answer}\n`);
      return FAILED;
    }
    await sleep(PAUSE_MS);
  }
}

/** `ready`, or what it does instead: completes a sentence that begins with the address. */
function ask(address: ListenAddress, withinMs: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const asked = request({
    host: reachable(address),
    port: address.port,
    path: '/readyz',
    // Of its own: the shared one may go through a proxy.
    agent: false,
    signal: AbortSignal.timeout(Math.ceil(withinMs)),
  });
  asked.on('response', (response) => {
    response.resume();
    resolve(response.statusCode === 200 ? 'ready' : `answers ${response.statusCode}`);
    asked.destroy();
  });
  asked.on('error', (error: NodeJS.ErrnoException) => {
    if (error.name === 'AbortError') resolve('does not answer');
    else
      resolve(error.code === 'ECONNREFUSED' ? 'refuses connections' : `fails: ${error.code ?? error.name}`);
  });
  asked.end();
  return promise;
}
