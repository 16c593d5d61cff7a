/**
 * A feature pipeline while all is well: 10,000 rows from four services, one with a long tail. What the sidecar costs it is
 * measured by turns, direct and through the sidecar, and told as the median of the ratios; here it has to be the same
 * table, and not much later, for others are at work on the machine.
 */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { call } from '../../support/caller.ts';
import { pythonWith } from '../../support/program.ts';
import { median } from '../../support/quantiles.ts';
import { tell } from '../figures.ts';
import { ScenarioStage, WAYS, type Way } from '../stage.ts';

const SERVICES = 4;
const FEATURES_EACH = 8;
const ROWS = 10_000;
const BATCH = 50;
const WORKERS = 12;
const ROUNDS = 3;
/** Exchanges after which the code of a sidecar has been compiled, as it is minutes after its start. */
const WARM = 4_000;
/** Of services that are somebody else's. */
const LATENCY = 'latencyMs=80,spreadMs=30';
/** Loose, for a test says little of time while others are at work. */
const SHARE_MIN = 0.5;

interface Table {
  readonly rows: number;
  readonly features: number;
  readonly checksum: number;
  readonly seconds: number;
}

test('a pipeline of 10,000 feature rows from four services has the same table through the sidecar, about as fast', async (t) => {
  const python = pythonWith(t, 'aiohttp', 'python3-aiohttp');
  if (python === null) return;
  const script = fileURLToPath(new URL('pipeline.py', import.meta.url));
  const stage = await ScenarioStage.start(t, {
    vendors: [
      ...['profile', 'velocity', 'device'].map((name) => ({ name, behaviour: `healthy,${LATENCY}` })),
      { name: 'graph', behaviour: `long-tail,${LATENCY},tailShare=0.02,tailMs=500` },
    ],
    yaml: new URL('outrigger.yaml', import.meta.url),
  });
  const env = { ROWS: `${ROWS}`, BATCH: `${BATCH}`, WORKERS: `${WORKERS}` };
  const tables: Record<Way, Table[]> = { direct: [], sidecar: [] };
  await warm(stage);
  for (let round = 0; round < ROUNDS; round++)
    for (const way of WAYS) tables[way].push(await stage.run<Table>(way, () => [python, script], env));

  const secondsOf = (way: Way): number[] => tables[way].map(({ seconds }) => seconds);
  // Round by round, for a round meets the same tail on both ways.
  const throughputShare = median(
    secondsOf('direct').map((seconds, round) => seconds / (secondsOf('sidecar')[round] as number)),
  );
  for (const way of WAYS)
    t.diagnostic(
      `${way}: ${secondsOf(way)
        .map((seconds) => seconds.toFixed(2))
        .join(' ')} s`,
    );
  const rowsOf = (way: Way): number | null => tables[way][0]?.rows ?? null;
  tell(t, 'features', {
    scenario: 'feature pipeline, 10,000 rows from four services, all is well',
    direct: { rowsPerS: ROWS / median(secondsOf('direct')), throughputShare: 1, rows: rowsOf('direct') },
    sidecar: { rowsPerS: ROWS / median(secondsOf('sidecar')), throughputShare, rows: rowsOf('sidecar') },
  });

  const [first] = tables.direct;
  for (const { rows, features, checksum } of [...tables.direct, ...tables.sidecar]) {
    assert.equal(rows, ROWS);
    assert.equal(features, ROWS * SERVICES * FEATURES_EACH);
    assert.equal(checksum, first?.checksum, 'the same table');
  }
  assert.ok(throughputShare > SHARE_MIN, `${throughputShare.toFixed(2)} of the throughput of direct`);
  const lines = await stage.proveQuiet(WARM + (ROUNDS * SERVICES * ROWS) / BATCH);
  assert.ok(lines.every(({ outcome, attempts }) => outcome === 'completed' && attempts.length === 1));
});

/** A pipeline meets a sidecar that has been at work. */
async function warm(stage: ScenarioStage): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  const url = `${stage.vendors.sidecar.named('profile').url}/v1/features?rows=1,2,3`;
  await stage.behave('profile', 'healthy,latencyMs=0,spreadMs=0');
  const callers = Array.from({ length: WORKERS }, async (_, i) => {
    for (let n = i; n < WARM; n += WORKERS) {
      assert.equal((await call(stage.sidecar.port, url, { agent })).status, 200);
    }
  });
  await Promise.all(callers);
  agent.destroy();
  await stage.behave('profile', `healthy,${LATENCY}`);
}
