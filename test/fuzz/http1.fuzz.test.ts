// Invariant: however a head or a chunked body is cut into pieces, it is read the same, and what follows it is left
// where it was; whatever bytes come, the readers neither throw nor hold more than their bounds; and what they take for
// one message, Node's own strict parser takes for the same message.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkedReader } from '../../src/http1/chunked-reader.ts';
import { HeadFault } from '../../src/http1/head-fault.ts';
import { HeadReader, MORE } from '../../src/http1/head-reader.ts';
import { readRequestHead } from '../../src/http1/request-head.ts';

const BOUNDS = { startLineBytes: 60, headBytes: 200, fields: 6 };

const token = fc.string({ unit: fc.constantFrom(...'GETabc-_!1'.split('')), minLength: 1, maxLength: 6 });
const value = fc.string({ unit: fc.constantFrom(...'ab 1\t;,:"\xe9'.split('')), maxLength: 12 });
const field = fc.tuple(token, fc.constantFrom(': ', ':', ' : ', ':\t'), value).map((parts) => parts.join(''));
const lineEnd = fc.oneof(
  { weight: 40, arbitrary: fc.constant('\r\n') },
  fc.constantFrom('\n', '\r', '\r\n ', ''),
);
const line = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .tuple(token, fc.constantFrom('/', 'http://a/b?c', '*'))
      .map(([m, t]) => `${m} ${t} HTTP/1.1`),
  },
  fc.constantFrom(
    'GET  / HTTP/1.1',
    'GET / HTTP/1.2',
    ' GET / HTTP/1.1',
    '',
    'GET /',
    `GET /${'x'.repeat(70)} HTTP/1.1`,
  ),
);
const head = fc
  .tuple(
    fc.constantFrom('', '', '\r\n'),
    line,
    fc.array(fc.tuple(lineEnd, field), { maxLength: 7 }),
    lineEnd,
    lineEnd,
  )
  .map(
    ([before, first, fields, a, b]) => before + first + fields.map((one) => one.join('')).join('') + a + b,
  );
const chunk = fc
  .tuple(
    fc.constantFrom('', '', '0', '0x', '+', ' '),
    fc.string({ unit: fc.constantFrom(...'ab\r\n0'.split('')), maxLength: 20 }),
    fc.constantFrom('', '', ';x=y', ' '),
    lineEnd,
    lineEnd,
  )
  .map(
    ([before, data, extension, a, b]) => `${before}${data.length.toString(16)}${extension}${a}${data}${b}`,
  );
const chunked = fc
  .tuple(
    fc.array(chunk, { maxLength: 4 }),
    lineEnd,
    fc.array(fc.tuple(field, lineEnd), { maxLength: 3 }),
    lineEnd,
  )
  .map(
    ([chunks, a, trailers, b]) =>
      `${chunks.join('')}0${a}${trailers.map((one) => one.join('')).join('')}${b}`,
  );
const mutated = (text: fc.Arbitrary<string>) =>
  fc.oneof(
    { weight: 3, arbitrary: text },
    fc
      .tuple(
        text,
        fc.nat(80),
        fc.nat(2),
        fc.string({
          unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
          maxLength: 2,
        }),
      )
      .map(([whole, at, cut, put]) => whole.slice(0, at) + put + whole.slice(at + cut)),
  );
const cuts = fc.array(fc.nat(120), { maxLength: 6 });

/** In pieces that begin at the cuts. */
function* pieces(bytes: Buffer, at: readonly number[]): Generator<Buffer> {
  let from = 0;
  for (const to of [...at, bytes.length].toSorted((a, b) => a - b)) {
    if (to <= from || to > bytes.length) continue;
    yield Buffer.from(bytes.subarray(from, to));
    from = to;
  }
}

function readHead(parts: Iterable<Buffer>): object {
  const reader = new HeadReader(BOUNDS);
  let before = 0;
  for (const part of parts) {
    const end = reader.read(part, 0);
    if (reader.fault !== null) return { fault: reader.fault.kind };
    if (end !== MORE) return { end: before + end, head: readRequestHead(reader.text, BOUNDS) };
    before += part.length;
  }
  return { more: true };
}

function readChunked(parts: Iterable<Buffer>): object {
  const reader = new ChunkedReader(BOUNDS);
  let before = 0;
  let data = '';
  for (const part of parts) {
    const end = reader.read(part, 0, { bodyData: (some) => (data += some.toString('latin1')) });
    if (reader.fault !== null) return { fault: reader.fault.kind };
    if (reader.done) return { end: before + end, data, trailers: reader.trailers };
    before += part.length;
  }
  return { more: true, data };
}

test('a head is read the same in any pieces', () => {
  fc.assert(
    fc.property(mutated(head), cuts, (text, at) => {
      const bytes = Buffer.from(`${text}rest`, 'latin1');
      const whole = readHead([bytes]);
      const parted = readHead(pieces(bytes, at));
      // A fault may be seen before the end of the head is there, and then it may be another one.
      const faulty = 'fault' in whole || ('head' in whole && whole.head instanceof HeadFault);
      const parts = 'fault' in parted || ('head' in parted && parted.head instanceof HeadFault);
      if (faulty || parts) assert.ok((faulty && parts) || 'more' in whole, JSON.stringify([whole, parted]));
      else assert.deepEqual(parted, whole);
    }),
    { numRuns: 20_000 },
  );
});

test('a chunked body is read the same in any pieces', () => {
  fc.assert(
    fc.property(mutated(chunked), cuts, (text, at) => {
      const bytes = Buffer.from(`${text}rest`, 'latin1');
      assert.deepEqual(readChunked(pieces(bytes, at)), readChunked([bytes]));
    }),
    { numRuns: 20_000 },
  );
});

test("what is taken for one request, Node's strict parser takes for the same", async (t) => {
  let seen: { method: string; url: string; fields: string[]; body: string; trailers: string[] } | null = null;
  const server = createServer({ requireHostHeader: false });
  const taken = (request: IncomingMessage): void => {
    const body: Buffer[] = [];
    request.on('data', (data: Buffer) => body.push(data));
    request.on('end', () => {
      seen = {
        method: request.method ?? '',
        url: request.url ?? '',
        fields: request.rawHeaders,
        body: Buffer.concat(body).toString('latin1'),
        trailers: request.rawTrailers,
      };
      request.socket.destroy();
    });
    request.on('error', () => {});
  };
  server.on('request', taken);
  server.on('checkExpectation', taken);
  // It refuses white space in a chunk extension, which RFC 9112, section 7.1.1, allows.
  let refused = false;
  server.on('clientError', (_error, socket) => {
    refused = true;
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.after(() => server.close());
  const bounds = { startLineBytes: 1_000, headBytes: 4_000, fields: 50 };
  const method = fc.constantFrom('GET', 'POST', 'PURGE');
  const message = fc.tuple(
    method,
    mutated(
      fc
        .array(fc.tuple(field, lineEnd), { maxLength: 4 })
        .map((all) => all.map((one) => one.join('')).join('')),
    ),
    mutated(chunked),
  );
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(message, async ([verb, fields, body]) => {
      const text = `${verb} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n${fields}\r\n${body}`;
      const bytes = Buffer.from(text, 'latin1');
      const reader = new HeadReader(bounds);
      const end = reader.read(bytes, 0);
      const ours = end < 0 ? null : readRequestHead(reader.text, bounds);
      if (ours === null || ours instanceof HeadFault) return;
      const names = ours.fields.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
      // What these mean is decided elsewhere.
      if (
        names.some((name) => /^(connection|upgrade|content-length|expect)$/.test(name)) ||
        names.filter((name) => name === 'transfer-encoding').length > 1
      )
        return;
      const chunks = new ChunkedReader(bounds);
      let data = '';
      const bodyEnd = chunks.read(bytes, end, { bodyData: (some) => (data += some.toString('latin1')) });
      if (chunks.fault !== null || !chunks.done) return;
      seen = null;
      refused = false;
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.resume();
      socket.write(bytes.subarray(0, bodyEnd));
      await once(socket, 'close');
      if (refused) return;
      compared++;
      assert.deepEqual(
        seen,
        { method: ours.method, url: ours.target, fields: ours.fields, body: data, trailers: chunks.trailers },
        JSON.stringify(text),
      );
    }),
    { numRuns: 1_500 },
  );
  assert.ok(compared > 100, `${compared} were compared`);
});
