// Invariant: whatever header list comes in, what goes out is a part of it in the same order, with one Via of ours
// behind it; nothing about the hop is in it, nothing that Connection names unless the origin relies upon it, and
// framing at most once and unambiguous; forwarding it again takes nothing more away; and nothing throws.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  forwardRequestHeaders,
  forwardResponseHeaders,
  forwardTrailers,
} from '../../src/headers/hop-by-hop.ts';

const us = 'outrigger-0123abff';
// biome-ignore format: a few to a line
const HOP = [
  'connection', 'proxy-connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade', 'http2-settings',
  'proxy-authorization', 'proxy-authenticate',
];
const REQUEST_ONLY = ['trailer', 'host', 'expect', 'x-request-id', 'traceparent', 'tracestate'];
const RELIED_UPON = [
  'content-length',
  'authorization',
  'cookie',
  'set-cookie',
  'content-type',
  'if-match',
  'idempotency-key',
];
const PLAIN = [
  'accept',
  'x-a',
  'x-b',
  'user-agent',
  '__proto__',
  'constructor',
  'x-secret',
  'server',
  'retry-after',
];

const spelled = (name: string): fc.Arbitrary<string> =>
  fc.mixedCase(fc.constant(name), {
    toggleCase: (c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase()),
  });
const name = fc
  .constantFrom(
    ...HOP,
    ...REQUEST_ONLY,
    ...RELIED_UPON,
    ...PLAIN,
    'via',
    'content-length',
    'connection',
    'connection',
  )
  .chain(spelled);
const option = fc
  .constantFrom('close', 'keep-alive', '', ...PLAIN, ...RELIED_UPON, ...REQUEST_ONLY, ...HOP)
  .chain(spelled);
const value = fc.oneof(
  fc.array(option, { maxLength: 4 }).map((options) => options.join(', ')),
  fc.constantFrom(
    '0',
    '5',
    '05',
    '6',
    '-1',
    '5,5',
    'chunked',
    'gzip, chunked',
    '100-continue',
    'timeout=5',
    `1.1 ${us}`,
  ),
  fc.string({ unit: 'binary-ascii', maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
);
const list = fc
  .array(
    fc.tuple(
      fc.oneof({ weight: 9, arbitrary: name }, { weight: 1, arbitrary: fc.string({ maxLength: 6 }) }),
      value,
    ),
    {
      maxLength: 25,
    },
  )
  .map((pairs) => pairs.flat());

const pairsOf = (flat: readonly string[]): [string, string][] => {
  const pairs: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push([flat[i] as string, flat[i + 1] as string]);
  return pairs;
};

function isSubsequence(part: [string, string][], whole: [string, string][]): boolean {
  let found = 0;
  for (const [n, v] of whole) if (part[found]?.[0] === n && part[found]?.[1] === v) found++;
  return found === part.length;
}

function namedBy(raw: readonly string[]): Set<string> {
  const values = pairsOf(raw).filter(([n]) => n.toLowerCase() === 'connection');
  return new Set(values.flatMap(([, v]) => v.split(',').map((one) => one.trim().toLowerCase())));
}

function assertForwarded(raw: readonly string[], out: readonly string[]): void {
  const pairs = pairsOf(out);
  assert.ok(isSubsequence(pairs, pairsOf(raw)), 'nothing is invented and the order is kept');
  const named = namedBy(raw);
  for (const [n] of pairs) {
    const lower = n.toLowerCase();
    assert.ok(!HOP.includes(lower), lower);
    assert.ok(!(PLAIN.includes(lower) && named.has(lower)), `${lower} is named by Connection`);
  }
  for (const kept of RELIED_UPON.slice(1)) {
    const count = (flat: readonly string[]): number =>
      pairsOf(flat).filter(([n]) => n.toLowerCase() === kept).length;
    assert.equal(count(out), count(raw), kept);
  }
  const lengths = pairs.filter(([n]) => n.toLowerCase() === 'content-length');
  assert.ok(lengths.length <= 1 && lengths.every(([, v]) => /^\d+$/.test(v)));
}

test('request headers', () => {
  fc.assert(
    fc.property(list, (raw) => {
      const out: string[] = [];
      const before = [...raw];
      const facts = forwardRequestHeaders(raw, out, 'x-request-id', us);
      assert.deepEqual(raw, before, 'what came in is untouched');
      assert.equal(out.at(-2), 'Via');
      assert.ok(out.at(-1)?.endsWith(`1.1 ${us}`));
      const rest = out.slice(0, -2);
      assertForwarded(raw, rest);
      for (const [n] of pairsOf(rest)) assert.ok(![...REQUEST_ONLY, 'via'].includes(n.toLowerCase()), n);
      if (facts.invalid === null) {
        assert.ok(!(facts.chunked && facts.contentLength !== null));
        assert.equal(facts.hasBody, facts.chunked || (facts.contentLength ?? 0) > 0);
      }
      const again: string[] = [];
      assert.equal(forwardRequestHeaders(rest, again, 'x-request-id', us).invalid, null);
      assert.deepEqual(again.slice(0, -2), rest);
      assert.ok(forwardRequestHeaders(out, [], 'x-request-id', us).loop, 'what has been here is known');
    }),
    { numRuns: 5000 },
  );
});

test('response headers', () => {
  fc.assert(
    fc.property(list, (raw) => {
      const out: string[] = [];
      const facts = forwardResponseHeaders(raw, out);
      assertForwarded(raw, out);
      if (facts.invalid === null) assert.ok(!(facts.chunked && facts.contentLength !== null));
      const again: string[] = [];
      forwardResponseHeaders(out, again);
      assert.deepEqual(again, out);
    }),
    { numRuns: 5000 },
  );
});

test('trailers', () => {
  fc.assert(
    fc.property(list, (raw) => {
      const out: string[] = [];
      forwardTrailers(raw, out);
      assert.ok(isSubsequence(pairsOf(out), pairsOf(raw)));
      for (const [n] of pairsOf(out)) {
        assert.doesNotMatch(
          n,
          /^(content-.*|transfer-encoding|host|authorization|(set-)?cookie|trailer|te|connection)$/i,
        );
      }
    }),
    { numRuns: 2000 },
  );
});

test('a head of the largest size allowed is read in a moment, however Connection abuses it', () => {
  const raw = ['Connection', Array.from({ length: 12_000 }, (_, i) => i.toString(36)).join(',')];
  for (let i = 0; i < 4000; i++) raw.push(i.toString(36), '');
  const from = performance.now();
  const out: string[] = [];
  forwardRequestHeaders(raw, out, 'x-request-id', us);
  assert.equal(out.length, 2);
  assert.ok(performance.now() - from < 250);
});
