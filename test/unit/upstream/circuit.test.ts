import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import fc from 'fast-check';
import CircuitBreaker from 'opossum';
import type { Verdict } from '../../../src/errors.ts';
import type { BreakerPolicy } from '../../../src/policy/policy.ts';
import { Circuit, type CircuitPermit } from '../../../src/upstream/circuit.ts';

const policy: BreakerPolicy = Object.freeze({
  failureRatio: 0.5,
  minimumCalls: 4,
  windowMs: 1000,
  openForMs: 200,
  openForMaxMs: 800,
});

/** Ends so many attempts with the same verdict. */
function end(circuit: Circuit, verdict: Verdict, times = 1): void {
  for (let i = 0; i < times; i++) permit(circuit).end(verdict);
}

function permit(circuit: Circuit): CircuitPermit {
  const got = circuit.tryAcquire();
  assert.ok(got !== null, `no permit while ${circuit.state}`);
  return got;
}

/** Time moves in small steps: a mocked timer set within a step would begin at its end. */
function advance(ms: number): void {
  for (let i = 0; i < ms; i += 50) mock.timers.tick(Math.min(50, ms - i));
}

const made: Circuit[] = [];
function circuitOf(over: Partial<BreakerPolicy> = {}, onOpen?: () => void): Circuit {
  const circuit = new Circuit({ ...policy, ...over }, onOpen, () => Date.now());
  made.push(circuit);
  return circuit;
}

function opened(over: Partial<BreakerPolicy> = {}): Circuit {
  const circuit = circuitOf(over);
  end(circuit, 'failure', policy.minimumCalls);
  assert.equal(circuit.state, 'open');
  return circuit;
}

describe('a circuit', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] }));
  afterEach(() => {
    for (const circuit of made.splice(0)) circuit.shutdown();
    mock.timers.reset();
  });

  test('opens at exactly the ratio, not only above it', () => {
    const circuit = circuitOf();
    end(circuit, 'success', 2);
    end(circuit, 'failure');
    assert.equal(circuit.state, 'closed');
    end(circuit, 'failure');
    assert.equal(circuit.state, 'open');
  });

  test('opens at a ratio of 100 %, where opossum never does', () => {
    const circuit = circuitOf({ failureRatio: 1 });
    end(circuit, 'failure', 3);
    assert.equal(circuit.state, 'closed');
    end(circuit, 'failure');
    assert.equal(circuit.state, 'open');
    const almost = circuitOf({ failureRatio: 1 });
    end(almost, 'success');
    end(almost, 'failure', 500);
    assert.equal(almost.state, 'closed');
  });

  test('stays closed a hair below its ratio', () => {
    const circuit = circuitOf({ minimumCalls: 1, failureRatio: 1 / 3 });
    end(circuit, 'success', 2001);
    end(circuit, 'failure', 1000);
    assert.equal(circuit.state, 'closed');
    end(circuit, 'failure');
    assert.equal(circuit.state, 'open');
  });

  test('does not open before the minimum of calls', () => {
    const circuit = circuitOf({ minimumCalls: 20 });
    end(circuit, 'failure', 19);
    assert.equal(circuit.state, 'closed');
    end(circuit, 'failure');
    assert.equal(circuit.state, 'open');
  });

  test('changes its state before end returns', () => {
    const circuit = circuitOf({ minimumCalls: 1 });
    end(circuit, 'failure');
    assert.equal(circuit.tryAcquire(), null);
  });

  test('counts attempts that have ended, not those under way', () => {
    const circuit = circuitOf();
    const underWay = Array.from({ length: 100 }, () => permit(circuit));
    end(circuit, 'failure', 4);
    assert.equal(circuit.state, 'open', 'a hundred starts do not dilute four failures');
    for (const one of underWay) one.end('ignored');
  });

  test('forgets what is older than its window', () => {
    const circuit = circuitOf();
    end(circuit, 'failure', 3);
    advance(1000);
    end(circuit, 'failure', 3);
    assert.equal(circuit.state, 'closed');
    end(circuit, 'failure');
    assert.equal(circuit.state, 'open');
  });

  test('learns nothing from an attempt whose caller left', () => {
    const circuit = circuitOf();
    end(circuit, 'ignored', 100);
    end(circuit, 'failure', 3);
    assert.equal(circuit.state, 'closed', 'ignored attempts are no calls');
    end(circuit, 'ignored', 100);
    end(circuit, 'failure');
    assert.equal(circuit.state, 'open', 'and no successes');
  });

  test('lets nothing pass while open, and says for how long', () => {
    const circuit = opened();
    assert.equal(circuit.tryAcquire(), null);
    assert.equal(circuit.retryAfterMs, 200);
    advance(150);
    assert.equal(circuit.retryAfterMs, 50);
    assert.equal(circuit.state, 'open');
    advance(50);
    assert.equal(circuit.state, 'half-open');
    assert.equal(circuit.retryAfterMs, 0);
  });

  test('lets exactly one probe pass while half-open', () => {
    const circuit = opened();
    advance(200);
    const probe = permit(circuit);
    assert.ok(probe.probe);
    assert.equal(circuit.tryAcquire(), null);
    assert.equal(circuit.state, 'half-open');
    probe.end('success');
    assert.equal(circuit.state, 'closed');
    assert.ok(!permit(circuit).probe);
  });

  test('begins anew when it closes: what opened it does not open it again', () => {
    const circuit = opened();
    advance(200);
    end(circuit, 'success');
    end(circuit, 'failure', 3);
    assert.equal(circuit.state, 'closed');
    end(circuit, 'failure');
    assert.equal(circuit.state, 'open');
  });

  test('stays open twice as long with each failed probe, up to the maximum, and is modest again once closed', () => {
    const circuit = opened();
    for (const ms of [200, 400, 800, 800]) {
      assert.equal(circuit.retryAfterMs, ms);
      advance(ms - 50);
      assert.equal(circuit.state, 'open');
      advance(50);
      assert.equal(circuit.state, 'half-open');
      end(circuit, 'failure');
      assert.equal(circuit.state, 'open');
    }
    advance(800);
    end(circuit, 'success');
    end(circuit, 'failure', 4);
    assert.equal(circuit.retryAfterMs, 200);
  });

  test('goes back to open for the usual time when its probe says nothing, and neither closes nor doubles', () => {
    const circuit = opened();
    advance(200);
    end(circuit, 'failure');
    advance(400);
    end(circuit, 'ignored');
    assert.equal(circuit.state, 'open');
    assert.equal(circuit.retryAfterMs, 200);
    assert.equal(circuit.openings, 2);
    advance(200);
    end(circuit, 'failure');
    assert.equal(circuit.retryAfterMs, 800, 'the second failed probe');
  });

  test('is not wedged by a probe that never ends', () => {
    const circuit = opened();
    advance(200);
    const lost = permit(circuit);
    advance(750);
    assert.equal(circuit.state, 'half-open');
    advance(50);
    assert.equal(circuit.state, 'open');
    advance(200);
    const probe = permit(circuit);
    lost.end('failure');
    assert.equal(circuit.state, 'half-open', 'the lost probe is late');
    probe.end('success');
    assert.equal(circuit.state, 'closed');
  });

  test('closes with the good head of its probe, whose end then counts as that of any attempt', () => {
    const circuit = opened();
    advance(200);
    const probe = permit(circuit);
    probe.answered();
    assert.equal(circuit.state, 'closed');
    advance(900);
    assert.equal(circuit.state, 'closed', 'no watchdog is left behind');
    end(circuit, 'failure', 3);
    probe.answered();
    probe.end('failure');
    assert.equal(circuit.state, 'open');
  });

  test('takes no notice of the head of an attempt that is no probe, or is late', () => {
    const circuit = circuitOf();
    const late = permit(circuit);
    late.answered();
    end(circuit, 'failure', 4);
    late.answered();
    assert.equal(circuit.state, 'open');
    advance(200);
    const lost = permit(circuit);
    advance(800);
    lost.answered();
    assert.equal(circuit.state, 'open');
    advance(200);
    permit(circuit);
    lost.end('success');
    assert.equal(circuit.state, 'half-open', 'its head has not made it an attempt of today');
  });

  test('is not closed by a late success, nor opened by a late failure', () => {
    const circuit = circuitOf();
    const late = Array.from({ length: 8 }, () => permit(circuit));
    end(circuit, 'failure', 4);
    late[0]?.end('success');
    assert.equal(circuit.state, 'open');
    advance(200);
    late[1]?.end('success');
    late[2]?.end('failure');
    assert.equal(circuit.state, 'half-open');
    end(circuit, 'success');
    for (const one of late.slice(3)) one.end('failure');
    assert.equal(circuit.state, 'closed');
  });

  test('hears the end of an attempt once', () => {
    const circuit = circuitOf();
    const one = permit(circuit);
    for (let i = 0; i < 10; i++) one.end('failure');
    assert.equal(circuit.state, 'closed');
  });

  test('counts its openings, failed probes included, and tells of each', () => {
    let told = 0;
    const circuit = circuitOf({}, () => told++);
    end(circuit, 'failure', 4);
    advance(200);
    end(circuit, 'failure');
    assert.equal(circuit.openings, 2);
    assert.equal(told, 2);
  });

  test('stays as an operator forces it, until told to go by itself', () => {
    const circuit = circuitOf();
    circuit.force('open');
    assert.ok(circuit.forced);
    assert.equal(circuit.tryAcquire(), null);
    advance(5000);
    assert.equal(circuit.state, 'open', 'no probe by itself');
    circuit.force('closed');
    const late = permit(circuit);
    end(circuit, 'failure', 100);
    assert.equal(circuit.state, 'closed');
    circuit.force('auto');
    assert.ok(!circuit.forced);
    late.end('failure');
    end(circuit, 'failure', 3);
    assert.equal(circuit.state, 'closed', 'begun anew');
    end(circuit, 'failure');
    assert.equal(circuit.state, 'open');
    circuit.force('auto');
    advance(1000);
    assert.equal(circuit.state, 'closed', 'no timer is left behind');
  });

  test('has no open time in common with another of the same policy', () => {
    const one = opened();
    advance(200);
    end(one, 'failure');
    const other = opened();
    assert.equal(one.retryAfterMs, 400);
    assert.equal(other.retryAfterMs, 200);
    advance(200);
    assert.deepEqual([one.state, other.state], ['open', 'half-open']);
  });

  test('lets everything pass once it is shut down, and learns nothing', () => {
    const circuit = opened();
    circuit.shutdown();
    circuit.shutdown();
    end(circuit, 'failure', 100);
    assert.equal(circuit.state, 'closed');
    circuit.force('open');
    assert.equal(circuit.state, 'closed');
  });

  test('keeps no number for every call', () => {
    const fire = mock.method(CircuitBreaker.prototype, 'fire');
    const circuit = circuitOf({ failureRatio: 1 });
    end(circuit, 'failure', 1);
    end(circuit, 'success', 10_000);
    const engine = fire.mock.calls[0]?.this as CircuitBreaker;
    fire.mock.restore();
    const kept = engine.status.window.reduce((sum, bucket) => sum + bucket.latencyTimes.length, 0);
    assert.ok(kept <= 64, String(kept));
    assert.equal(engine.stats.fires, 10_001, 'but counts them');
    assert.equal(engine.stats.successes, 10_000);
  });

  test('shares one interval with all others of its window, and the last one stops it', () => {
    const set = mock.method(globalThis, 'setInterval');
    const clear = mock.method(globalThis, 'clearInterval');
    const circuits = Array.from({ length: 50 }, () => circuitOf({ windowMs: 3000 }));
    assert.equal(set.mock.callCount(), 1);
    for (const circuit of circuits.slice(1)) circuit.shutdown();
    assert.equal(clear.mock.callCount(), 0);
    end(circuits[0] as Circuit, 'failure', 3);
    advance(3000);
    end(circuits[0] as Circuit, 'failure', 1);
    assert.equal(circuits[0]?.state, 'closed', 'its window still turns');
    circuits[0]?.shutdown();
    assert.equal(clear.mock.callCount(), 1);
    circuitOf({ windowMs: 3000 });
    assert.equal(set.mock.callCount(), 2);
    set.mock.restore();
    clear.mock.restore();
  });

  test('agrees with a plain model of itself, whatever happens in whatever order', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ what: fc.constant('acquire' as const), n: fc.constant(0) }) },
      { weight: 4, arbitrary: fc.record({ what: fc.constant('failure' as const), n: fc.nat() }) },
      { weight: 2, arbitrary: fc.record({ what: fc.constant('success' as const), n: fc.nat() }) },
      {
        weight: 1,
        arbitrary: fc.record({ what: fc.constantFrom('ignored' as const, 'answered' as const), n: fc.nat() }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ what: fc.constant('wait' as const), n: fc.integer({ min: 1, max: 12 }) }),
      },
    );
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 20, maxLength: 120 }),
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom(0.1, 0.5, 2 / 3, 1),
        (steps, minimumCalls, failureRatio) => {
          let told = 0;
          const circuit = new Circuit(
            { ...policy, minimumCalls, failureRatio },
            () => told++,
            () => Date.now(),
          );
          const model = new Model(minimumCalls, failureRatio);
          const permits: { real: CircuitPermit; modelled: ModelPermit }[] = [];
          try {
            for (const { what, n } of steps) {
              if (what === 'acquire') {
                const real = circuit.tryAcquire();
                const modelled = model.acquire();
                assert.equal(real?.probe, modelled?.probe);
                if (real !== null && modelled !== null) permits.push({ real, modelled });
              } else if (what === 'wait') {
                for (let i = 0; i < n; i++) {
                  mock.timers.tick(50);
                  model.tick();
                }
              } else if (permits.length > 0) {
                const { real, modelled } = permits[n % permits.length] as (typeof permits)[number];
                if (what === 'answered') {
                  real.answered();
                  model.answered(modelled);
                } else {
                  real.end(what);
                  model.end(modelled, what);
                }
              }
              seen.add(model.state);
              assert.equal(circuit.state, model.state);
              assert.equal(circuit.openings, model.openings);
              assert.equal(told, model.openings);
              assert.equal(circuit.retryAfterMs, model.state === 'open' ? model.until - model.now : 0);
            }
          } finally {
            // Its window turns with an interval of its own, begun at its beginning.
            circuit.shutdown();
          }
        },
      ),
      { numRuns: 1000 },
    );
    assert.deepEqual([...seen].sort(), ['closed', 'half-open', 'open']);
  });
});

interface ModelPermit {
  probe: boolean;
  era: number;
  deciding: boolean;
  ended: boolean;
}

/** What a circuit promises, without opossum: a list of results, a few numbers and a clock of 50 ms. */
class Model {
  state: 'closed' | 'half-open' | 'open' = 'closed';
  openings = 0;
  now = 0;
  until = 0;
  era = 0;
  failedProbes = 0;
  probeSince: number | null = null;
  results: { bucket: number; failed: boolean }[] = [];
  readonly minimum: number;
  readonly ratio: number;

  constructor(minimum: number, ratio: number) {
    this.minimum = minimum;
    this.ratio = ratio;
  }

  tick(): void {
    this.now += 50;
    if (this.state === 'open' && this.now >= this.until) this.state = 'half-open';
    else if (this.probeSince !== null && this.now >= this.probeSince + policy.openForMaxMs) {
      this.go('open', policy.openForMs);
    }
  }

  acquire(): ModelPermit | null {
    if (this.state === 'open' || this.probeSince !== null) return null;
    const probe = this.state === 'half-open';
    if (probe) this.probeSince = this.now;
    return { probe, era: this.era, deciding: probe, ended: false };
  }

  answered(one: ModelPermit): void {
    if (one.ended || !one.deciding) return;
    one.deciding = false;
    if (one.era !== this.era) return;
    this.close();
    one.era = this.era;
  }

  end(one: ModelPermit, verdict: Verdict): void {
    if (one.ended) return;
    one.ended = true;
    if (one.era !== this.era) return;
    if (one.deciding) {
      if (verdict === 'success') this.close();
      else if (verdict === 'ignored') this.go('open', policy.openForMs);
      else {
        this.failedProbes++;
        this.openings++;
        this.go('open', Math.min(policy.openForMaxMs, policy.openForMs * 2 ** this.failedProbes));
      }
      return;
    }
    if (verdict === 'ignored') return;
    const bucket = Math.floor(this.now / 100);
    this.results = this.results.filter((result) => result.bucket > bucket - 10);
    this.results.push({ bucket, failed: verdict === 'failure' });
    const failures = this.results.filter((result) => result.failed).length;
    if (verdict !== 'failure' || this.results.length < this.minimum) return;
    if (failures / this.results.length < this.ratio - 1e-12) return;
    this.openings++;
    this.go('open', policy.openForMs);
  }

  private close(): void {
    this.failedProbes = 0;
    this.results = [];
    this.go('closed', 0);
  }

  private go(state: 'closed' | 'open', ms: number): void {
    this.state = state;
    this.until = this.now + ms;
    this.era++;
    this.probeSince = null;
  }
}

describe('what opossum does by itself, against which the circuit guards', () => {
  const options = { timeout: false, enableSnapshots: false } as const;
  const failing = (): Promise<never> => Promise.reject(new Error('x'));
  const quietly = async (breaker: CircuitBreaker): Promise<void> =>
    void (await breaker.fire().catch(() => {}));

  test('it opens above its percentage and not at it', async () => {
    const breaker = new CircuitBreaker(failing, { ...options, errorThresholdPercentage: 100 });
    for (let i = 0; i < 10; i++) await quietly(breaker);
    assert.ok(breaker.closed);
    breaker.shutdown();
  });

  test('it keeps the very options it is given, and writes into them', () => {
    const own: CircuitBreaker.Options = {};
    new CircuitBreaker(failing, own).shutdown();
    assert.equal(own.resetTimeout, 30_000);
  });

  test('it keeps one number for every call, and forgets nothing when it closes', async () => {
    const breaker = new CircuitBreaker(failing, { ...options, rollingPercentilesEnabled: false });
    await quietly(breaker);
    breaker.close();
    assert.equal(breaker.stats.failures, 1);
    assert.equal(breaker.status.window[0]?.latencyTimes.length, 1);
    breaker.shutdown();
  });

  test('it has what its types leave out, and we use', () => {
    const breaker = new CircuitBreaker(failing, { ...options });
    assert.equal(typeof (breaker.status as unknown as { rotateBucket: unknown }).rotateBucket, 'function');
    breaker.shutdown();
  });
});
