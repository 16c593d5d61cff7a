import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Shortlist } from '../../../src/upstream/shortlist.ts';

interface One {
  measure: number;
}

const NEVER = Number.POSITIVE_INFINITY;
const leastOf = (all: readonly One[]): number => Math.min(NEVER, ...all.map(({ measure }) => measure));

test('where measures only grow, as times of last use do, the least is the least of all', () => {
  const step = fc.record({ n: fc.nat(40), how: fc.constantFrom('use', 'gone', 'back', 'new') });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      let now = 0;
      const all: One[] = Array.from({ length: 20 }, () => ({ measure: now++ }));
      const list = new Shortlist<One>(
        () => all,
        ({ measure }) => measure,
      );
      for (const { n, how } of steps) {
        const one = all[n % all.length] as One;
        if (how === 'new') all.push({ measure: now++ });
        else one.measure = how === 'gone' ? NEVER : now++;
        assert.equal(list.least()?.measure ?? NEVER, leastOf(all));
      }
    }),
  );
});

test('one that is taken is not given again once it is not to be had, and with none left there is none', () => {
  const all = [3, 1, 2].map((measure) => ({ measure }));
  const list = new Shortlist<One>(
    () => all,
    ({ measure }) => measure,
  );
  const taken: number[] = [];
  for (let one = list.least(); one !== null; one = list.least()) {
    assert.equal(list.least(), one, 'the same for as long as it is to be had');
    taken.push(one.measure);
    one.measure = NEVER;
  }
  assert.deepEqual(taken, [1, 2, 3]);
});

test('of a thousand that make place one after the other, few looks are taken at all of them', () => {
  let looks = 0;
  const all = Array.from({ length: 1_000 }, (_, measure) => ({ measure }));
  const list = new Shortlist<One>(
    () => {
      looks++;
      return all;
    },
    ({ measure }) => measure,
  );
  for (let n = 0; n < 1_000; n++) {
    const one = list.least();
    assert.equal(one?.measure, n);
    if (one) one.measure += 1_000;
  }
  assert.ok(looks <= 10, `${looks} looks`);
});
