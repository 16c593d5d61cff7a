// Invariant: nothing throws; a prefix is found as a reader who tries them all would find it, and what goes on is the
// target's own bytes behind the base path; a client that follows what became of a Location reaches, by the table, the
// very URL of the origin that was meant, or else nothing became of it; other hosts, other fields and all that the rules
// do not name stay byte for byte; no control character is there that was not before; and a cookie comes back to the
// origin's path for which it was set, and is sent nowhere else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PrefixTable } from '../../src/headers/prefix.ts';
import { PrefixRewriter } from '../../src/headers/prefix-rewriter.ts';
import { rescopeCookie } from '../../src/headers/set-cookie.ts';
import type { RouteOrigin } from '../../src/policy/policy.ts';

/** A route's prefix and its origin. */
type PrefixedOrigin = RouteOrigin & { readonly prefix: string };

const US = '127.0.0.1:3128';
const HOST = 'api.fraud.example';

const segment = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'base', 'fraud', 'v1', 'A') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('', '.', '..', '%2e', '.%2E', '%2f', 'a;b', '.a', '...', 'é', ' '),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 4 }) },
);
const path = fc.array(segment, { maxLength: 6 }).map((segments) => `/${segments.join('/')}`);
const query = fc.constantFrom('', '', '?', '?a=/b', '?a=../..', '?//x', '?a\\b');
const prefix = fc.constantFrom('/', '/fraud', '/fraud/', '/a', '/a/b', '/fraud/v1', '/base', '/v1.0~x');
const basePath = fc.constantFrom('', '/', '/base', '/base/', '/a/b', '/fraud');

const origin: fc.Arbitrary<PrefixedOrigin> = fc.record({
  prefix,
  basePath,
  scheme: fc.constantFrom('http', 'https'),
  host: fc.constantFrom(HOST, 'localhost', '192.0.2.7', '2001:db8::1'),
  port: fc.constantFrom(80, 443, 8443),
});

const rewriterOf = (one: PrefixedOrigin): PrefixRewriter => new PrefixRewriter(one.prefix, one);
const trimmed = (text: string): string => text.replace(/\/+$/, '');
const controls = (text: string): string =>
  text
    .split('')
    .filter((char) => char < ' ' || char === '\x7f')
    .join('');
const authorityOf = ({ host, port }: PrefixedOrigin): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;
const tableOf = (one: PrefixedOrigin): PrefixTable<PrefixedOrigin> =>
  new PrefixTable([{ ...one, value: one }]);
const hrefOf = (url: string): string | null => (URL.canParse(url) ? new URL(url).href : null);

test('the table finds what trying every prefix finds', () => {
  const entries = fc.array(fc.record({ prefix: fc.oneof(prefix, path), basePath, value: fc.nat() }), {
    maxLength: 8,
  });
  const target = fc.oneof(
    fc.tuple(path, query).map((parts) => parts.join('')),
    fc.tuple(prefix, path, query).map((parts) => parts.join('')),
    fc.string({ unit: 'binary', maxLength: 12 }),
  );
  fc.assert(
    fc.property(entries, target, (list, asked) => {
      let best: (typeof list)[number] | null = null;
      for (const one of list) {
        const key = trimmed(one.prefix);
        const matches =
          asked.startsWith('/') &&
          (asked === key || asked.startsWith(`${key}/`) || asked.startsWith(`${key}?`));
        if (matches && (best === null || key.length > trimmed(best.prefix).length)) best = one;
      }
      const found = new PrefixTable(list).find(asked);
      if (best === null) return assert.equal(found, null);
      const rest = trimmed(best.basePath) + asked.slice(trimmed(best.prefix).length);
      assert.deepEqual(found, { value: best.value, path: rest.startsWith('/') ? rest : `/${rest}` });
    }),
    { numRuns: 8_000 },
  );
});

test('whoever follows a Location reaches the URL that was meant', () => {
  const reference = fc.record({
    form: fc.constantFrom('absolute', 'absolute', 'network', 'path'),
    beneath: fc.boolean(),
    path,
    query,
    fragment: fc.constantFrom('', '#top', '#/../x'),
  });
  let followed = 0;
  fc.assert(
    fc.property(origin, reference, ({ ...one }, { form, beneath, path: rest, query: asked, fragment }) => {
      const base = beneath ? trimmed(one.basePath) : '';
      const written = `${base}${rest}${asked}${fragment}`;
      const front = {
        absolute: `${one.scheme}://${authorityOf(one)}`,
        network: `//${authorityOf(one)}`,
        path: '',
      };
      const location = front[form] + written;
      const ours = rewriterOf(one).reference(location, US);
      if (ours === location) return;
      // What a client does: against the URL that it asked for, and without the fragment.
      const asks = new URL(ours, `http://${US}/somewhere`);
      asks.hash = '';
      assert.equal(asks.host, US, 'no reference of the origin leads to a third host');
      const match = tableOf(one).find(asks.href.slice(asks.origin.length));
      assert.notEqual(match, null, ours);
      const reached = hrefOf(`${one.scheme}://${authorityOf(one)}${match?.path}`);
      const meant = new URL(location, `${one.scheme}://${authorityOf(one)}/`);
      meant.hash = '';
      // Behind the prefix of all paths no target says the base path without a slash: that with one is nearest.
      if (trimmed(one.prefix) === '' && meant.pathname === trimmed(one.basePath)) meant.pathname += '/';
      assert.equal(reached, meant.href);
      assert.ok(ours.endsWith(asked + fragment), 'query and fragment are kept');
      followed++;
    }),
    { numRuns: 12_000 },
  );
  assert.ok(followed > 3_000, `${followed} were rewritten`);
});

test('a plain reference beneath the base path is always rewritten', () => {
  const plain = fc.array(fc.constantFrom('a', 'base', 'v1', '.a', 'x.y'), { maxLength: 4 });
  fc.assert(
    fc.property(origin, plain, query, (one, segments, asked) => {
      const rest = `/${segments.join('/')}${asked}`;
      const to = rewriterOf(one);
      const absolute = `${one.scheme}://${authorityOf(one)}${trimmed(one.basePath)}${rest}`;
      assert.equal(to.reference(absolute, US), `http://${US}${trimmed(one.prefix)}${rest}`);
      assert.equal(to.reference(trimmed(one.basePath) + rest, US), trimmed(one.prefix) + rest);
      // Once it is ours it is nobody's whom the rewriter knows.
      assert.equal(to.reference(to.reference(absolute, US), US), to.reference(absolute, US));
    }),
    { numRuns: 3_000 },
  );
});

test('other hosts and anything at all: kept, or rewritten without a new control character', () => {
  const elsewhere = fc.constantFrom(
    'https://elsewhere.example',
    `https://${HOST}.elsewhere.example`,
    `https://${HOST}@elsewhere.example`,
    `https://elsewhere.example#@${HOST}`,
    `https://x${HOST}`,
    `ftp://${HOST}`,
    `https://${HOST}:1`,
    '//elsewhere.example',
    `//elsewhere.example\\@${HOST}`,
  );
  const authority = fc.oneof(fc.constant(null), fc.constant(US), fc.string({ unit: 'binary', maxLength: 8 }));
  fc.assert(
    fc.property(origin, elsewhere, path, (one, host, rest) => {
      assert.equal(rewriterOf(one).reference(host + rest, US), host + rest);
    }),
    { numRuns: 3_000 },
  );
  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc
      .tuple(
        fc.constantFrom('/', '//', `https://${HOST}`, `//${HOST}`, `http://${HOST}:80`),
        fc.string({ unit: 'binary', maxLength: 12 }),
      )
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(origin, anything, authority, (one, value, caller) => {
      assert.equal(controls(rewriterOf(one).reference(value, caller)), controls(value));
    }),
    { numRuns: 8_000 },
  );
});

const attribute = fc.oneof(
  fc.constantFrom(
    'Secure',
    ' secure',
    ' Secure=1',
    ' SameSite=None',
    ' samesite=lax',
    ' HttpOnly',
    ' Partitioned',
    '',
    ' Path',
    ' Path=',
    ' Domain',
    ` Domain=${HOST}`,
    ' domain=.fraud.example',
    ' Domain=raud.example',
    ' Domain=elsewhere.example',
    ' Domain=localhost',
    ' Max-Age=5',
    ' Expires=Wed, 21 Oct 2026 07:28:00 GMT',
  ),
  path.map((text) => ` Path=${text.replaceAll(';', '')}`),
  fc.string({ unit: 'binary-ascii', maxLength: 10 }).map((text) => text.replaceAll(';', '')),
);
const pair = fc.oneof(
  fc.constantFrom('a=1', '__Secure-a=1', '__Host-a=1', 'a', '', ' a = "x"'),
  fc.string({ unit: 'binary', maxLength: 8 }).map((text) => text.replaceAll(';', '')),
);
const cookie = fc
  .tuple(pair, fc.array(attribute, { maxLength: 6 }))
  .map(([first, rest]) => [first, ...rest].join(';'));

/** How a client reads it: RFC 6265, section 5.2, as far as the scope goes. */
function scopeOf(text: string): { path: string | null; domain: string | null; secure: boolean } {
  const scope = { path: null as string | null, domain: null as string | null, secure: false };
  for (const part of text.split(';').slice(1)) {
    const [, name = '', value = ''] = /^[ \t]*([^=]*?)[ \t]*(?:=[ \t]*([^]*?)[ \t]*)?$/.exec(part) ?? [];
    const lower = name.toLowerCase();
    if (lower === 'path') scope.path = value.startsWith('/') ? value : null;
    if (lower === 'domain' && value !== '') scope.domain = value.replace(/^\./, '').toLowerCase();
    if (lower === 'secure') scope.secure = true;
  }
  return scope;
}

/** RFC 6265, section 5.1.4. */
function pathMatches(asked: string, cookiePath: string): boolean {
  return (
    asked === cookiePath ||
    (asked.startsWith(cookiePath) && (cookiePath.endsWith('/') || asked[cookiePath.length] === '/'))
  );
}

test('a cookie is sent to the paths for which it was set', () => {
  fc.assert(
    fc.property(origin, cookie, path, (one, text, asked) => {
      const base = trimmed(one.basePath);
      const ours = trimmed(one.prefix);
      const rescoped = rescopeCookie(text, one.host, base, ours);
      if (/^[ \t]*__host-/i.test(text)) return assert.equal(rescoped, text);
      const before = scopeOf(text);
      const after = scopeOf(rescoped);
      // A cookie whose path lies beside the base path is not for us to move.
      const moved =
        before.path !== null && (pathMatches(base || '/', before.path) || pathMatches(before.path, base));
      if (moved && asked !== '/')
        assert.equal(
          pathMatches(ours + asked, after.path ?? ''),
          pathMatches(base + asked, before.path ?? ''),
        );
      else if (!moved) assert.equal(after.path, before.path);
      const matches =
        before.domain !== null &&
        (one.host === before.domain || (/[a-z]$/.test(one.host) && one.host.endsWith(`.${before.domain}`)));
      assert.equal(after.domain, matches ? null : before.domain);
      assert.equal(after.secure, before.secure && /^[ \t]*__secure-/i.test(text));
    }),
    { numRuns: 10_000 },
  );
});

test('what of a cookie is not its scope stays, in order, and again changes no attribute but the path', () => {
  fc.assert(
    fc.property(origin, cookie, (one, text) => {
      const rescoped = rescopeCookie(text, one.host, trimmed(one.basePath), trimmed(one.prefix));
      assert.equal(rescoped.split(';')[0], text.split(';')[0]);
      const plain = (from: string): string[] =>
        from
          .split(';')
          .slice(1)
          .filter((part) => !/^[ \t]*(?:path|domain|secure|samesite|partitioned)[ \t]*(?:=|$)/i.test(part));
      assert.deepEqual(plain(rescoped), plain(text));
      const count = (from: string): number => from.split(';').length;
      const again = rescopeCookie(rescoped, one.host, trimmed(one.basePath), trimmed(one.prefix));
      assert.ok(count(rescoped) <= count(text));
      assert.equal(count(again), count(rescoped));
      assert.equal(rescopeCookie(rescoped, one.host, '', ''), rescoped, 'in one place it stays as it is');
    }),
    { numRuns: 6_000 },
  );
});

test('of a header list only the three fields are touched', () => {
  const name = fc.constantFrom(
    'Location',
    'LOCATION',
    'content-location',
    'Set-Cookie',
    'Link',
    'X-Forward',
    'Set-Cookie2',
    'Locatiom',
    'Date',
    '',
  );
  const value = fc.oneof(cookie, path, fc.constantFrom(`https://${HOST}/x`, 'a=1; Path=/; Secure'));
  fc.assert(
    fc.property(origin, fc.array(fc.tuple(name, value), { maxLength: 8 }), (one, pairs) => {
      const list = pairs.flat();
      const to = rewriterOf(one);
      assert.equal(to.rewrite(list, US), list);
      assert.deepEqual(
        list,
        pairs.flatMap(([n, v]) => {
          if (/^(?:content-)?location$/i.test(n)) return [n, to.reference(v, US)];
          if (/^set-cookie$/i.test(n))
            return [n, rescopeCookie(v, one.host, trimmed(one.basePath), trimmed(one.prefix))];
          return [n, v];
        }),
      );
    }),
    { numRuns: 3_000 },
  );
});

test('the longest values allowed are read in a moment', () => {
  const rewriter = new PrefixRewriter('/fraud', {
    basePath: '/base',
    scheme: 'https',
    host: HOST,
    port: 443,
  });
  const long = 32_768;
  const values = [
    '/base' + '/..'.repeat(long / 3),
    `/base${'/'.repeat(long)}`,
    `//${'a'.repeat(long)}`,
    `https://${'a.'.repeat(long / 2)}:`,
    `https://[${':'.repeat(long)}]/`,
  ];
  const table = new PrefixTable(
    Array.from({ length: 500 }, (_, i) => ({ prefix: `/${'x'.repeat(i % 40)}${i}`, basePath: '', value: i })),
  );
  const began = performance.now();
  for (const value of values) {
    rewriter.reference(value, US);
    table.find(value);
    rewriter.rewrite(['Set-Cookie', `a=1; Path=${value}; Domain=${value}`], US);
    rewriter.rewrite(['Set-Cookie', `a${'; '.repeat(long / 2)}`], US);
  }
  assert.ok(performance.now() - began < 500, `${performance.now() - began} ms`);
});
