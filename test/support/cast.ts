/**
 * A stage for behaviour tests: origin, sidecar, caller; and the proof at the end of each that nothing
 * leaked: no exchange, permit, tunnel, kept byte, socket or timer, and one log line per exchange.
 */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import type { Edges } from '../../src/sidecar.ts';
import { type Answer, type Call, call, RawCaller } from './caller.ts';
import { HttpOrigin, RawOrigin, type Script } from './origin.ts';
import { TestSidecar } from './sidecar.ts';
import { until } from './until.ts';

export class Cast {
  readonly sidecar: TestSidecar;
  /** Exchanges begun so far; a test with raw callers adds its own. */
  expected = 0;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1_000 });
  readonly #closers: (() => Promise<unknown> | void)[] = [];
  readonly #callers: RawCaller[] = [];

  constructor(sidecar: TestSidecar) {
    this.sidecar = sidecar;
  }

  async origin(script?: Script, port = 0): Promise<HttpOrigin> {
    const origin = await HttpOrigin.start(script, port);
    this.#closers.push(() => origin.close());
    return origin;
  }

  async rawOrigin(onSocket: Parameters<typeof RawOrigin.start>[0], port = 0): Promise<RawOrigin> {
    const origin = await RawOrigin.start(onSocket, port);
    this.#closers.push(() => origin.close());
    return origin;
  }

  /** One exchange, over kept-alive connections unless the call brings its own agent. */
  call(url: string, options: Call = {}): Promise<Answer> {
    this.expected++;
    return call(this.sidecar.port, url, { agent: this.#agent, ...options });
  }

  /** A socket to the sidecar; say how many exchanges it will make. */
  async raw(exchanges = 1): Promise<RawCaller> {
    this.expected += exchanges;
    const caller = await RawCaller.connect(this.sidecar.port);
    this.#callers.push(caller);
    return caller;
  }

  atEnd(close: () => Promise<unknown> | void): void {
    this.#closers.push(close);
  }

  /** Everything is given back and everything is logged. */
  async proveQuiet(): Promise<void> {
    for (const caller of this.#callers) caller.leave();
    this.#agent.destroy();
    const { sidecar } = this.sidecar;
    await until(
      () => {
        const { exchangesInFlight, tunnels, replayBytes, origins } = sidecar.snapshot();
        return (
          exchangesInFlight === 0 &&
          tunnels === 0 &&
          replayBytes === 0 &&
          origins.every(
            ({ connections, queue }) => connections.busy === 0 && connections.connecting === 0 && queue === 0,
          )
        );
      },
      `the sidecar to be quiet: ${JSON.stringify(sidecar.snapshot())}`,
    );
    await until(() => this.sidecar.exchanges.length >= this.expected, `${this.expected} log lines`);
    await this.sidecar.stop();
    await until(() => sidecar.snapshot().connections === 0, 'the upstream connections to be closed');
    await until(() => sidecar.snapshot().callerConnections === 0, 'the callers to be gone');
    await this.#close();
    assert.equal(this.sidecar.exchanges.length, this.expected, 'one log line per exchange');
    const internal = this.sidecar.lines.filter(
      (line) => line.includes('internal error') || line.includes('proxy_internal_error'),
    );
    assert.deepEqual(internal, [], 'no internal error');
  }

  /** Takes the stage down, whatever state it is in, so that a test that failed does not keep the others waiting. */
  async strike(): Promise<void> {
    for (const caller of this.#callers) caller.leave();
    this.#agent.destroy();
    await this.sidecar.stop();
    await this.#close();
  }

  async #close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}

/** Sockets, servers and timers that keep the process alive. */
function resources(): string {
  return process
    .getActiveResourcesInfo()
    .filter((name) => name.startsWith('TCP') || name === 'Timeout')
    .sort()
    .join(' ');
}

/** Runs a test on a stage of its own; `yaml` is the sidecar's configuration. */
export async function stage(
  yaml: string,
  play: (cast: Cast) => Promise<void>,
  edges: Edges = {},
): Promise<void> {
  const before = resources();
  const cast = new Cast(await TestSidecar.start(yaml, edges));
  try {
    await play(cast);
    await cast.proveQuiet();
  } catch (error) {
    await cast.strike();
    throw error;
  }
  await until(
    () => resources().length <= before.length,
    `sockets and timers to be gone: ${resources()} against ${before}`,
  );
}
