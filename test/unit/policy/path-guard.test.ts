import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { PathGuard, PathLook } from '../../../src/policy/path-guard.ts';

const denied = (patterns: string[], path: string): boolean =>
  new PathGuard(patterns, true).takes(new PathLook().at(path));
const allowed = (patterns: string[], path: string): boolean =>
  new PathGuard(patterns, false).takes(new PathLook().at(path));

test('a denial takes every spelling of its paths', () => {
  const spellings = [
    '/admin/x',
    '/admin/',
    '/ADMIN/x',
    '/%61dmin/x',
    '/%2561dmin/x',
    '//admin/x',
    '/./admin/x',
    '/v1/../admin/x',
    '/v1/%2e%2e/admin/x',
    '/v1/%252e%252e/admin/x',
    '/v1/..;/admin/x',
    '/admin;a=1/x',
    '/v1\\..\\admin\\x',
    '/admin%2fx',
    '/admin%5cx',
    '/%41DMIN/x',
    '/v1/..%2fadmin%2fx',
    '/admin/../x',
    '/v1/..%c0%afadmin/x',
    '/v1/..%252fadmin/x',
    '/admin//',
    '/x/.%2e/Admin/x',
    '/v1//..//../admin/x',
    '/%ef%bd%81dmin/x',
    '/admin/x?y',
    '/v1/%2E%2E/admin/?a',
    `/%${'25'.repeat(6)}61dmin/x`,
    `/${'%20'.repeat(2_000)}`,
  ];
  for (const path of spellings) assert.equal(denied(['/admin/*'], path), true, path);
  for (const path of ['/', '/v1/x', '/v1/admin/x', '/administrator', '/v1/x?/admin/', '/v1/%20', '/Public'])
    assert.equal(denied(['/admin/*'], path), false, path);
});

test('a denial of one path takes it with a slash at its end, too, and in any case', () => {
  for (const path of [
    '/admin',
    '/admin/',
    '/admin?x',
    '/admin/?x',
    '/Admin',
    '/admin/.',
    '/admin%00',
    '/admin%2f',
    '/admin%3fx',
  ])
    assert.equal(denied(['/admin'], path), true, path);
  for (const path of ['/admin/x', '/admins', '/adm', '/x/admin'])
    assert.equal(denied(['/admin'], path), false, path);
});

test('a denial that is written in capitals or with escapes takes what it means', () => {
  for (const path of ['/admin/x', '/Admin/x', '/%41dmin/x'])
    assert.equal(denied(['/Admin/*'], path), true, path);
  for (const path of ['/a%2Fb/x', '/a%2fb/x', '/a/b/x', '/A%2FB/x'])
    assert.equal(denied(['/a%2Fb/*'], path), true, path);
});

test('an exception takes what every reading leaves where it is', () => {
  for (const path of [
    '/v1/x',
    '/v1/',
    '/v1/x?a=../b',
    '/v1/a%20b',
    '/v1/caf%C3%A9',
    '/v1/X',
    '/v1/a;b=c/d',
    '/v1/a/../b',
    '/v1/a%2Fb',
    '/v1//a',
    '/v1/a/./b',
    '/v1/100%25',
    '/v1/a%3Fb',
  ])
    assert.equal(allowed(['/v1/*'], path), true, path);
  assert.equal(allowed(['/v1/caf%C3%A9'], '/v1/caf%C3%A9'), true);
});

test('nothing that reaches an exception climbs out of it', () => {
  for (const path of [
    '/v1/../admin',
    '/v1/..',
    '/v1/%2e%2e/admin',
    '/v1/%2E%2e%2fadmin',
    '/v1/%252e%252e/admin',
    '/v1/..%2fadmin',
    '/v1/..%5cadmin',
    '/v1/..\\admin',
    '/v1/..;/admin',
    '/v1/..;x=y/admin',
    '/v1/a/../../admin',
    '/v1//../admin',
    '/v1/.%2e/admin',
    '/v1/%c0%ae%c0%ae/admin',
    '/v1/..%c0%afadmin',
    '/v1/%u002e%u002e/admin',
    '/v1/%25252e%25252e/x',
    '/v1/%ef%bc%8e%ef%bc%8e/admin',
    '/v1/..%00/../admin',
    `/v1/${'%252525252525'.repeat(3)}`,
    `/v1/${'a%20'.repeat(2_000)}`,
    '/V1/x',
    '/%761/x',
    '//v1/x',
    '/x/../v1/x',
    '/./v1/x',
  ])
    assert.equal(allowed(['/v1/*'], path), false, path);
});

test('where a pattern ends within a segment, that goes on', () => {
  assert.equal(denied(['/.*'], '/.git/config'), true);
  assert.equal(denied(['/.*'], '/%2egit/config'), true);
  assert.equal(denied(['/.*'], '/public'), false);
  assert.equal(allowed(['/open*'], '/opened'), true);
  assert.equal(allowed(['/open*'], '/open/../x'), false);
});

/** Spellings by which somebody might say the same: each changes the text, and some program undoes it. */
const escape = (text: string, which: (i: number) => boolean): string =>
  Array.from(text, (one, i) => (which(i) ? `%${one.charCodeAt(0).toString(16).padStart(2, '0')}` : one)).join(
    '',
  );

const bits = fc.array(fc.boolean(), { minLength: 40, maxLength: 40 });

const respell = fc.oneof(
  bits.map((set) => (path: string) => escape(path, (i) => i > 0 && set[i % 40] === true)),
  bits.map((set) => (path: string) => escape(path, (i) => path[i] === '%' && set[i % 40] === true)),
  bits.map(
    (set) => (path: string) =>
      path.replace(/[a-z]/g, (one, i: number) => (set[i % 40] ? one.toUpperCase() : one)),
  ),
  bits.map((set) => (path: string) => path.replace(/\//g, (one, i: number) => (set[i % 40] ? '//' : one))),
  bits.map((set) => (path: string) => path.replace(/\//g, (one, i: number) => (set[i % 40] ? '/./' : one))),
  bits.map(
    (set) => (path: string) => path.replace(/\//g, (one, i: number) => (set[i % 40] ? '/x/../' : one)),
  ),
  bits.map(
    (set) => (path: string) => path.replace(/\//g, (one, i: number) => (set[i % 40] && i > 0 ? '\\' : one)),
  ),
  bits.map(
    (set) => (path: string) =>
      path.replace(/([a-z])\//g, (one, a: string, i: number) => (set[i % 40] ? `${a};p=1/` : one)),
  ),
  fc.constant((path: string) => `${path}?q=/open/`),
);

test('no spelling of a denied path passes', () => {
  const rest = fc.stringMatching(/^[a-z0-9]{0,8}$/);
  fc.assert(
    fc.property(rest, fc.array(respell, { maxLength: 3 }), (end, spell) => {
      let path = `/admin/secret/${end}`;
      for (const one of spell) path = one(path);
      // A query is added once, and what comes after is about the path.
      assert.equal(denied(['/admin/secret/*'], path), true, path);
    }),
    { numRuns: 5_000 },
  );
});

/** What programs make of a path: each its own way, none of it ours. */
const ORIGINS: readonly ((path: string) => string)[] = [
  (path) => new URL(`http://origin.example${path}`).pathname,
  (path) => decodeURIComponent(new URL(`http://origin.example${path}`).pathname),
  (path) => posix.normalize(decodeURIComponent(path)),
  (path) => posix.normalize(decodeURIComponent(decodeURIComponent(path))),
  (path) => posix.normalize(decodeURIComponent(path).replaceAll('\\', '/')),
  (path) => posix.normalize(decodeURIComponent(decodeURIComponent(path)).replaceAll('\\', '/')),
  (path) => posix.normalize(decodeURIComponent(path.replace(/;[^/]*/g, ''))),
  (path) => posix.normalize(decodeURIComponent(path).replace(/;[^/]*/g, '')),
  (path) => posix.normalize(path),
];

const piece = fc.constantFrom(
  '/',
  '//',
  '..',
  '.',
  '%2e',
  '%2E%2e',
  '%252e',
  '%2f',
  '%252F',
  '\\',
  '%5c',
  '%255c',
  ';',
  ';a=b',
  '%3b',
  'a',
  'v1',
  'admin',
  '%61',
  'A',
  '%20',
  '%25',
  'open',
  '/open/',
  '/../',
  '%c3%a9',
);

test('no spelling reaches an exception and then climbs out of it, whatever program reads it', () => {
  let taken = 0;
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const path = `/open/${pieces.join('')}`;
      if (!allowed(['/open/*'], path)) return;
      taken++;
      for (const [i, read] of ORIGINS.entries()) {
        let there: string;
        try {
          there = read(path);
        } catch {
          continue; // no path to that program
        }
        // Some drop the slash at the end.
        assert.ok(`${there}/`.startsWith('/open/'), `${path} is ${there} to program ${i}`);
      }
    }),
    { numRuns: 20_000 },
  );
  assert.ok(taken > 1_000, `${taken} were taken`);
});

test('what any program reads as a denied path is denied', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const path = `/${pieces.join('')}`;
      for (const [i, read] of ORIGINS.entries()) {
        let there: string;
        try {
          there = read(path);
        } catch {
          continue;
        }
        if (!there.startsWith('/admin/')) continue;
        assert.ok(denied(['/admin/*'], path), `${path} is ${there} to program ${i}`);
      }
    }),
    { numRuns: 20_000 },
  );
});

/** What programs do to a path, one after the other in an order of their own. */
const STEPS: readonly ((path: string) => string)[] = [
  (path) => path.replace(/%[0-9a-f]{2}/gi, (it) => String.fromCharCode(Number.parseInt(it.slice(1), 16))),
  (path) => path.replace(/;[^/]*/g, ''),
  (path) => path.replace(/\/{2,}/g, '/'),
  (path) => path.replaceAll('\\', '/'),
  (path) => {
    const out: string[] = [];
    for (const segment of path.split('/').slice(1)) {
      if (segment === '..') out.pop();
      else if (segment !== '.') out.push(segment);
    }
    if (/\/\.\.?$/.test(path)) out.push('');
    return `/${out.join('/')}`;
  },
];

/** Pieces that mean one thing before a step and another after it. */
const shifting = fc.constantFrom(
  '/a',
  '/..',
  '/..%2f..',
  '%2f..',
  ';%2fb',
  '/%2561dmin/x',
  '/admin/x',
  '/%252e%252e',
);

test('in whatever order a program decodes, resolves and leaves out, it reads no denied path and none outside of an exception', () => {
  fc.assert(
    fc.property(
      fc.array(shifting, { maxLength: 7 }),
      fc.array(fc.nat({ max: STEPS.length - 1 }), { maxLength: 4 }),
      fc.boolean(),
      (pieces, order, within) => {
        const joined = `${within ? '/open' : ''}${pieces.join('')}`;
        // Every path of a request begins with a slash.
        const path = joined.startsWith('/') ? joined : `/${joined}`;
        const there = order.reduce((read, step) => STEPS[step]?.(read) ?? read, path);
        if (there.startsWith('/admin/')) assert.ok(denied(['/admin/*'], path), `${path} is ${there}`);
        if (!there.startsWith('/open/')) assert.ok(!allowed(['/open/*'], path), `${path} is ${there}`);
      },
    ),
    { numRuns: 20_000 },
  );
});
