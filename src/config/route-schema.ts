/**
 * The routes of the configuration file: what each applies to, how it is reached, and its policy. Declared
 * here and nowhere else, like the rest of the schema.
 */
import * as v from 'valibot';
import { isCidr, parseHostPattern, parseOrigin, parseTokenUrl } from './address.ts';
import { isClientName } from './client-schema.ts';
import { choice, duration, flag, integer, keep, list, section, text } from './field.ts';
import { isFieldValue, isToken } from './header-field.ts';
import { fieldName, policy } from './policy-schema.ts';
import { unique } from './unique.ts';
import { DAY, HOUR } from './units.ts';

/** RFC 9110, section 9.1: methods are case-sensitive, so a lower-case `post` would never match. */
const METHOD = 'a method such as GET or POST, in the capitals that callers send';

const match = section('What the route applies to; what is left out, or empty, matches everything.', {
  hosts: v.optional(
    list(
      'Names of origins. A route with an origin and no hosts matches the host and port of that origin.',
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
  clients: v.optional(
    list(
      'Names of clients; who is none of them takes another route.',
      text('A client.', 'the name of one of the clients', keep(isClientName)),
    ),
    [],
  ),
});

/** CIDRs of a route. */
const cidrs = (description: string) =>
  v.optional(
    list(
      description,
      text('An address or a CIDR.', 'an address or a CIDR such as 10.0.0.0/8 or fd00::/8', keep(isCidr)),
    ),
    [],
  );

const addresses = section(
  'Laid over access.addresses for what this route dials: of all that hold an address the longest prefix wins, on a tie a denial.',
  { deny: cidrs('Denied on this route, too.'), allow: cidrs('Exceptions for this route alone.') },
);

const pemFile = (description: string) =>
  v.optional(
    v.nullable(
      text(
        description,
        'the path of a PEM file',
        keep((it) => it !== '' && !it.includes('\0')),
      ),
    ),
    null,
  );

/** A day that exists, as YYYY-MM-DD. */
function isDay(written: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(written)) return false;
  const ms = Date.parse(`${written}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(written);
}

/** The first moment after the day, UTC, milliseconds since the epoch. */
export const dayEndMs = (day: string): number => Date.parse(`${day}T00:00:00Z`) + 86_400_000;

const insecure = section(
  'Verification of the certificate switched off, for a reason and for a time; shown at every start.',
  {
    reason: text(
      'Why, for whoever reads the log.',
      'a reason in words, on one line',
      keep((it) => it.trim() !== '' && !/\p{Cc}/u.test(it)),
    ),
    until: v.pipe(
      text('The last day on which it holds, UTC.', 'a day such as 2027-01-31', keep(isDay)),
      v.check(
        (day) => Date.now() < dayEndMs(day),
        'is past: have the certificate corrected, or give a later day',
      ),
    ),
  },
);

const tls = v.pipe(
  v.strictObject({
    ca: pemFile("Trusted in the place of the system's roots: one or more certificates."),
    cert: pemFile('For mutual TLS: our certificate, and those between it and the root.'),
    key: pemFile('For mutual TLS: the key of cert.'),
    servername: v.optional(
      v.nullable(
        text(
          "Sent and verified in the place of the host's own name.",
          'a host name such as api.example.com',
          (written) => {
            const host = parseHostPattern(written);
            return host === null || host.startsWith('*') || /^[\d.]+$|:/.test(host) ? null : host;
          },
        ),
      ),
      null,
    ),
    minVersion: v.optional(choice('The oldest version spoken.', ['TLSv1.2', 'TLSv1.3']), 'TLSv1.2'),
    insecure: v.optional(v.nullable(insecure), null),
  }),
  v.description('How TLS is spoken to the origins of the route; files are read again when they change.'),
  v.forward(
    v.partialCheck(
      [['cert'], ['key']],
      ({ cert, key }) => (cert === null) === (key === null),
      'needs both tls.cert and tls.key',
    ),
    ['cert'],
  ),
  v.forward(
    v.partialCheck(
      [['ca'], ['insecure']],
      (it) => it.insecure === null || it.ca === null,
      'makes tls.ca useless: leave one of them out',
    ),
    ['insecure'],
  ),
);

const oauth2 = section(
  'A token of OAuth 2, by client credentials (RFC 6749, section 4.4), in every request.',
  {
    tokenUrl: text(
      'Where tokens are fetched, as a request of our own: with the access, TLS and policy of the route that it matches.',
      'an http or https URL such as https://auth.example.com/oauth2/token, without user information or fragment',
      parseTokenUrl,
    ),
    clientId: text(
      'The name of the client.',
      'a text of visible ASCII characters',
      keep((it) => /^[\x20-\x7e]{1,1024}$/.test(it)),
    ),
    clientSecret: text(
      'Its secret, best as ${file:PATH}: the file is read again when it changes.',
      'a text on one line, in Latin-1; quote what looks like a number',
      keep((it) => it !== '' && isFieldValue(it)),
      { secret: true },
    ),
    scopes: v.optional(
      list(
        'What the token is for.',
        text(
          'A scope.',
          'a scope such as payments:write, without spaces',
          keep((it) => /^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/.test(it)),
        ),
      ),
      [],
    ),
    audience: v.optional(
      v.nullable(
        text(
          'Whom the token is for, where the server asks for it; null: not said.',
          'a text of visible ASCII characters',
          keep((it) => /^[\x21-\x7e]{1,1024}$/.test(it)),
        ),
      ),
      null,
    ),
    auth: v.optional(
      choice('How the client shows who it is: basic (in Authorization) or body (in the form).', [
        'basic',
        'body',
      ]),
      'basic',
    ),
    refreshBefore: v.optional(
      duration(
        'A token this close to its end is replaced in the background, while it is still used; at most half of its life.',
        0,
        DAY,
      ),
      '60s',
    ),
    timeout: v.optional(duration('Fetching a token, retries included.', 1, HOUR), '10s'),
    header: v.optional(fieldName('The field that carries the token, as Bearer.', 'set'), 'Authorization'),
  },
);

const credentials = section('By what the requests of the route show who they are.', {
  caller: v.optional(
    choice(
      "What becomes of the caller's own (Authorization, Cookie, and whatever the route sets as a secret). keep: they go on; remove: they are taken out; refuse: the request is answered 403.",
      ['keep', 'remove', 'refuse'],
    ),
    'keep',
  ),
  oauth2: v.optional(v.nullable(oauth2), null),
});

/** Segments without a dot segment, an escape or anything that is not plainly a path. */
const PREFIX = /^\/(?!$)(?:(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~-]+(?:\/(?!$)|$))+$/;

const routeEntries = v.strictObject({
  name: text(
    'Labels the route in logs and metrics.',
    'a name other than "default", of at most 63 lower-case letters, digits, dots, dashes and underscores',
    keep((it) => /^[a-z0-9][a-z0-9._-]{0,62}$/.test(it) && it !== 'default'),
  ),
  match: v.optional(match, {}),
  https: v.optional(
    v.nullable(
      choice(
        'How HTTPS is handled: tunnel (a CONNECT stays opaque), originate (http:// comes in, TLS goes out) or intercept (TLS ends here and begins anew). null: a later route about the same host may say; else a CONNECT is a tunnel, and http:// stays what it is.',
        ['tunnel', 'originate', 'intercept'],
      ),
    ),
    null,
  ),
  prefix: v.optional(
    v.nullable(
      text(
        'Requests to the sidecar itself for this path and below go to the origin, without the prefix.',
        'a path such as /fraud or /vendors/fraud, without a slash at its end, or / alone',
        keep((it) => it === '/' || PREFIX.test(it)),
      ),
    ),
    null,
  ),
  origin: v.optional(
    v.nullable(
      text(
        'Where requests of the prefix go.',
        'an http or https URL such as https://api.example.com or https://api.example.com/v1, without query or user information',
        parseOrigin,
      ),
    ),
    null,
  ),
  access: v.optional(choice('Whether what matches may pass.', ['allow', 'deny']), 'allow'),
  report: v.optional(
    flag(
      'With access: deny, whether it is let through all the same, and the log says what would be refused.',
    ),
    false,
  ),
  addresses: v.optional(addresses, {}),
  tls: v.optional(v.nullable(tls), null),
  http2: v.optional(flag('Whether HTTP/2 is offered to the origins of the route, over TLS.'), false),
  credentials: v.optional(v.nullable(credentials), null),
  policy: v.optional(policy, {}),
});

const route = v.pipe(
  routeEntries,
  v.description('One kind of traffic and its policy.'),
  v.forward(
    v.partialCheck(
      [['prefix'], ['origin']],
      (it) => it.prefix === null || it.origin !== null,
      'needs an origin beside it',
    ),
    ['prefix'],
  ),
  v.forward(
    v.partialCheck(
      [['prefix'], ['origin']],
      (it) => it.origin === null || it.prefix !== null,
      'is where a prefix goes, and needs a prefix beside it',
    ),
    ['origin'],
  ),
);

const routeList = list('The first route that matches wins; what matches none has the default policy.', route);

type Routes = v.InferOutput<typeof routeList>;

export const routes = v.pipe(routeList, unique<Routes>('routes', 'name'), unique<Routes>('routes', 'prefix'));
