/**
 * Invariant: whatever bytes an origin answers, in whatever pieces, the caller gets exactly one response that
 * means the same by RFC 9112, or a 502 or 504 of ours, or one that is visibly cut; the log says which; and
 * the next response on that connection is its own.
 *
 * 10,000 cases; FUZZ_CASES=1000000 makes it a night's work, FUZZ_SEED another one.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { eachHead } from '../support/messages.ts';
import { RawOrigin } from '../support/origin.ts';
import type { LoggedExchange } from '../support/sidecar.ts';
import { until } from '../support/until.ts';
import { Chance } from './chance.ts';
import { corpus, keep, runOf } from './corpus.ts';
import { type Scripted, scripted } from './response-grammar.ts';
import { disagreement, finalOf, type Meaning, meaningOf } from './response-judge.ts';

const STUCK_MS = 5_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The connection of the caller, kept from case to case as long as it lives. */
class Caller {
  readonly #port: number;
  #socket: Socket | null = null;
  #bytes = Buffer.alloc(0);
  #ended = false;
  #reset = false;
  #look: () => void = () => {};

  constructor(port: number) {
    this.#port = port;
  }

  get open(): boolean {
    return this.#socket !== null && !this.#ended;
  }

  /** What came for one request, once it is a whole final response or the connection is over; null: neither came. */
  ask(text: string, method: string): Promise<{ bytes: Buffer; ended: boolean; reset: boolean } | null> {
    const socket = this.open ? (this.#socket as Socket) : this.#dial();
    this.#bytes = Buffer.alloc(0);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.leave();
        resolve(null);
      }, STUCK_MS);
      this.#look = () => {
        if (!this.#ended && finalOf(this.#bytes, method, false) === null) return;
        clearTimeout(timer);
        this.#look = () => {};
        resolve({ bytes: this.#bytes, ended: this.#ended, reset: this.#reset });
      };
      socket.write(text);
    });
  }

  leave(): void {
    this.#socket?.destroy();
    this.#ended = true;
  }

  #dial(): Socket {
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
    this.#socket = socket;
    this.#ended = false;
    this.#reset = false;
    const mine = (then: () => void) => () => {
      if (socket !== this.#socket) return;
      then();
      this.#look();
    };
    socket.on('data', (chunk: Buffer) =>
      mine(() => {
        this.#bytes = Buffer.concat([this.#bytes, chunk]);
      })(),
    );
    socket.on(
      'error',
      mine(() => {
        this.#reset = true;
      }),
    );
    socket.on(
      'close',
      mine(() => {
        this.#ended = true;
      }),
    );
    return socket;
  }
}

interface Play {
  readonly cast: Cast;
  readonly url: string;
  readonly caller: Caller;
  /** What the origin answers next; the promise is for when it has, with the socket. */
  answer(script: Scripted, cuts: readonly number[]): Promise<Socket>;
}

async function write(socket: Socket, { bytes, ending }: Scripted, cuts: readonly number[]): Promise<void> {
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    if (cut <= at || socket.destroyed || !socket.writable) continue;
    socket.write(bytes.subarray(at, cut));
    at = cut;
    if (at < bytes.length) await turn();
  }
  if (ending === 'fin') socket.end();
  else if (ending === 'reset') socket.resetAndDestroy();
}

async function staged(act: (play: Play) => Promise<void>): Promise<void> {
  let next: { script: Scripted; cuts: readonly number[]; done: (socket: Socket) => void } | null = null;
  const origin = await RawOrigin.start((socket) =>
    eachHead(socket, (head) => {
      if (next === null || !head.includes(' /case ')) {
        const body = `probe ${/\/probe\/(\d+)/.exec(head)?.[1]}`;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        return;
      }
      const { script, cuts, done } = next;
      next = null;
      void write(socket, script, cuts).then(() => done(socket));
    }),
  );
  await stage('policy: { retry: { attempts: 1 }, breaker: null }', async (cast) => {
    cast.atEnd(() => origin.close());
    const caller = new Caller(cast.sidecar.port);
    try {
      await act({
        cast,
        url: origin.url,
        caller,
        answer: (script, cuts) =>
          new Promise((done) => {
            next = { script, cuts, done };
          }),
      });
    } finally {
      caller.leave();
    }
  });
}

interface Verdict {
  readonly problem: string | null;
  /** It passed, or something else came in its place. */
  readonly passed: boolean;
}

async function judge(play: Play, script: Scripted, cuts: readonly number[], n: number): Promise<Verdict> {
  const { cast, url, caller } = play;
  const { method, bytes, version } = script;
  // Who waits for more gets an end, since it is no matter of timeouts here.
  let meaning: Meaning = meaningOf(bytes, method, script.ending !== 'keep');
  const ending = script.ending === 'keep' && meaning.kind !== 'message' ? 'fin' : script.ending;
  if (ending !== script.ending) meaning = meaningOf(bytes, method, true);
  // A reset may overtake the end of what ends with the connection.
  if (ending === 'reset' && meaning.kind === 'message' && meaning.message.framing === 'close')
    meaning = { kind: 'incomplete', body: meaning.message.body };
  const before = cast.sidecar.lines.length;
  const written = play.answer({ ...script, ending }, cuts);
  const keepAlive = version === '1.0' ? 'Connection: keep-alive\r\n' : '';
  const heard = await caller.ask(
    `${method} ${url}/case HTTP/${version}\r\nHost: x\r\n${keepAlive}\r\n`,
    method,
  );
  cast.expected++;
  if (heard === null) return { problem: 'the case got stuck', passed: false };
  const socket = await written;
  const lines = (): LoggedExchange[] =>
    cast.sidecar.lines
      .slice(before)
      .filter((line) => line.includes('"msg":"exchange"'))
      .map((line) => JSON.parse(line));
  await until(() => lines().length > 0, 'the line of a case');
  const line = lines()[0] as LoggedExchange;
  const problem = disagreement(meaning, heard, method, line);
  const passed = line.outcome === 'completed';
  if (problem !== null) return { problem, passed };
  // What is left on its way must have arrived before the next request can be answered with it.
  for (let i = 0; i < 4; i++) await turn();
  if (meaning.kind !== 'message' || meaning.more) {
    for (let i = 0; i < 50 && !socket.destroyed; i++) await turn();
    await until(() => socket.destroyed, `the connection of a bad response to be closed, case ${n}`);
  }
  const probe = `GET ${url}/probe/${n} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const fresh = !caller.open;
  let answer = await caller.ask(probe, 'GET');
  cast.expected++;
  // A connection that ends between two requests is nobody's answer.
  if (!fresh && answer !== null && answer.bytes.length === 0) answer = await caller.ask(probe, 'GET');
  const got = answer === null ? null : finalOf(answer.bytes, 'GET', answer.ended);
  const own = got?.kind === 'message' && !got.more && got.message.body.toString() === `probe ${n}`;
  return { problem: own ? null : `the next answer was ${answer?.bytes.toString('latin1')}`, passed };
}

const { cases, seed, slice } = runOf(10_000);

test(
  'every input of the corpus is one response, an error of ours, or visibly cut',
  { timeout: 120_000 },
  () =>
    staged(async (play) => {
      const kept = corpus('responses');
      assert.ok(kept.length >= 40, `only ${kept.length} inputs`);
      const problems: string[] = [];
      for (const [i, { name, bytes }] of kept.entries())
        for (const method of ['GET', 'HEAD'] as const)
          for (const ending of ['keep', 'fin', 'reset'] as const)
            for (const cuts of [[], [...bytes].map((_, at) => at + 1)]) {
              const script: Scripted = { bytes, method, version: '1.1', ending, plain: false };
              const { problem } = await judge(play, script, cuts, i);
              if (problem !== null) problems.push(`${name}, ${method}, ${ending}: ${problem}`);
            }
      assert.deepEqual(problems, []);
    }),
);

test(`${cases} responses by lot, from seed ${seed}: no disagreement`, { timeout: 36_000_000 }, async (t) => {
  const failures: string[] = [];
  let passed = 0;
  const began = performance.now();
  for (let from = 0; from < cases; from += slice) {
    await staged(async (play) => {
      for (let i = from; i < Math.min(cases, from + slice); i++) {
        const chance = new Chance(seed + i);
        const script = scripted(chance, i);
        const verdict = await judge(play, script, chance.cuts(script.bytes.length), i);
        if (verdict.passed) passed++;
        const problem = script.plain && !verdict.passed ? 'a plain response did not pass' : verdict.problem;
        if (problem === null) continue;
        const path = keep('responses', `${seed}-${i}`, script.bytes);
        const { method, version, ending, bytes } = script;
        failures.push(
          `case ${i} (FUZZ_SEED=${seed}), ${method} ${version} ${ending}: ${problem}; ${path}: ${bytes.toString('hex')}`,
        );
        if (failures.length >= 10) assert.fail(failures.join('\n'));
      }
    });
    const done = Math.min(cases, from + slice);
    const perSecond = Math.round((done * 1_000) / (performance.now() - began));
    t.diagnostic(`${done} responses, ${perSecond}/s: ${passed} passed, ${failures.length} disagreements`);
  }
  assert.deepEqual(failures, []);
  assert.ok(passed > cases / 4 && passed < cases, 'both good and bad ones were among them');
});
