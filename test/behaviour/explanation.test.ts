/** What `explain` says, and what the sidecar does, for configurations and requests of any kind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { Explainer, type Step } from '../../src/explanation/explanation.ts';
import { RawCaller } from '../support/caller.ts';
import { makeCertificates } from '../support/certificates.ts';
import { answer, HttpOrigin } from '../support/origin.ts';
import { type LoggedExchange, TestSidecar } from '../support/sidecar.ts';
import { until } from '../support/until.ts';
import { loadTexts } from '../unit/config/sources.ts';

const CONFIGURATIONS = 220;
const REQUESTS = 5;

const HOSTS = ['a.vendor.test', 'b.vendor.test', 'x.b.vendor.test', 'localhost', '127.0.0.1'];
const PATHS = ['/', '/v1/x', '/v1/y?q=1', '/V1/x', '/v1/../admin/x', '/admin/%78', '//admin/x', '/base/v1/x'];

/** Refusals that are decided without the network. */
const DECIDED = new Set([
  'access_denied',
  'port_denied',
  'client_unknown',
  'client_unauthenticated',
  'tunnel_port_denied',
  'tunnel_protocol_denied',
  'prefix_unknown',
  'target_unusable',
  'method_unsupported',
]);

interface Ports {
  readonly plain: number;
  readonly tls: number;
  /** Nobody listens there. */
  readonly dead: number;
}

/** `subset` of `list`; empty as often as not. */
const some = <T>(list: readonly T[]): fc.Arbitrary<T[]> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<T[]>([]) },
    { weight: 2, arbitrary: fc.subarray([...list], { minLength: 1 }) },
  );

function configurations({ plain, tls, dead }: Ports) {
  const clients = ['pay', 'batch'];
  const route = fc.record({
    match: fc.record({
      hosts: some([
        'a.vendor.test',
        'b.vendor.test',
        '*.vendor.test',
        '*.b.vendor.test',
        'localhost',
        '127.0.0.1',
      ]),
      ports: some([80, 443, plain, tls, dead, 22]),
      methods: some(['GET', 'POST', 'CONNECT']),
      paths: some(['/', '/v1/*', '/v1/x', '/admin/*', '/base/*']),
      clients: some(clients),
    }),
    https: fc.constantFrom(null, 'tunnel', 'originate', 'originate', 'intercept', 'intercept'),
    access: fc.constantFrom('allow', 'allow', 'allow', 'deny'),
    report: fc.constantFrom(false, false, true),
    way: fc.constantFrom(null, null, `http://a.vendor.test:${plain}`, `https://b.vendor.test:${tls}/base`),
    denied: fc.constantFrom(false, false, false, true),
    attempts: fc.integer({ min: 1, max: 3 }),
  });
  return fc.record({
    routes: fc.array(route, { maxLength: 6 }),
    named: fc.boolean(),
    access: fc.record({
      default: fc.constantFrom('allow', 'allow', 'allow', 'deny'),
      clients: fc.constantFrom('any', 'any', 'any', 'known'),
      report: fc.constantFrom(false, false, false, true),
      deniedPorts: fc.constantFrom([22], [22], [22, dead], [22, 443]),
      tunnelPorts: fc.constantFrom([443, tls], [443, tls, plain, 80], [443], [tls, 22]),
      tunnelProtocols: fc.constantFrom(
        ['tls', 'http'],
        ['tls', 'http'],
        ['tls', 'http', 'other'],
        ['tls'],
        ['http'],
      ),
      tunnelServerName: fc.constantFrom('match', 'any'),
    }),
    attempts: fc.integer({ min: 1, max: 3 }),
  });
}

type Drawn = typeof configurations extends (ports: Ports) => fc.Arbitrary<infer T> ? T : never;

const policyOf = (name: string, attempts: number): object => ({
  retry: { attempts, backoff: { initial: '1ms', max: '1ms' }, budget: { floor: 100_000 } },
  headers: { response: { set: { 'X-Policy': name } } },
});

function yamlOf({ routes, named, access, attempts }: Drawn): string {
  const config = {
    listen: { proxy: '127.0.0.1:0', admin: '127.0.0.1:0' },
    access: { ...access, addresses: { allow: ['127.0.0.0/8', '::1/128'] } },
    shutdown: { drainTimeout: '1s', quiet: '1ms' },
    policy: {
      ...policyOf('default', attempts),
      breaker: null,
      timeouts: { dns: '1s', connect: '1s', tls: '1s', head: '2s', idle: '2s' },
    },
    clients: named
      ? [
          { name: 'pay', username: 'pay', password: 'secret' },
          { name: 'batch', addresses: ['10.1.2.3'] },
        ]
      : [],
    routes: routes.map(({ match, way, denied, attempts: own, ...rest }, i) => ({
      ...rest,
      name: `r${i}`,
      match: { ...match, clients: named ? match.clients : [] },
      ...(way === null ? {} : { prefix: `/p${i}`, origin: way }),
      ...(denied ? { addresses: { deny: ['127.0.0.1/32'] } } : {}),
      policy: policyOf(`r${i}`, own),
    })),
  };
  // JSON is YAML.
  return JSON.stringify(config);
}

interface Asked {
  readonly kind: 'absolute' | 'tunnelled' | 'prefix' | 'ours';
  readonly secure: boolean;
  readonly host: string;
  readonly port: keyof Ports | 80 | 443 | 22;
  readonly path: string;
  readonly method: string;
  readonly known: boolean;
  readonly prefix: number;
}

const requests: fc.Arbitrary<Asked> = fc.record({
  kind: fc.constantFrom('absolute', 'absolute', 'tunnelled', 'tunnelled', 'prefix', 'ours'),
  secure: fc.constantFrom(false, false, true),
  host: fc.constantFrom(...HOSTS),
  port: fc.constantFrom<Asked['port'][]>('plain', 'plain', 'tls', 'tls', 'tls', 'dead', 80, 443, 22),
  path: fc.constantFrom(...PATHS),
  method: fc.constantFrom('GET', 'GET', 'GET', 'POST', 'POST', 'POST', 'TRACE'),
  known: fc.boolean(),
  prefix: fc.nat({ max: 6 }),
});

/** What came back of one request. */
interface Seen {
  readonly line: LoggedExchange;
  readonly policy: string | null;
}

let count = 0;

class Scene {
  readonly sidecar: TestSidecar;
  readonly #credentials: string;

  constructor(sidecar: TestSidecar, known: boolean) {
    this.sidecar = sidecar;
    const basic = Buffer.from('pay:secret').toString('base64');
    this.#credentials = known ? `Proxy-Authorization: Basic ${basic}\r\n` : '';
  }

  async line(id: string): Promise<LoggedExchange> {
    const needle = `"requestId":"${id}"`;
    await until(() => this.sidecar.lines.some((one) => one.includes(needle)), `the line of ${id}`);
    return JSON.parse(this.sidecar.lines.find((one) => one.includes(needle)) as string);
  }

  head(method: string, target: string, host: string, id: string, inside = false): string {
    const length = method === 'POST' ? 'Content-Length: 0\r\n' : '';
    const close = method === 'CONNECT' ? '' : 'Connection: close\r\n';
    const credentials = inside ? '' : this.#credentials;
    return `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${length}${close}${credentials}X-Request-Id: ${id}\r\n\r\n`;
  }

  async request(method: string, target: string, host: string): Promise<Seen> {
    const id = `request-${++count}`;
    const caller = await RawCaller.connect(this.sidecar.port);
    const answered = await caller.write(this.head(method, target, host, id)).untilEnd();
    caller.leave();
    return { line: await this.line(id), policy: policyIn(answered) };
  }

  /** CONNECT, TLS inside, and a request inside that. */
  async tunnelled(method: string, host: string, port: number, path: string): Promise<[Seen, Seen | null]> {
    const id = `request-${++count}`;
    const caller = await RawCaller.connect(this.sidecar.port);
    caller.write(this.head('CONNECT', `${host}:${port}`, `${host}:${port}`, id));
    const answered = await caller.until((text) => text.includes('\r\n\r\n'), `the answer to ${id}`);
    let inner: Seen | null = null;
    if (answered.startsWith('HTTP/1.1 200')) {
      const within = `request-${++count}`;
      const { socket } = caller;
      socket.removeAllListeners('data');
      socket.removeAllListeners('end');
      const named = /^[\d.]+$/.test(host) ? {} : { servername: host };
      const secured = connectTls({ socket, rejectUnauthorized: false, ...named });
      secured.on('error', () => {});
      let text = '';
      secured.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
      let gone = false;
      secured.on('close', () => (gone = true));
      secured.write(this.head(method, path, `${host}:${port}`, within, true));
      await until(() => gone || text.includes('\r\n\r\n'), 'an answer inside, or the end');
      secured.destroy();
      const needle = `"requestId":"${within}"`;
      if (this.sidecar.lines.some((one) => one.includes(needle)) || text.includes('roxy-Status: outrigger'))
        inner = { line: await this.line(within), policy: policyIn(text) };
    }
    caller.leave();
    return [{ line: await this.line(id), policy: policyIn(answered) }, inner];
  }
}

const policyIn = (head: string): string | null => /^x-policy: (\S+)/im.exec(head)?.[1] ?? null;

test('explain says of any request what the sidecar does with it: route, way, access, policy', async (t) => {
  const certificates = makeCertificates();
  if (certificates === null) return t.skip('needs openssl');
  const plain = await HttpOrigin.start(answer(200, 'plain'));
  const tls = await HttpOrigin.start(answer(200, 'tls'), 0, certificates.good);
  const closed = await HttpOrigin.start(answer(200));
  const ports: Ports = { plain: plain.port, tls: tls.port, dead: closed.port };
  await closed.close();
  const tally = { requests: 0, refused: 0, reached: 0, vias: new Map<string, number>() };
  const edges = {
    lookup: ((_host: string, done: (error: null, addresses: string[]) => void) =>
      setImmediate(() => done(null, ['127.0.0.1']))) as never,
    roots: [certificates.ca],
  };
  const count = (seen: Seen): void => {
    const { via, status, outcome } = seen.line;
    tally.requests++;
    tally.vias.set(via, (tally.vias.get(via) ?? 0) + 1);
    if (outcome === 'refused') tally.refused++;
    if (status === 200) tally.reached++;
  };
  try {
    await fc.assert(
      fc.asyncProperty(
        configurations(ports),
        fc.array(requests, { minLength: REQUESTS, maxLength: REQUESTS }),
        async (drawn, all) => {
          const yaml = yamlOf(drawn);
          const loaded = loadTexts([yaml]);
          const sidecar = await TestSidecar.start(yaml, edges);
          try {
            const explainer = new Explainer(loaded, sidecar.addresses.proxy);
            for (const asked of all) await ask(asked, drawn, sidecar, explainer, ports, count);
          } finally {
            await sidecar.stop();
          }
        },
      ),
      { numRuns: CONFIGURATIONS, endOnFailure: true },
    );
  } finally {
    await plain.close();
    await tls.close();
  }
  t.diagnostic(JSON.stringify({ ...tally, vias: Object.fromEntries(tally.vias) }));
  assert.ok(tally.refused > 100 && tally.reached > 100, JSON.stringify(tally));
  for (const via of ['forward', 'originate', 'prefix', 'intercept', 'tunnel'])
    assert.ok((tally.vias.get(via) ?? 0) > 10, `${via} was seen`);
});

async function ask(
  { kind, secure, host, port: where, path, method, known, prefix }: Asked,
  { named }: Drawn,
  sidecar: TestSidecar,
  explainer: Explainer,
  ports: Ports,
  count: (seen: Seen) => void,
): Promise<void> {
  const port = typeof where === 'number' ? where : ports[where];
  const client = known && named ? 'pay' : null;
  const scene = new Scene(sidecar, client !== null);
  if (kind === 'tunnelled') {
    const { steps } = explainer.explain(method, `https://${host}:${port}${path}`, client);
    const [connect, inner] = await scene.tunnelled(method, host, port, path);
    compare(steps[0] as Step, connect, explainer);
    count(connect);
    const inside = steps[1];
    assert.equal(inner !== null, inside !== undefined, JSON.stringify([steps[0]?.reached, connect.line]));
    if (inner === null || inside === undefined) return;
    compare(inside, inner, explainer);
    count(inner);
    return;
  }
  const scheme = secure ? 'https' : 'http';
  const url =
    kind === 'absolute'
      ? `${scheme}://${host}:${port}${path}`
      : kind === 'prefix'
        ? `/p${prefix}${path}`
        : `http://127.0.0.1:${sidecar.port}/p${prefix}${path}`;
  const { steps, alternatives } = explainer.explain(method, url, client);
  const seen = await scene.request(method, url, kind === 'absolute' ? `${host}:${port}` : '127.0.0.1');
  compare((url.startsWith('https:') ? (alternatives[0] ?? steps[0]) : steps[0]) as Step, seen, explainer);
  count(seen);
}

/** What was said, and what was done. */
function compare(step: Step, { line, policy }: Seen, explainer: Explainer): void {
  const { access, route, via, origin } = step;
  const told = JSON.stringify({ step: { ...step, values: [], earlier: [], notes: [] }, line }, null, 1);
  assert.equal(line.route, route.name, told);
  assert.equal(line.via, via, told);
  assert.equal(line.scheme && `${line.scheme}://${line.host}:${line.port}`, origin, told);
  assert.equal(line.wouldRefuse, access.wouldRefuse, told);
  const reason = /^(\w+)(?::|$)/.exec(line.reason ?? '')?.[1] ?? '';
  if (!access.passes) {
    // The far end may be out of reach before anything is inside.
    if (access.inside && line.status !== 200) return;
    assert.equal(reason, access.error, told);
    // After the answer to a CONNECT there is no other.
    if (line.method !== 'CONNECT' || line.status !== 200) assert.equal(line.status, access.status, told);
    return;
  }
  assert.ok(!DECIDED.has(reason), told);
  const found = [...explainer.decider.routes, explainer.decider.fallback].find(
    ({ name }) => name === route.name,
  );
  // Of a name, the address is judged when it is dialled.
  if (reason === 'address_denied') assert.ok(found?.addresses !== null && line.host !== '127.0.0.1', told);
  if (line.method === 'CONNECT') return;
  if (line.status === 200) {
    assert.equal(policy, route.name, told);
    assert.deepEqual(found?.policy.headers.response.set, [['X-Policy', policy]], told);
  }
  if (reason === 'connection_refused') assert.equal(line.attempts.length, step.arithmetic?.attempts, told);
}
