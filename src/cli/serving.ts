/**
 * A sidecar in this process from its configuration to its last log line: what `run` and `exec` share. What
 * can be wrong before the first exchange (a value, a file, a port) is one clear line, and nothing stays
 * half started.
 *
 * It does not know why the sidecar is to end, nor what a signal is.
 */

import { trustMachineRootsWhenNeeded } from '../certificates/machine-roots.ts';
import { TlsFileError } from '../certificates/tls-files.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { formatPlace } from '../config/problem.ts';
import type { Loaded } from '../config/source.ts';
import { type Addresses, type DrainEnd, ListenError, Sidecar, StartError } from '../sidecar.ts';
import { createLog, type Log, type LogSink } from '../telemetry/log.ts';
import { DONE, FAILED, TIMEOUT } from './exit-code.ts';
import { Files } from './files.ts';
import { type Output, reportInvalid } from './invalid-configuration.ts';
import { inspectNodeSettings } from './node-settings.ts';
import { UnhandledErrors } from './unhandled-errors.ts';

export interface ServingOptions {
  readonly files: readonly string[];
  /** `PATH=VALUE` of the command line. */
  readonly set?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  /** Whether a person watches the log. */
  readonly terminal: boolean;
  /** Where problems of the start are told. */
  readonly err: Output;
  /** The descriptor of the log; standard output by default. */
  readonly logFd?: number;
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

/** Resolves once exchanges are served; null: they cannot be, and `err` was told why. */
export async function serve(options: ServingOptions): Promise<Serving | null> {
  const { files, set = [], env, version, terminal, err, logFd } = options;
  const source = new Files({ files, set, env, terminal });
  let loaded: Loaded;
  try {
    loaded = source.load();
  } catch (error) {
    reportInvalid(error, err);
    return null;
  }
  const settings = inspectNodeSettings(env, process.execArgv);
  for (const refused of settings.refused) err.write(`outrigger: ${refused}\n`);
  if (settings.refused.length > 0) return null;
  // Node itself would say that it counts, though it does not.
  delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  const { config, warnings } = loaded;
  trustMachineRootsWhenNeeded(env);
  const { level, format } = config.log;
  const sink = createLog({ level, format, ...(logFd === undefined ? {} : { fd: logFd }) });
  for (const warning of settings.warnings) sink.log.warn({}, warning);
  for (const warning of warnings) sink.log.warn({ at: formatPlace(warning) }, warning.message);
  try {
    const sidecar = new Sidecar(config, version, sink, {}, { loaded, source });
    const addresses = await sidecar.start();
    const { proxy, admin, telemetry } = addresses;
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
    return new Serving(config, sidecar, addresses, sink);
  } catch (error) {
    if (error instanceof StartError || error instanceof TlsFileError) {
      err.write(`outrigger: ${error.key}: ${error.message}\n`);
      return null;
    }
    if (!(error instanceof ListenError)) throw error;
    err.write(`${listenProblem(error)}\n`);
    return null;
  }
}

export class Serving {
  /** The configuration with the addresses as bound: port 0 has become a port. */
  readonly config: Config;
  /** Resolves once there were too many errors that nobody caught. */
  readonly tooMany: Promise<'unhandled errors'>;
  readonly #sidecar: Sidecar;
  readonly #sink: LogSink;
  readonly #unhandled: UnhandledErrors;

  constructor(config: Config, sidecar: Sidecar, { proxy, admin, telemetry }: Addresses, sink: LogSink) {
    this.config = { ...config, listen: { ...config.listen, proxy, admin, telemetry } };
    this.#sidecar = sidecar;
    this.#sink = sink;
    this.#unhandled = new UnhandledErrors({
      log: sink.log,
      count: () => sidecar.unhandledError(),
      now: () => performance.now(),
    });
    this.tooMany = this.#unhandled.tooMany;
    this.#unhandled.watch();
    // Whoever waits for the line should not wait for the next one.
    sink.flush();
  }

  /** Resolves when an operator has asked for the drain. */
  get drainAsked(): Promise<'request'> {
    return this.#sidecar.drainAsked;
  }

  /** Somebody has sent a signal that asks for it. */
  reload(): void {
    void this.#sidecar.reload('signal');
  }

  get log(): Log {
    return this.#sink.log;
  }

  /**
   * Drains, unless `hurry` comes first, and stops. `why` is told in the log.
   * @param quietMs in the place of `shutdown.quiet`
   * @returns the exit code
   */
  async end(why: object, hurry: Promise<'signal'>, quietMs?: number): Promise<number> {
    const sink = this.#sink;
    sink.log.info(why, 'draining');
    sink.flush();
    const end: DrainEnd | 'signal' = await Promise.race([this.#sidecar.drain(quietMs), hurry]);
    try {
      await this.#sidecar.stop();
    } catch (error) {
      this.#unhandled.take(error, 'the end');
    }
    sink.log.info({ end }, 'stopped');
    sink.flush();
    if (end === 'signal' || this.#unhandled.fatal) return FAILED;
    return end === 'timeout' ? TIMEOUT : DONE;
  }
}
