/**
 * The configuration file, whole: every key with its description, default, bounds and message. Here, and for
 * the policy in `policy-schema.ts`, a key is declared and nowhere else; the checks and the reference follow.
 *
 * It does not know where a value was written, and its output still has the keys of the file: turning it
 * into the parts' own values is `effective.ts`.
 */
import * as v from 'valibot';
import { collide, isCidr, isLoopback, parseHostPattern, parseListenAddress } from './address.ts';
import { choice, duration, flag, integer, keep, list, section, size, text } from './field.ts';
import { isToken, mayCarryRequestId } from './header-field.ts';
import { policy } from './policy-schema.ts';
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

const limits = section('Bounds of the whole sidecar.', {
  connections: v.optional(integer('Upstream connections, all origins and tunnels together.', 1, 65_535), 512),
  exchanges: v.optional(integer('Exchanges in flight at once.', 1, 1_000_000), 1024),
  origins: v.optional(integer('Origins remembered; the idle are evicted first.', 1, 65_536), 512),
  headerBytes: v.optional(size('The largest head of a request or response.', KIB, MIB), '32KiB'),
  replayBytes: v.optional(size('All request bodies held for a retry, together.', 0, 16 * GIB), '16MiB'),
});

/** RFC 9110, section 9.1: methods are case-sensitive, so a lower-case `post` would never match. */
const METHOD = 'a method such as GET or POST, in the capitals that callers send';

const match = section('What the route applies to; what is left out, or empty, matches everything.', {
  hosts: v.optional(
    list(
      'Names of origins.',
      text(
        'An exact name, or *.example.com for every name below example.com, but not itself.',
        'a host such as api.example.com or *.example.com, without scheme, port or path',
        parseHostPattern,
      ),
    ),
    [],
  ),
  ports: v.optional(list('Ports of origins.', integer('A port.', 1, 65_535)), []),
  methods: v.optional(
    list(
      'Methods; CONNECT for tunnels.',
      text(
        'A method.',
        METHOD,
        keep((it) => isToken(it) && it === it.toUpperCase()),
      ),
    ),
    [],
  ),
  paths: v.optional(
    list(
      'Paths; the query does not count. A tunnel has none.',
      text(
        'An exact path, or a prefix that ends in *.',
        'a path such as /v1/score or /v1/*, percent-encoded, with * only at its end',
        keep((it) => /^\/[\x21-\x7e]{0,2047}$/.test(it) && !/[?#]|\*./.test(it)),
      ),
    ),
    [],
  ),
});

const route = section('One kind of traffic and its policy.', {
  name: text(
    'Labels the route in logs and metrics.',
    'a name other than "default", of at most 63 lower-case letters, digits, dots, dashes and underscores',
    keep((it) => /^[a-z0-9][a-z0-9._-]{0,62}$/.test(it) && it !== 'default'),
  ),
  match: v.optional(match, {}),
  access: v.optional(choice('Whether what matches may pass.', ['allow', 'deny']), 'allow'),
  policy: v.optional(policy, {}),
});

const routes = v.pipe(
  list('The first route that matches wins; what matches none has the default policy.', route),
  v.rawCheck(({ dataset, addIssue }) => {
    const items = dataset.value as { readonly name?: unknown }[];
    if (!Array.isArray(items)) return;
    const names = new Map<string, number>();
    for (const [i, item] of items.entries()) {
      if (typeof item?.name !== 'string') continue;
      const first = names.get(item.name);
      if (first === undefined) {
        names.set(item.name, i);
        continue;
      }
      const path: [v.ArrayPathItem, v.ObjectPathItem] = [
        { type: 'array', origin: 'value', input: items, key: i, value: item },
        { type: 'object', origin: 'value', input: { ...item }, key: 'name', value: item.name },
      ];
      addIssue({ message: `must be unique, and routes[${first}] has the same`, path });
    }
  }),
);

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
  tunnelPorts: v.optional(list('Ports to which CONNECT is allowed.', integer('A port.', 1, 65_535)), [443]),
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
  requestId: v.optional(requestId, {}),
  log: v.optional(log, {}),
  shutdown: v.optional(shutdown, {}),
});

/** What the schema makes of a file: units resolved and defaults filled in, under the keys of the file. */
export type Settings = v.InferOutput<typeof configSchema>;
