import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { CallerPlaces, type Place, type ShedReason } from '../../../src/downstream/caller-places.ts';
import { until } from '../../support/until.ts';

function from(address: string): Socket {
  const socket = new Socket();
  Object.defineProperty(socket, 'remoteAddress', { value: address });
  return socket;
}

function places(
  options: {
    connections?: number;
    connectionsPerClient?: number;
    headTimeoutMs?: number;
    idleTimeoutMs?: number;
  },
  shed: ShedReason[] = [],
): CallerPlaces {
  return new CallerPlaces({
    connections: 100,
    connectionsPerClient: 100,
    headTimeoutMs: 60_000,
    idleTimeoutMs: 60_000,
    shed: (reason) => shed.push(reason),
    ...options,
  });
}

interface Known {
  readonly place: Place;
  readonly address: string;
  state: 'fresh' | 'reading' | 'idle' | 'busy';
  /** When the state was entered. */
  at: number;
}

/** Whom the rule names, found by looking at all. */
function victimOf(all: readonly Known[], states: readonly Known['state'][]): Known | null {
  for (const state of states) {
    const [first] = all.filter((one) => one.state === state).toSorted((a, b) => a.at - b.at);
    if (first !== undefined) return first;
  }
  return null;
}

const operation = fc.oneof(
  fc.record({ do: fc.constant('enter' as const), address: fc.constantFrom('a', 'b', 'c') }),
  fc.record({
    do: fc.constantFrom('busy' as const, 'idle' as const, 'reading' as const, 'leave' as const),
    of: fc.nat(7),
  }),
);

test('whatever comes and goes, the bounds hold, and who is spared is whom the rule names; never one with an exchange', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      fc.array(operation),
      (max, perClient, operations) => {
        const shed: ShedReason[] = [];
        const it = places({ connections: max, connectionsPerClient: perClient }, shed);
        let known: Known[] = [];
        let clock = 0;
        for (const one of operations) {
          if (one.do === 'enter') {
            const mine = known.filter(({ address }) => address === one.address);
            const isCrowded = perClient < max && mine.length >= perClient;
            const isFull = known.length >= max;
            let victim: Known | null = null;
            if (isCrowded) victim = victimOf(mine, ['fresh', 'idle']);
            else if (isFull) victim = victimOf(known, ['fresh', 'idle', 'reading']);
            const before = shed.length;
            const place = it.enter(from(one.address));
            assert.equal(place === null, (isCrowded || isFull) && victim === null);
            assert.equal(shed.length - before, isCrowded || isFull ? 1 : 0);
            if (victim !== null) {
              assert.equal(victim.place.left, true);
              assert.equal(victim.place.socket.destroyed, true);
              known = known.filter((other) => other !== victim);
            }
            if (place !== null) known.push({ place, address: one.address, state: 'fresh', at: clock++ });
          } else {
            const target = known[one.of];
            if (target === undefined) continue;
            if (one.do === 'leave') {
              it.leave(target.place);
              known = known.filter((other) => other !== target);
            } else if (one.do === 'reading') {
              target.place.reading();
              if (target.state === 'idle') Object.assign(target, { state: 'reading', at: clock++ });
            } else {
              target.place[one.do]();
              Object.assign(target, { state: one.do, at: clock++ });
            }
          }
          assert.equal(it.count, known.length);
          for (const { place } of known) assert.equal(place.left, false);
        }
        for (const { place } of known) it.leave(place);
        assert.equal(it.count, 0);
        it.stop();
      },
    ),
    { numRuns: 2_000 },
  );
});

test('who is late is told so once, by the time of its own state, and who is busy never', async () => {
  const it = places({ headTimeoutMs: 40, idleTimeoutMs: 120 });
  const late: string[] = [];
  const began = performance.now();
  const times = new Map<string, number>();
  const enter = (name: string): Place => {
    const place = it.enter(from(name)) as Place;
    place.holder = {
      late: () => {
        late.push(name);
        times.set(name, performance.now() - began);
      },
    };
    return place;
  };
  enter('busy').busy();
  enter('idle').idle();
  enter('fresh');
  const reading = enter('reading');
  reading.idle();
  reading.reading();
  const resting = setInterval(() => {}, 10);
  await until(() => late.length === 3, 'three late callers');
  clearInterval(resting);
  assert.deepEqual(late, ['fresh', 'reading', 'idle']);
  assert.ok((times.get('fresh') as number) >= 40);
  assert.ok((times.get('idle') as number) >= 120);
  it.stop();
});
