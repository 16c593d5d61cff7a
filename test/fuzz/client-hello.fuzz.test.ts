// Invariant: whatever bytes come, cut in whatever way, the answer is the same and comes with the same byte, nothing
// throws, and no more than 32 KiB are read; what began as TLS is TLS or broken, and never a request; a name that is
// told stands in the bytes of the message, and is a name; and what a real client said is told, however it was cut.
import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { type BrokenTls, type ClientHello, parseClientHello } from '../../src/downstream/client-hello.ts';
import { CLIENT_HELLO_BYTES_MAX } from '../../src/downstream/client-hello-reader.ts';
import { FirstBytes, type Opening } from '../../src/downstream/first-bytes.ts';
import {
  alpnExtension,
  extension,
  helloBody,
  helloOfNode,
  helloOfOpenssl,
  message,
  records,
  serverNameExtension,
} from '../support/client-hello.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** The answer, and how many of the bytes had come. */
interface Told {
  readonly opening: Opening;
  readonly bytes: number;
}

function tell(bytes: Uint8Array, cuts: readonly number[]): Told {
  const first = new FirstBytes();
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    const piece = bytes.subarray(at, at + cut);
    at += piece.length;
    const opening = first.read(piece);
    if (opening.kind !== 'more') return { opening, bytes: at };
  }
  return { opening: first.end(), bytes: Number.POSITIVE_INFINITY };
}

const byteByByte = (bytes: Uint8Array): Told =>
  tell(bytes, Array.from<number>({ length: bytes.length }).fill(1));

/** The bytes of the message, without the headers of its records. */
function payload(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes);
  let text = '';
  for (let at = 0; at + 5 <= buffer.length; at += 5 + buffer.readUInt16BE(at + 3))
    text += buffer.toString('latin1', at + 5, at + 5 + buffer.readUInt16BE(at + 3));
  return text;
}

function assertSound(bytes: Uint8Array, cuts: readonly number[]): Opening {
  const whole = tell(bytes, []);
  const { opening } = whole;
  assert.notEqual(opening.kind, 'more');
  const trickled = byteByByte(bytes);
  assert.deepEqual(trickled.opening, opening);
  assert.ok(trickled.bytes <= CLIENT_HELLO_BYTES_MAX || trickled.bytes === Number.POSITIVE_INFINITY);
  const cut = tell(bytes, cuts);
  assert.deepEqual(cut.opening, opening);
  assert.ok(cut.bytes >= trickled.bytes, 'not before the byte that decides');
  if (trickled.bytes !== Number.POSITIVE_INFINITY) {
    // What comes after the deciding byte is never looked at.
    const decided = bytes.subarray(0, trickled.bytes);
    assert.deepEqual(tell(Buffer.concat([decided, Buffer.alloc(9, 0xff)]), cuts).opening, opening);
  }
  if (bytes.length >= 2)
    assert.equal(
      bytes[0] === 0x16 && bytes[1] === 3,
      opening.kind === 'tls' || opening.kind === 'broken-tls',
    );
  if (opening.kind === 'tls' && opening.serverName !== null) {
    assert.match(opening.serverName, /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/);
    assert.ok(payload(bytes).toLowerCase().includes(opening.serverName), 'the name stands in the message');
  }
  if (opening.kind === 'tls')
    for (const protocol of opening.alpn) assert.ok(payload(bytes).includes(protocol), 'so does a protocol');
  return opening;
}

const cuts = fc.array(fc.oneof(fc.nat({ max: 6 }), fc.nat({ max: 600 })), { maxLength: 40 });
const fragments = fc.array(fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 300 })), {
  maxLength: 20,
});

interface Edit {
  readonly at: number;
  readonly kind: 'set' | 'remove' | 'insert' | 'end';
  readonly byte: number;
}
const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({
    // The beginning is where the lengths are.
    at: fc.oneof(fc.nat({ max: 100 }), fc.nat({ max: 4_000 })),
    kind: fc.constantFrom('set', 'set', 'set', 'remove', 'insert', 'end'),
    byte: fc.oneof(fc.constantFrom(0, 1, 3, 0x16, 0x7f, 0x80, 0xff), fc.nat({ max: 255 })),
  }),
  { minLength: 1, maxLength: 6 },
);

function edited(bytes: Uint8Array, changes: readonly Edit[]): Buffer {
  const list = [...bytes];
  for (const { at: wanted, kind, byte } of changes) {
    const at = wanted % (list.length + 1);
    if (kind === 'set' && at < list.length) list[at] = byte;
    else if (kind === 'remove') list.splice(at, 1);
    else if (kind === 'insert') list.splice(at, 0, byte);
    else if (kind === 'end') list.length = at;
  }
  return Buffer.from(list);
}

const label = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
const hostName = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));
const protocol = fc.oneof(
  fc.constantFrom('h2', 'http/1.1', 'http/1.0'),
  fc.uint8Array({ minLength: 1, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
);
const said = fc.record({
  name: fc.option(hostName),
  finalDot: fc.boolean(),
  alpn: fc.array(protocol, { maxLength: 4 }),
  ech: fc.boolean(),
  others: fc.uniqueArray(fc.tuple(fc.integer({ min: 17, max: 60_000 }), fc.uint8Array({ maxLength: 30 })), {
    maxLength: 6,
    selector: ([type]) => type,
  }),
});

describe('a ClientHello of a real client', () => {
  const hellos: { bytes: Buffer; serverName: string | null; alpn: string[] }[] = [];
  let left = 0;

  before(async () => {
    const names: (string | null)[] = ['api.vendor.example', null];
    for (const serverName of names) {
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        for (const alpn of [[], ['h2', 'http/1.1']]) {
          const node = { servername: serverName ?? '', minVersion: version, maxVersion: version };
          hellos.push({ bytes: await helloOfNode({ ...node, ALPNProtocols: alpn }), serverName, alpn });
          const words = serverName === null ? ['-noservername'] : ['-servername', serverName];
          if (alpn.length > 0) words.push('-alpn', alpn.join(','));
          const bytes = await helloOfOpenssl(...words, version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3');
          if (bytes !== null) hellos.push({ bytes, serverName, alpn });
        }
      }
    }
    left = hellos.length;
  });

  after(() => assert.ok(left >= 8, 'there were some'));

  const chosen = fc.nat({ max: 1_000 }).map((i) => hellos[i % hellos.length] as (typeof hellos)[number]);

  test('is told, however it is cut into records and packets', () => {
    fc.assert(
      fc.property(chosen, fragments, cuts, ({ bytes, serverName, alpn }, lengths, packets) => {
        const recut = records(bytes.subarray(5), ...lengths);
        assert.deepEqual(assertSound(recut, packets), { kind: 'tls', serverName, alpn, ech: false });
      }),
      { numRuns: 1_500 },
    );
  });

  test('that was changed or cut short is told, or broken, or something else', () => {
    fc.assert(
      fc.property(chosen, fragments, edits, cuts, ({ bytes }, lengths, changes, packets) => {
        assertSound(edited(records(bytes.subarray(5), ...lengths), changes), packets);
      }),
      { numRuns: 4_000 },
    );
  });
});

test('a ClientHello that says whatever it likes', () => {
  fc.assert(
    fc.property(said, fragments, cuts, ({ name, finalDot, alpn, ech, others }, lengths, packets) => {
      const extensions = others.map(([type, data]) => extension(type, data));
      if (name !== null) extensions.unshift(serverNameExtension(finalDot ? `${name}.` : name));
      if (alpn.length > 0) extensions.push(alpnExtension(...alpn));
      if (ech) extensions.push(extension(0xfe0d, Buffer.alloc(5)));
      const bytes = records(message(helloBody({ extensions })), ...lengths);
      assert.deepEqual(assertSound(bytes, packets), {
        kind: 'tls',
        serverName: name?.toLowerCase() ?? null,
        alpn,
        ech,
      });
    }),
    { numRuns: 2_000 },
  );
});

test('a name of any bytes is told only if it is one', () => {
  const likely = fc.string({ unit: fc.constantFrom('a', 'B', '0', '-', '_', '.', '.', ' '), maxLength: 12 });
  const text = fc.oneof(
    likely,
    fc.string({ unit: 'binary-ascii', maxLength: 70 }),
    fc.stringMatching(/^[a.]{50,300}$/),
  );
  const name = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    text.map((one) => Buffer.from(one)),
  );
  fc.assert(
    fc.property(name, (bytes) => {
      const read = parseClientHello(helloBody({ extensions: [serverNameExtension(bytes)] }));
      const asked = Buffer.from(bytes).toString('latin1').toLowerCase().replace(/\.$/, '');
      const isName =
        asked.length <= 253 &&
        asked.split('.').every((part) => part.length >= 1 && part.length <= 63 && !/[^a-z0-9_-]/.test(part));
      assert.deepEqual(
        read,
        isName
          ? { kind: 'tls', serverName: asked, alpn: [], ech: false }
          : { kind: 'broken-tls', reason: 'a malformed server name' },
      );
    }),
    { numRuns: 5_000 },
  );
});

test('the body of a message of any bytes', () => {
  const kinds = new Set<(ClientHello | BrokenTls)['kind']>(['tls', 'broken-tls']);
  const start = helloBody({ extensions: null });
  const tail = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(tail, fc.boolean(), (bytes, behindAStart) => {
      assert.ok(kinds.has(parseClientHello(behindAStart ? Buffer.concat([start, bytes]) : bytes).kind));
    }),
    { numRuns: 5_000 },
  );
});

test('bytes of any kind, and those that begin like something', () => {
  const beginning = fc.constantFrom(
    '',
    '\x16',
    '\x16\x03',
    '\x16\x03\x01',
    '\x16\x03\x01\x02\x00\x01',
    '\x80\x2e\x01',
    PREFACE,
    ...METHODS.map((method) => `${method} `),
  );
  const cutShort = fc
    .tuple(beginning, fc.nat({ max: 30 }), fc.boolean())
    .map(([text, length, cut]) => Buffer.from(cut ? text.slice(0, length) : text, 'latin1'));
  const lines = fc
    .constantFrom('', '', '\r\n', '\n', '\r', '\r\n\r\n', '\n\n\n')
    .map((text) => Buffer.from(text));
  fc.assert(
    fc.property(lines, cutShort, fc.uint8Array({ maxLength: 60 }), cuts, (line, text, rest, packets) => {
      const bytes = Buffer.concat([line, text, rest]);
      const { kind } = assertSound(bytes, packets);
      const latin1 = bytes.toString('latin1');
      const request = METHODS.some((method) =>
        latin1.replace(/^(?:\r?\n){0,2}/, '').startsWith(`${method} `),
      );
      assert.equal(kind === 'http', request);
      assert.equal(kind === 'http2', latin1.startsWith(PREFACE));
    }),
    { numRuns: 8_000 },
  );
});

test('a ClientHello is told up to the bound, and is over at it', () => {
  const least = helloBody({ extensions: [extension(21, Buffer.alloc(0))] }).length;
  const near = fc.tuple(fc.integer({ min: 200, max: 16_384 }), fc.integer({ min: -40, max: 40 }));
  let told = 0;
  let over = 0;
  fc.assert(
    fc.property(near, cuts, ([length, beyond], packets) => {
      // As long as all records together are some bytes within the bound, or beyond it.
      const headers = Math.ceil(CLIENT_HELLO_BYTES_MAX / (length + 5)) * 5 + 4;
      const padding = CLIENT_HELLO_BYTES_MAX - headers - least + beyond;
      const whole = message(helloBody({ extensions: [extension(21, Buffer.alloc(padding))] }));
      const bytes = records(
        whole,
        ...Array.from<number>({ length: Math.ceil(whole.length / length) }).fill(length),
      );
      const { kind } = assertSound(bytes, packets);
      assert.equal(kind, bytes.length <= CLIENT_HELLO_BYTES_MAX ? 'tls' : 'broken-tls');
      if (kind === 'tls') told++;
      else over++;
    }),
    { numRuns: 60 },
  );
  assert.ok(told > 0 && over > 0, `${told} and ${over}`);
});
