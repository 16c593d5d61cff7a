/**
 * The clients of the configuration file: who beside the sidecar may be told from whom, and how. Declared here
 * and nowhere else, like the rest of the schema.
 */
import * as v from 'valibot';
import { isCidr } from './address.ts';
import { integer, keep, list, text } from './field.ts';
import { nearest } from './nearest.ts';
import { unique } from './unique.ts';

export const isClientName = (it: string): boolean => /^[a-z0-9][a-z0-9._-]{0,62}$/.test(it);

/** RFC 7617, section 2: no control characters, and no colon in the name. */
const isUsername = (it: string): boolean => /^[^\p{Cc}:]{1,255}$/u.test(it);
const isPassword = (it: string): boolean => /^[^\p{Cc}]{1,1024}$/u.test(it);

const clientEntries = v.strictObject({
  name: text(
    'Names the client in routes, logs and metrics.',
    'a name of at most 63 lower-case letters, digits, dots, dashes and underscores',
    keep(isClientName),
  ),
  addresses: v.optional(
    list(
      'Its source addresses. With a username, both must be right.',
      text('An address or a CIDR.', 'an address or a CIDR such as 10.0.0.0/8 or fd00::/8', keep(isCidr)),
    ),
    [],
  ),
  username: v.optional(
    v.nullable(
      text(
        'What it says of itself in Proxy-Authorization (Basic).',
        'a name without colons and control characters',
        keep(isUsername),
      ),
    ),
    null,
  ),
  password: v.optional(
    v.nullable(
      text(
        'How it proves that.',
        'a text of at most 1024 characters without control characters',
        keep(isPassword),
        {
          secret: true,
        },
      ),
    ),
    null,
  ),
  exchanges: v.optional(
    v.nullable(
      integer('Exchanges of this client in flight at once; null: no limit of its own.', 1, 1_000_000),
    ),
    null,
  ),
});

const client = v.pipe(
  clientEntries,
  v.description('An application beside the sidecar.'),
  v.forward(
    v.partialCheck(
      [['username'], ['password']],
      (it) => (it.username === null) === (it.password === null),
      'needs both username and password',
    ),
    ['username'],
  ),
  v.forward(
    v.partialCheck(
      [['name'], ['username'], ['addresses']],
      (it) => it.username !== null || it.addresses.length > 0,
      'cannot be told from anybody: give it a username and password, or addresses',
    ),
    ['name'],
  ),
);

const clientList = list(
  'Who may be told from whom; of several whose addresses hold a caller, the first.',
  client,
);

type Clients = v.InferOutput<typeof clientList>;

export const clients = v.pipe(
  clientList,
  unique<Clients>('clients', 'name'),
  unique<Clients>('clients', 'username'),
);

/** Something wrong at the place of a name. */
export interface UnknownClient {
  readonly route: number;
  readonly index: number;
  readonly message: string;
}

/** Names in the routes that no client has, each with the nearest that one has. */
export function unknownClients(
  routes: readonly { readonly match: { readonly clients: readonly string[] } }[],
  known: readonly { readonly name: string }[],
): UnknownClient[] {
  const names = known.map(({ name }) => name);
  return routes.flatMap(({ match }, route) =>
    match.clients.flatMap((name, index) => {
      if (names.includes(name)) return [];
      const near = nearest(name, names);
      const advice =
        near !== null
          ? `did you mean "${near}"?`
          : names.length === 0
            ? 'there are no clients'
            : `the clients are ${names.slice(0, 20).join(', ')}`;
      return [{ route, index, message: `names the client "${name}", which is not there; ${advice}` }];
    }),
  );
}
