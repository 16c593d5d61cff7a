/**
 * `outrigger run`: configuration, listeners, signals. What can be wrong before the first exchange (a
 * value, a file, a port) is one clear line and exit code 2, and nothing stays half started.
 */

import type { ListenAddress } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { ConfigError, formatProblem } from '../config/problem.ts';
import { Sidecar } from '../sidecar.ts';
import { createLog } from '../telemetry/log.ts';
import type { Output } from './check.ts';
import { DONE, FAILED, INVALID } from './exit-code.ts';

export interface RunOptions {
  readonly files: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly terminal: boolean;
  readonly err: Output;
}

function print({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function listenProblem(error: NodeJS.ErrnoException & { address?: string; port?: number }): string {
  const where = error.port === undefined ? 'its address' : `${error.address}:${error.port}`;
  const why =
    error.code === 'EADDRINUSE'
      ? 'the address is in use'
      : error.code === 'EACCES'
        ? 'not permitted (ports below 1024 need a privilege)'
        : (error.code ?? error.message);
  return `outrigger: cannot listen on ${where}: ${why}; see listen.proxy, listen.admin and listen.telemetry`;
}

/** Resolves with the exit code once the sidecar has ended. */
export async function run({ files, env, version, terminal, err }: RunOptions): Promise<number> {
  let config: ReturnType<typeof loadConfig>['config'];
  try {
    config = loadConfig({ files, env, terminal }).config;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) err.write(`${formatProblem(problem)}\n`);
    return INVALID;
  }
  const sink = createLog({ level: config.log.level, format: config.log.format });
  const sidecar = new Sidecar(config, version, sink);
  try {
    const { proxy, admin, telemetry } = await sidecar.start();
    sink.log.info(
      {
        version,
        proxy: print(proxy),
        admin: print(admin),
        telemetry: telemetry ? print(telemetry) : null,
        files,
      },
      'ready',
    );
  } catch (error) {
    err.write(`${listenProblem(error as NodeJS.ErrnoException)}\n`);
    return INVALID;
  }
  const signal = await firstSignal();
  process.once('SIGTERM', () => endAtOnce(sink));
  process.once('SIGINT', () => endAtOnce(sink));
  sink.log.info({ signal }, 'draining');
  sink.flush();
  const end = await sidecar.drain();
  await sidecar.stop();
  sink.log.info({ end }, 'stopped');
  sink.flush();
  return DONE;
}

function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const on = (signal: NodeJS.Signals): void => {
      process.off('SIGTERM', on);
      process.off('SIGINT', on);
      resolve(signal);
    };
    process.on('SIGTERM', on);
    process.on('SIGINT', on);
  });
}

function endAtOnce(sink: { flush(): void }): void {
  sink.flush();
  process.exit(FAILED);
}
