/**
 * `outrigger run`: configuration, listeners, signals. What can be wrong before the first exchange (a
 * value, a file, a port) is one clear line and exit code 2, and nothing stays half started.
 */

import { trustMachineRoots } from '../certificates/machine-roots.ts';
import { TlsFileError } from '../certificates/tls-files.ts';
import type { ListenAddress } from '../config/config.ts';
import { ConfigError, formatPlace, formatProblem } from '../config/problem.ts';
import type { Loaded } from '../config/source.ts';
import { ListenError, Sidecar, StartError } from '../sidecar.ts';
import { createLog } from '../telemetry/log.ts';
import type { Output } from './check.ts';
import { DONE, FAILED, INVALID, TIMEOUT } from './exit-code.ts';
import { Files } from './files.ts';
import { inspectNodeSettings } from './node-settings.ts';
import { UnhandledErrors } from './unhandled-errors.ts';

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

function listenProblem({ key, address, code }: ListenError): string {
  const why =
    code === 'EADDRINUSE'
      ? 'the address is in use'
      : code === 'EACCES'
        ? 'not permitted (ports below 1024 need a privilege)'
        : code === 'EADDRNOTAVAIL'
          ? 'this machine has no such address'
          : code;
  return `outrigger: ${key}: cannot listen on ${print(address)}: ${why}`;
}

/** Resolves with the exit code once the sidecar has ended. */
export async function run({ files, env, version, terminal, err }: RunOptions): Promise<number> {
  const source = new Files({ files, env, terminal });
  let loaded: Loaded;
  try {
    loaded = source.load();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) err.write(`${formatProblem(problem)}\n`);
    return INVALID;
  }
  const settings = inspectNodeSettings(env, process.execArgv);
  for (const refused of settings.refused) err.write(`outrigger: ${refused}\n`);
  if (settings.refused.length > 0) return INVALID;
  // Node itself would say that it counts, though it does not.
  delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  const { config, warnings } = loaded;
  const asked = askedToEnd();
  let hungUp = false;
  // While the sidecar starts it is kept in mind, and ends nothing.
  let reload = (): void => void (hungUp = true);
  process.on('SIGHUP', () => reload());
  trustMachineRoots(env);
  const sink = createLog({ level: config.log.level, format: config.log.format });
  for (const warning of settings.warnings) sink.log.warn({}, warning);
  for (const warning of warnings) sink.log.warn({ at: formatPlace(warning) }, warning.message);
  let sidecar: Sidecar;
  try {
    sidecar = new Sidecar(config, version, sink, {}, { loaded, source });
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
    if (error instanceof StartError || error instanceof TlsFileError) {
      err.write(`outrigger: ${error.key}: ${error.message}\n`);
      return INVALID;
    }
    if (!(error instanceof ListenError)) throw error;
    err.write(`${listenProblem(error)}\n`);
    return INVALID;
  }
  const unhandled = new UnhandledErrors({
    log: sink.log,
    count: () => sidecar.unhandledError(),
    now: () => performance.now(),
  });
  unhandled.watch();
  reload = () => void sidecar.reload('signal');
  if (hungUp) reload();
  // Whoever waits for the line should not wait for the next one.
  sink.flush();
  const why = await Promise.race([asked.once, unhandled.tooMany, sidecar.drainAsked]);
  sink.log.info(isSignal(why) ? { signal: why } : { reason: why }, 'draining');
  sink.flush();
  const end = await Promise.race([sidecar.drain(), asked.twice]);
  try {
    await sidecar.stop();
  } catch (error) {
    unhandled.take(error, 'the end');
  }
  sink.log.info({ end }, 'stopped');
  sink.flush();
  if (end === 'signal' || unhandled.fatal) return FAILED;
  return end === 'timeout' ? TIMEOUT : DONE;
}

function isSignal(why: string): why is NodeJS.Signals {
  return why.startsWith('SIG');
}

/**
 * Ctrl-C under npm is two signals: the terminal's to the whole group, and npm's own to its child. The same
 * signal again this soon is one wish, milliseconds.
 */
const SAME_WISH_MS = 250;

/** Listens from now on: a signal while the sidecar starts counts, and is not lost to process 1 of a container. */
function askedToEnd(): { once: Promise<NodeJS.Signals>; twice: Promise<'signal'> } {
  const once = Promise.withResolvers<NodeJS.Signals>();
  const twice = Promise.withResolvers<'signal'>();
  let count = 0;
  let last: NodeJS.Signals | null = null;
  let lastAt = 0;
  const on = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (signal === last && now - lastAt < SAME_WISH_MS) return;
    last = signal;
    lastAt = now;
    count++;
    if (count === 1) once.resolve(signal);
    else if (count === 2) twice.resolve('signal');
    else process.exit(FAILED);
  };
  process.on('SIGTERM', on);
  process.on('SIGINT', on);
  return { once: once.promise, twice: twice.promise };
}
