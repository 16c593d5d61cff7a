/**
 * 2,000 jobs through a vendor that fails a third of the time, half of these after it has done the job, and disappears
 * for five seconds in the middle. The same workers and the same queue, which delivers a job three times at most, direct
 * and through the sidecar.
 *
 * Done exactly once is what the vendor says: it tells jobs by their Idempotency-Key, and carries out the first only.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { folder } from '../../support/process.ts';
import { pythonWith } from '../../support/program.ts';
import { until } from '../../support/until.ts';
import type { Vendor } from '../../vendors/vendor.ts';
import { tell } from '../figures.ts';
import { ScenarioStage, type Way } from '../stage.ts';

const WORKERS_PROGRAM = fileURLToPath(new URL('workers.py', import.meta.url));
const JOBS = 2_000;
const WORKERS = 20;
const DELIVERIES = 3;
const FLAKY = 'flaky,share=0.333,faults=error+reset,latencyMs=5,spreadMs=2';
const GONE_MS = 5_000;
const HALF_MS = 30_000;

interface Told {
  readonly seconds: number;
  readonly done: readonly string[];
  readonly dead: readonly string[];
  readonly deliveries: number;
}

/** What the workers say, and what the vendor says of the same. */
class Outcome {
  readonly told: Told;
  readonly vendor: Vendor;

  constructor(told: Told, vendor: Vendor) {
    this.told = told;
    this.vendor = vendor;
  }

  /** Jobs that the vendor carried out so many times. */
  carriedOut(times: number): number {
    return [...this.vendor.tally.operations.values()].filter(({ effects }) => effects === times).length;
  }

  get figures(): Record<string, number> {
    const { done, dead, deliveries, seconds } = this.told;
    return {
      jobsDone: done.length,
      jobsLost: dead.length,
      // The queue would have somebody do it again by hand.
      jobsLostThoughCarriedOut: dead.filter(
        (job) => (this.vendor.tally.operations.get(job)?.effects ?? 0) > 0,
      ).length,
      carriedOutOnce: this.carriedOut(1),
      carriedOutTwice: this.vendor.snapshot().operations.doubled,
      redeliveries: deliveries - JOBS,
      totalS: seconds,
    };
  }
}

test('2,000 jobs through a vendor that fails and disappears: every job is done exactly once, none is lost', async (t) => {
  const python = pythonWith(t, 'persistqueue, requests', 'python3-persist-queue python3-requests');
  if (python === null) return;
  const stage = await ScenarioStage.start(t, {
    vendors: [{ name: 'ledger', behaviour: FLAKY }],
    yaml: new URL('outrigger.yaml', import.meta.url),
  });
  const [direct, sidecar] = await Promise.all([
    work(t, stage, python, 'direct'),
    work(t, stage, python, 'sidecar'),
  ]);
  tell(t, 'job-queue', {
    scenario: 'job queue, 2,000 jobs, the vendor fails a third of the time and disappears for 5 s',
    direct: direct.figures,
    sidecar: sidecar.figures,
  });

  // One in 27 fails three times, even on a machine so busy that nobody notices when the vendor is gone.
  assert.ok(direct.told.dead.length > JOBS / 50, 'direct, jobs are lost');
  assert.equal(new Set(sidecar.told.done).size, JOBS, 'every job is done');
  assert.equal(sidecar.told.done.length, JOBS, 'and none is done twice');
  assert.deepEqual(sidecar.told.dead, [], 'none is lost');
  const { operations, requests } = sidecar.vendor.snapshot();
  assert.equal(sidecar.carriedOut(1), JOBS, 'the vendor says the same, by key');
  assert.deepEqual([operations.keys, operations.doubled, operations.unkeyed], [JOBS, 0, 0]);
  assert.ok(operations.repeats > 0, 'some were sent again after the vendor had carried them out');
  // Those that were on their way when the vendor disappeared were answered in vain.
  assert.ok(requests.answered - JOBS <= WORKERS, 'and nothing was sent again that had been answered');
  await stage.proveQuiet(sidecar.told.deliveries);
});

async function work(t: TestContext, stage: ScenarioStage, python: string, way: Way): Promise<Outcome> {
  const vendor = stage.vendors[way].named('ledger');
  const args = [`${vendor.url}/v1/entries`, `${JOBS}`, `${WORKERS}`, `${DELIVERIES}`, folder(t)];
  let over = false;
  const working = stage.run<Told>(way, () => [python, WORKERS_PROGRAM, ...args]).finally(() => (over = true));
  // Workers that have given up everything never get there.
  const half = (): boolean => over || vendor.snapshot().operations.effects >= JOBS / 2;
  const disappearing = until(half, 'half of the jobs', HALF_MS).then(async () => {
    await vendor.behave('down');
    await after(GONE_MS);
    await vendor.behave(FLAKY);
  });
  const [told] = await Promise.all([working, disappearing]);
  return new Outcome(told, vendor);
}
