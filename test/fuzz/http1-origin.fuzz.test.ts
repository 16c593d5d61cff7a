// Invariant: whatever bytes an origin sends, and however they are cut into pieces, the exchange is told the same: one
// head at most, one end, the same body and the same verdict; and a connection on which anything was odd carries no
// other request.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Http1Home, Http1Session } from '../../src/upstream/http1-session.ts';
import type { StreamController, StreamHandler } from '../../src/upstream/stream-handler.ts';

/** The origin's end of a connection, in this process: what is pushed has come. */
class Wire extends Duplex {
  constructor() {
    super({ read() {}, write: (_chunk, _encoding, done) => done(), allowHalfOpen: false });
    this.on('error', () => {});
  }
}

class Account implements StreamHandler {
  text = '';
  body = '';
  ends = 0;
  heads = 0;

  onRequestStart(): void {}
  onBodySent(): void {}
  onRequestSent(): void {}

  onResponseStart(
    _controller: StreamController,
    status: number,
    fields: readonly string[],
    reason: string | null,
  ): void {
    assert.equal(this.ends, 0, 'nothing after the end');
    if (status >= 200) this.heads++;
    this.text += `${status} ${reason} ${JSON.stringify(fields)}\n`;
  }

  onResponseData(_controller: StreamController, chunk: Buffer): void {
    assert.equal(this.ends, 0, 'nothing after the end');
    assert.equal(this.heads, 1, 'nothing before the head');
    this.body += chunk.toString('latin1');
  }

  onResponseEnd(_controller: StreamController, trailers: readonly string[]): void {
    this.ends++;
    this.text += `whole ${JSON.stringify(trailers)}`;
  }

  onResponseError(_controller: StreamController | null, error: Error & { code?: string }): void {
    this.ends++;
    this.text += `failed ${error.code}`;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Outcome {
  readonly told: string;
  readonly body: string;
  readonly usable: boolean;
  readonly next: string;
}

async function play(method: string, pieces: readonly string[], fin: boolean): Promise<Outcome> {
  const wire = new Wire();
  const home: Http1Home & { spoiled: number } = {
    broken: null,
    spoiled: 0,
    sessionSpoiled: () => home.spoiled++,
  };
  const socket = wire as unknown as Socket;
  const session = new Http1Session(socket, socket, 2_000, home);
  const account = new Account();
  session.request({ method, path: '/', headers: ['Host', 'a'], body: null }, null, account, false);
  await turn();
  for (const piece of pieces) wire.push(Buffer.from(piece, 'latin1'));
  if (fin) {
    wire.push(null);
    await turn();
  }
  assert.ok(account.ends <= 1 && account.heads <= 1);
  const usable = session.open && account.ends === 1;
  // Whoever comes next gets an answer of its own, or none.
  const next = new Account();
  if (account.ends === 1) {
    session.request({ method: 'GET', path: '/', headers: ['Host', 'a'], body: null }, null, next, true);
    await turn();
    if (!wire.destroyed && next.ends === 0) wire.push('HTTP/1.1 299 Mine\r\nContent-Length: 4\r\n\r\nmine');
  }
  session.stop();
  wire.destroy();
  return { told: account.text, body: account.body, usable, next: next.text };
}

const statusLine = fc.oneof(
  { weight: 3, arbitrary: fc.constant('HTTP/1.1 200 OK') },
  fc.constantFrom(
    'HTTP/1.1 200 OK',
    'HTTP/1.1 200 OK',
    'HTTP/1.1 404 Not Found',
    'HTTP/1.1 204',
    'HTTP/1.1 304 x',
    'HTTP/1.0 200 OK',
    'HTTP/1.1 100 Continue',
    'HTTP/1.1 103 Hints',
    'HTTP/1.1 101 x',
    'HTTP/2 200',
    'HTTP/1.1 20',
    'SSH-2.0',
    '',
    'GET / HTTP/1.1',
  ),
);
const field = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom('Content-Length: 3', 'X: y') },
  fc.constantFrom(
    'Content-Length: 0',
    'Content-Length: 3',
    'Content-Length: 3',
    'Content-Length: 03',
    'Content-Length: +3',
    'content-length: 5',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip',
    'transfer-encoding : chunked',
    'Connection: close',
    'Connection: keep-alive',
    'X: y',
    'X:',
    ' X: y',
    'X y',
    'X: \x00',
    ': x',
    'Set-Cookie: a=b',
  ),
);
const end = fc.oneof(
  { weight: 30, arbitrary: fc.constant('\r\n') },
  fc.constantFrom('\n', '\r', '\r\n\r\n', ''),
);
const head = fc
  .tuple(statusLine, end, fc.array(fc.tuple(field, end), { maxLength: 4 }), end)
  .map(([first, a, fields, b]) => first + a + fields.flat().join('') + b);
const body = fc.constantFrom(
  '',
  'abc',
  'abcde',
  '3\r\nabc\r\n0\r\n\r\n',
  '3\r\nabc\r\n0\r\nT: x\r\n\r\n',
  '3;x=y\r\nabc\r\n0\r\n\r\n',
  '3\r\nabcd\r\n',
  '0\r\n\r\n',
  'g\r\n',
  '3\nabc\r\n0\r\n\r\n',
  '\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
);
const good = fc.constantFrom(
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc',
  'HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 3\r\nX: y\r\n\r\nabc',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n1\r\nc\r\n0\r\nT: x\r\n\r\n',
  'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n',
  'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc',
);
const sent = fc.oneof(
  { weight: 2, arbitrary: good },
  {
    weight: 9,
    arbitrary: fc
      .array(fc.tuple(head, body), { minLength: 1, maxLength: 3 })
      .map((all) => all.flat().join('')),
  },
  {
    weight: 1,
    arbitrary: fc.string({ unit: fc.constantFrom(...'HTP/1. 20\r\n:ab\xff\x00'.split('')), maxLength: 60 }),
  },
);
const cuts = fc.array(fc.nat(), { maxLength: 12 });

function cutUp(text: string, at: readonly number[]): string[] {
  const places = [...new Set(at.map((one) => one % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...places]
    .map((from, i) => text.slice(from, places[i] ?? text.length))
    .filter((one) => one !== '');
}

test('any bytes in any pieces: the same answer, one end, and no other request on a connection that is in doubt', async () => {
  let kept = 0;
  let failed = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('GET', 'HEAD', 'POST'),
      sent,
      cuts,
      fc.boolean(),
      async (method, text, at, fin) => {
        const whole = await play(method, text === '' ? [] : [text], fin);
        for (const pieces of [cutUp(text, at), text.split('')]) {
          const cut = await play(method, pieces, fin);
          assert.deepEqual({ ...cut, body: '' }, { ...whole, body: '' });
          // Of what is wrong in its body, the beginning may have gone on already.
          if (whole.told.includes('whole')) assert.equal(cut.body, whole.body);
          else assert.ok(cut.body.startsWith(whole.body) || whole.body.startsWith(cut.body));
        }
        if (whole.usable) kept++;
        if (whole.told.includes('failed')) failed++;
        if (whole.usable) assert.match(whole.next, /^299 Mine .*\nwhole/);
        else if (whole.next !== '') assert.equal(whole.next, 'failed OUTRIGGER_STALE');
      },
    ),
    { numRuns: 4_000 },
  );
  assert.ok(kept > 100 && failed > 400, `${kept} connections kept, ${failed} failures: both are met`);
});
