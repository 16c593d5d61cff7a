/**
 * The configuration file, whole: every key with its description, default, bounds and message. Here, and for
 * the policy in `policy-schema.ts`, a key is declared and nowhere else; the checks and the reference follow.
 *
 * It does not know where a value was written, and its output still has the keys of the file: turning it
 * into the parts' own values is `effective.ts`.
 */
import * as v from 'valibot';
import { collide, isCidr, isLoopback, parseListenAddress } from './address.ts';
import { choice, duration, flag, integer, keep, list, section, size, text } from './field.ts';
import { mayCarryRequestId } from './header-field.ts';
import { policy } from './policy-schema.ts';
import { routes } from './route-schema.ts';
import { DAY, GIB, HOUR, KIB, MIB } from './units.ts';

const listenAddress = (description: string) =>
  text(description, 'an address such as 127.0.0.1:3128, [::1]:3128 or localhost:3128', parseListenAddress);

const listen = v.pipe(
  v.strictObject({
    proxy: v.optional(
      listenAddress('Where the application reaches the sidecar: HTTP_PROXY=http://127.0.0.1:3128.'),
      '127.0.0.1:3128',
    ),
    admin: v.optional(
      text(
        'Everything an operator needs: health, metrics, the state of origins.',
        'a loopback address such as 127.0.0.1:3129, since nothing else guards the admin listener yet',
        (written) => {
          const address = parseListenAddress(written);
          return address !== null && isLoopback(address) ? address : null;
        },
      ),
      '127.0.0.1:3129',
    ),
    telemetry: v.optional(
      v.nullable(
        listenAddress('Only /metrics, /livez and /readyz, for Prometheus and the kubelet; null: not there.'),
      ),
      null,
    ),
    headTimeout: v.optional(duration('A caller has this long to send a request head.', 1, HOUR), '10s'),
    idleTimeout: v.optional(
      duration("A caller's connection without an exchange is closed after this long.", 1, DAY),
      '2m',
    ),
    streams: v.optional(
      integer("HTTP/2 streams at once on one caller's connection; a caller keeps more to itself.", 1, 10_000),
      100,
    ),
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

const file = (description: string, expected: string) =>
  text(
    description,
    expected,
    keep((it) => it !== '' && !it.includes('\0')),
  );

const limits = section('Bounds of the whole sidecar.', {
  connections: v.optional(integer('Upstream connections, all origins and tunnels together.', 1, 65_535), 512),
  exchanges: v.optional(integer('Exchanges in flight at once.', 1, 1_000_000), 1024),
  origins: v.optional(integer('Origins remembered; the idle are evicted first.', 1, 65_536), 512),
  headerBytes: v.optional(size('The largest head of a request or response.', KIB, MIB), '32KiB'),
  replayBytes: v.optional(size('All request bodies held for a retry, together.', 0, 16 * GIB), '16MiB'),
});

const access = section('What may be reached.', {
  default: v.optional(
    choice('Of exchanges that match no route; deny: only routes with access: allow pass.', ['allow', 'deny']),
    'allow',
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
          'Exceptions to what is denied.',
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
      section('The authority as files; both are needed.', {
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
    choice('What becomes of a host whose client does not accept our certificate.', ['tunnel', 'refuse']),
    'tunnel',
  ),
  pinnedFor: v.optional(duration('How long such a host is remembered.', 1_000, 30 * DAY), '1h'),
});

const requestId = section('The name of an exchange, from the caller through to the origin.', {
  header: v.optional(
    text(
      'The field that carries it.',
      'a header field such as X-Request-Id, not one that frames a message or belongs to one connection',
      keep(mayCarryRequestId),
    ),
    'X-Request-Id',
  ),
  accept: v.optional(flag("Whether the caller's own is kept when it is well formed."), true),
});

const log = section('The log on standard output: one line per exchange.', {
  level: v.optional(
    choice('Lines below this level are not written.', [
      'trace',
      'debug',
      'info',
      'warn',
      'error',
      'fatal',
      'silent',
    ]),
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
    choice('Whether query strings are written; they often hold secrets.', ['drop', 'keep']),
    'drop',
  ),
});

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

export const configSchema = section('The configuration of Outrigger.', {
  listen: v.optional(listen, {}),
  limits: v.optional(limits, {}),
  policy: v.optional(policy, {}),
  routes: v.optional(routes, []),
  access: v.optional(access, {}),
  intercept: v.optional(intercept, {}),
  requestId: v.optional(requestId, {}),
  log: v.optional(log, {}),
  shutdown: v.optional(shutdown, {}),
});

/** What the schema makes of a file: units resolved and defaults filled in, under the keys of the file. */
export type Settings = v.InferOutput<typeof configSchema>;
