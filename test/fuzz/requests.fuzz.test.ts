/**
 * Invariant: whatever bytes a caller sends, in whatever pieces, the origin gets exactly the requests that
 * they mean by RFC 9112, each as the sidecar logged it, or the sidecar refused; the caller gets one response
 * for each line of the log, in order; and nothing that was refused or cut short looks whole to the origin.
 *
 * 10,000 cases; FUZZ_CASES=1000000 makes it a night's work, FUZZ_SEED another one.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import { Recorder } from '../support/recorder.ts';
import type { LoggedExchange } from '../support/sidecar.ts';
import { until } from '../support/until.ts';
import { Chance } from './chance.ts';
import { corpus, keep, runOf } from './corpus.ts';
import { connectionText, PORT } from './request-grammar.ts';
import { disagreement, type Plan, PREFACE, planOf, statusesOf } from './request-judge.ts';

const STUCK_MS = 5_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Play {
  readonly cast: Cast;
  readonly recorder: Recorder;
  readonly authority: string;
}

/** One connection: writes, reads until all is answered or it ends, leaves. With what came; null: it got stuck. */
function converse(port: number, bytes: Buffer, cuts: readonly number[], plan: Plan): Promise<Buffer | null> {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    let written = false;
    let stuck = false;
    const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
    const timer = setTimeout(() => {
      stuck = true;
      socket.destroy();
    }, STUCK_MS);
    // What is whole ends by itself; the rest is over once everything before it is answered.
    const look = (): void => {
      if (plan.tail === 'closed' || !written) return;
      if ((statusesOf(received, plan, false) ?? []).length >= plan.requests.length) socket.end();
    };
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      look();
    });
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(stuck ? null : received);
    });
    socket.on('connect', async () => {
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        if (cut <= at || socket.destroyed) continue;
        socket.write(bytes.subarray(at, cut));
        at = cut;
        if (at < bytes.length) await turn();
      }
      written = true;
      look();
    });
  });
}

/** The port of the origin in the place of the one that the grammar knows, and a request that ends it all. */
function connectionOf(bytes: Buffer, { authority }: Play): Buffer {
  const text = bytes.toString('latin1').replaceAll(PORT, authority.slice(-PORT.length));
  const last = `GET http://${authority}/last HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`;
  return Buffer.from(text + last, 'latin1');
}

interface Verdict {
  readonly problem: string | null;
  readonly refused: number;
  readonly forwarded: number;
}

async function judge(play: Play, input: Buffer, cuts: readonly number[]): Promise<Verdict> {
  const { cast, recorder, authority } = play;
  const bytes = connectionOf(input, play);
  const plan = planOf(bytes, authority);
  const before = cast.sidecar.lines.length;
  const { sidecar } = cast.sidecar;
  const answers = await converse(cast.sidecar.port, bytes, cuts, plan);
  const quiet = (): boolean => {
    const { exchangesInFlight, callerConnections } = sidecar.snapshot();
    return exchangesInFlight === 0 && callerConnections === 0 && recorder.pending === 0;
  };
  for (let i = 0; i < 200 && !quiet(); i++) await turn();
  await until(quiet, 'the sidecar to be quiet after a case');
  const lines: LoggedExchange[] = cast.sidecar.lines
    .slice(before)
    .filter((line) => line.includes('"msg":"exchange"'))
    .map((line) => JSON.parse(line));
  cast.expected += lines.length;
  const { requests: recorded, invalid } = recorder;
  // HTTP/2 is somebody else's grammar; what it lets through would be seen at the recorder.
  const http2 = bytes.subarray(0, 20).toString('latin1').includes(PREFACE);
  const problem =
    answers === null
      ? 'the connection got stuck'
      : http2
        ? recorded.length > 0
          ? 'a request out of a preface'
          : null
        : disagreement(plan, { lines, recorded, invalid, answers, authority });
  const forwarded = recorded.length;
  recorder.forget();
  return { problem, forwarded, refused: lines.filter(({ status }) => status !== 200).length };
}

/** The shortest of the obvious cuttings that still fails. */
async function minimised(play: Play, input: Buffer): Promise<Buffer> {
  let best = input;
  for (let size = best.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at + size <= best.length; ) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      const { problem } = await judge(play, shorter, []);
      if (problem === null) at += size;
      else best = shorter;
    }
  }
  return best;
}

function staged(play: (play: Play) => Promise<void>): Promise<void> {
  return (async () => {
    const recorder = await Recorder.start();
    const authority = `origin.test:${recorder.port}`;
    await stage(
      `
access: { default: deny }
log: { query: keep }
policy: { retry: { attempts: 1 }, breaker: null }
routes:
  - { name: here, match: { hosts: [origin.test], ports: [${recorder.port}] }, access: allow }
  - { name: prefix, prefix: /p, origin: "http://${authority}", access: allow }`,
      async (cast) => {
        cast.atEnd(() => recorder.close());
        await play({ cast, recorder, authority });
      },
      { lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']) },
    );
  })();
}

const { cases, seed, slice } = runOf(10_000);

test('every input of the corpus is one story, however it is cut', { timeout: 120_000 }, () =>
  staged(async (play) => {
    const kept = corpus('requests');
    assert.ok(kept.length >= 40, `only ${kept.length} inputs`);
    const problems: string[] = [];
    for (const { name, bytes } of kept)
      for (const cuts of [[], bytes.map((_, i) => i + 1)]) {
        const { problem } = await judge(play, bytes, [...cuts]);
        if (problem !== null) problems.push(`${name}: ${problem}`);
      }
    assert.deepEqual(problems, []);
  }),
);

test(`${cases} connections of requests by lot, from seed ${seed}: no disagreement`, {
  timeout: 36_000_000,
}, async (t) => {
  const failures: string[] = [];
  let forwarded = 0;
  let refused = 0;
  const began = performance.now();
  for (let from = 0; from < cases; from += slice) {
    await staged(async (play) => {
      for (let i = from; i < Math.min(cases, from + slice); i++) {
        const chance = new Chance(seed + i);
        const { bytes, plain } = connectionText(chance);
        const verdict = await judge(play, bytes, chance.cuts(bytes.length));
        forwarded += verdict.forwarded;
        refused += verdict.refused;
        const problem = plain && verdict.refused > 0 ? 'a plain request was refused' : verdict.problem;
        if (problem === null) continue;
        const least = plain ? bytes : await minimised(play, bytes);
        const path = keep('requests', `${seed}-${i}`, least);
        failures.push(`case ${i} (FUZZ_SEED=${seed}): ${problem}; ${path}: ${least.toString('hex')}`);
        if (failures.length >= 10) assert.fail(failures.join('\n'));
      }
    });
    const done = Math.min(cases, from + slice);
    const perSecond = Math.round((done * 1_000) / (performance.now() - began));
    t.diagnostic(
      `${done} connections, ${perSecond}/s: ${forwarded} requests forwarded, ${refused} refused, ${failures.length} disagreements`,
    );
  }
  assert.deepEqual(failures, []);
  assert.ok(forwarded > cases / 4 && refused > cases / 8, 'both good and bad ones were among them');
});
