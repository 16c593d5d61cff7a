/**
 * Callers that speak HTTP/1.1 to the sidecar: in absolute form, by prefix, with bodies small and large, streams, and some
 * that leave.
 */
import type { OutgoingHttpHeaders, RequestOptions } from 'node:http';
import type { Chance } from '../fuzz/chance.ts';
import { call } from './call.ts';
import { MOST_ATTEMPTS, STREAM_MS, TOTAL_MS, UPLOAD_MS } from './configuration.ts';
import type { Terms } from './ledger.ts';
import type { VendorName } from './vendors.ts';
import type { Turn, World } from './world.ts';

/** No total there: every attempt may wait for a name, a place, a connection and a head. */
export const STREAM_HEAD_MS = 13_000;

const FAULTY = 0.12;
const FAULTS = [
  'reset', 'reset-head', 'reset-body', 'close', 'truncated-head', 'truncated-body', 'truncated-chunks', 'half-closed',
  'half-closed-body', 'stall-head', 'stall-half-head', 'stall-body', 'stall-reading', 'slow-head', 'slow-body', 'endless-body',
  'malformed-head', 'malformed-chunks', 'extra-answer', 'silent-close', 'silent-close', 'early-answer', 'interim', 'status-500',
  'status-503', 'status-503-retry-after', 'status-429', 'status-429-retry-after',
] as const; // biome-ignore format: a list to read
/** What HTTP/2 has a word for, too. */
const FAULTS_OF_BOTH = [
  'reset', 'reset-head', 'reset-body', 'close', 'half-closed', 'stall-head', 'stall-body', 'slow-body', 'silent-close',
  'truncated-body', 'status-500', 'status-503', 'status-429',
] as const; // biome-ignore format: a list to read

/** What the vendor is to do, mostly well: one word for each attempt. */
export function scriptOf(chance: Chance, vendor: VendorName, bytes: number): string {
  const faults = vendor === 'grid' ? FAULTS_OF_BOTH : FAULTS;
  const words = Array.from({ length: MOST_ATTEMPTS }, () =>
    chance.yes(FAULTY) ? chance.one(faults) : 'none',
  );
  return `/do/${words.join('.')}/${bytes}/${chance.yes(0.3) ? chance.below(60) : 0}`;
}

const bodyOf = (chance: Chance, least: number, most: number): Buffer =>
  Buffer.alloc(least + chance.below(most - least), 'b');

function terms(kind: string, method: string, more: Partial<Terms> = {}): Terms {
  const repeatable = method !== 'POST';
  return { kind, arrivals: repeatable ? MOST_ATTEMPTS : 1, boundMs: TOTAL_MS, answerDue: true, ...more };
}

/** To the sidecar, as a proxy. */
const through = (
  { sidecar, agent }: World,
  url: string,
  method: string,
): Omit<RequestOptions, 'headers'> & { readonly headers: OutgoingHttpHeaders } => ({
  host: '127.0.0.1',
  port: sidecar.port,
  path: url,
  method,
  agent,
  headers: { Host: new URL(url).host },
});

/** As `http://`, whatever is spoken to the vendor. */
const urlOf = ({ vendors }: World, vendor: VendorName, path: string): string =>
  `http://${vendors.byName[vendor].host}:${vendors.byName[vendor].port}${path}`;

const small = (chance: Chance): number => (chance.yes(0.2) ? 0 : chance.below(20_000));

const plain =
  (kind: string, method: string, vendors: readonly VendorName[], bodied = method !== 'GET') =>
  async ({ world, chance }: Turn): Promise<void> => {
    const vendor = chance.one(vendors);
    const url = urlOf(world, vendor, scriptOf(chance, vendor, small(chance)));
    const body = bodied ? { body: bodyOf(chance, 0, 4_000), answerDue: false } : {};
    await call({
      ...through(world, url, method),
      ticket: world.ledger.begin(terms(kind, method, { answerDue: !bodied })),
      ...body,
    });
  };

const PLAIN: readonly VendorName[] = ['orders', 'scores', 'files'];

export const get = plain('GET', 'GET', PLAIN);
export const head = plain('HEAD', 'HEAD', PLAIN, false);
export const post = plain('POST', 'POST', PLAIN);
export const put = plain('PUT', 'PUT', PLAIN);
export const remove = plain('DELETE', 'DELETE', PLAIN, false);
export const originateGet = plain('GET, originate', 'GET', ['quotes']);
export const originatePost = plain('POST, originate', 'POST', ['quotes']);
export const gridGet = plain('GET, HTTP/2 out', 'GET', ['grid']);
export const gridPost = plain('POST, HTTP/2 out', 'POST', ['grid']);

export async function keyedPost({ world, chance }: Turn): Promise<void> {
  const vendor = chance.one([...PLAIN, 'quotes'] as const);
  const options = through(world, urlOf(world, vendor, scriptOf(chance, vendor, small(chance))), 'POST');
  const ticket = world.ledger.begin(
    terms('POST with Idempotency-Key', 'POST', { arrivals: MOST_ATTEMPTS, answerDue: false }),
  );
  await call({
    ...options,
    headers: { ...options.headers, 'Idempotency-Key': `key-${ticket.n}` },
    ticket,
    body: bodyOf(chance, 0, 4_000),
  });
}

export async function byPrefix({ world, chance }: Turn): Promise<void> {
  await call({
    host: '127.0.0.1',
    port: world.sidecar.port,
    path: `/scores${scriptOf(chance, 'scores', small(chance))}`,
    agent: world.agent,
    ticket: world.ledger.begin(terms('GET, prefix', 'GET')),
  });
}

/** Smaller and larger than what is kept for another attempt, with a length and without. */
export async function upload({ world, chance }: Turn): Promise<void> {
  const options = through(world, urlOf(world, 'files', scriptOf(chance, 'files', 100)), 'POST');
  await call({
    ...options,
    ticket: world.ledger.begin(terms('upload', 'POST', { boundMs: UPLOAD_MS, answerDue: false })),
    body: bodyOf(chance, 30_000, chance.yes(0.5) ? 200_000 : 2_000_000),
    chunked: chance.yes(0.5),
  });
}

export async function download({ world, chance }: Turn): Promise<void> {
  const url = urlOf(world, 'files', scriptOf(chance, 'files', 500_000 + chance.below(6_000_000)));
  await call({ ...through(world, url, 'GET'), ticket: world.ledger.begin(terms('download', 'GET')) });
}

/** A stream of small pieces: the vendor never ends it, the caller does. */
export async function events({ world, chance }: Turn): Promise<void> {
  const url = urlOf(
    world,
    'events',
    `/do/${chance.yes(0.8) ? 'none' : chance.one(FAULTS)}/0/${chance.below(40)}`,
  );
  const ticket = world.ledger.begin(terms('events', 'GET', { boundMs: STREAM_HEAD_MS }));
  await call({
    ...through(world, url, 'GET'),
    ticket,
    silenceMs: STREAM_MS,
    leaveAfterMs: 500 + chance.below(4_000),
  });
}

/** Goes away in the middle of whatever it is. */
export async function leaving({ world, chance }: Turn): Promise<void> {
  const method = chance.one(['GET', 'POST', 'PUT'] as const);
  const vendor = chance.one([...PLAIN, 'quotes', 'grid'] as const);
  const url = urlOf(world, vendor, scriptOf(chance, vendor, chance.yes(0.5) ? 1_000_000 : 100));
  await call({
    ...through(world, url, method),
    agent: undefined,
    ticket: world.ledger.begin(terms(`${method}, leaves`, method, { answerDue: false })),
    leaveAfterMs: chance.below(150),
    ...(method === 'GET' ? {} : { body: bodyOf(chance, 0, 400_000), chunked: chance.yes(0.5) }),
  });
}

export async function slowReader({ world, chance }: Turn): Promise<void> {
  const url = urlOf(world, 'files', '/do/none/8000000/0');
  await call({
    ...through(world, url, 'GET'),
    agent: undefined,
    ticket: world.ledger.begin(terms('slow reader', 'GET')),
    readingMs: 100 + chance.below(400),
    leaveAfterMs: 3_500,
  });
}

export async function slowBody({ world, chance }: Turn): Promise<void> {
  await call({
    ...through(world, urlOf(world, 'orders', '/do/none/10/0'), 'POST'),
    agent: undefined,
    ticket: world.ledger.begin(terms('slow body', 'POST', { boundMs: UPLOAD_MS, answerDue: false })),
    body: bodyOf(chance, 5_000, 9_000),
    chunked: chance.yes(0.3),
    dripMs: 60,
  });
}

const nowhere =
  (kind: string, url: (turn: Turn) => string) =>
  async (turn: Turn): Promise<void> => {
    const { world } = turn;
    await call({
      ...through(world, url(turn), 'GET'),
      ticket: world.ledger.begin(terms(kind, 'GET', { arrivals: 0 })),
    });
  };

export const unknownName = nowhere(
  'GET, unknown name',
  ({ chance }) => `http://no-${chance.below(300)}.vendor.test:8080/`,
);
export const refused = nowhere('GET, nobody listens', () => 'http://127.0.7.99:9999/');
export const denied = nowhere('GET, denied', () => 'http://closed.vendor.test:8080/');

/** Many at once, to one vendor. */
export async function burst({ world, chance }: Turn): Promise<void> {
  const turn = { world, chance };
  await Promise.all(Array.from({ length: 200 }, () => get(turn)));
}

/** Bodies that are kept for an attempt that hangs, and answers that nobody reads. */
export async function pressure({ world, chance }: Turn): Promise<void> {
  const held = Array.from({ length: 40 }, async () => {
    const options = through(world, urlOf(world, 'orders', '/do/stall-head.stall-head/10/0'), 'PUT');
    const ticket = world.ledger.begin(
      terms('PUT under pressure', 'PUT', { boundMs: UPLOAD_MS, answerDue: false }),
    );
    await call({ ...options, ticket, body: bodyOf(chance, 200_000, 250_000) });
  });
  await Promise.all([...held, ...Array.from({ length: 30 }, () => slowReader({ world, chance }))]);
}
