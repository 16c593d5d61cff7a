import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Exchange } from '../../src/exchange.ts';
import { LiveExchanges } from '../../src/live-exchanges.ts';

const exchangeOf = (name: number): Exchange => ({ name, liveAt: -1 }) as unknown as Exchange;

test('those that have been added and not taken away are there, each once', () => {
  const step = fc.record({ what: fc.constantFrom('add', 'add', 'delete'), n: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const all = Array.from({ length: 21 }, (_, i) => exchangeOf(i));
      const live = new LiveExchanges();
      const model = new Set<Exchange>();
      for (const { what, n } of steps) {
        const one = all[n] as Exchange;
        if (what === 'add') {
          live.add(one);
          model.add(one);
        } else {
          live.delete(one);
          model.delete(one);
        }
        assert.equal(live.size, model.size);
        assert.deepEqual(new Set(live), model);
        assert.equal([...live].length, model.size);
      }
    }),
  );
});

test('who stays while they are looked at one by one is not left out, whoever leaves and comes', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.array(fc.array(fc.nat(40), { maxLength: 4 }), { maxLength: 40 }),
      (count, changes) => {
        const live = new LiveExchanges();
        const all = Array.from({ length: 41 }, (_, i) => exchangeOf(i));
        const stays = new Set(all.slice(0, count));
        for (const one of stays) live.add(one);
        let turn = 0;
        const seen = new Set<Exchange>();
        for (const one of live) {
          seen.add(one);
          for (const n of changes[turn] ?? []) {
            const other = all[n] as Exchange;
            if (other.liveAt < 0) live.add(other);
            else live.delete(other);
            stays.delete(other);
          }
          if (++turn > 200) break;
        }
        for (const one of stays) assert.ok(seen.has(one));
      },
    ),
  );
});
