/**
 * An ingestion of five paginated APIs, two of which limit their callers to 50 requests a second, and all of which fail
 * once in a hundred times. The naive tool asks for everything at once; the careful one has a semaphore for each API and
 * retries of its own. By hand the safe number of permits is what keeps the limit even when every answer is as fast
 * as an answer can be (50/s x 20 ms = 1); a route may be set at what is usual, since the retry budget is behind it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pythonWith } from '../../support/program.ts';
import { tell, type WayFigures } from '../figures.ts';
import { ScenarioStage, type Way } from '../stage.ts';

const FREE = ['orders', 'customers', 'shipments'];
const LIMITED = ['payments', 'invoices'];
const LATENCY = 'latencyMs=40,spreadMs=20,share=0.01,faults=error,status=503';
const PERMITS = 'orders=20,customers=20,shipments=20,payments=1,invoices=1';
const PAGES = 201;
const PAGE = 50;
const APIS = FREE.length + LIMITED.length;
/** As the configuration says. */
const BUDGET = { share: 0.2, perSecond: 3 };

interface Ingested {
  readonly gathers: number;
  readonly records: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly seconds: number;
}

test('an ingestion of five APIs in 1,000 gathers, naive through the sidecar, is whole, faster than configured safely by hand, and within the limits', async (t) => {
  const python = pythonWith(t, 'aiohttp', 'python3-aiohttp');
  if (python === null) return;
  const script = fileURLToPath(new URL('ingest.py', import.meta.url));
  const stage = await ScenarioStage.start(t, {
    vendors: [
      ...FREE.map((name) => ({ name, behaviour: `healthy,${LATENCY}` })),
      ...LIMITED.map((name) => ({ name, behaviour: `rate-limiting,rate=50,burst=10,${LATENCY}` })),
    ].map((vendor) => ({ ...vendor, records: PAGES * PAGE })),
    yaml: new URL('outrigger.yaml', import.meta.url),
  });
  const ingest = (way: Way, tool: string): Promise<Ingested> =>
    stage.run(way, () => [python, script, tool], { PERMITS });

  const unarmed = await ingest('direct', 'naive');
  assert.ok(lost(unarmed) > 0, 'direct, the naive tool loses what it is refused');
  for (const vendor of stage.vendors.direct.all) vendor.tally.forget();
  const [careful, naive] = await Promise.all([ingest('direct', 'careful'), ingest('sidecar', 'naive')]);
  tell(t, 'ingestion', {
    scenario: 'ingestion of five APIs in 1,000 gathers, careful direct, naive through the sidecar',
    direct: { ...figuresOf(stage, 'direct', careful), lostPagesNaive: lost(unarmed) },
    sidecar: { ...figuresOf(stage, 'sidecar', naive), lostPagesNaive: lost(naive) },
  });

  for (const ingested of [careful, naive]) {
    assert.equal(ingested.gathers, 1_000);
    assert.deepEqual(ingested.failures, {});
    assert.equal(ingested.records, APIS * PAGES * PAGE);
  }
  assert.ok(naive.seconds < careful.seconds, `${naive.seconds} s, by hand ${careful.seconds} s`);
  for (const name of LIMITED) {
    const { limited } = stage.vendors.sidecar.named(name).snapshot().requests;
    const allowed = BUDGET.share * PAGES + BUDGET.perSecond * naive.seconds;
    assert.ok(limited <= allowed, `${name}: ${limited} requests beyond the limit, ${allowed} in the budget`);
  }
  const lines = await stage.proveQuiet(APIS * PAGES);
  assert.ok(lines.every(({ outcome }) => outcome === 'completed'));
});

const lost = ({ failures }: Ingested): number =>
  Object.values(failures).reduce((sum, count) => sum + count, 0);

function figuresOf(stage: ScenarioStage, way: Way, { seconds, failures }: Ingested): WayFigures {
  const of = (name: string) => stage.vendors[way].named(name).snapshot().requests;
  return {
    totalS: seconds,
    lostPages: lost({ failures } as Ingested),
    requests: [...FREE, ...LIMITED].reduce((sum, name) => sum + of(name).all, 0),
    refusedByVendors: LIMITED.reduce((sum, name) => sum + of(name).limited, 0),
  };
}
