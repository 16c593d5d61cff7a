/**
 * Typed clients against vendors that break a third of their answers: every answer is whole and fits its model, or is an
 * error whose kind tells what happened. An export of one object per line is the hard case, for half of it is valid, too.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pythonWith } from '../../support/program.ts';
import { tell, type WayFigures } from '../figures.ts';
import { ScenarioStage, WAYS, type Way } from '../stage.ts';

const CLIENTS = ['requests', 'httpx', 'aiohttp'] as const;
/** By vendor: what befalls a third of its answers, and as which kinds a client may meet it. */
const VENDORS = {
  truncating: 'truncate',
  chunked: 'truncate-chunked',
  resetting: 'reset-within',
  html: 'html',
} as const;
const CALLS = 40;

type Kinds = Readonly<Record<string, Readonly<Record<string, number>>>>;

test('typed clients: a truncated or non-JSON answer is a clear error with requests, httpx and aiohttp, and never half an answer', async (t) => {
  const modules = 'pydantic, requests, httpx, aiohttp';
  const packages = 'python3-pydantic python3-requests python3-httpx python3-aiohttp';
  const python = pythonWith(t, modules, packages);
  if (python === null) return;
  const script = fileURLToPath(new URL('clients.py', import.meta.url));
  const stage = await ScenarioStage.start(t, {
    vendors: Object.entries(VENDORS).map(([name, fault]) => ({
      name,
      behaviour: `flaky,share=0.33,faults=${fault},latencyMs=4,spreadMs=2`,
    })),
    yaml: new URL('outrigger.yaml', import.meta.url),
  });
  const totals: Record<Way, Record<string, number>> = { direct: {}, sidecar: {} };
  for (const client of CLIENTS) {
    await Promise.all(
      WAYS.map(async (way) => {
        for (const vendor of stage.vendors[way].all) vendor.tally.forget();
        const kinds = await stage.run<Kinds>(way, () => [python, script, client], { CALLS: `${CALLS}` });
        t.diagnostic(`${client}, ${way}: ${JSON.stringify(kinds)}`);
        for (const [name, counts] of Object.entries(kinds)) {
          for (const [kind, count] of Object.entries(counts))
            totals[way][kind] = (totals[way][kind] ?? 0) + count;
          if (way === 'sidecar') proveClear(stage, name as keyof typeof VENDORS, counts, client);
        }
      }),
    );
  }
  tell(t, 'typed-clients', {
    scenario: 'typed clients, a third of the answers broken',
    direct: figuresOf(totals.direct),
    sidecar: figuresOf(totals.sidecar),
  });
  const lines = await stage.proveQuiet(CLIENTS.length * Object.keys(VENDORS).length * CALLS);
  const truncated = lines.filter(({ outcome }) => outcome === 'truncated').length;
  assert.equal(truncated, totals.sidecar['cut'] ?? 0, 'what was cut for a client is truncated in the log');
});

/**
 * As many good answers as the vendor gave, and every other call a failure of a kind that fits: no JSON, or a message that
 * broke off, which the client sees by itself, or is told by the sidecar where the head had not gone out yet.
 */
function proveClear(
  stage: ScenarioStage,
  name: keyof typeof VENDORS,
  counts: Readonly<Record<string, number>>,
  client: string,
): void {
  const { answered, faulty } = stage.vendors.sidecar.named(name).snapshot().requests;
  const where = `${client}, ${name}: ${JSON.stringify(counts)}`;
  const { ok, ...failures } = counts;
  assert.equal(ok, answered, where);
  const fitting =
    name === 'html' ? /^not JSON$/ : /^(?:cut|told: (?:connection_terminated|http_response_incomplete))$/;
  for (const kind of Object.keys(failures)) assert.match(kind, fitting, where);
  assert.equal(
    Object.values(counts).reduce((sum, count) => sum + count, 0),
    CALLS,
    where,
  );
  assert.ok(faulty > 0, where);
}

function figuresOf(kinds: Readonly<Record<string, number>>): WayFigures {
  const of = (kind: string): number => kinds[kind] ?? 0;
  const told = Object.entries(kinds).filter(([kind]) => kind.startsWith('told'));
  return {
    calls: Object.values(kinds).reduce((sum, count) => sum + count, 0),
    ok: of('ok'),
    cut: of('cut') + told.reduce((sum, [, count]) => sum + count, 0),
    notJson: of('not JSON'),
    halfRead: of('half read'),
  };
}
