import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cast, stage } from '../support/cast.ts';
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  fieldBlock,
  frame,
  GOAWAY,
  HEADERS,
  number32,
  PING,
  PREFACE,
  RawHttp2Caller,
  RST_STREAM,
  requestFields,
  SETTINGS,
  WINDOW_UPDATE,
} from '../support/http2-caller.ts';
import { bufferBytes } from '../support/memory.ts';
import { until } from '../support/until.ts';

const CANCEL = number32(8);
const DAMAGE = 'a caller of HTTP/2 that attacks disturbs nobody else';

async function attackerOf(cast: Cast): Promise<RawHttp2Caller> {
  const caller = await RawHttp2Caller.connect(cast.sidecar.port);
  cast.atEnd(() => void caller.socket.destroy());
  await caller.got(SETTINGS);
  return caller;
}

/** The sidecar serves others, and has let the attacker go. */
async function proveUnharmed(cast: Cast, attacker: RawHttp2Caller): Promise<void> {
  const origin = await cast.origin();
  assert.equal((await cast.call(`${origin.url}/`)).status, 200);
  attacker.socket.destroy();
  await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'nothing to be in flight');
}

/** Writes until it is cut off, or `pieces` are out. */
async function flood(attacker: RawHttp2Caller, pieces: number, piece: (n: number) => Buffer): Promise<void> {
  for (let n = 0; n < pieces && !attacker.closed && attacker.socket.writable; n++) {
    if (!attacker.socket.write(piece(n))) {
      await until(() => attacker.closed || !attacker.socket.writableNeedDrain, 'room to write', 20_000);
    }
  }
}

test(`${DAMAGE}: streams that are opened and reset`, () =>
  stage('', async (cast) => {
    let arrived = 0;
    const origin = await cast.origin(() => void arrived++);
    const attacker = await attackerOf(cast);
    const block = fieldBlock(requestFields(`${origin.url}/`));
    await flood(attacker, 20_000, (n) =>
      Buffer.concat([frame(HEADERS, 5, 2 * n + 1, block), frame(RST_STREAM, 0, 2 * n + 1, CANCEL)]),
    );
    await attacker.ended();
    const made = cast.sidecar.exchanges.length;
    assert.ok(made < 2_000, `${made} exchanges`);
    assert.ok(arrived < 200, `${arrived} requests at the origin`);
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'all to be over');
    cast.expected += cast.sidecar.exchanges.length;
    await proveUnharmed(cast, attacker);
  }));

test(`${DAMAGE}: streams that are opened, answered by an exchange, and reset a moment later`, () =>
  stage('', async (cast) => {
    const origin = await cast.origin(() => {});
    const attacker = await attackerOf(cast);
    const block = fieldBlock(requestFields(`${origin.url}/`));
    for (let n = 0; n < 3_000 && !attacker.closed; n += 50) {
      for (let k = n; k < n + 50; k++) attacker.write(frame(HEADERS, 5, 2 * k + 1, block));
      await new Promise((resolve) => setImmediate(resolve));
      for (let k = n; k < n + 50; k++) attacker.write(frame(RST_STREAM, 0, 2 * k + 1, CANCEL));
    }
    await attacker.ended();
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'all to be over');
    cast.expected += cast.sidecar.exchanges.length;
    assert.ok(cast.expected < 2_000, `${cast.expected} exchanges`);
    await proveUnharmed(cast, attacker);
  }));

for (const [what, piece] of [
  ['SETTINGS', frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100])],
  ['PING', frame(PING, 0, 0, Buffer.alloc(8))],
] as const) {
  test(`${DAMAGE}: ${what} without end that it does not read the answers to`, () =>
    stage('', async (cast) => {
      const attacker = await attackerOf(cast);
      attacker.socket.pause();
      const before = bufferBytes();
      const many = Buffer.concat(Array.from({ length: 1_000 }, () => piece));
      let most = 0;
      await flood(attacker, 2_000, (n) => {
        if (n % 200 === 0) most = Math.max(most, bufferBytes() - before);
        return many;
      });
      attacker.socket.resume();
      await attacker.ended();
      assert.ok(most < 16_000_000, `${most} bytes`);
      await proveUnharmed(cast, attacker);
    }));
}

test(`${DAMAGE}: SETTINGS with more entries than there are`, () =>
  stage('', async (cast) => {
    const attacker = await attackerOf(cast);
    attacker.write(
      frame(
        SETTINGS,
        0,
        0,
        Buffer.concat(Array.from({ length: 2_000 }, () => Buffer.from([0, 3, 0, 0, 0, 9]))),
      ),
    );
    await attacker.ended();
    await proveUnharmed(cast, attacker);
  }));

test(`${DAMAGE}: empty DATA without end`, () =>
  stage('', async (cast) => {
    const origin = await cast.origin(() => {});
    const attacker = await attackerOf(cast);
    cast.expected++;
    attacker.request(`${origin.url}/`, 1, END_HEADERS, 'POST');
    const empty = Buffer.concat(Array.from({ length: 1_000 }, () => frame(DATA, 0, 1)));
    await flood(attacker, 200, () => empty);
    await attacker.ended();
    await proveUnharmed(cast, attacker);
  }));

test(`${DAMAGE}: a head that goes on in CONTINUATION without end`, () =>
  stage('', async (cast) => {
    const attacker = await attackerOf(cast);
    attacker.write(frame(HEADERS, 0, 1, fieldBlock(requestFields('http://127.0.0.1:9/'))));
    const more = frame(CONTINUATION, 0, 1, fieldBlock([['x', 'y'.repeat(1_000)]]));
    await flood(attacker, 20_000, () => more);
    await attacker.ended();
    await proveUnharmed(cast, attacker);
  }));

test(`${DAMAGE}: a head that HPACK makes large`, () =>
  stage('', async (cast) => {
    const attacker = await attackerOf(cast);
    // One field of 4,000 bytes goes into the table, and each byte 0xbe is that field again.
    const entry = Buffer.concat([
      Buffer.from([0x40, 1, 0x78, 0x7f, 0xa1, 0x1e]),
      Buffer.alloc(4_000, 'y'),
      Buffer.alloc(10_000, 0xbe),
    ]);
    const before = bufferBytes();
    for (let stream = 1; stream < 40; stream += 2) {
      attacker.write(
        frame(HEADERS, 5, stream, Buffer.concat([fieldBlock(requestFields('http://127.0.0.1:9/')), entry])),
      );
    }
    await until(
      () => attacker.closed || attacker.frames.some(({ type }) => type === RST_STREAM || type === GOAWAY),
      'it to be refused',
    );
    assert.ok(bufferBytes() - before < 16_000_000);
    assert.equal(cast.sidecar.exchanges.length, 0);
    await proveUnharmed(cast, attacker);
  }));

test(`${DAMAGE}: a head larger than limits.headerBytes`, () =>
  stage('limits: { headerBytes: 16KiB }', async (cast) => {
    const origin = await cast.origin();
    const attacker = await attackerOf(cast);
    const fields: [string, string][] = Array.from({ length: 15 }, (_, n) => [`x-${n}`, 'y'.repeat(900)]);
    const fits = fieldBlock([...requestFields(`${origin.url}/`), ...fields]);
    attacker.write(frame(HEADERS, 5, 1, fits));
    await attacker.got(DATA, 1);
    cast.expected++;
    const large = fieldBlock([...requestFields(`${origin.url}/`), ...fields, ['z', 'y'.repeat(4_000)]]);
    attacker.write(
      frame(HEADERS, 1, 3, large.subarray(0, 10_000)),
      frame(CONTINUATION, 4, 3, large.subarray(10_000)),
    );
    await attacker.got(HEADERS, 3);
    cast.expected++;
    assert.equal((await cast.sidecar.line(2)).status, 431);
    // Far beyond, it is no exchange.
    const huge = fieldBlock([
      ...requestFields(`${origin.url}/`),
      ['z', 'y'.repeat(15_000)],
      ['z', 'y'.repeat(15_000)],
      ['z', 'y'.repeat(15_000)],
    ]);
    attacker.write(frame(SETTINGS, 1, 0), frame(HEADERS, 1, 5, huge.subarray(0, 16_000)));
    attacker.write(
      frame(CONTINUATION, 0, 5, huge.subarray(16_000, 32_000)),
      frame(CONTINUATION, 4, 5, huge.subarray(32_000)),
    );
    await attacker.got(RST_STREAM, 5);
    assert.equal(origin.seen.length, 1);
    await proveUnharmed(cast, attacker);
  }));

test(`${DAMAGE}: a window that overflows, or that it opens byte by byte`, () =>
  stage('', async (cast) => {
    const origin = await cast.origin((_request, response) => {
      response.setHeader('Content-Length', 300);
      response.end('x'.repeat(300));
    });
    const attacker = await attackerOf(cast);
    attacker.write(frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0]));
    attacker.request(`${origin.url}/`, 1);
    cast.expected++;
    await attacker.got(HEADERS, 1);
    // One more than there are bytes, for END_STREAM.
    for (let n = 0; n <= 300; n++) attacker.write(frame(WINDOW_UPDATE, 0, 1, number32(1)));
    await until(
      () =>
        attacker.frames.some(({ type, flags, stream }) => type === DATA && stream === 1 && (flags & 1) === 1),
      'the whole response',
    );
    attacker.write(frame(WINDOW_UPDATE, 0, 0, number32(0x7fffffff)));
    await attacker.ended();
    await proveUnharmed(cast, attacker);
  }));

test(`${DAMAGE}: whatever else is no HTTP/2`, () =>
  stage('', async (cast) => {
    const origin = await cast.origin(() => {});
    const block = fieldBlock(requestFields(`${origin.url}/`));
    const bad: readonly (readonly [what: string, frames: Buffer])[] = [
      ['bytes that are no frames', Buffer.alloc(200, 0xff)],
      ['text', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
      ['a frame that is too long', frame(DATA, 0, 1, Buffer.alloc(70_000))],
      ['DATA of no stream', frame(DATA, 0, 0, [1])],
      ['DATA of a stream that is idle', frame(DATA, 0, 5, [1])],
      ['an even stream', frame(HEADERS, 5, 2, block)],
      ['HEADERS that are no HPACK', frame(HEADERS, 5, 1, Buffer.alloc(50, 0xff))],
      ['CONTINUATION alone', frame(CONTINUATION, 4, 1, block)],
      ['PING of the wrong length', frame(PING, 0, 0, [1])],
      ['SETTINGS of the wrong length', frame(SETTINGS, 0, 0, [1])],
      ['a push', frame(5, 4, 1, Buffer.concat([number32(2), block]))],
      ['a WINDOW_UPDATE of nothing', frame(WINDOW_UPDATE, 0, 0, number32(0))],
      ['a GOAWAY', frame(GOAWAY, 0, 0, Buffer.concat([number32(0), number32(0)]))],
      ['a GOAWAY with an error', frame(GOAWAY, 0, 0, Buffer.concat([number32(0), number32(2)]))],
    ];
    for (const [what, frames] of bad) {
      const attacker = await attackerOf(cast);
      attacker.write(frames);
      await attacker.ended().catch(() => assert.fail(`still there after ${what}`));
    }
    for (const frames of [frame(5, 4, 1, block), Buffer.from('nothing of the kind, and enough of it')]) {
      const attacker = await RawHttp2Caller.connect(cast.sidecar.port, Buffer.concat([PREFACE, frames]));
      await attacker.ended();
    }
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'nothing to be in flight');
    cast.expected += cast.sidecar.exchanges.length;
    for (const { outcome } of cast.sidecar.exchanges) assert.equal(outcome, 'aborted');
    const last = await attackerOf(cast);
    await proveUnharmed(cast, last);
  }));

test('a stream that breaks the rules of a message is reset, and no other', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const caller = await attackerOf(cast);
    const head = requestFields(`${origin.url}/`);
    const bad: readonly (readonly [string, string])[][] = [
      [...head, ['connection', 'close']],
      [...head, ['transfer-encoding', 'chunked']],
      [...head, ['te', 'gzip']],
      [...head, ['Upper-Case', 'x']],
      [...head, [':late', 'x']],
      [...head, [':path', '/twice']],
      [...head, [':protocol', 'websocket']],
      [...head, ['content-length', '5']],
      head.filter(([name]) => name !== ':path'),
      head.filter(([name]) => name !== ':method'),
      head.map(([name, value]) => [name, name === ':path' ? 'no-slash' : value]),
      head.map(([name, value]) => [name, name === ':path' ? '/a b' : value]),
      head.map(([name, value]) => [name, name === ':authority' ? 'u@x' : value]),
      head.map(([name, value]) => [name, name === ':authority' ? 'x/y' : value]),
    ];
    let stream = 1;
    for (const fields of bad) {
      caller.write(frame(HEADERS, 5, stream, fieldBlock(fields)));
      const what = JSON.stringify(fields.at(-1));
      await until(
        () => caller.frames.some((one) => one.stream === stream && [RST_STREAM, HEADERS].includes(one.type)),
        what,
      );
      const reset = caller.frames.some((one) => one.stream === stream && one.type === RST_STREAM);
      if (!reset) {
        // Not for nghttp2 to refuse, but for us.
        const line = await cast.sidecar.line(cast.sidecar.exchanges.length);
        assert.equal(line.status, 400, what);
      }
      stream += 2;
    }
    await until(() => cast.sidecar.sidecar.snapshot().exchangesInFlight === 0, 'nothing to be in flight');
    cast.expected += cast.sidecar.exchanges.length;
    assert.equal(origin.seen.length, 0);
    cast.expected++;
    caller.request(`${origin.url}/`, stream);
    await caller.got(DATA, stream);
  }));

test('a field that would end a line is not passed on', () =>
  stage('', async (cast) => {
    const origin = await cast.origin();
    const caller = await attackerOf(cast);
    const values = ['a\r\nx-evil: 1', 'a\nx-evil: 1', 'a\0b', ' a', 'a '];
    for (const [n, value] of values.entries()) {
      cast.expected++;
      caller.write(
        frame(HEADERS, 5, 2 * n + 1, fieldBlock([...requestFields(`${origin.url}/`), ['x-made', value]])),
      );
      await caller.got(DATA, 2 * n + 1);
    }
    for (const { headers } of origin.seen) {
      assert.equal(headers['x-evil'], undefined);
      assert.ok(
        ['a', undefined].includes(headers['x-made'] as string | undefined),
        String(headers['x-made']),
      );
    }
  }));

test('a caller that takes the body and leaves no room for its end loses its exchange after the idle timeout', () =>
  stage('policy: { timeouts: { idle: 200ms } }', async (cast) => {
    const origin = await cast.origin((_request, response) => {
      response.write('x'.repeat(300));
      response.end();
    });
    const caller = await attackerOf(cast);
    cast.expected++;
    caller.write(frame(SETTINGS, 0, 0, [0, 4, 0, 0, 1, 44]));
    caller.request(`${origin.url}/`, 1);
    await caller.got(RST_STREAM, 1);
    assert.equal((await cast.sidecar.line(1)).reason?.split(':')[0], 'caller_stalled');
  }));

for (const together of [false, true]) {
  const how = together ? 'in the packet of its request' : 'later';
  test(`a caller that says GOAWAY ${how} and breaks the rules then has left at once`, () =>
    stage('', async (cast) => {
      const origin = await cast.origin(() => {});
      const attacker = await attackerOf(cast);
      cast.expected++;
      const head = frame(HEADERS, 5, 1, fieldBlock(requestFields(`${origin.url}/`)));
      const goaway = frame(GOAWAY, 0, 0, Buffer.alloc(8));
      if (together) attacker.write(head, goaway);
      else attacker.write(head);
      await until(() => origin.seen.length === 1, 'the request to arrive');
      if (!together) attacker.write(goaway);
      attacker.write(frame(DATA, 0, 1, [1]));
      const line = await cast.sidecar.line(1);
      assert.equal(line.outcome, 'aborted');
      assert.match(line.reason ?? '', /^caller left/);
      await attacker.ended();
    }));
}

test('a caller that says GOAWAY gets the answers to what it asked, and then the end', () =>
  stage('', async (cast) => {
    const waiting: (() => void)[] = [];
    const origin = await cast.origin((_request, response) => {
      waiting.push(() => response.end('late'));
    });
    const caller = await attackerOf(cast);
    cast.expected += 2;
    caller.request(`${origin.url}/`, 1);
    caller.request(`${origin.url}/`, 3);
    await until(() => waiting.length === 2, 'the requests to arrive');
    caller.write(frame(GOAWAY, 0, 0, Buffer.alloc(8)), frame(PING, 0, 0, Buffer.alloc(8)));
    await caller.got(PING);
    for (const answer of waiting) answer();
    await caller.got(DATA, 1);
    await caller.got(DATA, 3);
    assert.equal((await caller.got(GOAWAY)).payload.readUInt32BE(4), 0);
    await caller.ended();
  }));
