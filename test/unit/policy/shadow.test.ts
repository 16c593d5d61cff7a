import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { defaultRoute } from '../../../src/policy/default-route.ts';
import type { Policy, Route } from '../../../src/policy/policy.ts';
import { RouteTable } from '../../../src/policy/route.ts';
import { shadowedRoutes } from '../../../src/policy/shadow.ts';

const fallback = defaultRoute({} as Policy, { default: 'allow', report: false });
const NOTHING = fallback.match;

const route = (name: string, match: Partial<Route['match']>, more: Partial<Route> = {}): Route => ({
  ...fallback,
  name,
  access: 'allow',
  match: { ...NOTHING, ...match },
  ...more,
});

const shadowed = (...routes: Route[]): string[] =>
  shadowedRoutes(routes, 'allow').map(
    ({ route: { name }, by }) => `${name} by ${by.map((it) => it.name).join(' ')}`,
  );

test('a route behind one that takes all that it matches is found', () => {
  assert.deepEqual(shadowed(route('a', {}), route('b', { hosts: ['x.example'] })), ['b by a']);
  assert.deepEqual(
    shadowed(route('a', { hosts: ['*.example'] }), route('b', { hosts: ['x.example', '*.y.example'] })),
    ['b by a'],
  );
  assert.deepEqual(
    shadowed(
      route('a', { paths: ['/v1/*'], methods: ['GET', 'POST'] }),
      route('b', { paths: ['/v1/x'], methods: ['GET'] }),
    ),
    ['b by a'],
  );
  assert.deepEqual(
    shadowed(
      route('a', { hosts: ['x.example'] }),
      route('b', { hosts: ['y.example'] }),
      route('c', { hosts: ['x.example', 'y.example'], ports: [443] }),
    ),
    ['c by a b'],
  );
});

test('a route of which something is left is not spoken of', () => {
  const alive: [Route, Route][] = [
    [route('a', { hosts: ['*.x.example'] }), route('b', { hosts: ['x.example'] })],
    [route('a', { hosts: ['x.example'] }), route('b', { hosts: ['*.example'] })],
    [route('a', { ports: [443] }), route('b', {})],
    [route('a', { methods: ['GET'] }), route('b', { methods: ['GET', 'POST'] })],
    [route('a', { paths: ['/v1/x'] }), route('b', { paths: ['/v1/*'] })],
    [route('a', { clients: ['pay'] }), route('b', {})],
    // It is reached by its prefix.
    [
      route('a', {}),
      route('b', {}, { prefix: '/b', origin: { scheme: 'http', host: 'b', port: 80, basePath: '' } }),
    ],
    // A CONNECT asks the first route that says how.
    [route('a', {}), route('b', { hosts: ['x.example'] }, { https: 'intercept' })],
    // In front of a denial a path is let pass only if every reading of it is meant.
    [route('a', { paths: ['/v1/*'] }), route('b', { paths: ['/v1/*'] }, { access: 'deny' })],
  ];
  for (const [a, b] of alive) assert.deepEqual(shadowed(a, b), [], JSON.stringify([a.match, b.match]));
});

test('what is said to be shadowed is never taken, whatever is asked for', () => {
  const hosts = ['a.example', 'b.a.example', 'c.b.a.example', 'd.test'];
  const paths = ['/', '/v1', '/v1/', '/v1/x', '/V1/x', '/v1/%78', '/v1/../x', '//v1/x', '/v1;a/x'];
  const some = <T>(list: readonly T[]) =>
    fc.oneof(fc.constant<T[]>([]), fc.subarray([...list], { minLength: 1 }));
  const drawn = fc.array(
    fc.record({
      match: fc.record({
        hosts: some([...hosts, '*.example', '*.a.example', '*.b.a.example']),
        ports: some([80, 443, 8080]),
        methods: some(['GET', 'POST', 'CONNECT']),
        paths: some(['/', '/v1', '/v1*', '/v1/*', '/v1/x', '/v1/%78', '/*']),
        clients: some(['pay', 'batch']),
      }),
      https: fc.constantFrom(null, null, 'originate' as const, 'tunnel' as const, 'intercept' as const),
      access: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
    }),
    { minLength: 2, maxLength: 5 },
  );
  let found = 0;
  fc.assert(
    fc.property(drawn, fc.constantFrom('allow' as const, 'deny' as const), (all, access) => {
      const routes = all.map(({ match, ...more }, i) => route(`r${i}`, match, more));
      const dead = new Set(shadowedRoutes(routes, access).map((it) => it.route));
      if (dead.size === 0) return;
      found++;
      const table = new RouteTable(routes, defaultRoute({} as Policy, { default: access, report: false }));
      for (const host of hosts)
        for (const port of [80, 443, 8080, 1])
          for (const client of [null, 'pay', 'batch']) {
            const says = table.connecting(host, port, client);
            assert.ok(says === null || !dead.has(says));
            for (const scheme of ['http', 'https'] as const)
              for (const method of ['GET', 'get', 'POST', 'PUT', 'CONNECT'])
                for (const path of method === 'CONNECT' ? [''] : paths) {
                  const taken = table.match(method, { scheme, host, port }, path, client);
                  assert.ok(
                    !dead.has(taken),
                    `${taken.name} takes ${method} ${scheme}://${host}:${port}${path}`,
                  );
                }
          }
    }),
    { numRuns: 600 },
  );
  assert.ok(found > 50, `${found} with a shadow`);
});
