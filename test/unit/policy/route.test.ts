import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { defaultRoute } from '../../../src/policy/default-route.ts';
import type { Policy, Route, RouteMatch } from '../../../src/policy/policy.ts';
import { RouteTable } from '../../../src/policy/route.ts';

const base = defaultRoute({} as Policy, { default: 'allow', report: false });
const route = (name: string, match: Partial<RouteMatch>): Route => ({
  ...base,
  name,
  match: { ...base.match, ...match },
});
const fallback = route('default', {});
const nameOf = (routes: Route[], method: string, host: string, port: number, path: string): string =>
  new RouteTable(routes, fallback).match(method, { scheme: 'https', host, port }, path).name;

test('the first route that matches wins, however it names the host', () => {
  const routes = [
    route('port', { ports: [8443] }),
    route('below', { hosts: ['*.pay.example'] }),
    route('exact', { hosts: ['api.pay.example'] }),
    route('any', {}),
    route('never', { hosts: ['x.example'] }),
  ];
  assert.equal(nameOf(routes, 'GET', 'api.pay.example', 443, '/'), 'below');
  assert.equal(nameOf(routes, 'GET', 'api.pay.example', 8443, '/'), 'port');
  assert.equal(nameOf(routes, 'GET', 'x.example', 443, '/'), 'any');
  assert.equal(nameOf(routes.slice(2), 'GET', 'api.pay.example', 443, '/'), 'exact');
});

test('an exchange that matches no route has the default', () => {
  assert.equal(nameOf([], 'GET', 'a.example', 80, '/'), 'default');
  assert.equal(nameOf([route('r', { hosts: ['b.example'] })], 'GET', 'a.example', 80, '/'), 'default');
});

test('*.x matches every name below x, at any depth, and not x itself', () => {
  const routes = [route('r', { hosts: ['*.x.example'] })];
  for (const host of ['a.x.example', 'a.b.x.example'])
    assert.equal(nameOf(routes, 'GET', host, 80, '/'), 'r', host);
  for (const host of ['x.example', '.x.example', 'ax.example', 'x.example.org', 'example', '']) {
    assert.equal(nameOf(routes, 'GET', host, 80, '/'), 'default', host);
  }
});

test('a path matches exactly, or by its beginning where the pattern ends in *', () => {
  const routes = [route('exact', { paths: ['/v1'] }), route('below', { paths: ['/v1/*', '/open*'] })];
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/v1'), 'exact');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/v1/'), 'below');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/v1/x'), 'below');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/opened'), 'below');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/v10'), 'default');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/'), 'default');
});

test('the query does not count', () => {
  const routes = [
    route('exact', { paths: ['/v1'] }),
    route('below', { paths: ['/a/*'] }),
    route('q', { paths: ['/b?c'] }),
  ];
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/v1?x=/a/'), 'exact');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/v1?'), 'exact');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/?/a/x'), 'default');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/b?c'), 'default');
  assert.equal(nameOf([route('q', { paths: ['/b?*'] })], 'GET', 'a', 80, '/b?c'), 'default');
});

test('a path is compared byte for byte: nothing is decoded and no dot segment resolved', () => {
  const routes = [route('r', { paths: ['/v1/*'] })];
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/%76%31/x'), 'default');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/x/../v1/x'), 'default');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/V1/x'), 'default');
});

test('a route with paths never matches CONNECT', () => {
  const routes = [
    route('paths', { paths: ['*'] }),
    route('host', { hosts: ['a.example'], methods: ['CONNECT'] }),
  ];
  assert.equal(nameOf(routes, 'CONNECT', 'a.example', 443, ''), 'host');
  assert.equal(nameOf(routes, 'GET', 'a.example', 443, '/'), 'paths');
});

test('a denial of a method holds in any case, for some origins see none, and an exception to it in its own only', () => {
  const denial: Route = { ...route('denial', { methods: ['POST', 'Purge'] }), access: 'deny' };
  for (const method of ['POST', 'post', 'pOST', 'Purge', 'PURGE'])
    assert.equal(nameOf([denial], method, 'a', 80, '/'), 'denial', method);
  assert.equal(nameOf([denial], 'GET', 'a', 80, '/'), 'default');
  const routes = [route('exception', { methods: ['GET'] }), { ...denial, match: route('', {}).match }];
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/'), 'exception');
  assert.equal(nameOf(routes, 'get', 'a', 80, '/'), 'denial');
});

test('a route that refuses credentials depends on the requests to its host, and one that keeps or removes them does not', () => {
  for (const [caller, depends] of [
    ['refuse', true],
    ['remove', false],
    ['keep', false],
  ] as const) {
    const credentials = { caller, fields: ['authorization'], oauth2: null };
    const table = new RouteTable([{ ...route('r', { hosts: ['a.example'] }), credentials }], fallback);
    assert.equal(table.dependsOnRequests('a.example', 443), depends, caller);
    assert.equal(table.dependsOnRequests('b.example', 443), false);
  }
});

test('methods are case-sensitive', () => {
  const routes = [route('r', { methods: ['GET'] })];
  assert.equal(nameOf(routes, 'get', 'a', 80, '/'), 'default');
  assert.equal(nameOf(routes, 'GET', 'a', 80, '/'), 'r');
});

test('the table finds the route that a plain search from the first to the last finds', () => {
  const label = fc.constantFrom('a', 'b', 'c');
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
  const match = fc.record({
    hosts: fc.array(
      fc.oneof(
        name,
        name.map((n) => `*.${n}`),
      ),
      { maxLength: 2 },
    ),
    ports: fc.subarray([80, 443], { maxLength: 1 }),
    methods: fc.subarray(['GET', 'POST'], { maxLength: 1 }),
    paths: fc.subarray(['/x', '/x*', '/x/*'], { maxLength: 2 }),
  });
  const exchange = fc.record({
    method: fc.constantFrom('GET', 'POST'),
    host: name,
    port: fc.constantFrom(80, 443),
    path: fc.constantFrom('/', '/x', '/x/', '/xy', '/x?y', '/?/x'),
  });
  fc.assert(
    fc.property(fc.array(match, { maxLength: 12 }), exchange, (matches, { method, host, port, path }) => {
      const routes = matches.map((m, i) => route(String(i), m));
      const bare = path.split('?')[0] ?? '';
      const plain = routes.find(
        ({ match: m }) =>
          (m.hosts.length === 0 ||
            m.hosts.some((h) => (h.startsWith('*.') ? host.endsWith(h.slice(1)) : h === host))) &&
          (m.ports.length === 0 || m.ports.includes(port)) &&
          (m.methods.length === 0 || m.methods.includes(method)) &&
          (m.paths.length === 0 ||
            m.paths.some((p) => (p.endsWith('*') ? bare.startsWith(p.slice(0, -1)) : p === bare))),
      );
      assert.equal(nameOf(routes, method, host, port, path), plain?.name ?? 'default');
    }),
    { numRuns: 2000 },
  );
});

type HttpsMode = NonNullable<Route['https']>;

const handled = (name: string, https: HttpsMode | null, match: Partial<RouteMatch>): Route => ({
  ...route(name, match),
  https,
});
const connectingTo = (routes: Route[], host: string, port: number): string | null =>
  new RouteTable(routes, fallback).connecting(host, port)?.name ?? null;

test('a CONNECT is handled by the first route about its host and port that says how, whatever its methods and paths', () => {
  const routes = [
    handled('silent', null, { hosts: ['a.example'] }),
    handled('originates', 'originate', { hosts: ['a.example'] }),
    handled('posts', 'intercept', {
      hosts: ['a.example'],
      ports: [443],
      methods: ['POST'],
      paths: ['/v1/*'],
    }),
    handled('below', 'tunnel', { hosts: ['*.example'] }),
  ];
  assert.equal(connectingTo(routes, 'a.example', 443), 'posts');
  assert.equal(connectingTo(routes, 'a.example', 8443), 'below');
  assert.equal(connectingTo(routes, 'b.c.example', 443), 'below');
  assert.equal(connectingTo(routes, 'example', 443), null);
  assert.equal(connectingTo(routes.slice(0, 2), 'a.example', 443), null);
});

test('http:// on port 80 matches a route that originates at 443, and nothing else does', () => {
  const at = (https: HttpsMode | null, ports: number[], scheme: 'http' | 'https', port: number): string =>
    new RouteTable([handled('r', https, { ports })], fallback).match('GET', { scheme, host: 'a', port }, '/')
      .name;
  assert.equal(at('originate', [443], 'http', 80), 'r');
  assert.equal(at('originate', [80], 'http', 80), 'r');
  assert.equal(at('originate', [443], 'https', 443), 'r');
  assert.equal(at('originate', [443], 'https', 80), 'default');
  assert.equal(at('originate', [443], 'http', 8080), 'default');
  for (const https of ['intercept', 'tunnel', null] as const)
    assert.equal(at(https, [443], 'http', 80), 'default', String(https));
});

test('ways and ports: the table finds what a plain search finds, for requests and for CONNECT', () => {
  const host = fc.constantFrom('a', 'x.a', 'y.x.a', 'b');
  const pattern = fc.constantFrom('a', 'x.a', '*.a', '*.x.a', 'b');
  const entry = fc.record({
    https: fc.constantFrom<HttpsMode | null>('tunnel', 'originate', 'intercept', null),
    hosts: fc.uniqueArray(pattern, { maxLength: 2 }),
    ports: fc.subarray([80, 443, 8080], { maxLength: 2 }),
    methods: fc.subarray(['GET', 'CONNECT'], { maxLength: 1 }),
    paths: fc.subarray(['/x', '/x*'], { maxLength: 1 }),
  });
  const names = (patterns: readonly string[], name: string): boolean =>
    patterns.length === 0 ||
    patterns.some((one) => (one.startsWith('*') ? name.endsWith(one.slice(1)) : one === name));
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 8 }),
      host,
      fc.constantFrom(80, 443, 8080),
      fc.constantFrom<'http' | 'https'>('http', 'https'),
      fc.constantFrom('GET', 'CONNECT'),
      (entries, name, port, scheme, method) => {
        const routes = entries.map(({ https, ...match }, i) => handled(String(i), https, match));
        const table = new RouteTable(routes, fallback);
        const connecting = entries.findIndex(
          ({ https, hosts, ports }) =>
            (https === 'tunnel' || https === 'intercept') &&
            names(hosts, name) &&
            (ports.length === 0 || ports.includes(port)),
        );
        assert.equal(table.connecting(name, port)?.name ?? '-1', String(connecting));
        const path = method === 'CONNECT' ? '' : '/x';
        const found = entries.findIndex(({ https, hosts, ports, methods, paths }) => {
          const mine =
            ports.includes(port) ||
            (https === 'originate' && scheme === 'http' && port === 80 && ports.includes(443));
          return (
            names(hosts, name) &&
            (ports.length === 0 || mine) &&
            (methods.length === 0 || methods.includes(method)) &&
            (paths.length === 0 || method !== 'CONNECT')
          );
        });
        const got = table.match(method, { scheme, host: name, port }, path);
        assert.equal(got.name, found < 0 ? 'default' : String(found));
      },
    ),
    { numRuns: 3_000 },
  );
});

const accessOf = (routes: Route[], path: string, byDefault: 'allow' | 'deny' = 'allow'): string =>
  new RouteTable(routes, { ...fallback, access: byDefault }).match(
    'GET',
    { scheme: 'https', host: 'a', port: 443 },
    path,
  ).name;

test('where access depends on a path every reading of it counts, and nowhere else', () => {
  const open = route('open', { paths: ['/open/*'] });
  const closed: Route = { ...route('closed', { paths: ['/admin/*'] }), access: 'deny' };
  for (const path of ['/open/../admin/x', '/open/%2e%2e/admin/x', '/open/..%252fadmin/x']) {
    assert.equal(accessOf([open, closed], path), 'closed', path);
    assert.equal(accessOf([closed, open], path), 'closed', path);
    assert.equal(accessOf([open], path, 'deny'), 'default', path);
    assert.equal(accessOf([open], path), 'open', 'it only chooses a policy');
  }
  assert.equal(accessOf([open, closed], '/open/%41'), 'open');
  assert.equal(accessOf([closed, open], '/Admin/x'), 'closed');
  // Behind every denial a path chooses a policy again.
  assert.equal(accessOf([closed, route('late', { paths: ['/late/*'] })], '/late/../x'), 'late');
});

test('a route for clients is for these and for nobody else', () => {
  const routes = [
    { ...route('pay', { clients: ['payments', 'batch'] }), https: 'tunnel' as const },
    { ...route('rest', { hosts: ['a'] }), https: 'intercept' as const },
  ];
  const table = new RouteTable(routes, fallback);
  const there = { scheme: 'https', host: 'a', port: 443 } as const;
  for (const [client, name] of [
    ['payments', 'pay'],
    ['batch', 'pay'],
    ['other', 'rest'],
    [null, 'rest'],
  ] as const) {
    assert.equal(table.match('GET', there, '/', client).name, name);
    assert.equal(table.connecting('a', 443, client)?.name, name);
    assert.equal(table.asksFor(routes[0] as Route, 'GET', '/', client), name === 'pay');
  }
});

test('where many routes are told apart by their paths the first that matches is found as by a walk over all', () => {
  // Few lengths before a `*`, so that an index is worth its while.
  // biome-ignore format: as many as fit in a line
  const paths = fc.constantFrom(
    '/a*', '/b*', '/A*', '/a/*', '/b/*', '/%61/*', '/a', '/a/', '/b', '/B', '/a/b', '/a/B/', '/b/c',
    '/c', '/b?c', '/b?*', '/a/../b', '//a', '/a;b', '/a%2fb', '/a%252fb', '/d', '/d/', '/e', '/f', '/g',
    '/h',
  );
  const conditions = fc.record({
    hosts: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, fc.constant(['a.example'])),
    // Most are for others, so that the first that matches may be a late one.
    ports: fc.constantFrom([], [80], [80], [443], [8443], [8443]),
    methods: fc.constantFrom([], ['GET'], ['get', 'POST'], ['PUT'], ['PUT']),
    paths: fc.oneof(
      { weight: 9, arbitrary: fc.array(paths, { minLength: 1, maxLength: 2 }) },
      fc.constant([]),
    ),
    clients: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.constant(['pay'])),
    access: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
  });
  const asked = fc.tuple(
    fc.constantFrom('GET', 'Get', 'POST', 'CONNECT'),
    fc.constantFrom('a.example', 'b.a.example', 'c.test'),
    fc.constantFrom(80, 443),
    fc.oneof(
      paths.map((path) => path.replaceAll('*', 'b')),
      fc.constantFrom(
        '',
        '/P1',
        '/p1/../p2',
        '/p1%2f',
        '/%70%31',
        '/a/?x',
        '/a/b/c',
        '/p3;v=1',
        '/%zz%25252525252e',
      ),
    ),
    fc.constantFrom('pay', null),
  );
  let indexed = 0;
  fc.assert(
    fc.property(
      fc.array(conditions, { minLength: 60, maxLength: 150 }),
      fc.array(asked, { minLength: 1, maxLength: 12 }),
      fc.boolean(),
      (given, requests, deny) => {
        const routes = given.map(
          ({ access, ...match }, i): Route => ({ ...route(String(i), match), access }),
        );
        const table = new RouteTable(routes, { ...fallback, access: deny ? 'deny' : 'allow' });
        for (const [method, host, port, path, client] of requests) {
          const there = { scheme: 'https', host, port } as const;
          const walked = routes.find((one) =>
            Object.values(table.conditions(one, method, there, path, client)).every((met) => met !== false),
          );
          assert.equal(table.match(method, there, path, client).name, walked?.name ?? 'default');
          if (walked !== undefined && walked.match.paths.length > 0) indexed++;
        }
      },
    ),
    { numRuns: 400 },
  );
  assert.ok(indexed > 400, `paths decided ${indexed} times`);
});

test('of five hundred routes on one host few are looked at', () => {
  let looks = 0;
  const routes = Array.from({ length: 500 }, (_, i) => {
    const one = route(String(i), { hosts: ['a.example'], paths: [`/p${i}/*`] });
    return Object.defineProperty(one, 'match', {
      value: Object.defineProperty({ ...one.match }, 'ports', { get: () => (looks++, []) }),
    });
  });
  const table = new RouteTable(routes, fallback);
  looks = 0;
  for (const i of [0, 250, 499])
    assert.equal(
      table.match('GET', { scheme: 'https', host: 'a.example', port: 443 }, `/p${i}/x`).name,
      `${i}`,
    );
  assert.ok(looks < 20, `${looks} looks`);
});
