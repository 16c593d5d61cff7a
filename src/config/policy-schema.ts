/**
 * The keys of a policy: of the default one and, as a part to be laid over it, of a route's. Every key has
 * its default here, so a mapping that is written in part is filled in.
 */
import * as v from 'valibot';
import { decimal, duration, integer, keep, list, ratio, section, size, text } from './field.ts';
import { isFieldValue, isFraming, isToken } from './header-field.ts';
import { DAY, GIB, HOUR, TIB } from './units.ts';

const pool = section('Limits on the connections to one origin.', {
  connections: v.optional(integer('Connections to one origin, tunnels included.', 1, 65_535), 64),
  queue: v.optional(
    integer('Exchanges waiting for a connection, per origin; one more is shed at once.', 0, 1_000_000),
    256,
  ),
  queueTimeout: v.optional(duration('The longest wait for a connection.', 1, DAY), '2s'),
  idleTimeout: v.optional(
    duration(
      "A connection unused for this long is closed; the origin's own Keep-Alive hint, less a margin, wins.",
      1,
      DAY,
    ),
    '4s',
  ),
  maxAge: v.optional(
    duration('A connection this old is replaced, so that DNS changes are seen.', 1, DAY),
    '5m',
  ),
});

const timeouts = section('One timer for each part of an exchange.', {
  dns: v.optional(duration('Resolving the name of the origin.', 1, DAY), '3s'),
  connect: v.optional(duration('The TCP connection, all addresses together.', 1, DAY), '3s'),
  tls: v.optional(duration('The TLS handshake.', 1, DAY), '5s'),
  head: v.optional(duration('Per attempt: from the request sent to the response head.', 1, DAY), '30s'),
  idle: v.optional(
    duration('Between two pieces of a body, in either direction; also of a tunnel.', 1, DAY),
    '60s',
  ),
  total: v.optional(
    v.nullable(
      duration('The whole exchange, waits and retries included; null: no end, so that streams live.', 1, DAY),
    ),
    null,
  ),
});

const limits = section('How large bodies may be, and how slow.', {
  requestBytes: v.optional(
    v.nullable(size('The largest request body; a larger one is answered 413. null: no bound.', 0, TIB)),
    null,
  ),
  responseBytes: v.optional(
    v.nullable(
      size(
        'The largest response body; a larger one is a 502, or cut where its size was not announced. null: no bound.',
        0,
        TIB,
      ),
    ),
    null,
  ),
  minRate: v.optional(
    v.nullable(
      size(
        'Bytes per second that whoever owes a part of a body must come up with; slower is cut. null: however slowly.',
        1,
        GIB,
      ),
    ),
    '128B',
  ),
  minRateWindow: v.optional(duration('The time over which the rate is judged.', 100, HOUR), '30s'),
});

const backoff = v.pipe(
  v.strictObject({
    initial: v.optional(
      duration('The longest wait before the first retry; doubled each time, with full jitter.', 1, HOUR),
      '100ms',
    ),
    max: v.optional(duration('The longest wait before any retry.', 1, HOUR), '5s'),
  }),
  v.description('Waits between attempts: doubled each time, with full jitter.'),
  v.forward(
    v.partialCheck(
      [['initial'], ['max']],
      (it) => it.initial <= it.max,
      'must not be longer than backoff.max',
    ),
    ['initial'],
  ),
);

const retry = section('When a request is sent again.', {
  attempts: v.optional(integer('Attempts in all; 1 switches retries off.', 1, 10), 3),
  statuses: v.optional(
    list(
      'Responses that are tried again when the request is safe to repeat.',
      integer('A status of a response.', 400, 599),
    ),
    [429, 502, 503, 504],
  ),
  backoff: v.optional(backoff, {}),
  retryAfterMax: v.optional(
    duration('A longer Retry-After is not waited for: the response goes back with it.', 0, HOUR),
    '20s',
  ),
  budget: v.optional(
    section('Retries as a share of the traffic, per origin, so that they never become a storm.', {
      ratio: v.optional(
        ratio("Retries as a share of the origin's exchanges of the last 10 s.", 0, 10, true),
        '20%',
      ),
      floor: v.optional(decimal('Retries per second that are always allowed, per origin.', 0, 1_000_000), 3),
    }),
    {},
  ),
  replayBytes: v.optional(
    size('The largest request body kept for another attempt; a larger one is sent once.', 0, GIB),
    '256KiB',
  ),
});

const breaker = v.pipe(
  v.strictObject({
    failureRatio: v.optional(ratio('The circuit opens at this share of failures.', 0, 1, false), '50%'),
    minimumCalls: v.optional(
      integer('Attempts within the window below which the circuit stays closed.', 1, 1_000_000),
      20,
    ),
    window: v.optional(duration('Attempts older than this are forgotten.', 100, HOUR), '10s'),
    openFor: v.optional(
      duration('How long an open circuit answers by itself; doubles with each failed probe.', 1, DAY),
      '5s',
    ),
    openForMax: v.optional(duration('The longest time between two probes.', 1, DAY), '60s'),
  }),
  v.description('The circuit of each origin; null switches it off.'),
  v.forward(
    v.partialCheck(
      [['openFor'], ['openForMax']],
      (it) => it.openFor <= it.openForMax,
      'must not be longer than breaker.openForMax',
    ),
    ['openFor'],
  ),
);

const FRAMING = "The fields that frame a message or belong to one connection are the sidecar's own";

export const fieldName = (description: string, action: string) =>
  text(
    description,
    `a header field that may be ${action}: a token such as X-Tenant, not one that frames a message or belongs to one connection`,
    keep((name) => isToken(name) && !isFraming(name)),
  );

const edits = (description: string) =>
  section(description, {
    set: v.optional(
      v.pipe(
        v.record(
          fieldName('A header field.', 'set'),
          text(
            'Its value.',
            'a text on one line, in Latin-1; quote what looks like a number',
            keep(isFieldValue),
            {
              secret: true,
            },
          ),
        ),
        v.description(`Fields to set, replacing what is there. ${FRAMING}.`),
      ),
      {},
    ),
    remove: v.optional(
      list('Fields to remove, before others are set.', fieldName('A header field.', 'removed')),
      [],
    ),
  });

export const policy = section('What every exchange gets that no route says otherwise about.', {
  pool: v.optional(pool, {}),
  timeouts: v.optional(timeouts, {}),
  limits: v.optional(limits, {}),
  retry: v.optional(retry, {}),
  breaker: v.optional(v.nullable(breaker), {}),
  headers: v.optional(
    section('Edits of heads on their way through.', {
      request: v.optional(edits('Of the request, before it is sent to the origin.'), {}),
      response: v.optional(edits('Of the response, before it goes back to the caller.'), {}),
    }),
    {},
  ),
});
