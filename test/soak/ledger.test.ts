import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairClock } from './fair-clock.ts';
import { Ledger, type Ticket, TOLERANCE_MS } from './ledger.ts';
import { HEAP_TOLERANCE, lowest, Samples } from './memory-trend.ts';
import { Violations } from './violations.ts';

/** Judges what `story` tells of one POST; the names of the invariants that it broke. */
function judged(story: (ledger: Ledger, ticket: Ticket) => void, terms = {}): string[] {
  const clock = new FairClock();
  const violations = new Violations(
    0,
    () => 0,
    () => {},
  );
  const ledger = new Ledger(clock, violations);
  try {
    story(ledger, ledger.begin({ kind: 'POST', arrivals: 1, boundMs: 1_000, answerDue: true, ...terms }));
    ledger.audit(true);
    return [...violations.counts.keys()];
  } finally {
    clock.end();
  }
}

const lineOf = (id: string, status: number | null, outcome: string, error = 'null'): string =>
  `{"msg":"exchange","requestId":"${id}","status":${status},"outcome":"${outcome}","error":${error}}`;

const well = (ledger: Ledger, ticket: Ticket): void => {
  ledger.arrived(ticket.n, 'a vendor');
  ticket.answered(200);
  ticket.ended('whole');
  ledger.logged(lineOf(ticket.id, 200, 'completed'));
};

test('what went well breaks nothing', () => {
  assert.deepEqual(judged(well), []);
});

for (const [what, invariant, story] of [
  [
    'a second line',
    'one line for an exchange',
    (ledger, ticket) => {
      well(ledger, ticket);
      ledger.logged(lineOf(ticket.id, 200, 'completed'));
    },
  ],
  [
    'no line',
    'one line for an exchange',
    (_, ticket) => {
      ticket.answered(200);
      ticket.ended('whole');
    },
  ],
  [
    'a line of what nobody sent',
    'one line for an exchange',
    (ledger, ticket) => {
      well(ledger, ticket);
      ledger.logged(lineOf('another', 200, 'completed'));
    },
  ],
  [
    'a second arrival, however late',
    'no duplicate',
    (ledger, ticket) => {
      well(ledger, ticket);
      ledger.arrived(ticket.n, 'a vendor');
    },
  ],
  [
    'no answer at all',
    'every caller is answered',
    (ledger, ticket) => {
      ticket.ended('cut');
      ledger.logged(lineOf(ticket.id, null, 'failed'));
    },
  ],
  [
    'a caller that waits too long',
    'nobody waits beyond its bound',
    (ledger, ticket) => {
      ticket.aliveAt -= 1_001 + TOLERANCE_MS;
      well(ledger, ticket);
    },
  ],
  [
    'another status in the log',
    'log and caller agree',
    (ledger, ticket) => {
      ticket.answered(200);
      ticket.ended('whole');
      ledger.logged(lineOf(ticket.id, 503, 'failed'));
    },
  ],
  [
    'a cut that the log calls completed',
    'log and caller agree',
    (ledger, ticket) => {
      ticket.answered(200);
      ticket.ended('cut');
      ledger.logged(lineOf(ticket.id, 200, 'completed'));
    },
  ],
  [
    'an error of its own',
    'no bug of its own',
    (ledger, ticket) => {
      ticket.answered(500);
      ticket.ended('whole');
      ledger.logged(lineOf(ticket.id, 500, 'failed', '"proxy_internal_error"'));
    },
  ],
] as [string, string, (ledger: Ledger, ticket: Ticket) => void][]) {
  test(`${what} is found`, () => {
    assert.deepEqual(judged(story), [invariant]);
  });
}

test('who left before anybody had read its request needs no line, and who was seen by a vendor does', () => {
  assert.deepEqual(
    judged((_, ticket) => ticket.ended('left')),
    [],
  );
  const seen = judged((ledger, ticket) => {
    ledger.arrived(ticket.n, 'a vendor');
    ticket.ended('left');
  });
  assert.deepEqual(seen, ['one line for an exchange']);
});

test('a heap that grows is told from one that comes and goes', () => {
  const growing = new Samples(lowest, HEAP_TOLERANCE);
  const flat = new Samples(lowest, HEAP_TOLERANCE);
  for (let i = 0; i < 60; i++) {
    growing.add(20e6 + i * 200_000);
    flat.add(20e6 + (i % 7) * 3e6);
  }
  assert.deepEqual([growing.trend?.grown, flat.trend?.grown], [true, false]);
});
