/**
 * What alerts and the dashboard ask for is there: every metric, every label, and the values of labels that they
 * select. Of the golden files, so without Helm.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.ts';
import { emptyMetrics } from '../support/metrics-page.ts';
import { golden, only } from './chart.ts';
import type { PrometheusRule } from './prometheus-operator.ts';

/** Of Prometheus itself and of kube-state-metrics. */
const OTHERS = [
  'up',
  'kube_pod_container_status_ready',
  'kube_pod_init_container_status_ready',
  'kube_pod_status_phase',
];
/** What the scrape adds to every series, and what the others have. */
const SCRAPED = ['namespace', 'pod', 'job', 'container', 'le', 'phase'];

async function page(): Promise<string> {
  const metrics = emptyMetrics();
  return metrics.render();
}

/** The names on the page, as they are asked for. */
function namesOn(text: string): Set<string> {
  const found = new Set<string>();
  for (const [, name = '', type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    if (type !== 'histogram') found.add(name);
    else for (const end of ['bucket', 'sum', 'count']) found.add(`${name}_${end}`);
  }
  return found;
}

const rulesOf = (mode: string) =>
  (only(golden(mode), 'PrometheusRule') as unknown as PrometheusRule).spec.groups.flatMap(
    ({ rules }) => rules,
  );

interface Dashboard {
  readonly templating: { readonly list: readonly { readonly query: string | { readonly query: string } }[] };
  readonly panels: readonly {
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

function dashboardOf(mode: string): Dashboard {
  const found = golden(mode).find(({ data }) => data?.['outrigger.json']);
  return JSON.parse(found?.data?.['outrigger.json'] ?? '') as Dashboard;
}

/** Every query of a mode. */
function expressions(mode: string): string[] {
  const { panels, templating } = dashboardOf(mode);
  const variables = templating.list.map(({ query }) => (typeof query === 'string' ? '' : query.query));
  return [
    ...rulesOf(mode).map(({ expr }) => expr),
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...variables.map((query) => query.replace(/^label_values\(([\w]+),/, 'label_values($1{},')),
  ].filter((expr) => expr !== '');
}

for (const mode of ['sidecar', 'gateway']) {
  test(`${mode}: every metric that is asked for is on the page of metrics`, async () => {
    const there = namesOn(await page());
    const asked = expressions(mode).flatMap((expr) => {
      const found = [...expr.matchAll(/([a-zA-Z_:][\w:]*)\{/g)].map(([, name = '']) => name);
      assert.ok(found.length > 0, expr);
      return found;
    });
    assert.deepEqual(
      [...new Set(asked)].filter((name) => !there.has(name) && !OTHERS.includes(name)),
      [],
    );
    // A name without a selector would be overlooked above.
    for (const expr of expressions(mode)) {
      const bare = expr.match(/\boutrigger_\w+(?!\w|\{)/g) ?? [];
      assert.deepEqual(bare, [], expr);
    }
  });
}

test('every label that is asked for is one of the metric', async () => {
  const { ROUTE_COUNTS, ROUTE_DISTRIBUTIONS } = await import('../../src/telemetry/route-metrics.ts');
  const { ORIGIN_LEVELS, CIRCUIT_OPENINGS } = await import('../../src/telemetry/origin-metrics.ts');
  const { SIDECAR_COUNTS, SIDECAR_LEVELS } = await import('../../src/telemetry/sidecar-metrics.ts');
  const tables = [ROUTE_COUNTS, ROUTE_DISTRIBUTIONS, ORIGIN_LEVELS, SIDECAR_COUNTS, SIDECAR_LEVELS];
  const families = [...tables.flatMap((table) => Object.values(table)), CIRCUIT_OPENINGS];
  const labels = new Map(
    families.map(([name, , ...names]) => [`outrigger_${name}`, names as readonly string[]]),
  );
  for (const expr of [...expressions('sidecar'), ...expressions('gateway')]) {
    const metrics = [...expr.matchAll(/(outrigger_\w+?)(?:_bucket)?\{/g)].map(([, name = '']) => name);
    const known = [...SCRAPED, ...metrics.flatMap((name) => labels.get(name) ?? [])];
    const selected = [...expr.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, name = '']) => name);
    const grouped = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = '']) =>
      list.split(/, */),
    );
    for (const name of [...selected, ...grouped]) assert.ok(known.includes(name), `${name} in ${expr}`);
  }
});

test('the result of a reload that is alerted on is one that is counted', async () => {
  const asked = expressions('sidecar').flatMap((expr) => [...expr.matchAll(/result="(\w+)"/g)]);
  assert.ok(asked.length > 0);
  for (const [, result] of asked)
    assert.match(await page(), new RegExp(`reloads_total\\{result="${result}"\\}`));
});

test('every alert says what is wrong and what to do, once, and a template in it is left to Prometheus', () => {
  for (const mode of ['sidecar', 'gateway']) {
    const rules = rulesOf(mode);
    assert.deepEqual(
      rules.map(({ alert }) => alert),
      [...new Set(rules.map(({ alert }) => alert))],
    );
    for (const { alert, annotations, labels, expr } of rules) {
      assert.match(annotations.summary, /\{\{ \$(?:labels|value)/, alert);
      assert.ok(annotations.description.endsWith('.'), alert);
      assert.ok(labels['severity'], alert);
      assert.doesNotMatch(expr, /\{\{|%!/, alert);
    }
  }
});

test('the queue is near its limit at a share of policy.pool.queue', () => {
  const { expr = '' } = rulesOf('sidecar').find(({ alert }) => alert === 'OutriggerQueueNearLimit') ?? {};
  // The example says nothing of it: then it is the default, which the chart has to know.
  const { queue } = loadConfig({ files: [], env: {} }).config.policy.pool;
  assert.ok(expr.endsWith(`>= ${Math.ceil(queue * 0.8)}`), expr);
});

test('no two panels of the dashboard lie on each other', () => {
  const taken = new Map<string, string>();
  for (const { title, gridPos } of dashboardOf('sidecar').panels) {
    assert.ok(gridPos.x + gridPos.w <= 24, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        assert.equal(taken.get(`${x} ${y}`), undefined, title);
        taken.set(`${x} ${y}`, title);
      }
    }
  }
});
