/**
 * The configuration file, whole: every key with its description, default, bounds and message. Here, and for
 * the policy in `policy-schema.ts`, a key is declared and nowhere else; the checks and the reference follow.
 *
 * It does not know where a value was written, and its output still has the keys of the file: turning it
 * into the parts' own values is `effective.ts`.
 */
import * as v from 'valibot';
import { collide, isCidr, isLoopback, parseHostPattern, parseListenAddress } from './address.ts';
import { clients } from './client-schema.ts';
import { choice, duration, flag, integer, keep, list, section, size, text } from './field.ts';
import { mayCarryRequestId } from './header-field.ts';
import { policy } from './policy-schema.ts';
import { routes } from './route-schema.ts';
import { DAY, GIB, HOUR, KIB, MIB } from './units.ts';

/** Services that are no HTTP: the bad ports of the Fetch standard, and what has been attacked through proxies. */
// biome-ignore format: ranges read as such
const DENIED_PORTS = [
  1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
  110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530,
  531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 2375, 2376, 3306,
  3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 11211, 27017,
];

const listenAddress = (description: string) =>
  text(description, 'an address such as 127.0.0.1:3128, [::1]:3128 or localhost:3128', parseListenAddress);

const listen = v.pipe(
  v.strictObject({
    proxy: v.optional(
      listenAddress('Where the application reaches the sidecar: HTTP_PROXY=http://127.0.0.1:3128.'),
      '127.0.0.1:3128',
    ),
    admin: v.optional(
      listenAddress(
        'Everything an operator needs: health, metrics, the state of origins; loopback only without admin.token.',
      ),
      '127.0.0.1:3129',
    ),
    telemetry: v.optional(
      v.nullable(
        listenAddress('Only /metrics, /livez and /readyz, for Prometheus and the kubelet; null: not there.'),
      ),
      null,
    ),
    headTimeout: v.optional(
      duration('A caller has this long to send a request head, then 408.', 1, HOUR),
      '10s',
    ),
    idleTimeout: v.optional(
      duration("A caller's connection without an exchange is closed after this long.", 1, DAY),
      '2m',
    ),
    streams: v.optional(
      integer("HTTP/2 streams at once on one caller's connection; a caller keeps more to itself.", 1, 10_000),
      100,
    ),
    connections: v.optional(
      integer(
        "Callers' connections at once; beyond, those are closed that never sent a request, then those idle longest; if all are busy, 503.",
        1,
        1_000_000,
      ),
      16_384,
    ),
    connectionsPerClient: v.optional(integer('The same, of one source address.', 1, 1_000_000), 16_384),
  }),
  v.description('The sockets that the sidecar listens on; port 0 takes any free port.'),
  v.forward(
    v.partialCheck(
      [['proxy'], ['admin']],
      (it) => !collide(it.proxy, it.admin),
      'must not be the port of listen.proxy',
    ),
    ['admin'],
  ),
  v.forward(
    v.partialCheck(
      [['proxy'], ['admin'], ['telemetry']],
      ({ proxy, admin, telemetry }) =>
        telemetry === null || !(collide(proxy, telemetry) || collide(admin, telemetry)),
      'must not be the port of listen.proxy or listen.admin',
    ),
    ['telemetry'],
  ),
);

/** RFC 6750, section 2.1. Fewer characters could be guessed. */
const TOKEN = /^(?=.{16,512}$)[A-Za-z0-9._~+/-]+=*$/;

const admin = v.pipe(
  v.strictObject({
    token: v.optional(
      v.nullable(
        text(
          'What operators bring as Authorization: Bearer, best as ${file:PATH}; /livez and /readyz need none. null: nobody is asked.',
          'a token of 16 to 512 characters: letters, digits and -._~+/, and = at its end',
          keep((it) => TOKEN.test(it)),
          { secret: true },
        ),
      ),
      null,
    ),
    hosts: v.optional(
      list(
        'Names under which the admin listener may be asked, beside localhost and its address; needs admin.token.',
        text('A host.', 'a host such as outrigger.internal, without a port', (written) =>
          written.startsWith('*') ? null : parseHostPattern(written),
        ),
      ),
      [],
    ),
    exchanges: v.optional(
      integer('The latest exchanges that /exchanges tells of; 0: none are kept.', 0, 10_000),
      256,
    ),
  }),
  v.description('Who may ask the admin listener, and for what.'),
  v.forward(
    v.partialCheck(
      [['token'], ['hosts']],
      ({ token, hosts }) => token !== null || hosts.length === 0,
      'needs admin.token: a web page could have itself resolved to the listener',
    ),
    ['hosts'],
  ),
);

const file = (description: string, expected: string) =>
  text(
    description,
    expected,
    keep((it) => it !== '' && !it.includes('\0')),
  );

const limits = section('Bounds of the whole sidecar.', {
  connections: v.optional(integer('Upstream connections, all origins and tunnels together.', 1, 65_535), 512),
  exchanges: v.optional(
    integer('Exchanges in flight at once; one more is answered 503.', 1, 1_000_000),
    1024,
  ),
  origins: v.optional(
    integer('Origins whose state is remembered; the idle are evicted first.', 1, 65_536),
    512,
  ),
  targetBytes: v.optional(size('The longest request line; longer ones are answered 414.', KIB, MIB), '16KiB'),
  headerBytes: v.optional(size('The largest head of a request or response.', KIB, MIB), '32KiB'),
  headerFields: v.optional(
    integer('Fields in the head of a request; more are answered 431.', 1, 10_000),
    200,
  ),
  replayBytes: v.optional(size('All request bodies held for a retry, together.', 0, 16 * GIB), '16MiB'),
});

const access = section('What may be reached.', {
  default: v.optional(
    choice('Of exchanges that match no route; deny: only routes with access: allow pass.', ['allow', 'deny']),
    'allow',
  ),
  clients: v.optional(
    choice('Who may call. known: who is none of the clients is refused.', ['any', 'known']),
    'any',
  ),
  report: v.optional(
    flag(
      'Whether what routes, clients and ports deny is let through, and the log says what would be refused. Addresses stay denied.',
    ),
    false,
  ),
  deniedPorts: v.optional(
    list(
      'Services that are no HTTP: no exchange goes to these ports on any way, unless a route with access: allow names the port.',
      integer('A port.', 1, 65_535),
    ),
    DENIED_PORTS,
  ),
  addresses: v.optional(
    section('Checked on the address that is dialled, never on the name.', {
      deny: v.optional(
        list(
          'Added to what is always denied: loopback, link-local and metadata, private, and other special addresses.',
          text('An address or a CIDR.', 'an address or a CIDR such as 10.0.0.0/8 or fd00::/8', keep(isCidr)),
        ),
        [],
      ),
      allow: v.optional(
        list(
          'Exceptions; of two CIDRs that hold an address the longer prefix wins, on a tie the denial.',
          text('An address or a CIDR.', 'an address or a CIDR such as 10.0.0.0/8 or fd00::/8', keep(isCidr)),
        ),
        [],
      ),
    }),
    {},
  ),
  tunnelPorts: v.optional(
    list(
      'Ports to which CONNECT is allowed. To port 80 it always is, but for plain HTTP only.',
      integer('A port.', 1, 65_535),
    ),
    [443],
  ),
  tunnelProtocols: v.optional(
    list(
      'What may be spoken inside a tunnel, told by its first bytes: tls, http (which has the whole policy, as if it had not come through a tunnel), other.',
      choice('A protocol.', ['tls', 'http', 'other']),
    ),
    ['tls', 'http'],
  ),
  tunnelServerName: v.optional(
    choice(
      'Whether the server name that TLS asks for inside a tunnel must be the host of its CONNECT. any: it may differ, and a CONNECT to an address has the policy of its route, as a tunnel.',
      ['match', 'any'],
    ),
    'match',
  ),
});

const intercept = section('The local authority whose certificates intercepted connections see.', {
  ca: v.optional(
    v.nullable(
      section('The authority as files; null: one is made in memory at each start.', {
        cert: file('Its certificate, PEM.', 'the path of a PEM file'),
        key: file('Its key, PEM; nobody but the owner may read the file.', 'the path of a PEM file'),
      }),
    ),
    null,
  ),
  bundle: v.optional(
    v.nullable(
      file(
        "Where the certificates that an application must trust are written: the system's roots and the authority, PEM, and beside it a truststore for Java. null: a file of the port in a directory of the user's own below the one for temporary files.",
        'the path of a file',
      ),
    ),
    null,
  ),
  leaves: v.optional(integer('Certificates remembered, one per host.', 1, 100_000), 1024),
  pinned: v.optional(
    choice('What becomes of a host whose client does not accept our certificate: a tunnel, or a refusal.', [
      'tunnel',
      'refuse',
    ]),
    'tunnel',
  ),
  pinnedFor: v.optional(duration('How long such a host is remembered.', 1_000, 30 * DAY), '1h'),
});

const requestId = section('The name of an exchange, from the caller through to the origin.', {
  header: v.optional(
    text(
      'The field that carries the request ID.',
      'a header field such as X-Request-Id, not one that frames a message or belongs to one connection',
      keep(mayCarryRequestId),
    ),
    'X-Request-Id',
  ),
  accept: v.optional(
    flag("Whether the caller's own is kept when it is well formed; else a UUIDv7 is made."),
    true,
  ),
});

const log = section('The log on standard output: one line per exchange.', {
  level: v.optional(
    choice(
      'Lines below this level are not written; warn leaves only what was refused, failed or truncated.',
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    ),
    'info',
  ),
  format: v.optional(
    choice('One JSON object per line, or lines for people; the default is pretty on a terminal.', [
      'json',
      'pretty',
    ]),
    'json',
  ),
  query: v.optional(
    choice('Whether query strings are written; keep: without the values of well-known secrets.', [
      'drop',
      'keep',
    ]),
    'drop',
  ),
});

const reload = section(
  'A change of the configuration while the sidecar runs: all of it, or nothing. SIGHUP and POST /reload ask for one, too.',
  {
    watch: v.optional(
      flag('Whether the files are looked at, by content, and a change of theirs is a reload.'),
      true,
    ),
    interval: v.optional(duration('How often they are looked at.', 50, HOUR), '1s'),
  },
);

const shutdown = section(
  'The end: exchanges are served while the application is still connected, then what is left is cut.',
  {
    drainTimeout: v.optional(duration('Exchanges still under way after this are cut.', 0, DAY), '30s'),
    quiet: v.optional(
      duration('The drain ends early once no caller has been connected for this long.', 0, HOUR),
      '1s',
    ),
  },
);

const whole = section('The configuration of Outrigger.', {
  listen: v.optional(listen, {}),
  admin: v.optional(admin, {}),
  limits: v.optional(limits, {}),
  policy: v.optional(policy, {}),
  routes: v.optional(routes, []),
  clients: v.optional(clients, []),
  access: v.optional(access, {}),
  intercept: v.optional(intercept, {}),
  requestId: v.optional(requestId, {}),
  log: v.optional(log, {}),
  reload: v.optional(reload, {}),
  shutdown: v.optional(shutdown, {}),
});

export const configSchema = v.pipe(
  whole,
  v.forward(
    v.partialCheck(
      [
        ['listen', 'admin'],
        ['admin', 'token'],
      ],
      ({ listen: at, admin: { token } }) => token !== null || isLoopback(at.admin),
      'must be a loopback address such as 127.0.0.1:3129, unless admin.token is set',
    ),
    ['listen', 'admin'],
  ),
);

/** What the schema makes of a file: units resolved and defaults filled in, under the keys of the file. */
export type Settings = v.InferOutput<typeof configSchema>;
