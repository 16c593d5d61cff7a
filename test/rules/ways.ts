/**
 * The ways on which a request comes in, side by side on one stage: in absolute form, by a prefix, as plain
 * HTTP inside a tunnel, inside an interception, and over HTTP/2. Behind all of them is a recorder, so that a
 * rule can be held on each: what was answered, what the origin got, what was logged.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { type Message, messagesOf } from '../support/messages.ts';
import { Recorder } from '../support/recorder.ts';
import type { ReferenceMessage } from '../support/reference-message.ts';
import type { LoggedExchange } from '../support/sidecar.ts';
import { until } from '../support/until.ts';

type Name = 'absolute form' | 'prefix' | 'inside a tunnel' | 'interception';

/** What must come comes in milliseconds. */
const PATIENCE_MS = 2_000;

/** One connection on which requests are written as text. */
export class Peer {
  received = '';
  ended = false;
  readonly #stream: Duplex;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer | string) => {
      this.received += typeof chunk === 'string' ? chunk : chunk.toString('latin1');
    });
    stream.resume();
    for (const event of ['end', 'close', 'error'])
      stream.on(event, () => {
        this.ended = true;
      });
  }

  write(text: string): this {
    this.#stream.write(Buffer.from(text, 'latin1'));
    return this;
  }

  async untilEnd(what = 'the end of the connection'): Promise<string> {
    try {
      await until(() => this.ended, what, PATIENCE_MS);
    } catch (error) {
      throw new Error(`${(error as Error).message}; came so far: ${this.received}`, { cause: error });
    }
    return this.received;
  }

  /** Resolves with the last of `count` whole final responses. */
  async answered(count = 1, toHead = false): Promise<Message> {
    const finals = (): Message[] =>
      messagesOf(this.received, toHead).filter(
        ({ status, whole }) => whole && (status >= 200 || status === 101),
      );
    await until(
      () => finals().length >= count || this.ended,
      `${count} answers, and not ${this.received}`,
      PATIENCE_MS,
    );
    const got = finals()[count - 1];
    assert.ok(got, `answer ${count} of what came: ${JSON.stringify(this.received)}`);
    return got;
  }

  leave(): void {
    this.#stream.destroy();
  }
}

export interface Way {
  readonly name: Name;
  readonly cast: Cast;
  readonly recorder: Recorder;
  /** The authority that goes on as Host. */
  readonly authority: string;
  /** How a good client writes this path as a target. */
  target(path: string): string;
  /** `exchanges`: lines that the requests will make, beside those of opening it. */
  open(exchanges?: number): Promise<Peer>;
}

const certificates = (): Certificates => {
  const made = makeCertificates();
  assert.ok(made, 'openssl makes the certificates of these tests');
  return made;
};
let shared: Certificates | null = null;

/** For a rule about the first bytes of a tunnel: what is inside has shown that it is HTTP. */
const proven = async (peer: Peer, authority: string): Promise<Peer> => {
  peer.write(`GET /first HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  await peer.answered();
  peer.received = '';
  return peer;
};

async function through(cast: Cast, authority: string, exchanges: number): Promise<Duplex> {
  const caller = await cast.raw(exchanges + 1);
  caller.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  assert.match(await caller.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1\.1 200 /);
  caller.socket.removeAllListeners('data');
  caller.socket.pause();
  return caller.socket;
}

function waysOf(cast: Cast, plain: Recorder, secure: Recorder, bundle: string): Way[] {
  const authority = `127.0.0.1:${plain.port}`;
  const secureAuthority = `localhost:${secure.port}`;
  const direct = async (exchanges: number): Promise<Peer> => new Peer((await cast.raw(exchanges)).socket);
  return [
    {
      name: 'absolute form',
      cast,
      recorder: plain,
      authority,
      target: (path) => `http://${authority}${path}`,
      open: (exchanges = 1) => direct(exchanges),
    },
    {
      name: 'prefix',
      cast,
      recorder: plain,
      authority,
      target: (path) => `/here${path}`,
      open: (exchanges = 1) => direct(exchanges),
    },
    {
      name: 'inside a tunnel',
      cast,
      recorder: plain,
      authority,
      target: (path) => path,
      open: async (exchanges = 1) =>
        proven(new Peer(await through(cast, authority, exchanges + 1)), authority),
    },
    {
      name: 'interception',
      cast,
      recorder: secure,
      authority: secureAuthority,
      target: (path) => path,
      open: async (exchanges = 1) => {
        const socket = (await through(cast, secureAuthority, exchanges)) as import('node:net').Socket;
        const tls = connectTls({ socket, servername: 'localhost', ca: readFileSync(bundle, 'utf8') });
        cast.atEnd(() => void tls.destroy());
        await once(tls, 'secureConnect');
        return new Peer(tls);
      },
    },
  ];
}

/** A stage with every way; `yaml` is more of the configuration (not `access`, `routes` or `intercept`). */
export async function everyWay(
  play: (ways: readonly Way[], cast: Cast) => Promise<void>,
  yaml = 'policy: { retry: { attempts: 1 } }',
): Promise<void> {
  shared ??= certificates();
  const [plain, secure] = [await Recorder.start(), await Recorder.start(shared.good)];
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const bundle = join(folder, 'bundle.pem');
  await stage(
    `
access: { tunnelPorts: [${plain.port}, ${secure.port}] }
intercept: { bundle: ${bundle} }
routes:
  - { name: secure, match: { hosts: [localhost], ports: [${secure.port}] }, https: intercept }
  - { name: prefixed, prefix: /here, origin: "http://127.0.0.1:${plain.port}" }
${yaml}`,
    async (cast) => {
      for (const close of [() => plain.close(), () => secure.close()]) cast.atEnd(close);
      cast.atEnd(() => rmSync(folder, { recursive: true }));
      await play(waysOf(cast, plain, secure, bundle), cast);
    },
    {
      secureContext: createSecureContext({ ca: shared.ca }),
      lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']),
    },
  );
}

/** A request as text; `line` replaces the usual Host. */
export function requestText(
  way: Way,
  {
    method = 'GET',
    path = '/x',
    target = way.target(path),
    version = 'HTTP/1.1',
    host = `Host: ${way.authority}\r\n`,
    lines = '',
    body = '',
  }: {
    method?: string;
    path?: string;
    target?: string;
    version?: string;
    /** With its line end. */
    host?: string;
    lines?: string;
    body?: string;
  } = {},
): string {
  return `${method} ${target} ${version}\r\n${host}${lines}\r\n${body}`;
}

interface Refusal {
  readonly status: number;
  readonly token: string;
}

const MALFORMED: Refusal = { status: 400, token: 'http_request_error' };

/**
 * Writes what must be refused, with a good request behind it: one answer of ours, the end of the connection,
 * one line, and no byte for the origin. With what is not so; empty: all is well.
 */
async function misses(way: Way, text: string, { status, token }: Refusal): Promise<string[]> {
  const { cast, recorder } = way;
  const found: string[] = [];
  const peer = await way.open();
  const before = { bytes: recorder.received, lines: cast.expected };
  peer.write(`${text}${requestText(way, { path: '/behind' })}`);
  const came = await peer.untilEnd().catch((error: Error) => error.message);
  peer.leave();
  const answers = messagesOf(came);
  const [answer] = answers;
  if (answers.length !== 1 || !answer?.whole) found.push(`${answers.length} answers: ${came.slice(0, 300)}`);
  else {
    if (answer.status !== status) found.push(`status ${answer.status}`);
    const said = answer.values('proxy-status').at(-1) ?? '';
    if (!said.startsWith(`outrigger; error=${token}`)) found.push(`Proxy-Status ${said}`);
    const line = await cast.sidecar.line(before.lines);
    if (line.status !== answer.status) found.push(`logged ${line.status}`);
    if (line.error !== token) found.push(`logged ${line.error}`);
  }
  if (recorder.received !== before.bytes) found.push('the origin got something');
  const lines = cast.sidecar.exchanges.length;
  if (lines !== before.lines) found.push(`${lines - before.lines} lines too many`);
  cast.expected = Math.max(lines, before.lines);
  return found;
}

export type Case = readonly [what: string, make: (way: Way) => string];

/** Every case on every way is refused so. */
export async function refusedOn(
  ways: readonly Way[],
  cases: readonly Case[],
  refusal: Partial<Refusal> = {},
): Promise<void> {
  const problems: string[] = [];
  for (const way of ways)
    for (const [what, make] of cases) {
      const found = await misses(way, make(way), { ...MALFORMED, ...refusal });
      if (found.length > 0) problems.push(`${what}, ${way.name}: ${found.join('; ')}`);
    }
  assert.deepEqual(problems, []);
}

interface Passed {
  readonly answer: Message;
  /** What the origin got. */
  readonly seen: ReferenceMessage;
  readonly line: LoggedExchange;
}

/** Writes a request that must pass, on a connection of its own. */
export async function passes(way: Way, text: string): Promise<Passed> {
  const { cast, recorder } = way;
  const peer = await way.open();
  const before = recorder.requests.length;
  const answer = await peer.write(text).answered(1, text.startsWith('HEAD '));
  const line = await cast.sidecar.line(cast.expected);
  peer.leave();
  assert.equal(
    recorder.requests.length,
    before + 1,
    `one request at the origin, ${way.name}: ${answer.first}`,
  );
  assert.deepEqual(recorder.invalid, []);
  return { answer, seen: recorder.requests.at(-1) as ReferenceMessage, line };
}
